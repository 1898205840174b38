//! A history under random use: every position in reach can be returned to, and what is found there is what was there.

use proptest::prelude::*;

use super::*;
use crate::lm::fake::Fake;
use crate::lm::{Logits, Model, Row, Scratch};

const VOCAB: TokenId = 1000;

#[derive(Clone, Debug)]
enum Op {
    /// Reads so many tokens, in pieces of at most the second number.
    Read(usize, usize, Joint),
    /// Goes back to a position in reach.
    Rewind(prop::sample::Index),
    /// Continues on a copy; the original must not change.
    Fork,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let joint = || prop_oneof![Just(Joint::Open), Just(Joint::Closed)];
    let op = prop_oneof![
        4 => (1..8usize, 1..8usize, joint()).prop_map(|(len, piece, joint)| Op::Read(len, piece, joint)),
        2 => (1..300usize, 1..100usize, joint()).prop_map(|(len, piece, joint)| Op::Read(len, piece, joint)),
        3 => any::<prop::sample::Index>().prop_map(Op::Rewind),
        1 => Just(Op::Fork),
    ];
    prop::collection::vec(op, 1..40)
}

/// A session, and what it has read: each token, and how the text stood after it.
#[derive(Clone)]
struct Walk {
    snapshot: Snapshot,
    read: Vec<ReadToken>,
}

impl Walk {
    fn new(tokens_max: usize) -> Self {
        let tail = Tail::new(&[1, 2], Joint::Open);
        let state = Fake::new(VOCAB as usize).start_state();
        let snapshot = Snapshot { tail, ..Snapshot::at_start(state, "fake".into()) };
        Self { snapshot: snapshot.with_history(tokens_max), read: Vec::new() }
    }

    /// Reads tokens as the engine does: in pieces, and then the end of the text is noted.
    fn read(&mut self, tokens: &[TokenId], piece: usize, joint: Joint) {
        let mut left = tokens;
        while !left.is_empty() {
            let len = self.snapshot.piece_max(left.len()).min(piece);
            run(&mut self.snapshot.state, &left[..len]);
            self.snapshot.advance(&left[..len]);
            left = &left[len..];
        }
        self.snapshot.end_text(joint);
        self.read.extend(tokens.iter().map(|&token| ReadToken::new(token)));
        self.read.last_mut().unwrap().joint = joint;
    }

    fn rewind(&mut self, position: u64) {
        let way = self.snapshot.rewind(position).unwrap();
        let mut snapshot = way.from.clone();
        assert!(way.tokens.len() < SPACING as usize);
        run(&mut snapshot.state, &way.tokens);
        snapshot.advance(&way.tokens);
        if !way.tokens.is_empty() {
            snapshot.end_text(way.joint);
        }
        self.snapshot = way.arrive(snapshot);
        self.read.truncate(position as usize);
    }

    /// Compares the session with one that has read the same tokens at once and keeps no past.
    fn check(&self) {
        let mut fresh = Walk::new(0).snapshot;
        let tokens: Vec<TokenId> = self.read.iter().map(|read| read.token).collect();
        run(&mut fresh.state, &tokens);
        fresh.advance(&tokens);
        if let Some(last) = self.read.last() {
            fresh.end_text(last.joint);
        }
        assert_eq!((&self.snapshot.state, self.snapshot.position), (&fresh.state, fresh.position));
        assert_eq!(self.snapshot.tail.tokens(), fresh.tail.tokens());
        assert_eq!(self.snapshot.tail.joint, fresh.tail.joint);
        let history = self.snapshot.history.as_ref().unwrap();
        assert!(history.marks.len() <= marks_max(history.tokens_max), "{} marks", history.marks.len());
        assert!(history.read.len() <= read_max(history.tokens_max), "{} tokens", history.read.len());
        assert_eq!(history.marks.capacity(), marks_max(history.tokens_max));
        assert_eq!(history.read.capacity(), read_max(history.tokens_max));
    }
}

fn run(state: &mut State, tokens: &[TokenId]) {
    let model = Fake::new(VOCAB as usize);
    let mut rows = [Row::new(state, tokens, Logits::None)];
    model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| ());
    assert_eq!(rows[0].outcome, Ok(()));
}

proptest! {
    #[test]
    fn every_position_in_reach_is_found_as_it_was(tokens_max in 1..150usize, ops in ops()) {
        let mut walk = Walk::new(tokens_max);
        // The oldest position that the reads so far, and the ways back, have left in reach.
        let mut oldest = 0u64;
        let mut forks = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Read(len, piece, joint) => {
                    let tokens: Vec<TokenId> = (0..len).map(|k| (number * 7 + k * k) as TokenId % VOCAB).collect();
                    walk.read(&tokens, piece, joint);
                }
                Op::Rewind(index) => {
                    let span = (walk.snapshot.position - oldest) as usize + 1;
                    walk.rewind(oldest + index.index(span) as u64);
                }
                Op::Fork => forks.push(walk.clone()),
            }
            oldest = oldest.max(walk.snapshot.position.saturating_sub(tokens_max as u64));
            walk.check();
            for position in oldest..=walk.snapshot.position {
                prop_assert_eq!(walk.snapshot.check_rewind(position), Ok(()));
            }
        }
        for mut fork in forks {
            fork.check();
            let oldest = fork.snapshot.history.as_ref().unwrap().oldest();
            fork.rewind(oldest);
            fork.check();
        }
    }
}

#[test]
fn a_position_ahead_or_out_of_reach_is_refused_with_the_oldest_one_kept() {
    let mut walk = Walk::new(40);
    walk.read(&(0..100).collect::<Vec<_>>(), 100, Joint::Closed);
    assert_eq!(walk.snapshot.check_rewind(60), Ok(()));
    for position in [59, 101] {
        let error = walk.snapshot.rewind(position).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("position"));
        let found = format!("`position` is {position}; the session stands at position 100");
        assert!(error.message.starts_with(&found), "{}", error.message);
        assert!(error.message.contains("the oldest position kept is 60"), "{}", error.message);
    }
    let error = Walk::new(0).snapshot.rewind(0).unwrap_err();
    assert!(error.message.contains("`rewind_tokens`"), "{}", error.message);
}

#[test]
fn a_restart_keeps_the_length_of_the_history_and_nothing_else() {
    let mut walk = Walk::new(40);
    walk.read(&[5, 6, 7], 3, Joint::Closed);
    walk.snapshot = walk.snapshot.restarted(Walk::new(0).snapshot);
    assert_eq!(walk.snapshot, Walk::new(40).snapshot);
}

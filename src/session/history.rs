//! What a session keeps of its past so that it can go back: the last tokens that it has read, and a state every few of them.
//!
//! To go back, the state before the position is taken and the few tokens between are read again, which gives the same bits as
//! before. All memory is reserved from the start, so that a session's bytes do not change while it reads.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Snapshot;
use super::memory::{block, shared_block};
use crate::error::{Error, Result};
use crate::lm::{State, TokenId};
use crate::text::{Joint, Tail};

/// Tokens between two states that are kept. More cost less memory, and more tokens that are read again.
const SPACING: u64 = 32;

/// The past of a session, as far back as it may go.
#[derive(Debug, PartialEq)]
pub struct History {
    /// How many tokens the session may go back.
    tokens_max: usize,
    /// Where the session stands: after the last token of `read`.
    position: u64,
    /// A state every [`SPACING`] tokens, oldest first; at least one.
    marks: VecDeque<Mark>,
    /// The last tokens read, oldest first: those since the oldest mark, and before them as many as a tail holds.
    read: VecDeque<ReadToken>,
}

/// A state on the way.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    position: u64,
    state: State,
}

/// A token that was read, and how the text stood after it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ReadToken {
    token: TokenId,
    joint: Joint,
}

/// The way back to an earlier position.
#[derive(Clone, Debug)]
pub struct Rewind {
    /// Where the way begins.
    pub from: Snapshot,
    /// What is read from there.
    pub tokens: Arc<[TokenId]>,
    /// How the text stands after them.
    pub joint: Joint,
    /// The past as seen from there.
    history: History,
}

impl Rewind {
    /// The snapshot at the earlier position, which has the past that it had then. `snapshot` is where reading has led.
    pub fn arrive(self, snapshot: Snapshot) -> Snapshot {
        Snapshot { history: Some(Arc::new(self.history)), ..snapshot }
    }
}

impl History {
    /// The history of a session.
    ///
    /// # Errors
    /// `InvalidValue` if it has none.
    pub(super) fn of(history: Option<&Arc<Self>>) -> Result<&Self> {
        history.map(|history| &**history).ok_or_else(|| {
            let message = "the session cannot go back; it must be created with `rewind_tokens` above 0";
            Error::invalid("position", message)
        })
    }

    /// The past of a session that stands at `snapshot`, from which it may later go back at most `tokens_max` tokens.
    pub(super) fn new(tokens_max: usize, snapshot: &Snapshot) -> Self {
        let mut history = Self::reserved(tokens_max);
        history.position = snapshot.position;
        history.marks.push_back(Mark { position: snapshot.position, state: snapshot.state.clone() });
        history.read.extend(snapshot.tail.tokens().iter().map(|&token| ReadToken::new(token)));
        history.end_text(snapshot.tail.joint);
        history
    }

    fn reserved(tokens_max: usize) -> Self {
        Self {
            tokens_max,
            position: 0,
            marks: VecDeque::with_capacity(marks_max(tokens_max)),
            read: VecDeque::with_capacity(read_max(tokens_max)),
        }
    }

    /// How many tokens the session may go back.
    pub fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// The oldest position to which the session may go back.
    fn oldest(&self) -> u64 {
        self.marks[0].position.max(self.position.saturating_sub(self.tokens_max as u64))
    }

    /// How many of the next `left` tokens may be read before the next call of [`Self::extend`].
    ///
    /// The end of a long input is read in pieces that end where a state is kept. What comes before is out of reach once the whole
    /// input is read, and needs none.
    pub(super) fn piece_max(&self, left: usize) -> usize {
        match left.checked_sub(self.tokens_max) {
            Some(out_of_reach @ 1..) => out_of_reach,
            _ => left.min((SPACING - self.since_mark()) as usize),
        }
    }

    /// Adds tokens that were read, which led to `state`.
    pub(super) fn extend(&mut self, tokens: &[TokenId], state: &State) {
        self.position += tokens.len() as u64;
        if self.since_mark() > SPACING {
            self.marks.clear();
        } else {
            self.forget();
        }
        if self.marks.is_empty() || self.since_mark() == SPACING {
            self.marks.push_back(Mark { position: self.position, state: state.clone() });
        }
        let kept = (self.position - self.marks[0].position) as usize + Tail::TOKENS_MAX;
        let new = &tokens[tokens.len().saturating_sub(kept)..];
        let excess = (self.read.len() + new.len()).saturating_sub(kept);
        self.read.drain(..excess);
        self.read.extend(new.iter().map(|&token| ReadToken::new(token)));
    }

    /// Notes how the text stands after the last token.
    pub(super) fn end_text(&mut self, joint: Joint) {
        if let Some(last) = self.read.back_mut() {
            last.joint = joint;
        }
    }

    fn since_mark(&self) -> u64 {
        self.position - self.marks.back().map_or(self.position, |mark| mark.position)
    }

    /// Drops the marks that no position in reach needs.
    fn forget(&mut self) {
        let oldest = self.position.saturating_sub(self.tokens_max as u64);
        while self.marks.get(1).is_some_and(|mark| mark.position <= oldest) {
            self.marks.pop_front();
        }
    }

    /// The way back to `position`.
    ///
    /// # Errors
    /// `InvalidValue` for a position that is ahead or out of reach.
    pub(super) fn rewind(&self, identity: &Arc<str>, position: u64) -> Result<Rewind> {
        self.check(position)?;
        let mut history = self.clone();
        history.read.truncate(self.count_at(position));
        history.marks.retain(|mark| mark.position <= position);
        history.position = position;
        let mark = history.marks.back().expect("bug: a history has a mark before every position in reach");
        let start = history.count_at(mark.position);
        let from = Snapshot {
            state: mark.state.clone(),
            identity: identity.clone(),
            position: mark.position,
            tail: history.tail_at(start),
            history: None,
        };
        let joint = history.tail_at(history.read.len()).joint;
        Ok(Rewind {
            from,
            tokens: history.read.range(start..).map(|read| read.token).collect(),
            joint,
            history,
        })
    }

    /// Checks that `position` is in reach.
    ///
    /// # Errors
    /// `InvalidValue`, with the oldest position kept.
    pub(super) fn check(&self, position: u64) -> Result<()> {
        let accepted = self.oldest()..=self.position;
        if accepted.contains(&position) {
            return Ok(());
        }
        let message = format!(
            "`position` is {position}; the session stands at position {}, and the oldest position kept is {} (`rewind_tokens` is {})",
            self.position,
            self.oldest(),
            self.tokens_max,
        );
        Err(Error::invalid("position", message))
    }

    /// How many of `read` come before `position`.
    fn count_at(&self, position: u64) -> usize {
        self.read.len() - (self.position - position) as usize
    }

    /// The tail after the first `count` of `read`.
    fn tail_at(&self, count: usize) -> Tail {
        let context = self.read.range(count.saturating_sub(Tail::TOKENS_MAX)..count);
        let tokens: Vec<TokenId> = context.clone().map(|read| read.token).collect();
        Tail::new(&tokens, context.last().map_or_else(Joint::default, |read| read.joint))
    }

    /// The most states that a history keeps.
    pub(super) fn marks_max(&self) -> usize {
        marks_max(self.tokens_max)
    }

    /// Bytes of the memory that a history takes, however long it is.
    pub(super) fn bytes(&self, state_bytes: usize) -> usize {
        let marks = self.marks_max();
        shared_block(size_of::<Self>())
            + block(marks * size_of::<Mark>())
            + marks * shared_block(state_bytes)
            + block(read_max(self.tokens_max) * size_of::<ReadToken>())
    }
}

/// A copy reserves as much as the original.
impl Clone for History {
    fn clone(&self) -> Self {
        let mut copy = Self::reserved(self.tokens_max);
        copy.position = self.position;
        copy.marks.extend(self.marks.iter().cloned());
        copy.read.extend(&self.read);
        copy
    }
}

impl ReadToken {
    fn new(token: TokenId) -> Self {
        Self { token, joint: Joint::Closed }
    }
}

/// The most marks of a history: one for each [`SPACING`] tokens, and the one before the oldest position.
fn marks_max(tokens_max: usize) -> usize {
    tokens_max.div_ceil(SPACING as usize) + 1
}

/// The most tokens of a history.
fn read_max(tokens_max: usize) -> usize {
    Tail::TOKENS_MAX + tokens_max + SPACING as usize
}

#[cfg(test)]
mod tests;

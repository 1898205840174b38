//! How much a turn reads: what is short does not wait for what is long, and what is long always gets on.
//!
//! The scripted model costs 2 a token and 1 a position, so a bare step of one row costs 3.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rnnlm_server::engine::jobs::{ReadingFailure, ReadingPlan, ReadingResult};
use rnnlm_server::engine::{Reader, Start, Turn};
use rnnlm_server::error::Result;
use rnnlm_server::lm::TokenId;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::sampling::NextQuery;

use super::world::{Cut, Draws, World};

type ReadingReader = Reader<Result<ReadingResult, ReadingFailure>>;

/// A world whose runs are written down: the number of tokens of each row.
struct Watched {
    world: World,
    runs: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Watched {
    fn new(cut: &Cut) -> Self {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let seen = runs.clone();
        let model = Fake::new(20)
            .before_run(move |lens| seen.lock().expect("no test panics here").push(lens.to_vec()));
        Self { world: World::new(Arc::new(model), 1, cut), runs }
    }

    /// Takes one turn; the tokens of each of its rows.
    fn turn(&mut self) -> Vec<usize> {
        assert_eq!(self.world.engine.turn(), Turn::Ran);
        self.runs.lock().expect("no test panics here").last().cloned().expect("it ran")
    }

    /// A text of `len` tokens, each of them scored.
    fn score(&self, len: usize) -> ReadingReader {
        self.read(ReadingPlan { tokens: tokens(len), scored: true, ..ReadingPlan::default() })
    }

    /// What comes after a prompt of `len` tokens?
    fn next(&self, len: usize) -> ReadingReader {
        let query = NextQuery { top_k: 1, hidden: vec![], candidates: vec![], full: false, filters: None };
        self.read(ReadingPlan { tokens: tokens(len), next: Some(query), ..ReadingPlan::default() })
    }

    fn read(&self, plan: ReadingPlan) -> ReadingReader {
        self.world.read(Start::Copy(self.world.snapshot(0)), plan)
    }
}

fn tokens(len: usize) -> Arc<[TokenId]> {
    vec![1; len].into()
}

/// 24 beside what is short, 48 while nothing is.
fn eight_and_sixteen_steps() -> Cut {
    Cut { turn_steps: 8, ..Cut::default() }
}

#[test]
fn a_long_text_alone_reads_what_an_idle_turn_affords() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _reader = watched.score(1000);
    assert_eq!(watched.turn(), [16], "each token costs its position too");
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _reader = watched.next(1000);
    assert_eq!(watched.turn(), [24], "a prompt has no positions before its end");
}

#[test]
fn beside_a_stream_a_long_text_reads_what_the_streams_step_leaves() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let at = watched.world.snapshot(0);
    let draws = Draws { prompt: vec![1], seed: 1, len: 100, events_max: 100, deadline: None };
    let _stream = watched.world.generate((Start::Copy(at.clone()), &at), &draws);
    let _text = watched.score(1000);
    assert_eq!(watched.turn(), [1, 7]);
    assert_eq!(watched.turn(), [1, 7]);
}

#[test]
fn a_short_prompt_is_read_at_once_and_a_long_one_shares_what_is_left() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _long = watched.next(1000);
    let mut short = watched.next(5);
    // 11 of 24 for the short one.
    assert_eq!(watched.turn(), [6, 5]);
    assert!(short.try_next().is_some_and(|result| result.is_ok()));
    assert_eq!(watched.turn(), [24]);
}

#[test]
fn a_job_of_many_short_rows_is_not_short() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let branches = vec![tokens(3); 8];
    let _texts = watched.read(ReadingPlan { branches, ..ReadingPlan::default() });
    watched.turn();
    let mut short = watched.next(1);
    // Each row of three tokens would cost 9; at one token each, seven cost 21 beside 3.
    assert_eq!(watched.turn(), [1, 1, 1, 1, 1]);
    assert!(short.try_next().is_some_and(|result| result.is_ok()));
}

#[test]
fn turns_stay_small_for_a_while_after_something_short() {
    let idle_after = Duration::from_secs(1);
    let mut watched = Watched::new(&Cut { idle_after, ..eight_and_sixteen_steps() });
    let _text = watched.score(1000);
    assert_eq!(watched.turn(), [16]);
    let _short = watched.next(1);
    assert_eq!(watched.turn(), [7, 1]);
    assert_eq!(watched.turn(), [8]);
    watched.world.clock.advance(idle_after);
    assert_eq!(watched.turn(), [16]);
}

#[test]
fn turns_are_small_while_jobs_wait_for_room() {
    let mut watched = Watched::new(&Cut { rows_max: 2, ..eight_and_sixteen_steps() });
    let _texts = [watched.score(100), watched.score(100)];
    // 48 for two rows.
    assert_eq!(watched.turn(), [8, 8]);
    let _waiting = watched.score(100);
    assert_eq!(watched.turn(), [8, 8], "8 steps of two rows");
    let mut watched = Watched::new(&Cut { rows_max: 1, ..eight_and_sixteen_steps() });
    let _texts = [watched.score(100), watched.score(100)];
    assert_eq!(watched.turn(), [8]);
}

#[test]
fn long_texts_that_do_not_all_fit_beside_a_stream_take_turns() {
    let mut watched = Watched::new(&Cut { turn_steps: 4, ..Cut::default() });
    let at = watched.world.snapshot(0);
    let draws = Draws { prompt: vec![1], seed: 1, len: 100, events_max: 100, deadline: None };
    let _stream = watched.world.generate((Start::Copy(at.clone()), &at), &draws);
    let mut texts: Vec<_> = (0..6).map(|_| watched.score(5)).collect();
    // 12 a turn: the stream's row, and three more.
    (0..8).for_each(|_| assert_eq!(watched.turn(), [1; 4]));
    assert!(texts.iter_mut().all(|text| text.try_next().is_none()));
    (0..2).for_each(|_| assert_eq!(watched.turn(), [1; 4]));
    assert!(texts.iter_mut().all(|text| text.try_next().is_some_and(|result| result.is_ok())));
}

#[test]
fn a_long_text_gets_on_beside_more_short_rows_than_a_batch_holds() {
    let mut watched = Watched::new(&Cut { rows_max: 2, turn_steps: 1, ..Cut::default() });
    let mut text = watched.score(3);
    let mut shorts = Vec::new();
    for turns in 1.. {
        shorts.extend((0..3).map(|_| watched.next(0)));
        watched.turn();
        if text.try_next().is_some() {
            assert!(turns <= 6, "three tokens took {turns} turns");
            break;
        }
        assert!(turns < 100, "the text never gets on");
    }
}

//! How much a turn reads: short requests do not wait for long ones, and long ones always make progress.
//!
//! The scripted model costs 2 for a token and 1 for the logits of a position, so a bare step of one row costs 3.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rnnlm_server::engine::jobs::{ReadingFailure, ReadingPlan, ReadingResult};
use rnnlm_server::engine::{Reader, Start, Turn};
use rnnlm_server::error::Result;
use rnnlm_server::lm::TokenId;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::sampling::NextQuery;

use super::world::{Draws, Limits, World};

type ReadingReader = Reader<Result<ReadingResult, ReadingFailure>>;

/// A world that records the runs of its model: for each run, the number of tokens of each row.
struct Watched {
    world: World,
    runs: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Watched {
    fn new(limits: &Limits) -> Self {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let seen = runs.clone();
        let model = Fake::new(20)
            .before_run(move |lens| seen.lock().expect("no test panics here").push(lens.to_vec()));
        Self { world: World::new(Arc::new(model), 1, limits), runs }
    }

    /// Takes one turn, and returns the number of tokens of each of its rows.
    fn turn(&mut self) -> Vec<usize> {
        assert_eq!(self.world.engine.turn(), Turn::Ran);
        self.runs.lock().expect("no test panics here").last().cloned().expect("the turn ran the model")
    }

    /// Submits a text of `len` tokens, each of which is scored.
    fn score(&self, len: usize) -> ReadingReader {
        self.read(ReadingPlan { tokens: tokens(len), scored: true, ..ReadingPlan::default() })
    }

    /// Submits a question about the token after a prompt of `len` tokens.
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

/// A turn costs at most 24 while a short request is present, and 48 otherwise.
fn eight_and_sixteen_steps() -> Limits {
    Limits { turn_steps: 8.0, ..Limits::default() }
}

#[test]
fn a_long_text_alone_uses_the_whole_budget_of_an_idle_turn() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _reader = watched.score(1000);
    assert_eq!(watched.turn(), [16], "each token of a scored text also costs a position");
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _reader = watched.next(1000);
    assert_eq!(watched.turn(), [24], "a prompt has no logits before its end");
}

#[test]
fn beside_a_stream_a_long_text_uses_the_rest_of_the_budget() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let start = Start::Copy(watched.world.snapshot(0));
    let draws = Draws { prompt: vec![1], seed: 1, len: 100, events_max: 100, choices: 1, deadline: None };
    let _stream = watched.world.generate(start, &draws);
    let _text = watched.score(1000);
    assert_eq!(watched.turn(), [1, 7]);
    assert_eq!(watched.turn(), [1, 7]);
}

#[test]
fn a_question_that_is_cheap_beside_streams_has_a_turn_to_itself_and_they_have_the_next() {
    let mut watched = Watched::new(&Limits { rows_max: 32, ..Limits::default() });
    let stream = |watched: &Watched, seed| {
        let draws = Draws { prompt: vec![1], seed, len: 100, events_max: 100, choices: 1, deadline: None };
        watched.world.generate(Start::Copy(watched.world.snapshot(0)), &draws)
    };
    let _three: Vec<_> = (0..3).map(|seed| stream(&watched, seed)).collect();
    watched.turn();
    let _question = watched.next(1);
    assert_eq!(watched.turn(), [1; 4], "a question costs a third of three streams");
    let _four: Vec<_> = (3..7).map(|seed| stream(&watched, seed)).collect();
    watched.turn();
    let mut questions = [watched.next(1), watched.next(1)];
    assert_eq!(watched.turn(), [1; 9], "two questions are not cheap beside seven streams");
    assert!(questions.iter_mut().all(|question| question.try_next().is_some_and(|result| result.is_ok())));
    for _ in 0..3 {
        let mut questions = [watched.next(1), watched.next(1)];
        let _another = stream(&watched, 0);
        let mut is_answered = |index: usize| questions[index].try_next().is_some_and(|result| result.is_ok());
        assert_eq!(watched.turn(), [1; 2]);
        assert!(is_answered(0) && is_answered(1));
        let _question = watched.next(1);
        assert!(watched.turn().len() > 8, "the streams run in every other turn");
    }
}

#[test]
fn a_job_of_several_rows_is_alone_and_two_jobs_are_not() {
    let mut watched = Watched::new(&Limits::default());
    assert!(!watched.world.engine.was_alone(), "nothing ran");
    let branches = vec![tokens(2), tokens(3)];
    let _branches = watched.read(ReadingPlan { tokens: tokens(1), branches, ..ReadingPlan::default() });
    while watched.world.engine.turn() == Turn::Ran {
        assert!(watched.world.engine.was_alone());
    }
    let _two = [watched.next(1), watched.next(1)];
    assert_eq!((watched.turn(), watched.world.engine.was_alone()), (vec![1; 2], false));
    let _one = watched.next(1);
    assert_eq!((watched.turn(), watched.world.engine.was_alone()), (vec![1], true));
}

#[test]
fn a_short_prompt_is_read_in_one_turn_and_a_long_one_uses_the_rest() {
    let mut watched = Watched::new(&eight_and_sixteen_steps());
    let _long = watched.next(1000);
    let mut short = watched.next(5);
    // The short prompt costs 11 of the 24.
    assert_eq!(watched.turn(), [5, 6], "the short job is admitted first");
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
    // Each row of three tokens would cost 9. At one token each, seven rows cost 21, beside 3 for the short prompt.
    assert_eq!(watched.turn(), [1, 1, 1, 1, 1]);
    assert!(short.try_next().is_some_and(|result| result.is_ok()));
}

#[test]
fn turns_stay_small_for_a_while_after_a_short_request() {
    let idle_after = Duration::from_secs(1);
    let mut watched = Watched::new(&Limits { idle_after, ..eight_and_sixteen_steps() });
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
    let mut watched = Watched::new(&Limits { rows_max: 2, ..eight_and_sixteen_steps() });
    let _texts = [watched.score(100), watched.score(100)];
    // The two rows share 48.
    assert_eq!(watched.turn(), [8, 8]);
    let _waiting = watched.score(100);
    assert_eq!(watched.turn(), [8, 8], "the turn affords 8 steps of the two rows");
    let mut watched = Watched::new(&Limits { rows_max: 1, ..eight_and_sixteen_steps() });
    let _texts = [watched.score(100), watched.score(100)];
    assert_eq!(watched.turn(), [8]);
}

#[test]
fn long_texts_that_do_not_all_fit_beside_a_stream_take_turns() {
    let mut watched = Watched::new(&Limits { turn_steps: 4.0, ..Limits::default() });
    let start = Start::Copy(watched.world.snapshot(0));
    let draws = Draws { prompt: vec![1], seed: 1, len: 100, events_max: 100, choices: 1, deadline: None };
    let _stream = watched.world.generate(start, &draws);
    let mut texts: Vec<_> = (0..6).map(|_| watched.score(5)).collect();
    // A turn affords 12: the row of the stream, and three more.
    (0..8).for_each(|_| assert_eq!(watched.turn(), [1; 4]));
    assert!(texts.iter_mut().all(|text| text.try_next().is_none()));
    (0..2).for_each(|_| assert_eq!(watched.turn(), [1; 4]));
    assert!(texts.iter_mut().all(|text| text.try_next().is_some_and(|result| result.is_ok())));
}

#[test]
fn a_long_text_makes_progress_beside_more_short_rows_than_a_batch_holds() {
    let mut watched = Watched::new(&Limits { rows_max: 2, turn_steps: 1.0, ..Limits::default() });
    let mut text = watched.score(3);
    let mut shorts = Vec::new();
    for turns in 1.. {
        shorts.extend((0..3).map(|_| watched.next(0)));
        watched.turn();
        if text.try_next().is_some() {
            assert!(turns <= 6, "three tokens took {turns} turns");
            break;
        }
        assert!(turns < 100, "the text makes no progress");
    }
}

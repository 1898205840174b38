//! Jobs that decide for several rows together: rows wait for each other, continue from each other, and cannot be held forever.

use std::sync::Arc;

use rnnlm_server::engine::{
    At, Ending, Feed, Flow, Job, Outlet, Reader, RowPlan, Rows, Start, Submission, Tag, outlet,
};
use rnnlm_server::error::{Error, Result};
use rnnlm_server::lm::Logits;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::session::Snapshot;
use rnnlm_server::text::Joint;

use super::search::{Alone, Search};
use super::solo;
use super::world::{Limits, World};

fn world(limits: &Limits) -> World {
    World::new(Arc::new(Fake::new(20)), 1, limits)
}

#[test]
fn a_beam_search_finds_the_same_however_few_of_its_rows_fit_into_a_batch() {
    let search = Search { prompt: vec![1, 2, 3], width: 5, len: 6 };
    for rows_max in 1..=6 {
        let mut world = world(&Limits { rows_max, ..Limits::default() });
        let start = world.snapshot(0);
        let expected = Alone::search(&*world.model, &start.state, &search).found.unwrap();
        let mut reader = world.search(Start::Copy(start.clone()), search.clone());
        world.run();
        let found = reader.try_next().unwrap().unwrap();
        assert_eq!(found.best, expected, "{rows_max} rows at once");
        let read = [&search.prompt[..], &expected[0].tokens].concat();
        let snapshot = found.snapshot.unwrap();
        assert_eq!(Some(snapshot.state), solo::read(&*world.model, &start.state, &read));
        assert_eq!(snapshot.position, read.len() as u64);
        assert_eq!(snapshot.tail.tokens(), read);
    }
}

#[test]
fn a_beam_search_moves_its_session_to_the_best_hypothesis_or_if_cancelled_not_beyond_the_prompt() {
    let search = Search { prompt: vec![1, 2, 3], width: 3, len: 4 };
    for turns in 0..12 {
        let mut world = world(&Limits { turn_steps: 1.0, ..Limits::default() });
        let (start, at) = world.lease(0).unwrap();
        let best = Alone::search(&*world.model, &at.state, &search).found.unwrap().remove(0);
        let mut reader = world.search(start, search.clone());
        (0..turns).for_each(|_| _ = world.engine.turn());
        let is_done = reader.try_next().is_some();
        drop(reader);
        world.run();
        let end = world.snapshot(0);
        let whole = [&search.prompt[..], &best.tokens].concat();
        assert!(end.position <= 3 || end.position == 7, "after {turns} turns at {}", end.position);
        assert!(!is_done || end.position == 7);
        let read = &whole[..end.position as usize];
        assert_eq!(Some(end.state), solo::read(&*world.model, &at.state, read));
    }
}

/// A job of two rows, for which the function `decide` makes every decision.
struct Scripted {
    decide: fn(&mut Rows<'_>, usize),
    decisions: usize,
    outlet: Outlet<Result<usize>>,
}

impl Job for Scripted {
    fn look(&mut self, _row: Tag, _at: At, _logits: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        self.decisions += 1;
        (self.decide)(rows, self.decisions);
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, _position: Option<u64>) {
        self.outlet.close(ending.into_error().map_or(Ok(self.decisions), Err));
    }

    fn flow(&self) -> Flow {
        self.outlet.flow()
    }
}

/// Submits a job whose row 0 reads one token and whose row 1 reads five.
fn script(world: &World, decide: fn(&mut Rows<'_>, usize)) -> Reader<Result<usize>> {
    let (outlet, reader) = outlet(1);
    let plan = |tag: Tag| RowPlan {
        tag,
        tokens: vec![5; 1 + 4 * tag].into(),
        joint: Joint::Closed,
        logits: Logits::None,
    };
    let rest = world.submission(Start::Copy(world.snapshot(0)), vec![plan(0), plan(1)]);
    world.submit(Submission { job: Box::new(Scripted { decide, decisions: 0, outlet }), ..rest }, reader)
}

#[track_caller]
fn refused(decide: fn(&mut Rows<'_>, usize)) -> String {
    let mut world = world(&Limits { turn_steps: 1.0, ..Limits::default() });
    let mut beside =
        world.search(Start::Copy(world.snapshot(0)), Search { prompt: vec![1], width: 2, len: 3 });
    let mut reader = script(&world, decide);
    world.run();
    assert!(beside.try_next().is_some_and(|found| found.is_ok()), "the job beside it does not fail");
    let error: Error = reader.try_next().and_then(Result::err).expect("the job fails");
    error.message
}

#[test]
fn a_job_that_holds_every_row_fails() {
    assert_eq!(refused(|_, _| {}), "internal error: a job holds all of its rows");
}

#[test]
fn a_job_that_decides_on_a_row_that_is_not_ready_fails() {
    // Row 0 is ready first.
    let early = |rows: &mut Rows<'_>, decision: usize| {
        if decision == 1 {
            assert!(!rows.all_ready());
            rows.feed(1, Feed { from: 0, token: 3, logits: Logits::None });
        }
    };
    assert_eq!(refused(early), "internal error: a job decides on row 1, which is not ready");
    let twice = |rows: &mut Rows<'_>, _: usize| {
        rows.finish(0);
        rows.feed(0, Feed { from: 0, token: 3, logits: Logits::None });
    };
    assert_eq!(refused(twice), "internal error: a job decides on row 0, which is not ready");
    let unknown = |rows: &mut Rows<'_>, _: usize| drop(rows.finish(7));
    assert_eq!(refused(unknown), "internal error: answering a row's logits panicked");
}

#[test]
fn rows_continue_from_each_other_and_held_rows_cost_no_turn() {
    let mut world = world(&Limits { turn_steps: 1.0, ..Limits::default() });
    let mut reader = script(&world, |rows, decision| match decision {
        1 => assert_eq!(rows.ready().collect::<Vec<_>>(), [0]),
        2 => {
            assert_eq!(rows.ready().collect::<Vec<_>>(), [0, 1]);
            rows.feed(0, Feed { from: 1, token: 7, logits: Logits::None });
            rows.feed(1, Feed { from: 0, token: 8, logits: Logits::None });
            rows.feed(9, Feed { from: 0, token: 9, logits: Logits::None });
        }
        _ => {
            let tails: Vec<_> = [0, 1, 9].map(|row| tail(rows.snapshot(row))).into();
            assert_eq!(tails, [vec![5, 5, 5, 5, 5, 7], vec![5, 8], vec![5, 9]]);
            [0, 1, 9].into_iter().for_each(|row| drop(rows.finish(row)));
        }
    });
    world.run();
    assert_eq!(reader.try_next().unwrap(), Ok(3));
}

fn tail(snapshot: &Snapshot) -> Vec<u32> {
    snapshot.tail.tokens().to_vec()
}

//! A panic fails one row or one job. The jobs beside it answer and commit as if it had not occurred.

use std::iter::from_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rnnlm_server::engine::jobs::{GenerationEvent, ReadingFailure, ReadingPlan, ReadingResult};
use rnnlm_server::engine::{At, Ending, Flow, Job, Outlet, RowPlan, Rows, Submission, Tag, Turn, outlet};
use rnnlm_server::error::Result;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::lm::{Logits, TokenId};
use rnnlm_server::session::Snapshot;
use rnnlm_server::text::Joint;

use super::solo;
use super::world::{Draws, Limits, World};

const PANIC: TokenId = 19;
/// The session of the job that panics.
const OWN: usize = 4;

/// The answers of the jobs on either side of another, and the snapshots of their sessions.
#[derive(Debug, PartialEq)]
struct Neighbours {
    events: Vec<GenerationEvent>,
    readings: Vec<Option<Result<ReadingResult, ReadingFailure>>>,
    sessions: Vec<Snapshot>,
}

/// A world in which every job has ended.
struct Done {
    world: World,
    neighbours: Neighbours,
    turns: usize,
    /// The number of runs of the model.
    runs: usize,
}

/// Runs the job that `submit` submits between others: before it come a generation and a scored reading, whose logits are given
/// first, and after it another scored reading.
fn run<T>(submit: impl FnOnce(&World) -> T) -> (T, Done) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let model = Fake::new(20).panic_on(PANIC);
    let model = model.before_run(move |_| _ = counter.fetch_add(1, Ordering::Relaxed));
    let mut world = World::new(Arc::new(model), 8, &Limits::default());
    let lease = |session| world.lease(session).expect("the session is free");
    let read = |session| {
        let tokens = Arc::from([4; 25]);
        let plan = ReadingPlan { tokens, scored: true, ..ReadingPlan::default() };
        world.read(lease(session).0, plan)
    };
    let (start, _) = lease(0);
    let draws = Draws { prompt: vec![2, 3], seed: 5, len: 12, events_max: 100, choices: 1, deadline: None };
    let mut generation = world.generate(start, &draws);
    let mut before = read(2);
    let own = submit(&world);
    let mut after = read(6);
    let turns = from_fn(|| (world.engine.turn() == Turn::Ran).then_some(())).count();
    let neighbours = Neighbours {
        events: from_fn(|| generation.try_next()).collect(),
        readings: vec![before.try_next(), after.try_next()],
        sessions: [0, 2, 6].map(|session| world.snapshot(session)).into(),
    };
    (own, Done { world, neighbours, turns, runs: runs.load(Ordering::Relaxed) })
}

#[test]
fn a_panic_of_the_model_fails_only_the_row_that_panics() {
    let mut tokens = vec![6; 25];
    tokens[22] = PANIC;
    let plan = ReadingPlan { tokens: tokens.clone().into(), scored: true, ..ReadingPlan::default() };
    let (mut reader, done) = run(|world| world.read(world.lease(OWN).unwrap().0, plan));

    let failure = reader.try_next().unwrap().unwrap_err();
    assert_eq!(failure.error.message, "internal error: running the model panicked");
    let end = done.world.snapshot(OWN);
    assert_eq!(failure.position, Some(end.position));
    // The tokens that earlier turns have read are kept.
    assert!((1..=22).contains(&end.position), "{}", end.position);
    let model = &done.world.model;
    let start = World::new(model.clone(), 8, &Limits::default()).snapshot(OWN).state;
    let read = &tokens[..end.position as usize];
    assert_eq!(Some(end.state), solo::read(&**model, &start, read));

    let ((), alone) = run(|_| ());
    assert_eq!(done.neighbours, alone.neighbours);
    assert_eq!(done.runs, done.turns + 4, "each of the four rows ran once more");
}

#[test]
fn a_panic_of_a_job_fails_only_that_job() {
    let (mut reader, done) = run(|world| {
        let (outlet, reader) = outlet(1);
        let plan = RowPlan { tag: 0, tokens: Arc::from([6; 3]), joint: Joint::Closed, logits: Logits::Last };
        let rest = world.submission(world.lease(OWN).unwrap().0, vec![plan]);
        world.submit(Submission { job: Box::new(Faulty(outlet)), ..rest }, reader)
    });

    let (ending, position) = reader.try_next().unwrap();
    let error = ending.into_error().unwrap();
    assert_eq!(error.message, "internal error: answering a row's logits panicked");
    assert_eq!((position, done.world.snapshot(OWN).position), (Some(3), 3), "its tokens are read");

    let ((), alone) = run(|_| ());
    assert_eq!(done.neighbours, alone.neighbours);
    assert_eq!(done.runs, done.turns, "no row ran again");
}

/// A job that panics when it looks at logits.
struct Faulty(Outlet<(Ending, Option<u64>)>);

impl Job for Faulty {
    fn look(&mut self, _row: Tag, _at: At, _logits: &mut [f32]) -> Result<()> {
        panic!("a bug in a job");
    }

    fn decide(&mut self, _rows: &mut Rows<'_>) -> Result<()> {
        unreachable!("the job fails before it decides")
    }

    fn close(self: Box<Self>, ending: Ending, position: Option<u64>) {
        self.0.close((ending, position));
    }

    fn flow(&self) -> Flow {
        self.0.flow()
    }
}

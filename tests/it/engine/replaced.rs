//! A model that is replaced while jobs of it run: the old weights and the new ones have one name.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rnnlm_server::clock::Clock;
use rnnlm_server::engine::jobs::{Reading, ReadingPlan};
use rnnlm_server::engine::{Refusal, Start, Submission};
use rnnlm_server::lm::fake::Fake;

use super::given::token;
use super::world::{Draws, Limits, World};

/// A model, and the number of rows of each of its runs.
fn counted() -> (Arc<Fake>, Arc<Mutex<Vec<usize>>>) {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = runs.clone();
    let model =
        Fake::new(20).before_run(move |lens| seen.lock().expect("no test panics here").push(lens.len()));
    (Arc::new(model), runs)
}

/// `submission` for the new weights.
fn renewed(submission: Submission, model: &Arc<Fake>) -> Submission {
    Submission { identity: "new".into(), model: model.clone(), ..submission }
}

#[test]
fn rows_of_old_and_new_weights_never_share_a_run() {
    let (old, old_runs) = counted();
    let (new, new_runs) = counted();
    let mut world = World::new(old, 1, &Limits::default());
    let mut readers: Vec<_> = (0..6)
        .map(|number| {
            let plan = ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() };
            let (job, plans, reader) = Reading::new(plan);
            let start = Start::Copy(world.snapshot(0));
            let submission = Submission { job: Box::new(job), ..world.submission(start, plans) };
            let is_new = number % 2 == 1;
            world.submit(if is_new { renewed(submission, &new) } else { submission }, reader)
        })
        .collect();
    world.run();
    assert_eq!(*old_runs.lock().unwrap(), [3]);
    assert_eq!(*new_runs.lock().unwrap(), [3]);
    assert!(readers.iter_mut().all(|reader| reader.try_next().is_some_and(|result| result.is_ok())));
}

#[test]
fn a_stream_that_is_parked_while_its_model_is_replaced_finishes_on_it() {
    let (old, old_runs) = counted();
    let (new, _) = counted();
    let mut world = World::new(old, 1, &Limits::default());
    let draws = Draws { prompt: vec![1], seed: 1, len: 30, events_max: 4, choices: 1, deadline: None };
    let mut stream = world.generate(Start::Copy(world.snapshot(0)), &draws);
    world.run();
    let runs_before = old_runs.lock().unwrap().len();
    assert!(runs_before < 30, "the stream waits for its reader");
    for _ in 0..3 {
        let (job, plans, mut reader) =
            Reading::new(ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() });
        let start = Start::Copy(world.snapshot(0));
        let submission = Submission { job: Box::new(job), ..world.submission(start, plans) };
        reader = world.submit(renewed(submission, &new), reader);
        world.run();
        assert!(reader.try_next().is_some_and(|result| result.is_ok()));
    }
    let mut drawn = 0;
    loop {
        let seen = std::iter::from_fn(|| stream.try_next()).filter(|event| token(event).is_some()).count();
        if seen == 0 {
            break;
        }
        drawn += seen;
        world.run();
    }
    assert_eq!(drawn, 30);
    assert!(old_runs.lock().unwrap().len() > runs_before);
}

/// What was measured of the new weights must be known where their jobs arrive, or everything would be accepted from then on.
#[test]
fn after_a_late_request_to_the_old_weights_an_impossible_one_to_the_new_is_still_refused() {
    let clock = Clock::manual();
    let advanced = clock.clone();
    let model = Fake::new(20).before_run(move |_| advanced.advance(Duration::from_millis(1)));
    let mut world = World::at(clock, Arc::new(model), 1, &Limits::default());
    let old = world.identity.clone();
    let new: Arc<str> = "new".into();
    let read = |world: &mut World, identity: &Arc<str>| {
        world.identity = identity.clone();
        let plan = ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() };
        let mut reader = world.read(Start::Copy(world.snapshot(0)), plan);
        (0..4).for_each(|_| _ = world.engine.turn());
        assert!(reader.try_next().is_some_and(|result| result.is_ok()));
    };
    let stream = |world: &World, deadline| {
        let len = 100_000;
        let draws = Draws { prompt: vec![1], seed: 1, len, events_max: len, choices: 1, deadline };
        world.try_generate(Start::Copy(world.snapshot(0)), &draws)
    };
    read(&mut world, &old);
    read(&mut world, &new);
    let running = stream(&world, None);
    assert!(running.is_ok());
    for _ in 0..3 {
        let refused = stream(&world, Some(Duration::from_secs(1))).err();
        assert!(matches!(refused, Some(Refusal::Overloaded(_))), "{refused:?}");
        read(&mut world, &old);
        read(&mut world, &new);
    }
}

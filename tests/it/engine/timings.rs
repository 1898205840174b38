//! A stopwatch says how long the jobs of a request waited and ran, and in how many turns.

use std::sync::Arc;
use std::time::Duration;

use rnnlm_server::clock::Clock;
use rnnlm_server::engine::jobs::{GenerationEvent, ReadingPlan};
use rnnlm_server::engine::{Timings, Turn};
use rnnlm_server::lm::fake::Fake;

use super::world::{Draws, Limits, World};

/// The time of a turn.
const TURN: Duration = Duration::from_millis(10);

/// A world at the returned clock, in which each turn takes [`TURN`].
fn world() -> (Clock, World) {
    let clock = Clock::manual();
    let ticking = clock.clone();
    let model = Fake::new(20).before_run(move |_| ticking.advance(TURN));
    (clock.clone(), World::at(clock, Arc::new(model), 2, &Limits::default()))
}

fn draws(events_max: usize) -> Draws {
    Draws { prompt: vec![1; 3], seed: 1, len: 12, events_max, choices: 1, deadline: None }
}

#[test]
fn the_times_of_the_queue_and_of_the_turns_add_up() {
    let (clock, mut world) = world();
    let begun = clock.now();
    let (start, _) = world.lease(0).unwrap();
    let mut reader = world.read(start, ReadingPlan { tokens: Arc::from([1; 100]), ..ReadingPlan::default() });
    clock.advance(Duration::from_secs(4));
    world.run();
    assert!(reader.try_next().unwrap().is_ok());
    let Timings { queue, engine, turns, jobs } = world.stopwatch.read(&clock);
    assert_eq!((queue.total, jobs), (Duration::from_secs(4), 1));
    assert!(turns > 1, "the prompt is longer than a turn");
    assert_eq!(engine.total, TURN * turns as u32);
    assert_eq!(queue.total + engine.total, clock.now() - begun);
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.stopwatch.read(&clock).engine, engine, "a job that has ended takes no more time");
}

#[test]
fn jobs_of_one_request_that_run_together_take_the_time_once() {
    let (clock, mut world) = world();
    let begun = clock.now();
    let readers = [0, 1].map(|session| {
        let (start, _) = world.lease(session).unwrap();
        world.generate(start, &draws(64))
    });
    world.run();
    let Timings { queue, engine, turns, jobs } = world.stopwatch.read(&clock);
    assert_eq!((queue.total, jobs), (Duration::ZERO, 2));
    assert_eq!(engine.total, clock.now() - begun);
    // Each job counts its own turns.
    assert!(TURN * turns as u32 > engine.total, "{turns} turns");
    drop(readers);
}

#[test]
fn a_job_that_is_parked_takes_no_time_of_the_engine() {
    let (clock, mut world) = world();
    let begun = clock.now();
    let (start, _) = world.lease(0).unwrap();
    let mut reader = world.generate(start, &draws(4));
    world.run();
    let parked = Duration::from_secs(2);
    let before = world.stopwatch.read(&clock).engine.total;
    clock.advance(parked);
    assert_eq!(world.stopwatch.read(&clock).engine.total, before);
    let mut is_done = false;
    while !is_done {
        is_done =
            std::iter::from_fn(|| reader.try_next()).any(|event| matches!(event, GenerationEvent::Done(_)));
        world.run();
    }
    let engine = world.stopwatch.read(&clock).engine;
    assert_eq!(engine.total + parked, clock.now() - begun);
    let bounds = engine.bounds.unwrap();
    assert_eq!((bounds.from, bounds.to), (begun, clock.now()));
}

#[test]
fn a_job_that_never_ran_has_waited_only() {
    let (clock, mut world) = world();
    let (start, _) = world.lease(0).unwrap();
    let reader = world.generate(start, &Draws { deadline: Some(Duration::from_secs(1)), ..draws(64) });
    clock.advance(Duration::from_secs(3));
    assert!(matches!(world.engine.turn(), Turn::Idle(_)));
    let Timings { queue, engine, turns, jobs } = world.stopwatch.read(&clock);
    assert_eq!((queue.total, engine.total), (Duration::from_secs(3), Duration::ZERO));
    assert_eq!((turns, jobs), (0, 0));
    drop(reader);
}

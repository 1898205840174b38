//! A job whose reader is dropped returns its lease within two turns, in whatever state the job is.

use std::sync::Arc;

use rnnlm_server::engine::jobs::GenerationEvent;
use rnnlm_server::lm::fake::Fake;

use super::world::{Draws, Limits, STALL, World};

fn draws(prompt_len: usize, events_max: usize) -> Draws {
    Draws { prompt: vec![1; prompt_len], seed: 1, len: 1000, events_max, choices: 1, deadline: None }
}

fn world() -> World {
    World::new(Arc::new(Fake::new(20)), 1, &Limits::default())
}

/// Takes turns until the session is free, and returns their number and the session's position.
fn turns_until_free(world: &mut World) -> (usize, u64) {
    let mut turns = 0;
    while world.sessions.stats().busy > 0 {
        world.engine.turn();
        turns += 1;
        assert!(turns < 10, "the lease was not returned");
    }
    (turns, world.snapshot(0).position)
}

#[test]
fn a_job_whose_reader_is_dropped_returns_its_lease_within_two_turns() {
    for turns_before in 0..20 {
        let mut world = world();
        let (start, _) = world.lease(0).unwrap();
        // Parked after four events; the prompt takes several turns.
        let mut reader = world.generate(start, &draws(100, 4));
        (0..turns_before).for_each(|_| _ = world.engine.turn());
        let seen = std::iter::from_fn(|| reader.try_next())
            .filter(|event| matches!(event, GenerationEvent::Token(_)))
            .count();
        drop(reader);
        let (turns, position) = turns_until_free(&mut world);
        assert!(turns <= 2, "{turns} turns after {turns_before}");
        // Tokens that were sent but not taken before the drop are in the session too.
        let held = position.saturating_sub(100) as usize;
        assert!(held >= seen && held <= 4.max(seen), "{held} tokens held, {seen} seen");
    }
}

#[test]
fn a_parked_job_stays_parked_and_ends_after_the_stall_timeout() {
    let mut world = world();
    let (start, _) = world.lease(0).unwrap();
    let mut reader = world.generate(start, &draws(1, 2));
    world.run();
    let position = world.snapshot(0).position;
    assert_eq!((position, world.sessions.stats().busy), (0, 1), "reads see the session as it was before");
    world.clock.advance(STALL);
    world.run();
    assert_eq!(world.sessions.stats().busy, 0);
    let events: Vec<_> = std::iter::from_fn(|| reader.try_next()).collect();
    assert_eq!(events.len(), 3, "two tokens and the last event");
    assert!(
        matches!(&events[2], GenerationEvent::Done(finished) if finished.position == Some(3)),
        "{events:?}"
    );
}

#[test]
fn a_parked_job_continues_when_its_reader_does() {
    let mut world = world();
    let (start, _) = world.lease(0).unwrap();
    let draws = Draws { len: 10, ..draws(1, 2) };
    let mut reader = world.generate(start, &draws);
    let mut tokens = 0;
    loop {
        world.run();
        match reader.try_next() {
            Some(GenerationEvent::Token(_)) => tokens += 1,
            Some(GenerationEvent::Done(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((tokens, world.snapshot(0).position), (10, 11));
}

#[test]
fn a_shutdown_ends_every_job_with_a_last_event() {
    let mut world = world();
    let (start, _) = world.lease(0).unwrap();
    let mut running = world.generate(start, &draws(1, 100));
    world.engine.turn();
    let start = rnnlm_server::engine::Start::Copy(world.snapshot(0));
    let mut waiting = world.generate(start, &draws(1, 100));
    world.inbox.shut();
    world.run();
    assert_eq!(world.engine.turn(), rnnlm_server::engine::Turn::Over);
    let last = |reader: &mut rnnlm_server::engine::Reader<GenerationEvent>| {
        std::iter::from_fn(|| reader.try_next()).last()
    };
    assert!(matches!(last(&mut running), Some(GenerationEvent::Done(_))));
    assert!(matches!(last(&mut waiting), Some(GenerationEvent::Failed { .. })), "no token was drawn for it");
    assert_eq!(world.snapshot(0).position, 2, "the token that was sent is read");
}

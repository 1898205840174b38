//! More requests than can be answered: those that are accepted are answered, and the others hear so at once.
//!
//! Time is that of a manual clock, which the scripted model advances: a turn takes a millisecond, and one more for each row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rnnlm_server::clock::Clock;
use rnnlm_server::engine::jobs::{Finish, GenerationEvent, ReadingPlan};
use rnnlm_server::engine::{Reader, Refusal, Start, Turn};
use rnnlm_server::lm::TokenId;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::sampling::NextQuery;

use super::world::{Draws, Limits, QUEUE_BYTES_MAX, World};

const ROWS: usize = 16;
const TOKENS: usize = 40;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a full batch, in tokens each second.
const BEST: f64 = ROWS as f64 / (ROWS as f64 + 1.0) * 1000.0;

fn world() -> World {
    let clock = Clock::manual();
    let advanced = clock.clone();
    let model = Fake::new(20).before_run(move |lens| {
        advanced.advance(Duration::from_millis(1 + lens.len() as u64));
    });
    let limits = Limits {
        rows_max: ROWS,
        place_wait: Duration::from_millis(500),
        wait_max: Duration::from_millis(100),
        parked_max: 1000,
        ..Limits::default()
    };
    World::at(clock, Arc::new(model), 1, &limits)
}

fn submit(world: &World, seed: u64) -> Result<Reader<GenerationEvent>, Refusal> {
    let draws =
        Draws { prompt: vec![1], seed, len: TOKENS, events_max: TOKENS, choices: 1, deadline: Some(TIMEOUT) };
    world.try_generate(Start::Copy(world.snapshot(0)), &draws)
}

/// A request that was accepted.
struct Open {
    reader: Reader<GenerationEvent>,
    since: Instant,
    tokens: usize,
}

/// What has come of all requests.
#[derive(Default)]
struct Outcome {
    refused: usize,
    /// Of the requests that were answered completely.
    latencies: Vec<Duration>,
    tokens_in_whole_answers: usize,
    tokens: usize,
    elapsed: Duration,
}

impl Outcome {
    /// The nearest rank.
    fn p99(&mut self) -> Duration {
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() * 99 / 100]
    }

    /// Tokens of complete answers each second.
    fn throughput(&self) -> f64 {
        self.tokens_in_whole_answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Requests come at a fixed rate, `load` times as many as can be answered, whether or not others are answered.
fn open_loop(load: f64, span: Duration) -> Outcome {
    let mut world = world();
    let begun = world.clock.now();
    let apart = Duration::from_secs_f64(TOKENS as f64 / BEST / load);
    let mut next = begun;
    let mut open: Vec<Open> = Vec::new();
    let mut outcome = Outcome::default();
    let mut seed = 0;
    loop {
        while next <= world.clock.now() && next < begun + span {
            seed += 1;
            // A request that comes in the middle of a turn has waited since.
            match submit(&world, seed) {
                Ok(reader) => open.push(Open { reader, since: next, tokens: 0 }),
                Err(_) => outcome.refused += 1,
            }
            next += apart;
        }
        let turn = world.engine.turn();
        take(&mut open, &mut outcome, world.clock.now());
        if turn != Turn::Ran {
            if next >= begun + span {
                break;
            }
            world.clock.advance(next.saturating_duration_since(world.clock.now()));
        }
    }
    assert!(open.is_empty());
    outcome.elapsed = world.clock.now() - begun;
    outcome
}

/// Takes what the jobs have sent.
fn take(open: &mut Vec<Open>, outcome: &mut Outcome, now: Instant) {
    open.retain_mut(|one| {
        while let Some(event) = one.reader.try_next() {
            match event {
                GenerationEvent::Token(_) => {
                    one.tokens += 1;
                    outcome.tokens += 1;
                }
                GenerationEvent::Done(done) if done.choices[0].finish == Finish::Length => {
                    outcome.latencies.push(now - one.since);
                    outcome.tokens_in_whole_answers += one.tokens;
                    return false;
                }
                GenerationEvent::Done(_) | GenerationEvent::Failed { .. } => return false,
                GenerationEvent::Prompt(_) => {}
            }
        }
        true
    });
}

#[test]
fn what_can_be_answered_is_accepted() {
    let outcome = open_loop(0.9, Duration::from_secs(20));
    assert_eq!(outcome.refused, 0);
    assert_eq!(outcome.tokens, outcome.tokens_in_whole_answers);
}

#[test]
fn ten_times_too_many_requests_do_not_keep_the_engine_from_answering() {
    let mut full = open_loop(1.0, Duration::from_secs(20));
    let mut over = open_loop(10.0, Duration::from_secs(20));
    assert!(over.refused > over.latencies.len() * 5);
    let whole = over.tokens_in_whole_answers as f64 / over.tokens as f64;
    assert!(whole >= 0.9, "{whole} of the tokens are in complete answers");
    let throughput = over.throughput() / BEST;
    assert!(throughput >= 0.9, "{throughput} of the best throughput");
    let ratio = over.p99().as_secs_f64() / full.p99().as_secs_f64();
    assert!(ratio <= 2.0, "the p99 is {:?}, {ratio} times the {:?} at full load", over.p99(), full.p99());
}

#[test]
fn a_refused_request_is_accepted_after_the_time_that_it_was_told() {
    let mut world = world();
    let mut accepted = Vec::new();
    let after = loop {
        match submit(&world, accepted.len() as u64) {
            Ok(reader) => accepted.push(reader),
            Err(Refusal::Overloaded(after)) => break after,
            Err(other) => panic!("{other:?}"),
        }
        // The engine has measured the model before the queue is full.
        if accepted.len() == ROWS {
            (0..5).for_each(|_| _ = world.engine.turn());
        }
        assert!(accepted.len() < 1000, "everything is accepted");
    };
    assert!(after > Duration::ZERO && after < Duration::from_secs(2), "{after:?}");
    let then = world.clock.now() + after;
    while world.clock.now() < then {
        assert_eq!(world.engine.turn(), Turn::Ran);
    }
    assert!(submit(&world, 1000).is_ok());
}

#[test]
fn a_burst_of_requests_to_a_model_that_never_ran_is_accepted() {
    let world = world();
    assert!((0..200).all(|seed| submit(&world, seed).is_ok()));
}

#[test]
fn a_request_is_foreseen_to_end_as_early_as_others_did() {
    let mut world = world();
    let endless = |seed| Draws {
        prompt: vec![1],
        seed,
        len: 100_000,
        events_max: 1000,
        choices: 2,
        deadline: Some(TIMEOUT),
    };
    let start = |world: &World| Start::Copy(world.snapshot(0));
    world.eos = Some(3);
    let mut ended: Vec<_> = (0..10).map(|seed| world.generate(start(&world), &endless(seed))).collect();
    world.run();
    for reader in &mut ended {
        let Some(GenerationEvent::Done(done)) = std::iter::from_fn(|| reader.try_next()).last() else {
            panic!("a text that has not ended")
        };
        assert!(done.choices.iter().all(|choice| choice.finish == Finish::Eos));
    }
    let first = world.try_generate(start(&world), &endless(10));
    let second = world.try_generate(start(&world), &endless(11));
    assert!(first.is_ok() && second.is_ok(), "100,000 tokens take longer than the time of a request");
}

#[test]
fn a_request_alone_is_accepted_even_if_it_cannot_be_finished_in_time() {
    let mut world = world();
    // The engine learns its pace.
    let _first = submit(&world, 0);
    world.run();
    let draws = Draws {
        prompt: vec![1],
        seed: 1,
        len: 100_000,
        events_max: 100_000,
        choices: 1,
        deadline: Some(Duration::from_secs(1)),
    };
    let start = || Start::Copy(world.snapshot(0));
    let alone = world.try_generate(start(), &draws);
    assert!(alone.is_ok());
    let second = world.try_generate(start(), &draws);
    assert!(matches!(second.err(), Some(Refusal::Overloaded(_))));
}

/// A prompt, texts to score after it and candidates take the same room in the queue, whether they are read at first or later.
#[test]
fn tokens_that_a_job_reads_later_count_in_the_queue() {
    let most = QUEUE_BYTES_MAX / size_of::<TokenId>();
    let tokens = |count: usize| -> Arc<[TokenId]> { vec![1; count].into() };
    let with_candidate = |count: usize| NextQuery {
        top_k: 0,
        hidden: Vec::new(),
        candidates: vec![tokens(count)],
        full: false,
        filters: None,
    };
    let plans = |count: usize| {
        [
            ReadingPlan { tokens: tokens(count), ..Default::default() },
            ReadingPlan { branches: vec![tokens(count / 2), tokens(count / 2)], ..Default::default() },
            ReadingPlan { next: Some(with_candidate(count)), ..Default::default() },
        ]
    };
    for (half, rest) in plans(most / 2).into_iter().zip(plans(most / 2 + 2)) {
        let mut world = world();
        let start = Start::Copy(world.snapshot(0));
        let first = world.try_read(start, half.clone());
        assert!(first.is_ok());
        let read = |world: &World, plan: &ReadingPlan| {
            world.try_read(Start::Copy(world.snapshot(0)), plan.clone()).err()
        };
        assert_eq!(read(&world, &rest), Some(Refusal::Full));
        assert_eq!(read(&world, &half), None);
        assert_eq!(read(&world, &half), Some(Refusal::Full));
        // Nobody waits for either any more, so both leave the queue.
        drop(first);
        while world.inbox.waiting() > 0 {
            world.engine.turn();
        }
        assert_eq!(read(&world, &half), None);
        assert_eq!(read(&world, &half), None);
    }
}

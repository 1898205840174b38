//! A full batch keeps nobody out: questions find room beside streams, streams take turns, and a turn takes bounded time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rnnlm_server::clock::Clock;
use rnnlm_server::engine::jobs::{GenerationEvent, ReadingPlan};
use rnnlm_server::engine::{Reader, Start, Turn};
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::sampling::NextQuery;

use super::given::token;
use super::world::{Draws, Limits, World};

/// More tokens than any test takes turns.
const ENDLESS: usize = 100_000;

fn stream(world: &World, seed: u64) -> Reader<GenerationEvent> {
    let draws =
        Draws { prompt: vec![1], seed, len: ENDLESS, events_max: ENDLESS, choices: 1, deadline: None };
    world.generate(Start::Copy(world.snapshot(0)), &draws)
}

fn question(world: &World) -> impl FnMut() -> bool + use<> {
    let query = NextQuery { top_k: 1, hidden: vec![], candidates: vec![], full: false, filters: None };
    let plan = ReadingPlan { tokens: Arc::from([1]), next: Some(query), ..ReadingPlan::default() };
    let mut reader = world.read(Start::Copy(world.snapshot(0)), plan);
    move || reader.try_next().is_some_and(|result| result.is_ok())
}

fn drawn(reader: &mut Reader<GenerationEvent>) -> usize {
    std::iter::from_fn(|| reader.try_next()).filter(|event| token(event).is_some()).count()
}

#[test]
fn a_question_beside_a_batch_full_of_endless_streams_is_answered_in_the_next_turn() {
    let limits = Limits { rows_max: 256, ..Limits::default() };
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &limits);
    let _streams: Vec<_> = (0..300).map(|seed| stream(&world, seed)).collect();
    (0..5).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
    let mut is_answered = question(&world);
    world.engine.turn();
    assert!(is_answered());
}

#[test]
fn questions_without_end_do_not_keep_streams_out() {
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &Limits { rows_max: 4, ..Limits::default() });
    let mut streams: Vec<_> = (0..2).map(|seed| stream(&world, seed)).collect();
    let mut questions = Vec::new();
    for _ in 0..20 {
        questions.extend((0..8).map(|_| question(&world)));
        world.engine.turn();
    }
    let counts: Vec<usize> = streams.iter_mut().map(drawn).collect();
    assert!(counts.iter().all(|&count| count >= 18), "{counts:?} tokens in 20 turns");
}

/// The turns of the other model are not those in which the streams run.
#[test]
fn questions_without_end_do_not_keep_streams_out_beside_another_model() {
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &Limits { rows_max: 32, ..Limits::default() });
    let mut streams: Vec<_> = (0..16).map(|seed| stream(&world, seed)).collect();
    world.name = "other".into();
    let mut other = stream(&world, 16);
    world.name = "model".into();
    let mut questions = Vec::new();
    for _ in 0..20 {
        // It is cheap beside the streams.
        questions.push(question(&world));
        (0..2).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
    }
    let counts: Vec<usize> = streams.iter_mut().map(drawn).collect();
    assert!(counts.iter().all(|&count| count >= 9), "{counts:?} tokens in 20 turns of their model");
    assert_eq!(drawn(&mut other), 20);
    assert!(questions.iter_mut().all(|is_answered| is_answered()));
}

#[test]
fn choices_that_do_not_fit_into_a_turn_take_turns() {
    for (others, rows) in [(0, 8), (1, 4)] {
        let mut world = World::new(Arc::new(Fake::new(20)), 1, &Limits { rows_max: 8, ..Limits::default() });
        let _others: Vec<_> = (0..others).map(|seed| stream(&world, seed)).collect();
        let draws = Draws {
            prompt: vec![1],
            seed: 7,
            len: ENDLESS,
            events_max: ENDLESS,
            choices: 16,
            deadline: None,
        };
        let mut choices = world.generate(Start::Copy(world.snapshot(0)), &draws);
        // The first turn reads the prompt and draws a token of each choice.
        (0..22).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
        let mut counts = [0; 16];
        while let Some(event) = choices.try_next() {
            let GenerationEvent::Token(token) = event else { panic!("{event:?}") };
            counts[token.choice] += 1;
        }
        let most = counts.iter().max().unwrap();
        assert!(most - counts.iter().min().unwrap() <= 1, "{counts:?} tokens");
        assert_eq!(counts.iter().sum::<usize>(), 16 + 21 * rows);
    }
}

#[test]
fn a_stream_waits_for_a_place_in_a_full_batch_only_for_a_while() {
    let place_wait = Duration::from_secs(2);
    let limits = Limits { rows_max: 2, place_wait, ..Limits::default() };
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &limits);
    let _streams = [stream(&world, 0), stream(&world, 1)];
    world.engine.turn();
    let mut late = stream(&world, 2);
    (0..10).for_each(|_| _ = world.engine.turn());
    assert_eq!((drawn(&mut late), world.inbox.waiting()), (0, 1));
    world.clock.advance(place_wait);
    (0..30).for_each(|_| _ = world.engine.turn());
    assert_eq!((drawn(&mut late), world.inbox.waiting()), (20, 0), "two of three rows run in each turn");
}

#[test]
fn a_question_with_many_long_candidates_waits_like_a_long_text() {
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &Limits { rows_max: 2, ..Limits::default() });
    let _streams = [stream(&world, 0), stream(&world, 1)];
    world.engine.turn();
    let branches = vec![Arc::from([1; 20]); 50];
    let plan = ReadingPlan { tokens: Arc::from([1]), branches, ..ReadingPlan::default() };
    let _reader = world.read(Start::Copy(world.snapshot(0)), plan);
    world.engine.turn();
    assert_eq!(world.inbox.waiting(), 1);
    let mut is_answered = question(&world);
    world.engine.turn();
    assert!(is_answered());
}

#[test]
fn a_model_that_nobody_uses_admits_a_stream_while_another_is_full() {
    let mut world = World::new(Arc::new(Fake::new(20)), 1, &Limits { rows_max: 2, ..Limits::default() });
    let _streams: Vec<_> = (0..4).map(|seed| stream(&world, seed)).collect();
    world.engine.turn();
    assert_eq!(world.inbox.waiting(), 2);
    world.name = "other".into();
    let mut other = stream(&world, 4);
    (0..4).for_each(|_| _ = world.engine.turn());
    assert_eq!(drawn(&mut other), 2, "models take turns");
}

proptest! {
    /// Beyond a full batch, each row runs as often as each other.
    #[test]
    fn streams_that_do_not_fit_together_take_turns(rows_max in 1..9usize, beyond in 1..12usize, turns in 1..80usize) {
        let limits = Limits { rows_max, place_wait: Duration::ZERO, ..Limits::default() };
        let mut world = World::new(Arc::new(Fake::new(20)), 1, &limits);
        let count = rows_max + beyond;
        let mut streams: Vec<_> = (0..count as u64).map(|seed| stream(&world, seed)).collect();
        (0..turns).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
        let counts: Vec<usize> = streams.iter_mut().map(drawn).collect();
        let least = counts.iter().min().unwrap();
        let most = counts.iter().max().unwrap();
        prop_assert!(most - least <= 1, "{:?} tokens", counts);
        prop_assert_eq!(counts.iter().sum::<usize>(), turns * rows_max);
    }
}

/// A world whose model takes `each` for a token, and the longest turn so far.
fn slow(each: Duration, limits: &Limits) -> (World, Arc<Mutex<Vec<usize>>>) {
    let clock = Clock::manual();
    let runs = Arc::new(Mutex::new(Vec::new()));
    let model = {
        let clock = clock.clone();
        let runs = runs.clone();
        Fake::new(20).before_run(move |lens| {
            let tokens = lens.iter().sum::<usize>();
            clock.advance(each * u32::try_from(tokens.max(1)).expect("a turn of a test is small"));
            runs.lock().expect("no test panics here").push(tokens);
        })
    };
    (World::at(clock, Arc::new(model), 1, limits), runs)
}

#[test]
fn a_turn_takes_bounded_time_whatever_the_model_costs() {
    let limits = Limits { turn_steps: 100.0, turn_time: Duration::from_millis(50), ..Limits::default() };
    let (mut world, runs) = slow(Duration::from_millis(7), &limits);
    let plan = ReadingPlan { tokens: vec![1; 3000].into(), scored: true, ..ReadingPlan::default() };
    let mut text = world.read(Start::Copy(world.snapshot(0)), plan);
    // The first turn measures.
    world.engine.turn();
    runs.lock().unwrap().clear();
    let mut is_answered = question(&world);
    world.engine.turn();
    assert!(is_answered());
    while text.try_next().is_none() {
        assert_eq!(world.engine.turn(), Turn::Ran);
    }
    let longest = runs.lock().unwrap().iter().max().copied().unwrap();
    assert!((5..=7).contains(&longest), "{longest} tokens of 7 ms in a turn of 50 ms");
}

#[test]
fn streams_of_a_slow_model_take_turns_within_the_time_of_a_turn() {
    let limits = Limits { rows_max: 64, turn_time: Duration::from_millis(50), ..Limits::default() };
    let (mut world, runs) = slow(Duration::from_millis(7), &limits);
    let mut streams: Vec<_> = (0..32).map(|seed| stream(&world, seed)).collect();
    world.engine.turn();
    runs.lock().unwrap().clear();
    (0..64).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
    let longest = runs.lock().unwrap().iter().max().copied().unwrap();
    assert!((5..=7).contains(&longest), "{longest} rows of 7 ms in a turn of 50 ms");
    let counts: Vec<usize> = streams.iter_mut().map(drawn).collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
}

//! What caches compare counts in the work of a turn.

use std::sync::{Arc, Mutex};

use rnnlm_server::engine::jobs::ReadingPlan;
use rnnlm_server::engine::{Start, Turn};
use rnnlm_server::lm::fake::Fake;

use super::world::{Draws, Limits, World};

/// The window of the caches of a [`World`].
const WINDOW: usize = 12;

/// What a run that reads adds to the work of its cache, beside the tokens: it copies a block.
const COPIED: usize = 32;

/// A world with a scripted model and two sessions, the second with a cache, and the lengths of the rows of each run.
fn world(turn_steps: f64) -> (World, Arc<Mutex<Vec<Vec<usize>>>>) {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = runs.clone();
    let model =
        Fake::new(20).before_run(move |lens| seen.lock().expect("no test panics here").push(lens.to_vec()));
    let limits = Limits { turn_steps, ..Limits::default() };
    (World::new(Arc::new(model), 2, &limits), runs)
}

#[test]
fn a_text_that_is_scored_with_a_cache_is_read_in_smaller_pieces() {
    const LEN: usize = 60;
    for (session, is_cached) in [(0, false), (1, true)] {
        let (mut world, runs) = world(16.0);
        let plan = ReadingPlan { tokens: vec![1; LEN].into(), scored: true, ..ReadingPlan::default() };
        let mut reader = world.read(Start::Copy(world.snapshot(session)), plan);
        while world.engine.turn() == Turn::Ran {}
        assert!(reader.try_next().is_some_and(|result| result.is_ok()));

        // An idle engine takes twice as many steps, each of which costs a token and a position: 2 + 1.
        let work_max = 2 * 16 * 3;
        let cost = |read: usize, len: usize| {
            let compared = if is_cached { len * WINDOW.min(read + len) + COPIED + len } else { 0 };
            3 * len + compared
        };
        let mut read = 0;
        for run in runs.lock().unwrap().iter() {
            let [len] = run[..] else { panic!("{run:?} rows of one job") };
            assert!(cost(read, len) <= work_max, "{len} tokens after {read}, {is_cached}");
            let is_last = read + len == LEN;
            assert!(is_last || cost(read, len + 1) > work_max, "{len} tokens after {read}, {is_cached}");
            read += len;
        }
        assert_eq!(read, LEN);
    }
}

#[test]
fn a_long_prompt_gets_its_share_of_a_turn_beside_streams_with_caches() {
    const STREAMS: usize = 4;
    let (mut world, runs) = world(2.0);
    let draws = Draws { prompt: vec![1], seed: 1, len: 1000, events_max: 1000, choices: 1, deadline: None };
    let _streams: Vec<_> =
        (0..STREAMS).map(|_| world.generate(Start::Copy(world.snapshot(1)), &draws)).collect();
    // The caches become full.
    (0..20).for_each(|_| assert_eq!(world.engine.turn(), Turn::Ran));
    runs.lock().unwrap().clear();
    let plan = ReadingPlan { tokens: vec![1; 500].into(), ..ReadingPlan::default() };
    let _reader = world.read(Start::Copy(world.snapshot(0)), plan);
    assert_eq!(world.engine.turn(), Turn::Ran);

    // A turn of two steps, of which the streams take one. A token of the prompt costs 2, that of a stream a position and its cache more.
    let step = STREAMS * (3 + WINDOW + COPIED + 1);
    assert_eq!(runs.lock().unwrap()[0], [1, 1, 1, 1, step / 2]);
}

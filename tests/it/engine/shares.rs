//! The bytes of state that the rows of a turn hold are bounded.

use std::sync::{Arc, Mutex};

use rnnlm_server::engine::jobs::ReadingPlan;
use rnnlm_server::engine::{Start, Turn};
use rnnlm_server::lm::fake::Fake;

use super::world::{Limits, World};

/// A world with a scripted model, and the number of rows of each of the model's runs.
fn world(limits: &Limits) -> (World, Arc<Mutex<Vec<usize>>>) {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = runs.clone();
    let model =
        Fake::new(20).before_run(move |lens| seen.lock().expect("no test panics here").push(lens.len()));
    (World::new(Arc::new(model), 1, limits), runs)
}

#[test]
fn a_batch_is_bounded_by_the_bytes_of_its_states() {
    for (state_bytes_max, expected) in [(0, [1; 6].as_slice()), (36, &[3, 3]), (47, &[3, 3]), (1 << 20, &[6])]
    {
        let (mut world, runs) = world(&Limits { state_bytes_max, ..Limits::default() });
        let state_bytes = world.model.info().state_bytes();
        assert_eq!(state_bytes, 12);
        let plan = ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() };
        let readers: Vec<_> =
            (0..6).map(|_| world.read(Start::Copy(world.snapshot(0)), plan.clone())).collect();
        while world.engine.turn() == Turn::Ran {}
        assert_eq!(*runs.lock().unwrap(), expected, "{state_bytes_max}");
        assert!(readers.into_iter().all(|mut reader| reader.try_next().is_some_and(|result| result.is_ok())));
    }
}

//! Times of the same work, over and over.

use std::time::{Duration, Instant};

/// A median of fewer says little, although a case is measured in many rounds.
const RUNS_MIN: usize = 3;

/// The times of `run`, sorted, in microseconds: it is run for `time`, at least three times, and a quarter of that beforehand to warm up.
pub(crate) fn times(time: Duration, mut run: impl FnMut()) -> Vec<f64> {
    let begun = Instant::now();
    while begun.elapsed() < time / 4 {
        run();
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    while times.len() < RUNS_MIN || begun.elapsed() < time {
        let before = Instant::now();
        run();
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// A percentile of sorted values.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

//! A worker: a process that holds one network in one engine, and measures whatever case it is asked for.

use std::error::Error;
use std::io::stdin;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::runs::percentile;

/// A line of what a worker reads: each of `rows` rows reads `tokens` tokens, over and over.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
    seconds: f64,
}

impl Case {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Answers each case with a line of JSON, until there are no more; `measure` returns the sorted times of its runs, in microseconds.
pub(crate) fn serve(
    mut measure: impl FnMut(&Case) -> Result<Vec<f64>, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for line in stdin().lines() {
        let times = measure(&serde_json::from_str(&line?)?)?;
        println!("{}", json!({"runs": times.len(), "median_us": percentile(&times, 50)}));
    }
    Ok(())
}

/// Different runs of a case, in turns.
const RUNS: usize = 64;

/// Ids as frequent as the words of a text, as `rnnlm-server bench` draws them.
pub(crate) struct Ids {
    vocab_size: u64,
    state: u64,
}

impl Ids {
    pub(crate) fn new(vocab_size: usize) -> Self {
        Self { vocab_size: vocab_size as u64, state: 1 }
    }

    /// The ids of [`RUNS`] runs.
    pub(crate) fn of_runs(&mut self, case: &Case) -> Vec<Vec<u32>> {
        (0..RUNS).map(|_| (0..case.rows * case.tokens).map(|_| self.next()).collect()).collect()
    }

    fn next(&mut self) -> u32 {
        let low = 1 << self.below(u64::from(self.vocab_size.ilog2()) + 1);
        ((low + self.below(low) - 1) % self.vocab_size) as u32
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 32) % bound
    }
}

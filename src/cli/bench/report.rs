//! What was measured, as JSON or as a table for people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::measure::{Case, Timing};
use crate::catalog::Served;
use crate::kernels::Kernel;
use crate::lm::WeightsType;

/// All measurements of a model, on one thread.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    model: Option<String>,
    kernel: &'static str,
    measurements: Vec<Measurement>,
}

/// The time of one kind of run.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    /// The type that was asked for.
    weights: &'static str,
    /// The type that the weights are held in.
    weights_dtype: &'static str,
    work: &'static str,
    rows: usize,
    /// Tokens that each row reads in a run.
    tokens: usize,
    runs: usize,
    median_us: f64,
    p10_us: f64,
    p90_us: f64,
    tokens_per_second: f64,
}

impl Report {
    /// A report without measurements.
    pub(super) fn new(kernel: Kernel) -> Self {
        Self { model: None, kernel: kernel.name(), measurements: Vec::new() }
    }

    pub(super) fn add(&mut self, served: &Served, measurement: Measurement) {
        self.model = Some(served.name.to_string());
        self.measurements.push(measurement);
    }
}

impl Measurement {
    pub(super) fn new(weights: WeightsType, served: &Served, case: &Case, timing: Timing) -> Self {
        let Timing { runs, p10, median, p90 } = timing;
        let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
        Self {
            weights: weights.name(),
            weights_dtype: served.model.info().weights_dtype.name(),
            work: case.work.name(),
            rows: case.rows,
            tokens: case.tokens,
            runs,
            median_us: micros(median),
            p10_us: micros(p10),
            p90_us: micros(p90),
            tokens_per_second: (case.rows * case.tokens) as f64 / median.as_secs_f64().max(1e-9),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or_default();
        writeln!(f, "{model}, kernel {}, one thread; times of a run in microseconds\n", self.kernel)?;
        writeln!(
            f,
            "{:<9}  {:<7}  {:<6}  {:>5}  {:>6}  {:>11}  {:>11}  {:>11}  {:>9}",
            "weights", "held as", "work", "rows", "tokens", "median", "p10", "p90", "tokens/s"
        )?;
        for measurement in &self.measurements {
            let Measurement { weights, weights_dtype, work, rows, tokens, .. } = measurement;
            let Measurement { median_us, p10_us, p90_us, tokens_per_second, .. } = measurement;
            writeln!(
                f,
                "{weights:<9}  {weights_dtype:<7}  {work:<6}  {rows:>5}  {tokens:>6}  {median_us:>11.1}  {p10_us:>11.1}  {p90_us:>11.1}  {tokens_per_second:>9.0}"
            )?;
        }
        Ok(())
    }
}

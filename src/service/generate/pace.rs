//! How fast the tokens of a generation come, for the metrics.

use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::telemetry::Metrics;

/// The times of a generation.
pub(super) struct Pace {
    metrics: Arc<Metrics>,
    clock: Clock,
    /// When the request arrived.
    begun: Instant,
    /// Whether a token has come.
    has_begun: bool,
    /// When the last token of each choice came.
    last: Vec<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Clock, begun: Instant) -> Self {
        Self { metrics, clock, begun, has_begun: false, last: Vec::new() }
    }

    /// A token of a choice has come as it was drawn.
    pub(super) fn token(&mut self, choice: usize) {
        self.first();
        let now = self.clock.now();
        if self.last.len() <= choice {
            self.last.resize(choice + 1, None);
        }
        if let Some(last) = self.last[choice].replace(now) {
            self.metrics.time_per_output_token(now.saturating_duration_since(last));
        }
    }

    /// Tokens have come that were drawn before.
    pub(super) fn first(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.metrics.time_to_first_token(self.clock.now().saturating_duration_since(self.begun));
        }
    }

    /// Counts tokens that the engine could not count as they were drawn.
    pub(super) fn count(&self, model: &str, tokens: usize) {
        self.metrics.model(model).generated_tokens(tokens);
    }
}

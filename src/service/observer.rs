//! What the engine reports about its work, as metrics.

use std::sync::Arc;

use crate::engine::{BatchReport, Observer};
use crate::telemetry::Metrics;

/// Counts batches and their tokens. The metrics of a model are looked up for each batch, because models come and go.
pub(super) struct MetricsObserver(pub(super) Arc<Metrics>);

impl Observer for MetricsObserver {
    fn batch(&self, model: &str, batch: &BatchReport) {
        self.0.step_rows(batch.rows);
        self.0.with_model(model, |model| {
            model.prompt_tokens(batch.prompt_tokens);
            model.scored_tokens(batch.scored_tokens);
        });
    }

    fn generated(&self, model: &str, tokens: usize) {
        self.0.with_model(model, |model| model.generated_tokens(tokens));
    }
}

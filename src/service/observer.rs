//! What the engine reports about its work, as metrics.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{BatchReport, Observer};
use crate::telemetry::{Metrics, ModelMetrics};

/// Counts batches and their tokens.
pub(super) struct MetricsObserver {
    metrics: Arc<Metrics>,
    /// Looked up once, so that a turn looks up only its model.
    models: HashMap<Arc<str>, ModelMetrics>,
}

impl MetricsObserver {
    pub(super) fn new(metrics: Arc<Metrics>, names: impl Iterator<Item = Arc<str>>) -> Self {
        let models = names.map(|name| (name.clone(), metrics.model(&name))).collect();
        Self { metrics, models }
    }
}

impl Observer for MetricsObserver {
    fn batch(&self, model: &str, batch: &BatchReport) {
        self.metrics.step_rows(batch.rows);
        if let Some(model) = self.models.get(model) {
            model.prompt_tokens(batch.prompt_tokens);
            model.scored_tokens(batch.scored_tokens);
        }
    }

    fn generated(&self, model: &str, tokens: usize) {
        if let Some(model) = self.models.get(model) {
            model.generated_tokens(tokens);
        }
    }
}

//! The metrics of models that are loaded and unloaded while the server runs.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::memory::as_gauge;

/// What is loaded, and how often that was changed.
#[derive(Default)]
pub(super) struct ChangeMetrics {
    loaded: Gauge,
    changes: Family<ChangeLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    change: &'static str,
    result: &'static str,
}

const CHANGES: [&str; 3] = ["load", "reload", "unload"];
const OK: &str = "ok";
const FAILED: &str = "failed";

impl ChangeMetrics {
    /// Exposes all, each at zero from the start.
    pub(super) fn register(&self, registry: &mut Registry) {
        for change in CHANGES {
            for result in [OK, FAILED] {
                self.changes.get_or_create(&ChangeLabels { change, result }).inc_by(0);
            }
        }
        registry.register("models_loaded", "Models that are served now", self.loaded.clone());
        registry.register(
            "model_changes",
            "Models loaded, reloaded and unloaded while the server runs",
            self.changes.clone(),
        );
    }
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was made.
    Done,
    /// It has changed nothing.
    Failed,
}

impl Metrics {
    /// Sets the number of models that are served.
    pub fn models_loaded(&self, count: usize) {
        self.changes.loaded.set(as_gauge(count));
    }

    /// Counts a `change` of the models: `load`, `reload` or `unload`.
    pub fn model_changed(&self, change: &'static str, end: Changed) {
        let result = match end {
            Changed::Done => OK,
            Changed::Failed => FAILED,
        };
        self.changes.changes.get_or_create(&ChangeLabels { change, result }).inc();
    }
}

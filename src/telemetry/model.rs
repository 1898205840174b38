//! The metrics of one model.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::memory::as_gauge;

/// The counters of one model. Each is a plain atomic.
#[derive(Clone)]
pub struct ModelMetrics {
    pub(super) prompt: Counter,
    pub(super) generated: Counter,
    pub(super) scored: Counter,
    pub(super) unknown: Counter,
    pub(super) sessions: Gauge,
}

impl ModelMetrics {
    /// Counts prompt tokens that were read.
    pub fn prompt_tokens(&self, count: usize) {
        self.prompt.inc_by(count as u64);
    }

    /// Counts tokens that were generated.
    pub fn generated_tokens(&self, count: usize) {
        self.generated.inc_by(count as u64);
    }

    /// Counts tokens that were scored.
    pub fn scored_tokens(&self, count: usize) {
        self.scored.inc_by(count as u64);
    }

    /// Counts words that are not in the vocabulary.
    pub fn unknown_tokens(&self, count: usize) {
        self.unknown.inc_by(count as u64);
    }

    /// What has been counted so far.
    pub fn totals(&self) -> ModelTotals {
        ModelTotals {
            prompt: self.prompt.get(),
            generated: self.generated.get(),
            scored: self.scored.get(),
            unknown: self.unknown.get(),
        }
    }

    /// Sets the number of sessions.
    pub fn sessions(&self, count: usize) {
        self.sessions.set(as_gauge(count));
    }
}

/// The tokens of one model since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelTotals {
    /// Tokens that were read.
    pub prompt: u64,
    /// Tokens that were generated.
    pub generated: u64,
    /// Tokens that were scored.
    pub scored: u64,
    /// Words that are not in the vocabulary.
    pub unknown: u64,
}

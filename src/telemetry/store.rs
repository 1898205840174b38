//! The metrics of the store of sessions. They are exposed whether there is one or not.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::memory::as_gauge;
use super::metrics::seconds;

/// What the writer of a store counts.
#[derive(Clone)]
pub struct StoreMetrics {
    queue: Gauge,
    write_seconds: Histogram,
    written: Counter,
    errors: Counter,
    damaged: Counter,
}

impl StoreMetrics {
    /// All at zero, and exposed by `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            queue: Gauge::default(),
            write_seconds: seconds(),
            written: Counter::default(),
            errors: Counter::default(),
            damaged: Counter::default(),
        };
        let r = registry;
        r.register("store_queue", "Sessions that wait to be stored", metrics.queue.clone());
        r.register("store_write_seconds", "Time to store a group of sessions", metrics.write_seconds.clone());
        r.register(
            "store_written",
            "Sessions written to the store or removed from it",
            metrics.written.clone(),
        );
        r.register("store_errors", "Groups of sessions that could not be stored", metrics.errors.clone());
        r.register("store_damaged", "Stored sessions that were damaged and dropped", metrics.damaged.clone());
        metrics
    }

    /// Sets the number of sessions that wait.
    pub fn waiting(&self, sessions: usize) {
        self.queue.set(as_gauge(sessions));
    }

    /// Counts a group of `sessions` that was written in `elapsed`.
    pub fn wrote(&self, sessions: usize, elapsed: Duration) {
        self.write_seconds.observe(elapsed.as_secs_f64());
        self.written.inc_by(sessions as u64);
    }

    /// Counts a group that could not be written.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// Counts stored sessions that were dropped because they were damaged.
    pub fn damaged(&self, sessions: usize) {
        self.damaged.inc_by(sessions as u64);
    }

    /// Groups that could not be written so far.
    pub fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// Sessions that were written or removed so far.
    pub fn written(&self) -> u64 {
        self.written.get()
    }
}

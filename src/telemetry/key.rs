//! The metrics of keys. Their label is the name of a key, which comes from the operator's file and is no secret: there are as many as the
//! file has had names.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::memory::as_gauge;

/// What is counted by key.
#[derive(Default)]
pub(super) struct KeyFamilies {
    requests: Family<KeyRequest, Counter>,
    jobs: Family<KeyLabel, Gauge>,
    sessions: Family<KeyLabel, Gauge>,
    sessions_bytes: Family<KeyLabel, Gauge>,
    keys: Gauge,
    reloads: Family<ResultLabel, Counter>,
}

/// The gauges of one name.
pub struct KeyMetrics {
    jobs: Gauge,
    sessions: Gauge,
    sessions_bytes: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyRequest {
    key: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Metrics {
    /// Counts a request with a key that was answered with `status`.
    pub fn key_request(&self, key: &str, status: u16) {
        self.keys.request(key, status);
    }

    /// The gauges of the name of a key.
    pub fn key(&self, name: &str) -> KeyMetrics {
        self.keys.of(name)
    }

    /// Sets what is known of the file of keys. Its counters never go down.
    pub fn key_file(&self, file: KeyFile) {
        self.keys.file(file);
    }
}

impl KeyFamilies {
    // The registry adds the prefix to names, `_total` to counters, and a full stop to help texts.
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("key_requests", "Requests answered, by the name of their key", self.requests.clone());
        r.register("key_jobs", "Requests that are worked on, by the name of their key", self.jobs.clone());
        r.register(
            "key_sessions",
            "Sessions that exist now, by the name of their key",
            self.sessions.clone(),
        );
        r.register(
            "key_sessions_bytes",
            "Memory that sessions use, by the name of their key",
            self.sessions_bytes.clone(),
        );
        r.register("keys", "Keys that are accepted", self.keys.clone());
        r.register("key_reloads", "Times that the file of keys was read again", self.reloads.clone());
    }

    fn request(&self, key: &str, status: u16) {
        self.requests.get_or_create_owned(&KeyRequest { key: key.to_owned(), status }).inc();
    }

    fn of(&self, key: &str) -> KeyMetrics {
        let label = KeyLabel { key: key.to_owned() };
        KeyMetrics {
            jobs: self.jobs.get_or_create_owned(&label),
            sessions: self.sessions.get_or_create_owned(&label),
            sessions_bytes: self.sessions_bytes.get_or_create_owned(&label),
        }
    }

    fn file(&self, file: KeyFile) {
        let KeyFile { keys, reloads, failures } = file;
        self.keys.set(as_gauge(keys));
        for (result, total) in [("ok", reloads), ("failed", failures)] {
            let counter = self.reloads.get_or_create_owned(&ResultLabel { result });
            counter.inner().fetch_max(total, Ordering::Relaxed);
        }
    }
}

/// The file of keys in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Keys that are accepted.
    pub keys: usize,
    /// Times that it has replaced the keys.
    pub reloads: u64,
    /// Times that it was wrong.
    pub failures: u64,
}

impl KeyMetrics {
    /// Sets the number of requests that are worked on.
    pub fn jobs(&self, count: usize) {
        self.jobs.set(as_gauge(count));
    }

    /// Sets the number of sessions and the memory that they use, in bytes.
    pub fn sessions(&self, count: usize, bytes: usize) {
        self.sessions.set(as_gauge(count));
        self.sessions_bytes.set(as_gauge(bytes));
    }
}

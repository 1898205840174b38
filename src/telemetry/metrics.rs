//! The metrics and their names. Labels take their values from closed sets (routes, models, reasons), never from ids or text.
//!
//! Counting is an atomic addition where the label is known in advance. The [`ModelMetrics`] of a model are looked up by its name alone, once
//! for a batch of rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::build::BuildInfo;
use super::change::ChangeMetrics;
use super::key::KeyFamilies;
use super::memory::{MemoryFigures, MemoryMetrics, as_gauge};
use super::model::ModelMetrics;
use super::store::StoreMetrics;

/// All metrics of one service.
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpRequest, Counter>,
    http_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    running: Gauge,
    waiting: Gauge,
    rejected: Family<ReasonLabel, Counter>,
    tokens: Family<TokensLabels, Counter>,
    /// The counters of each model that was ever served, by name.
    models: RwLock<BTreeMap<String, ModelMetrics>>,
    unknown_tokens: Family<ModelLabel, Counter>,
    first_token_seconds: Histogram,
    /// The count and the sum of that histogram, which cannot be read from it.
    first_token_count: AtomicU64,
    first_token_nanos: AtomicU64,
    output_token_seconds: Histogram,
    step_rows: Histogram,
    sessions: Family<ModelLabel, Gauge>,
    sessions_bytes: Gauge,
    sessions_memory: Gauge<f64, std::sync::atomic::AtomicU64>,
    memory: MemoryMetrics,
    pub(super) changes: ChangeMetrics,
    closed: Family<ReasonLabel, Counter>,
    pub(super) keys: KeyFamilies,
    store: StoreMetrics,
    log_lines_dropped: Counter,
    pub(super) build: BuildInfo,
}

impl Metrics {
    /// The media type of [`Self::render`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rnnlm");
        let mut metrics = Self {
            store: StoreMetrics::register(&mut registry),
            registry,
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(seconds),
            running: Gauge::default(),
            waiting: Gauge::default(),
            rejected: Family::default(),
            tokens: Family::default(),
            models: RwLock::default(),
            unknown_tokens: Family::default(),
            first_token_seconds: seconds(),
            first_token_count: AtomicU64::new(0),
            first_token_nanos: AtomicU64::new(0),
            output_token_seconds: seconds(),
            step_rows: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            sessions: Family::default(),
            sessions_bytes: Gauge::default(),
            sessions_memory: Gauge::default(),
            memory: MemoryMetrics::default(),
            changes: ChangeMetrics::default(),
            closed: Family::default(),
            keys: KeyFamilies::default(),
            log_lines_dropped: Counter::default(),
            build: BuildInfo::default(),
        };
        metrics.register();
        // What has a known set of labels is there from the start, so that a rate can be taken of its first increase.
        for reason in Rejected::ALL {
            metrics.rejected.get_or_create(&ReasonLabel { reason: reason.name() }).inc_by(0);
        }
        for reason in CLOSED_REASONS {
            metrics.sessions_closed(reason, 0);
        }
        metrics
    }

    /// Counts a request whose answer has been sent, body included.
    pub fn http_request(&self, request: HttpRequest, elapsed: Duration) {
        self.http_seconds
            .get_or_create(&RouteLabel { route: request.route.clone() })
            .observe(elapsed.as_secs_f64());
        self.http_requests.get_or_create(&request).inc();
    }

    /// Sets the numbers of jobs that engines have started (parked ones included) and of those that wait for an engine.
    pub fn jobs(&self, running: usize, waiting: usize) {
        self.running.set(as_gauge(running));
        self.waiting.set(as_gauge(waiting));
    }

    /// Counts a request that was rejected.
    pub fn rejected(&self, reason: Rejected) {
        self.rejected.get_or_create(&ReasonLabel { reason: reason.name() }).inc();
    }

    /// The counters of one model.
    pub fn model(&self, name: &str) -> ModelMetrics {
        self.with_model(name, ModelMetrics::clone)
    }

    /// Calls `with` with the counters of one model, without counting references to them.
    pub fn with_model<T>(&self, name: &str, with: impl FnOnce(&ModelMetrics) -> T) -> T {
        if let Some(model) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return with(model);
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        with(models.entry(name.to_owned()).or_insert_with(|| self.new_model(name)))
    }

    /// The counters of all models that were ever served.
    pub fn models(&self) -> Vec<ModelMetrics> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn new_model(&self, name: &str) -> ModelMetrics {
        let tokens = |kind| self.tokens.get_or_create_owned(&TokensLabels { model: name.to_owned(), kind });
        ModelMetrics {
            prompt: tokens("prompt"),
            generated: tokens("generated"),
            scored: tokens("scored"),
            unknown: self.unknown_tokens.get_or_create_owned(&ModelLabel { model: name.to_owned() }),
            sessions: self.sessions.get_or_create_owned(&ModelLabel { model: name.to_owned() }),
        }
    }

    /// Records the time from the arrival of a generation request to its first token.
    pub fn time_to_first_token(&self, elapsed: Duration) {
        self.first_token_seconds.observe(elapsed.as_secs_f64());
        self.first_token_count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.first_token_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The times that [`Self::time_to_first_token`] has recorded.
    pub fn first_tokens(&self) -> FirstTokens {
        FirstTokens {
            count: self.first_token_count.load(Ordering::Relaxed),
            total: Duration::from_nanos(self.first_token_nanos.load(Ordering::Relaxed)),
        }
    }

    /// Records the time between two successive generated tokens of one row.
    pub fn time_per_output_token(&self, elapsed: Duration) {
        self.output_token_seconds.observe(elapsed.as_secs_f64());
    }

    /// Records the number of rows that one turn computed together.
    pub fn step_rows(&self, rows: usize) {
        self.step_rows.observe(rows as f64);
    }

    /// Sets the memory that sessions use and its limit, in bytes.
    pub fn sessions_memory(&self, bytes: usize, bytes_max: usize) {
        self.sessions_bytes.set(as_gauge(bytes));
        self.sessions_memory.set(bytes as f64 / bytes_max.max(1) as f64);
    }

    /// Sets the memory that is taken for one purpose, in bytes.
    pub fn memory_for(&self, purpose: &'static str, bytes: usize) {
        self.memory.set_counted(purpose, bytes);
    }

    /// Sets what there is of memory.
    pub fn memory(&self, figures: MemoryFigures) {
        self.memory.set(figures);
    }

    /// The metrics of the store of sessions.
    pub fn store(&self) -> StoreMetrics {
        self.store.clone()
    }

    /// Sets the number of sessions that have ended for `reason` since the start. The counter never goes down.
    pub fn sessions_closed(&self, reason: &'static str, total: u64) {
        self.closed.get_or_create(&ReasonLabel { reason }).inner().fetch_max(total, Ordering::Relaxed);
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    pub fn render(&self) -> String {
        self.log_lines_dropped.inner().fetch_max(super::log_lines_dropped(), Ordering::Relaxed);
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("writing to a string cannot fail");
        page
    }

    // The registry adds the prefix to names, `_total` to counters, and a full stop to help texts.
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Requests answered", self.http_requests.clone());
        r.register(
            "http_request_duration_seconds",
            "Time from the request's headers to the end of the answer's body",
            self.http_seconds.clone(),
        );
        r.register(
            "requests_running",
            "Jobs that an engine has started and not finished",
            self.running.clone(),
        );
        r.register("requests_waiting", "Jobs that wait for an engine", self.waiting.clone());
        r.register(
            "requests_rejected",
            "Requests rejected because the server is full, loading or draining",
            self.rejected.clone(),
        );
        r.register("tokens", "Tokens read, generated and scored", self.tokens.clone());
        r.register("unknown_tokens", "Words that are not in the vocabulary", self.unknown_tokens.clone());
        r.register(
            "time_to_first_token_seconds",
            "Time from the arrival of a generation request to its first token",
            self.first_token_seconds.clone(),
        );
        r.register(
            "time_per_output_token_seconds",
            "Time between two successive generated tokens of one row",
            self.output_token_seconds.clone(),
        );
        r.register("step_rows", "Rows that one turn computed together", self.step_rows.clone());
        r.register("sessions", "Sessions that exist now", self.sessions.clone());
        r.register("sessions_bytes", "Memory that all sessions use", self.sessions_bytes.clone());
        r.register(
            "sessions_memory_ratio",
            "Memory that all sessions use, divided by its limit",
            self.sessions_memory.clone(),
        );
        r.register("sessions_closed", "Sessions that have ended", self.closed.clone());
        self.memory.register(r);
        self.changes.register(r);
        self.keys.register(r);
        r.register(
            "log_lines_dropped",
            "Log lines that found no room in the buffer",
            self.log_lines_dropped.clone(),
        );
        self.build.register(r);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The labels of one answered request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpRequest {
    /// The route as it is registered, such as `/v1/sessions/{id}`; `unmatched` if no route matches.
    pub route: String,
    /// The method; `OTHER` for a method that HTTP does not define.
    pub method: &'static str,
    /// The status code.
    pub status: u16,
}

/// The times from the arrival of generation requests to their first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstTokens {
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub total: Duration,
}

/// Why a session ends.
const CLOSED_REASONS: [&str; 6] = ["deleted", "replaced", "expired", "evicted", "model_changed", "diverged"];

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejected {
    /// Too many jobs, or jobs with too many bytes of tokens, are waiting.
    QueueFull,
    /// Answers that are being computed or sent take too much memory.
    AnswersFull,
    /// Other requests take the memory that the request needs.
    MemoryFull,
    /// There is too much to do to finish the request in its time.
    Overloaded,
    /// The table of sessions is full.
    SessionsFull,
    /// The key of the request has used as much as it may.
    RateLimited,
    /// The service is still loading its models.
    Loading,
    /// The service is shutting down.
    Draining,
}

impl Rejected {
    const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::Overloaded,
        Self::AnswersFull,
        Self::MemoryFull,
        Self::SessionsFull,
        Self::RateLimited,
        Self::Loading,
        Self::Draining,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::AnswersFull => "answers_full",
            Self::MemoryFull => "memory_full",
            Self::Overloaded => "overloaded",
            Self::SessionsFull => "sessions_full",
            Self::RateLimited => "rate_limited",
            Self::Loading => "loading",
            Self::Draining => "draining",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokensLabels {
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// A histogram of seconds. Its buckets start at 50 µs, because a step of a small model takes tens of microseconds, and double up
/// to 105 s.
pub(super) fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 22))
}

#[cfg(test)]
mod tests;

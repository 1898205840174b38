//! The spans of requests, sent to a collector of distributed traces. Nothing is sent without the feature `otel`, or without a collector.

#[cfg(feature = "otel")]
mod client;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(not(feature = "otel"))]
mod without;

#[cfg(feature = "otel")]
use otlp::Sender;
#[cfg(not(feature = "otel"))]
use without::Sender;

use super::context::TraceContext;
use super::metrics::HttpRequest;
use crate::clock::{Bounds, Clock, Phase};
use crate::config::ObservingOptions;

/// Where spans go, if anywhere.
pub struct Traces {
    sender: Option<Sender>,
    ratio: f64,
}

/// An answered request with the pieces of its work, each of which becomes a span if there was any of it.
pub struct RequestSpans<'a> {
    /// Its place in its trace.
    pub context: &'a TraceContext,
    /// Its route, method and status.
    pub request: &'a HttpRequest,
    /// The id of its session, if it has one.
    pub session: Option<&'a str>,
    /// From its headers to the end of its answer.
    pub whole: Bounds,
    /// Its wait for an engine.
    pub queue: Phase,
    /// Its time in an engine.
    pub engine: EngineWork,
    /// Its wait for the store of sessions.
    pub store: Phase,
}

/// What engines did for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineWork {
    /// When.
    pub phase: Phase,
    /// Jobs of the request.
    pub jobs: u64,
    /// Turns in which they ran.
    pub turns: u64,
}

impl Traces {
    /// Sends to the collector that `options` name, on a thread of its own; within a tokio runtime, which its sockets belong to.
    ///
    /// # Panics
    /// Outside of a runtime, if there is a collector.
    pub fn start(options: &ObservingOptions, clock: &Clock) -> Self {
        Self { sender: Sender::start(options, clock), ratio: options.otlp_ratio }
    }

    /// The share of new traces that is recorded.
    pub fn ratio(&self) -> f64 {
        if self.sender.is_some() { self.ratio } else { 0.0 }
    }

    /// Sends the spans of a request, if its trace is recorded. Never waits: without room, they are dropped.
    pub fn send(&self, spans: &RequestSpans<'_>) {
        if let Some(sender) = &self.sender
            && spans.context.is_sampled
        {
            sender.send(spans);
        }
    }

    /// Sends what is left, for at most a second. Blocks.
    pub fn close(&self) {
        if let Some(sender) = &self.sender {
            sender.close();
        }
    }
}

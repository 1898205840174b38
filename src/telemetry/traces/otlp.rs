//! Sends spans with OpenTelemetry's protocol (OTLP), in batches, from a thread of OpenTelemetry's library.
//!
//! A span is built once, when its request has been answered and all times are known, so nothing is traced while a request is worked on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{self, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter as Export, SpanLinks,
    SpanProcessor,
};
use tokio::runtime::Handle;

use super::client::Client;
use super::{EngineWork, RequestSpans};
use crate::clock::{Bounds, Clock, Phase};
use crate::config::ObservingOptions;
use crate::telemetry::context::{SpanId, TraceContext};

/// The way to the collector.
pub(super) struct Sender {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    clock: Clock,
}

/// The time allowed for one batch, further attempts included.
const EXPORT_TIME: Duration = Duration::from_secs(5);
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// Most spans of a batch.
const BATCH_MAX: usize = 512;
/// How long the end of the process waits for the collector.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sender {
    pub(super) fn start(options: &ObservingOptions, clock: &Clock) -> Option<Self> {
        let endpoint = options.otlp_endpoint.as_ref()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(Handle::current(), EXPORT_TIME))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(EXPORT_TIME)
            .build()
            .inspect_err(|error| tracing::error!(%endpoint, %error, "traces are not sent"))
            .ok()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(options.otlp_queue_max)
            .with_max_export_batch_size(options.otlp_queue_max.min(BATCH_MAX))
            .with_scheduled_delay(LINGER)
            .build();
        let exporter = Watched { exporter, endpoint: endpoint.clone(), is_failing: AtomicBool::new(false) };
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        processor.set_resource(&resource(&options.otlp_service_name));
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Some(Self { processor, scope, clock: clock.clone() })
    }

    pub(super) fn send(&self, spans: &RequestSpans<'_>) {
        let EngineWork { phase: engine, jobs, turns } = spans.engine;
        let counts = [("rnnlm.jobs", jobs), ("rnnlm.turns", turns)];
        let counts =
            counts.map(|(name, count)| KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX)));
        self.piece(spans.context, Piece { name: "queue", phase: spans.queue, attributes: Vec::new() });
        self.piece(spans.context, Piece { name: "engine", phase: engine, attributes: counts.into() });
        self.piece(spans.context, Piece { name: "store", phase: spans.store, attributes: Vec::new() });
        self.processor.on_end(self.whole(spans));
    }

    /// Waits at most for [`PATIENCE`].
    pub(super) fn close(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces may be lost");
        }
    }

    /// The span of the request.
    fn whole(&self, spans: &RequestSpans<'_>) -> SpanData {
        let RequestSpans { context, request, session, whole, .. } = spans;
        let status = request.status;
        let is_route = request.route != "unmatched";
        let method = if request.method == "OTHER" { "_OTHER" } else { request.method };
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        attributes.extend(is_route.then(|| KeyValue::new("http.route", request.route.clone())));
        attributes.extend(session.map(|id| KeyValue::new("session.id", id.to_owned())));
        let is_error = status >= 500;
        attributes.extend(is_error.then(|| KeyValue::new("error.type", status.to_string())));
        let name = if is_route { format!("{method} {}", request.route) } else { method.to_owned() };
        SpanData {
            parent_span_id: context.parent.map_or(trace::SpanId::INVALID, id_of),
            parent_span_is_remote: context.parent.is_some(),
            span_kind: SpanKind::Server,
            name: name.into(),
            attributes,
            status: if is_error { Status::error("") } else { Status::Unset },
            ..self.span(context, context.span_id, *whole)
        }
    }

    /// Sends the span of one piece of the request's work.
    fn piece(&self, context: &TraceContext, piece: Piece) {
        let Piece { name, phase, mut attributes } = piece;
        let Some(bounds) = phase.bounds else { return };
        // Less than the length of the span if the work lies in pieces.
        attributes.push(KeyValue::new("rnnlm.seconds", phase.total.as_secs_f64()));
        let span = self.span(context, SpanId::created(), bounds);
        self.processor.on_end(SpanData { name: name.into(), attributes, ..span });
    }

    /// A span without a name of its own, below that of the request.
    fn span(&self, context: &TraceContext, id: SpanId, bounds: Bounds) -> SpanData {
        let state: Option<TraceState> = context.state.as_ref().and_then(|state| state.parse().ok());
        SpanData {
            span_context: SpanContext::new(
                trace::TraceId::from_bytes(context.trace_id.to_bytes()),
                id_of(id),
                TraceFlags::SAMPLED,
                false,
                state.unwrap_or_default(),
            ),
            parent_span_id: id_of(context.span_id),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "".into(),
            start_time: self.clock.date(bounds.from),
            end_time: self.clock.date(bounds.to),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// A piece of the work on a request.
struct Piece {
    name: &'static str,
    phase: Phase,
    attributes: Vec<KeyValue>,
}

fn id_of(id: SpanId) -> trace::SpanId {
    trace::SpanId::from_bytes(id.to_bytes())
}

/// The service, with what the environment says of it (`OTEL_RESOURCE_ATTRIBUTES`).
fn resource(service_name: &str) -> Resource {
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Logs once that the collector fails, and once that it works again.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    endpoint: String,
    is_failing: AtomicBool,
}

impl<E: Export> Export for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        let endpoint = &self.endpoint;
        match (&outcome, self.is_failing.swap(outcome.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::error!(%endpoint, %error, "traces are lost: the collector does not take them");
            }
            (Ok(()), true) => tracing::info!(%endpoint, "the collector takes traces again"),
            _ => {}
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;
    use crate::config::LogFormat;
    use crate::telemetry::Captured;

    /// Returns these outcomes, the last first.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<OTelSdkResult>>);

    impl Export for Scripted {
        async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().pop().unwrap()
        }
    }

    #[tokio::test]
    async fn a_collector_that_fails_is_logged_once_and_so_is_its_return() {
        let log = Captured::start(LogFormat::Json);
        let failed = || Err(OTelSdkError::InternalFailure("gone".to_owned()));
        let outcomes = vec![Ok(()), failed(), Ok(()), Ok(()), failed(), failed(), failed(), Ok(())];
        let count = outcomes.len();
        let exporter = Watched {
            exporter: Scripted(Mutex::new(outcomes)),
            endpoint: "http://collector:4318".to_owned(),
            is_failing: AtomicBool::new(false),
        };
        for _ in 0..count {
            let _ = exporter.export(Vec::new()).await;
        }
        assert_eq!(log.with("traces are lost").len(), 2);
        assert_eq!(log.with("takes traces again").len(), 2);
        assert!(log.with("traces are lost")[0].contains("gone"));
    }
}

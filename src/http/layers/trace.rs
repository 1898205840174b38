//! The request's place in a distributed trace: taken from its headers if they are valid, else that of a new trace, and returned.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The place of the request with these headers. A new trace is recorded with the probability `ratio`.
pub(super) fn of(headers: &HeaderMap, ratio: f64) -> TraceContext {
    let Some(context) = once(headers).and_then(TraceContext::continued) else {
        // A state without a valid trace is that of no trace.
        return TraceContext::begun(ratio);
    };
    match state(headers) {
        Some(state) => context.with_state(state),
        None => context,
    }
}

/// Tells the client where its request is found.
pub(super) fn name_in(headers: &mut HeaderMap, context: &TraceContext) {
    headers.insert(TRACEPARENT, header(context.traceparent()));
    if let Some(state) = &context.state {
        headers.insert(TRACESTATE, header(state.clone()));
    }
}

fn header(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("bug: a trace context has only what a header may have")
}

/// The header `traceparent`, unless it is given twice.
fn once(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// The headers `tracestate`, which may be several, as one.
fn state(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str);
    let values: Vec<&str> = values.collect::<Result<_, _>>().ok()?;
    (!values.is_empty()).then(|| values.join(","))
}

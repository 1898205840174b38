//! The request's id: the client's own if it is fit for a log line, else a new one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::telemetry::TraceContext;

/// The header that brings it and takes it back.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over: it ends up in every log line.
const LENGTH_MAX: usize = 128;

/// The id of `request`.
pub(super) fn of(request: &Request) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_fit(id));
    given.cloned().unwrap_or_else(created)
}

/// The span of `request`, which names it and its place in a trace in every log line.
pub(super) fn span(request: &Request, id: &HeaderValue, context: &TraceContext) -> Span {
    // The route as registered, not the path: that may hold prompt text. The name of the key is recorded when it is known.
    let route = request.extensions().get().map_or("unmatched", MatchedPath::as_str);
    let id = id.to_str().unwrap_or_default();
    let TraceContext { trace_id, span_id, .. } = context;
    info_span!("request", request_id = id, %trace_id, %span_id, method = %request.method(), route, key = Empty)
}

/// A new id of 32 hexadecimal digits: a random number of this process, and a count. Nobody has to guess it, so no request waits for the
/// system's random source.
fn created() -> HeaderValue {
    static PROCESS: LazyLock<u64> =
        LazyLock::new(|| getrandom::u64().expect("the operating system has a random source"));
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::try_from(format!("{:016x}{count:016x}", *PROCESS)).expect("digits are fit for a header")
}

fn is_fit(id: &HeaderValue) -> bool {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    (1..=LENGTH_MAX).contains(&id.len()) && id.as_bytes().iter().all(is_printable)
}

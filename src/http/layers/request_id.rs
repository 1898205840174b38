//! The request's id: taken from the client or made, echoed, and in every log line through the span.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, info_span};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are not taken over: they end up in every log line.
const LENGTH_MAX: usize = 128;

pub(super) async fn request_id(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).and_then(acceptable).unwrap_or_else(made);
    let text = id.to_str().unwrap_or_default();
    // The route as registered, never the address: that may hold prompt text.
    let route = request.extensions().get().map_or("unmatched", MatchedPath::as_str);
    let span = info_span!("request", request_id = text, method = %request.method(), route);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn acceptable(id: &HeaderValue) -> Option<HeaderValue> {
    let printable = id.as_bytes().iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    ((1..=LENGTH_MAX).contains(&id.len()) && printable).then(|| id.clone())
}

fn made() -> HeaderValue {
    HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is ASCII")
}

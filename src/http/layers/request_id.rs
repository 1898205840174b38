//! The request's id: the client's own if it is fit for a log line, else a random one.
//!
//! tower-http makes and echoes ids, but takes over whatever the client sends. So what is unfit is dropped before, and the id goes
//! into the span, and with it into every log line, behind.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, info_span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over: it ends up in every log line.
const LENGTH_MAX: usize = 128;

/// Drops an id that is unfit for a log line.
pub(super) async fn drop_unfit(mut request: Request) -> Request {
    if request.headers().get(&REQUEST_ID).is_some_and(|id| !is_fit(id)) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// Runs the request in a span that names it.
pub(super) async fn span(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    // The route as registered, not the path: that may hold prompt text.
    let route = request.extensions().get().map_or("unmatched", MatchedPath::as_str);
    let span = info_span!("request", request_id = id, method = %request.method(), route);
    next.run(request).instrument(span).await
}

fn is_fit(id: &HeaderValue) -> bool {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    (1..=LENGTH_MAX).contains(&id.len()) && id.as_bytes().iter().all(is_printable)
}

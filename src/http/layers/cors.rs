//! Which web pages may call the server: none, unless their origin is listed.

use axum::http::{HeaderName, HeaderValue};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// The response headers that a page may read.
const EXPOSED: [HeaderName; 16] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-session-position"),
    HeaderName::from_static("x-should-retry"),
    HeaderName::from_static("x-position"),
    HeaderName::from_static("x-vocab-size"),
    HeaderName::from_static("x-unknown-count"),
    HeaderName::from_static("x-ignored-fields"),
    HeaderName::from_static("location"),
    HeaderName::from_static("retry-after"),
    HeaderName::from_static("www-authenticate"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// The layer, if any origin is allowed.
pub(super) fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let listed = origins.iter().map(|origin| HeaderValue::from_str(origin));
        AllowOrigin::list(listed.map(|origin| origin.expect("bug: the configuration has checked it")))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(Any)
        // `*` does not cover `authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED);
    Some(layer)
}

//! Answers to what never becomes a request: bytes that are not HTTP, headers that are too large or do not come, a client with too many
//! connections. They have the form of every other error, a request id and a line in the log, and are counted.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Uuid;

use crate::api::error::ErrorCode;
use crate::config::HttpOptions;
use crate::http::error::ApiError;
use crate::telemetry::{HttpRequest, Metrics};

/// Writes such answers.
#[derive(Clone)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    options: Arc<HttpOptions>,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>, options: HttpOptions) -> Self {
        Self { metrics, options: Arc::new(options) }
    }

    /// Instead of the bare status that hyper answers to what it cannot parse. `head` is how that answer begins.
    pub(super) fn unparsed(&self, head: &[u8]) -> Bytes {
        // 414 is a part of it: the request's line is too long.
        let is_too_large =
            [&b"HTTP/1.1 431"[..], b"HTTP/1.1 414"].iter().any(|status| head.starts_with(status));
        if is_too_large {
            let max = self.options.max_header;
            let message = format!(
                "the request's line and headers are too large, or too many; the maximum is {max} (`--max-header`) and {HEADERS_MAX} headers"
            );
            self.answer(ApiError::new(ErrorCode::HeadersTooLarge, message))
        } else {
            let message = "the request is not valid HTTP/1.1";
            self.answer(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }

    /// Headers that have begun to come, but do not end.
    pub(super) fn unfinished(&self) -> Bytes {
        let limit = humantime::format_duration(self.options.header_timeout);
        let message = format!("the request's headers did not arrive within {limit} (`--header-timeout`)");
        self.answer(ApiError::new(ErrorCode::RequestTimeout, message))
    }

    /// One connection too many from one address.
    pub(super) fn too_many(&self) -> Bytes {
        let max = self.options.peer_connections_max();
        let message = format!(
            "too many connections from this address; the maximum is {max} (`--peer-connections-max`)"
        );
        self.answer(ApiError::new(ErrorCode::TooManyConnections, message))
    }

    fn answer(&self, error: ApiError) -> Bytes {
        let response = error.into_response();
        let status = response.status().as_u16();
        let id = Uuid::new_v4();
        tracing::info!(request_id = %id, route = "unmatched", status, "refused");
        let request = HttpRequest { route: "unmatched".to_owned(), method: "OTHER", status };
        self.metrics.http_request(request, Duration::ZERO);
        written(response, id)
    }
}

/// The number of headers that hyper reads.
const HEADERS_MAX: usize = 100;

/// `response` as HTTP/1.1, after which the connection is closed.
fn written(response: Response, id: Uuid) -> Bytes {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX)
        .now_or_never()
        .and_then(Result::ok)
        .expect("bug: the body of an error is in memory");
    let mut text = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = body.len();
    text.extend(
        format!("content-length: {length}\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n").as_bytes(),
    );
    text.extend(body);
    text.into()
}

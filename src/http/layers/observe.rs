//! Counts, times and logs every request once, when the last byte of its response has been sent.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Span;

use crate::api::error::ErrorCode;
use crate::clock::Clock;
use crate::http::app::App;
use crate::http::error::status;
use crate::http::held::hold;
use crate::keys::Pass;
use crate::telemetry::{HttpRequest, Metrics};

pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut measured = Measured {
        metrics: app.metrics.clone(),
        request: HttpRequest {
            route: request.extensions().get().map_or("unmatched", MatchedPath::as_str).to_owned(),
            method: method(request.method()),
            // Stays if the client closes the connection before there is a response.
            status: status(ErrorCode::Cancelled).as_u16(),
        },
        pass: None,
        began: app.clock.now(),
        clock: app.clock.clone(),
        span: Span::current(),
    };
    let response = next.run(request).await;
    measured.request.status = response.status().as_u16();
    measured.pass = response.extensions().get().cloned();
    hold(response, measured)
}

/// Reports when it is dropped, so that a request whose client closes the connection is counted too.
struct Measured {
    metrics: Arc<Metrics>,
    request: HttpRequest,
    /// The key, once there is a response to it.
    pass: Option<Pass>,
    began: Instant,
    clock: Clock,
    span: Span,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let elapsed = self.clock.now().saturating_duration_since(self.began);
        self.span.in_scope(|| tracing::info!(status = self.request.status, ?elapsed, "answered"));
        if let Some(pass) = &self.pass {
            self.metrics.key_request(pass.name(), self.request.status);
        }
        self.metrics.http_request(self.request.clone(), elapsed);
    }
}

/// A closed set, because it becomes a label of a metric: clients can send any method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

//! Names every request, gives it its accounts, and counts, times and logs it once, when the last byte of its response has been sent.
//!
//! One layer, because each costs every request several allocations.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span};

use super::accounts::Accounts;
use super::request_id::{self, REQUEST_ID};
use crate::api::error::ErrorCode;
use crate::clock::Clock;
use crate::http::app::App;
use crate::http::error::status;
use crate::http::held::hold;
use crate::keys::Pass;
use crate::telemetry::{HttpRequest, Metrics};

pub(super) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = request_id::of(&request);
    let span = request_id::span(&request, &id);
    let began = app.clock.now();
    let mut measured = Measured {
        metrics: app.metrics.clone(),
        request: HttpRequest {
            route: request.extensions().get().map_or("unmatched", MatchedPath::as_str).to_owned(),
            method: method(request.method()),
            // Stays if the client closes the connection before there is a response.
            status: status(ErrorCode::Cancelled).as_u16(),
        },
        pass: None,
        began,
        clock: app.clock.clone(),
        span: span.clone(),
    };
    let accounts = Accounts::open(&mut request, began);
    let mut response = next.run(request).instrument(span).await;
    accounts.answered();
    measured.request.status = response.status().as_u16();
    measured.pass = response.extensions().get().cloned();
    response.headers_mut().insert(REQUEST_ID, id);
    hold(response, (measured, accounts))
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

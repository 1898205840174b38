//! What becomes of a request that has been answered: a line in the log, counts, and the spans of its trace. A slow one has a line more, which says
//! where its time went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tracing::Span;

use super::accounts::Accounts;
use super::{request_id, trace};
use crate::api::error::ErrorCode;
use crate::clock::Bounds;
use crate::http::app::App;
use crate::http::error::status;
use crate::http::sessions::SESSION_ID;
use crate::keys::Pass;
use crate::service::Timings;
use crate::telemetry::{EngineWork, HttpRequest, RequestSpans, TraceContext};

/// A request under way. Reports when it is dropped, so that one whose client closes the connection is counted too.
pub(super) struct Report {
    app: Arc<App>,
    request: HttpRequest,
    context: TraceContext,
    span: Span,
    accounts: Accounts,
    began: Instant,
    /// The key, once there is a response to it.
    pass: Option<Pass>,
    /// The session of the response.
    session: Option<HeaderValue>,
    /// Time in which the client took no more of the response.
    sending: Duration,
    /// When a part of the response was given to the connection, which has not asked for the next.
    given: Option<Instant>,
}

impl Report {
    /// Begins with the headers of `request`, whose id is `id`, and gives it its accounts.
    pub(super) fn open(app: Arc<App>, request: &mut Request, id: &HeaderValue) -> Self {
        let began = app.clock.now();
        let context = trace::of(request.headers(), app.traces.ratio());
        Self {
            request: HttpRequest {
                route: request.extensions().get().map_or("unmatched", MatchedPath::as_str).to_owned(),
                method: method(request.method()),
                // Stays if the client closes the connection before there is a response.
                status: status(ErrorCode::Cancelled).as_u16(),
            },
            span: request_id::span(request, id, &context),
            accounts: Accounts::open(request, began),
            context,
            app,
            began,
            pass: None,
            session: None,
            sending: Duration::ZERO,
            given: None,
        }
    }

    /// The span of the request's log lines.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// There is a response, which is to be sent: names its trace.
    pub(super) fn answered(&mut self, response: &mut Response) {
        self.accounts.answered();
        self.request.status = response.status().as_u16();
        self.pass = response.extensions().get().cloned();
        self.session = response.headers().get(SESSION_ID).cloned();
        trace::name_in(response.headers_mut(), &self.context);
    }

    /// A part of the response was given to the connection.
    pub(super) fn given(&mut self) {
        self.given = Some(self.app.clock.now());
    }

    /// The connection has room for the next part.
    pub(super) fn taken(&mut self) {
        if let Some(given) = self.given.take() {
            self.sending += self.app.clock.now().saturating_duration_since(given);
        }
    }

    fn log(&self, elapsed: Duration, timings: &Timings) {
        let _entered = self.span.enter();
        let status = self.request.status;
        tracing::info!(status, ?elapsed, "answered");
        let slow = self.app.config.observing.slow_request;
        if slow.is_zero() || elapsed <= slow {
            return;
        }
        let Timings { work, store } = timings;
        tracing::warn!(
            status,
            session = self.session(),
            ?elapsed,
            queue = ?work.queue.total,
            engine = ?work.engine.total,
            turns = work.turns,
            jobs = work.jobs,
            store = ?store.total,
            sending = ?self.sending,
            "slow request"
        );
    }

    fn session(&self) -> Option<&str> {
        self.session.as_ref()?.to_str().ok()
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.taken();
        let ended = self.app.clock.now();
        let elapsed = ended.saturating_duration_since(self.began);
        let timings = self.accounts.timings(&self.app.clock);
        self.log(elapsed, &timings);
        let metrics = &self.app.metrics;
        if let Some(pass) = &self.pass {
            metrics.key_request(pass.name(), self.request.status);
        }
        let Timings { work, store } = timings;
        self.app.traces.send(&RequestSpans {
            context: &self.context,
            request: &self.request,
            session: self.session(),
            whole: Bounds { from: self.began, to: ended },
            queue: work.queue,
            engine: EngineWork { phase: work.engine, jobs: work.jobs, turns: work.turns },
            store,
        });
        metrics.http_request(self.request.clone(), elapsed);
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

//! Names every request, gives it its accounts, and has it reported once, when the last byte of its response has been sent.
//!
//! One layer, because each costs every request several allocations.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tracing::Instrument;

use super::report::Report;
use super::request_id::{self, REQUEST_ID};
use crate::http::app::App;

pub(super) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = request_id::of(&request);
    let mut report = Report::open(app, &mut request, &id);
    let span = report.span().clone();
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    report.answered(&mut response);
    response.map(|body| Body::new(Observed { body, report }))
}

/// A body that tells the report how long the client takes to read it.
struct Observed {
    body: Body,
    report: Report,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.report.taken();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.report.given();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    // Passed on, so that a body of known length is sent with its length.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

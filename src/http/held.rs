//! A response body that holds a value until it has been sent, or the client has closed the connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// The same response; `held` is dropped with its body.
pub(super) fn hold<G: Send + Unpin + 'static>(response: Response, held: G) -> Response {
    response.map(|body| Body::new(Held { body, _held: held }))
}

struct Held<G> {
    body: Body,
    _held: G,
}

impl<G: Unpin> HttpBody for Held<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    // Passed on, so that a body of known length is sent with its length.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

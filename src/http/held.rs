//! A response body that holds a value until it has been sent, or the client has closed the connection.
//!
//! hyper takes whatever a body gives at once, however slowly the client reads, and asks for more when little is left of it. So a large body is
//! given in pieces: otherwise it would have ended, with what it holds, long before it was sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// The same response; `held` is dropped with its body.
pub(super) fn hold<G: Send + Unpin + 'static>(response: Response, held: G) -> Response {
    response.map(|body| Body::new(Held { body, rest: Bytes::new(), _held: held }))
}

/// The most bytes of a piece. hyper holds 16 of them, and no more than its buffer.
const PIECE_BYTES: usize = 16 << 10;

struct Held<G> {
    body: Body,
    /// What is left of a frame that is larger than a piece.
    rest: Bytes,
    _held: G,
}

impl<G: Unpin> HttpBody for Held<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() > PIECE_BYTES) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                small => return Poll::Ready(small),
            }
        }
        let len = self.rest.len().min(PIECE_BYTES);
        // A copy: a slice would keep the whole frame in memory until the last piece has been sent.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(len));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    // Passed on, so that a body of known length is sent with its length.
    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(of_body.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn a_large_body_is_given_in_pieces_and_holds_its_value_until_the_last() {
        let whole: Vec<u8> = (0..=255).cycle().take(5 * PIECE_BYTES + 7).collect();
        let value = Arc::new(());
        let response = hold(hold(whole.clone().into_response(), value.clone()), value.clone());
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        let mut given = Vec::new();
        while given.len() < whole.len() {
            assert!(!body.is_end_stream());
            assert_eq!(Arc::strong_count(&value), 3, "after {} bytes", given.len());
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let piece = frame.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES, "{}", piece.len());
            given.extend(piece);
            assert_eq!(body.size_hint().exact(), Some((whole.len() - given.len()) as u64));
        }
        assert!(given == whole && body.is_end_stream());
        drop(body);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

//! Answers in JSON.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer. As axum's, but with room for a usual one from the start: axum's begins with 128 bytes and copies what it has again and again.
pub(super) struct Json<T>(pub(super) T);

/// More than an answer with the ten most likely tokens has.
const USUAL_BYTES: usize = 2 << 10;

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut body, &self.0).expect("bug: an answer that JSON does not have");
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

//! A panic of a handler is a bug: its request fails with 500, the others do not notice.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::http::error::{ApiError, Code};

// By value, because that is the signature that tower-http asks for.
pub(super) fn answer(_panic: Box<dyn Any + Send>) -> Response {
    // What it says was printed by the panic hook, and may hold what clients should not see.
    ApiError::new(Code::Internal, "the request met a bug of the server").into_response()
}

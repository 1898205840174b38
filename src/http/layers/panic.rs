//! A panic of a handler is a bug: its request fails with 500, and the others do not notice.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::api::error::ErrorCode;
use crate::http::error::ApiError;

// By value, because that is the signature that tower-http asks for.
pub(super) fn answer(_panic: Box<dyn Any + Send>) -> Response {
    // The panic hook has printed the panic's message, which may hold what clients should not see.
    let message = "internal error; the header `x-request-id` of this answer names the request in the log";
    ApiError::new(ErrorCode::Internal, message).into_response()
}

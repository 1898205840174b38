//! The one place that turns a failure into a status and headers.

use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::json::Json;
use crate::api::error::{ErrorBody, ErrorCode, ErrorDetail};
use crate::api::sessions::Expectation;
use crate::error::Error;
use crate::keys::Allowance;
use crate::service::{self, WriteFailure};

/// A failed request, as its client sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    detail: ErrorDetail,
    retry: Retry,
    /// After how long the request would probably be accepted, if that is known.
    retry_after: Option<Duration>,
    /// The limit of a key that was reached.
    quota: Option<u64>,
    /// Where the session stands that a failed write had begun to move.
    position: Option<u64>,
}

/// `Result` with an answerable error.
pub type ApiResult<T, E = ApiError> = Result<T, E>;

/// Whether the same request may be sent again: the header `x-should-retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// Nothing is said.
    Unsaid,
    /// It may succeed and does no harm.
    Yes,
    /// It will not succeed, or may do its work twice.
    No,
}

/// The header that OpenAI's clients obey before their own judgement.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Where the session of an answer stands.
pub(super) const SESSION_POSITION: HeaderName = HeaderName::from_static("x-session-position");

/// What a proxy logs when the client has gone; nobody reads it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl ApiError {
    /// The failure `code`, which says `message`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::from(ErrorDetail::new(code, message))
    }

    /// The same failure, naming the value at fault.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.detail.param = Some(param.into());
        self
    }

    /// What becomes of the failure of a write: if it was the server's fault, nothing is expected of the session, and the write is sent
    /// again, it might be done twice.
    pub fn of_write<E: Into<Self>>(expected: Expectation) -> fn(E) -> Self {
        if expected.expected_position.is_some() {
            Into::into
        } else {
            |error| Self::of_unguarded_write(error.into())
        }
    }

    fn of_unguarded_write(mut self) -> Self {
        // A session for which there was no room was not written.
        if status(self.code()).is_server_error() && self.code() != ErrorCode::SessionsFull {
            self.retry = Retry::No;
        }
        self
    }

    /// What went wrong, for an answer that has begun and can no longer have a status.
    pub fn into_detail(self) -> ErrorDetail {
        self.detail
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> ErrorCode {
        self.detail.code
    }
}

impl From<ErrorDetail> for ApiError {
    fn from(detail: ErrorDetail) -> Self {
        let retry = match detail.code {
            ErrorCode::SessionBusy
            | ErrorCode::ModelsChanging
            | ErrorCode::QueueFull
            | ErrorCode::Overloaded
            | ErrorCode::TooManyConnections
            | ErrorCode::RateLimited => Retry::Yes,
            code if status(code) == StatusCode::CONFLICT => Retry::No,
            _ => Retry::Unsaid,
        };
        Self { detail, retry, retry_after: None, quota: None, position: None }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let retry_after = error.retry_after;
        let quota = error.quota;
        let position = error.position;
        Self { retry_after, quota, position, ..Self::from(service::detail(error)) }
    }
}

impl From<WriteFailure> for ApiError {
    fn from(WriteFailure { error, position }: WriteFailure) -> Self {
        let position = position.or(error.position);
        Self { position, ..Self::from(error) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = status(self.code());
        let mut response = (status, Json(ErrorBody { error: self.detail })).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, retry_after(self.retry_after));
        }
        if let Some(limit) = self.quota {
            let reset = retry_after(self.retry_after);
            headers.extend([(LIMIT, limit.into()), (REMAINING, 0_u64.into()), (RESET, reset)]);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self.retry {
            Retry::Unsaid => {}
            Retry::Yes => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"))),
            Retry::No => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"))),
        }
        if let Some(position) = self.position {
            headers.insert(SESSION_POSITION, position.into());
        }
        response
    }
}

/// What a key may still send, in the headers of an answer.
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Says in the headers of an answer what its key may still send, if that is bounded. An answer that was refused for a limit of the key
/// names that limit already.
pub(super) fn allowed(mut response: Response, allowance: Option<Allowance>) -> Response {
    let Some(Allowance { limit, remaining, reset }) = allowance else { return response };
    if !response.headers().contains_key(LIMIT) {
        let reset = whole_seconds(reset).into();
        response.headers_mut().extend([(LIMIT, limit.into()), (REMAINING, remaining.into()), (RESET, reset)]);
    }
    response
}

/// The whole seconds after which a refused client may try again. A full queue moves on within a few turns, so a second is enough where
/// nothing is known.
fn retry_after(known: Option<Duration>) -> HeaderValue {
    HeaderValue::from(known.map_or(1, whole_seconds).max(1))
}

/// Seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The status of a request that fails with `code`.
pub(super) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest | ErrorCode::InvalidJson => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::UnknownField
        | ErrorCode::InvalidValue
        | ErrorCode::EmptyInput
        | ErrorCode::EmptyContext
        | ErrorCode::UnknownToken
        | ErrorCode::TokenOutOfRange
        | ErrorCode::TextTooLong
        | ErrorCode::StateMismatch
        | ErrorCode::NotSupported
        | ErrorCode::LoadFailed => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RouteNotFound | ErrorCode::ModelNotFound | ErrorCode::SessionNotFound => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::SessionExpired
        | ErrorCode::SessionEvicted
        | ErrorCode::ModelChanged
        | ErrorCode::SessionDiverged => StatusCode::GONE,
        ErrorCode::SessionExists
        | ErrorCode::SessionBusy
        | ErrorCode::ModelExists
        | ErrorCode::ModelIsDefault
        | ErrorCode::ModelsChanging => StatusCode::CONFLICT,
        ErrorCode::PositionMismatch => StatusCode::PRECONDITION_FAILED,
        ErrorCode::QueueFull
        | ErrorCode::Overloaded
        | ErrorCode::TooManyConnections
        | ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::SessionsFull | ErrorCode::Loading | ErrorCode::Draining => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Cancelled => {
            StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("bug: it is between 100 and 999")
        }
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status in the dialect of OpenAI of what this server answers with `status`: an invalid request is 400 there.
pub(super) fn status_of_openai(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    }
}

/// The first error of type `E` among `error` and its causes, which axum wraps.
pub(super) fn caused_by<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    error.downcast_ref().or_else(|| caused_by(error.source()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn header(response: &Response, name: &str) -> Option<String> {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_body_has_four_keys_and_null_for_no_param() {
        let body = |error: Error| ErrorBody { error: ApiError::from(error).detail };
        assert_eq!(
            serde_json::to_value(body(Error::new(ErrorKind::EmptyInput, "nothing to read"))).unwrap(),
            serde_json::json!({"error": {"message": "nothing to read", "type": "invalid_request_error",
                "param": null, "code": "empty_input"}})
        );
        let error = Error::invalid("sampling.top_p", "`top_p` is 2; the maximum is 1");
        assert_eq!(body(error).error.param.as_deref(), Some("sampling.top_p"));
    }

    #[test]
    fn statuses_types_and_headers_are_those_of_the_contract() {
        for (kind, status, family, retry_after, should_retry) in [
            (ErrorKind::InvalidValue, 422, "invalid_request_error", None, None),
            (ErrorKind::StateMismatch, 422, "invalid_request_error", None, None),
            (ErrorKind::NotSupported, 422, "invalid_request_error", None, None),
            (ErrorKind::ModelNotFound, 404, "not_found_error", None, None),
            (ErrorKind::SessionExpired, 410, "not_found_error", None, None),
            (ErrorKind::ModelChanged, 410, "not_found_error", None, None),
            (ErrorKind::SessionDiverged, 410, "not_found_error", None, None),
            (ErrorKind::SessionExists, 409, "conflict_error", None, Some("false")),
            (ErrorKind::ModelExists, 409, "conflict_error", None, Some("false")),
            (ErrorKind::ModelIsDefault, 409, "conflict_error", None, Some("false")),
            (ErrorKind::ModelsChanging, 409, "conflict_error", None, Some("true")),
            (ErrorKind::Load, 422, "invalid_request_error", None, None),
            (ErrorKind::SessionBusy, 409, "conflict_error", None, Some("true")),
            (ErrorKind::PositionMismatch, 412, "conflict_error", None, None),
            (ErrorKind::QueueFull, 429, "rate_limit_error", Some("1"), Some("true")),
            (ErrorKind::Overloaded, 429, "rate_limit_error", Some("1"), Some("true")),
            (ErrorKind::RateLimited, 429, "rate_limit_error", Some("1"), Some("true")),
            (ErrorKind::Unauthorized, 401, "authentication_error", None, None),
            (ErrorKind::Forbidden, 403, "authentication_error", None, None),
            (ErrorKind::SessionsFull, 503, "unavailable_error", Some("1"), None),
            (ErrorKind::Draining, 503, "unavailable_error", Some("1"), None),
            (ErrorKind::Timeout, 504, "server_error", None, None),
            (ErrorKind::Internal, 500, "server_error", None, None),
        ] {
            let error = ApiError::from(Error::new(kind, "why"));
            assert_eq!(serde_json::to_value(error.detail.kind).unwrap(), family, "{kind:?}");
            let response = error.into_response();
            assert_eq!(response.status(), status, "{kind:?}");
            assert_eq!(header(&response, "retry-after").as_deref(), retry_after, "{kind:?}");
            assert_eq!(header(&response, "x-should-retry").as_deref(), should_retry, "{kind:?}");
        }
    }

    #[test]
    fn a_client_is_told_after_how_many_whole_seconds_to_try_again() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let error = Error::new(ErrorKind::Overloaded, "why").retry_after(Duration::from_millis(millis));
            let response = ApiError::from(error).into_response();
            assert_eq!(header(&response, "retry-after").as_deref(), Some(expected), "{millis} ms");
        }
    }

    #[test]
    fn a_write_that_might_be_done_twice_is_not_to_be_sent_again() {
        let failed = |kind, expected_position| {
            let failed = ApiError::of_write(Expectation { expected_position });
            let response = failed(Error::new(kind, "why")).into_response();
            header(&response, "x-should-retry")
        };
        assert_eq!(failed(ErrorKind::Internal, None).as_deref(), Some("false"));
        assert_eq!(failed(ErrorKind::Timeout, None).as_deref(), Some("false"));
        assert_eq!(failed(ErrorKind::SessionBusy, None).as_deref(), Some("true"));
        assert_eq!(failed(ErrorKind::SessionsFull, None), None);
        assert_eq!(failed(ErrorKind::Internal, Some(1)), None);
    }
}

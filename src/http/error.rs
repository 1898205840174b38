//! The one place that turns a failure into a status, a code and headers.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind};

/// A failed request, as its client sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    param: Option<String>,
    retry: Retry,
    /// Where the session stands that a failed write had begun to move.
    position: Option<u64>,
}

/// `Result` with an answerable error.
pub type ApiResult<T, E = ApiError> = Result<T, E>;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is not JSON.
    InvalidJson,
    /// A field that no request of this kind has.
    UnknownField,
    /// A field of the wrong type or out of its range.
    InvalidValue,
    /// Something to read was needed and nothing was given.
    EmptyInput,
    /// Nothing was read yet, so there is nothing to predict from.
    EmptyContext,
    /// A word outside the vocabulary of a model without an unknown token.
    UnknownToken,
    /// A token id outside the vocabulary.
    TokenOutOfRange,
    /// The input is over its limit.
    TextTooLong,
    /// The body is not said to be JSON.
    UnsupportedMediaType,
    /// The body is over its limit.
    BodyTooLarge,
    /// No such route.
    RouteNotFound,
    /// The route does not take this method.
    MethodNotAllowed,
    /// No such model.
    ModelNotFound,
    /// No such session.
    SessionNotFound,
    /// The session outlived its time to live.
    SessionExpired,
    /// The session made room for others.
    SessionEvicted,
    /// A session of this id is there already.
    SessionExists,
    /// A write is running on the session.
    SessionBusy,
    /// The session does not stand at `expected_position`.
    PositionMismatch,
    /// The state was made by other weights than those of the model.
    StateMismatch,
    /// What this model or server cannot do.
    NotSupported,
    /// No room for another session.
    SessionsFull,
    /// No room for another job.
    QueueFull,
    /// The models are still being loaded.
    Loading,
    /// The service is stopping.
    Draining,
    /// The time allowed ran out.
    Timeout,
    /// The client went away; only logs and metrics see it.
    Cancelled,
    /// A bug of the server.
    Internal,
}

/// The family of a failure, as OpenAI's clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request has to be changed.
    InvalidRequestError,
    /// What it names is not there, or no more.
    NotFoundError,
    /// It does not fit the state of things.
    ConflictError,
    /// It came when too many others waited.
    RateLimitError,
    /// The server failed.
    ServerError,
    /// The server cannot take it now.
    UnavailableError,
}

/// The body of every failed request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, in words and as a code.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// What was found, what was expected and, where there is one, the limit.
    pub message: String,
    /// The family of the failure.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The JSON path at fault.
    pub param: Option<String>,
    /// The failure itself.
    pub code: Code,
}

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

/// Seconds until a refused client may knock again: a full queue moves on within a few turns.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The header that OpenAI's clients obey before their own judgement.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Where a session stands after a write that failed on the way.
const SESSION_POSITION: HeaderName = HeaderName::from_static("x-session-position");

/// What a proxy logs when the client has gone; nobody reads it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl ApiError {
    /// A failure of `code` that says `message`.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match code {
            Code::SessionBusy | Code::QueueFull => Retry::Yes,
            _ if code.status() == StatusCode::CONFLICT => Retry::No,
            _ => Retry::Unsaid,
        };
        Self { code, message: message.into(), param: None, retry, position: None }
    }

    /// The same failure, naming the field at fault.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same failure of the object at `path`, of which the field at fault is a part.
    pub fn within(mut self, path: &str) -> Self {
        self.param = Some(self.param.map_or_else(|| path.to_owned(), |param| format!("{path}.{param}")));
        self
    }

    /// The failure of a write that had begun to move its session, which now stands at `position`: the header
    /// `x-session-position`.
    pub fn standing_at(mut self, position: Option<u64>) -> Self {
        self.position = position;
        self
    }

    /// The failure of a write that named no `expected_position`: sent again after a fault of the server, it
    /// might be done twice.
    pub fn of_unguarded_write(mut self) -> Self {
        if self.code.status().is_server_error() {
            self.retry = Retry::No;
        }
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body: also one entry of a batch, and the data of a stream's `error` event.
    pub fn body(&self) -> ErrorBody {
        // Logged here, where it is handled, and nowhere else. The others are the client's affair.
        if self.code == Code::Internal {
            tracing::error!(message = %self.message);
        }
        let (kind, code) = (self.code.kind(), self.code);
        ErrorBody {
            error: ErrorDetail { message: self.message.to_string(), kind, param: self.param.clone(), code },
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self { param: error.param, ..Self::new(error.kind.into(), error.message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
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

impl Code {
    /// The status of a request that fails so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson => StatusCode::BAD_REQUEST,
            Self::UnknownField
            | Self::InvalidValue
            | Self::EmptyInput
            | Self::EmptyContext
            | Self::UnknownToken
            | Self::TokenOutOfRange
            | Self::TextTooLong
            | Self::StateMismatch
            | Self::NotSupported => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RouteNotFound | Self::ModelNotFound | Self::SessionNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SessionExpired | Self::SessionEvicted => StatusCode::GONE,
            Self::SessionExists | Self::SessionBusy => StatusCode::CONFLICT,
            Self::PositionMismatch => StatusCode::PRECONDITION_FAILED,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::SessionsFull | Self::Loading | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Cancelled => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("it is between 100 and 999")
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn kind(self) -> Kind {
        match self.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Kind::NotFoundError,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Kind::ConflictError,
            StatusCode::TOO_MANY_REQUESTS => Kind::RateLimitError,
            StatusCode::SERVICE_UNAVAILABLE => Kind::UnavailableError,
            status if status.is_server_error() => Kind::ServerError,
            _ => Kind::InvalidRequestError,
        }
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidValue => Self::InvalidValue,
            ErrorKind::UnknownField => Self::UnknownField,
            ErrorKind::EmptyInput => Self::EmptyInput,
            ErrorKind::EmptyContext => Self::EmptyContext,
            ErrorKind::UnknownToken => Self::UnknownToken,
            ErrorKind::TokenOutOfRange => Self::TokenOutOfRange,
            ErrorKind::TextTooLong => Self::TextTooLong,
            ErrorKind::ModelNotFound => Self::ModelNotFound,
            ErrorKind::SessionNotFound => Self::SessionNotFound,
            ErrorKind::SessionExpired => Self::SessionExpired,
            ErrorKind::SessionEvicted => Self::SessionEvicted,
            ErrorKind::SessionExists => Self::SessionExists,
            ErrorKind::SessionBusy => Self::SessionBusy,
            ErrorKind::PositionMismatch => Self::PositionMismatch,
            ErrorKind::StateMismatch => Self::StateMismatch,
            ErrorKind::NotSupported => Self::NotSupported,
            ErrorKind::SessionsFull => Self::SessionsFull,
            ErrorKind::QueueFull => Self::QueueFull,
            ErrorKind::Draining => Self::Draining,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Load | ErrorKind::Config | ErrorKind::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(response: &Response, name: &str) -> Option<String> {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_body_has_four_keys_and_null_for_no_param() {
        let error = ApiError::from(Error::new(ErrorKind::EmptyInput, "nothing to read"));
        assert_eq!(
            serde_json::to_value(error.body()).unwrap(),
            serde_json::json!({"error": {"message": "nothing to read", "type": "invalid_request_error",
                "param": null, "code": "empty_input"}})
        );
        let error = ApiError::from(Error::invalid("sampling.top_p", "`top_p` is 2; expected 0 to 1"));
        assert_eq!(error.body().error.param.as_deref(), Some("sampling.top_p"));
    }

    #[test]
    fn statuses_types_and_headers_are_those_of_the_contract() {
        for (kind, status, family, retry_after, should_retry) in [
            (ErrorKind::InvalidValue, 422, "invalid_request_error", None, None),
            (ErrorKind::StateMismatch, 422, "invalid_request_error", None, None),
            (ErrorKind::ModelNotFound, 404, "not_found_error", None, None),
            (ErrorKind::SessionExpired, 410, "not_found_error", None, None),
            (ErrorKind::SessionExists, 409, "conflict_error", None, Some("false")),
            (ErrorKind::SessionBusy, 409, "conflict_error", None, Some("true")),
            (ErrorKind::PositionMismatch, 412, "conflict_error", None, None),
            (ErrorKind::QueueFull, 429, "rate_limit_error", Some("1"), Some("true")),
            (ErrorKind::SessionsFull, 503, "unavailable_error", Some("1"), None),
            (ErrorKind::Draining, 503, "unavailable_error", Some("1"), None),
            (ErrorKind::Timeout, 504, "server_error", None, None),
            (ErrorKind::Internal, 500, "server_error", None, None),
        ] {
            let error = ApiError::from(Error::new(kind, "why"));
            assert_eq!(serde_json::to_value(error.code().kind()).unwrap(), family, "{kind:?}");
            let response = error.into_response();
            assert_eq!(response.status(), status, "{kind:?}");
            assert_eq!(header(&response, "retry-after").as_deref(), retry_after, "{kind:?}");
            assert_eq!(header(&response, "x-should-retry").as_deref(), should_retry, "{kind:?}");
        }
    }

    #[test]
    fn a_write_that_might_be_done_twice_is_not_to_be_sent_again() {
        let fault = |kind| ApiError::from(Error::new(kind, "why")).of_unguarded_write().into_response();
        assert_eq!(header(&fault(ErrorKind::Internal), "x-should-retry").as_deref(), Some("false"));
        assert_eq!(header(&fault(ErrorKind::Timeout), "x-should-retry").as_deref(), Some("false"));
        assert_eq!(header(&fault(ErrorKind::SessionBusy), "x-should-retry").as_deref(), Some("true"));
    }
}

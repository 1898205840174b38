//! How a request fails, as its client sees it.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of every failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, in words and as a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"message": "`top_k` is 100000; the maximum is 1000 (`--max-top-k`)",
    "type": "invalid_request_error", "param": "top_k", "code": "invalid_value"}))]
pub struct ErrorDetail {
    /// What was wrong, what was found, and what is accepted.
    pub message: String,
    /// The family of the code.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// The JSON path of the value at fault, or null.
    pub param: Option<String>,
    /// What went wrong, for programs.
    pub code: ErrorCode,
}

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not valid HTTP, or its query string or its compressed body cannot be decoded.
    InvalidRequest,
    /// The body is not JSON.
    InvalidJson,
    /// The request has a field that is not known.
    UnknownField,
    /// A value has the wrong type or is out of range.
    InvalidValue,
    /// The request needs an input and has none.
    EmptyInput,
    /// Nothing was read yet, so there is nothing to predict from.
    EmptyContext,
    /// A word is not in the vocabulary, and the model has no unknown token.
    UnknownToken,
    /// A token id is not in the vocabulary.
    TokenOutOfRange,
    /// The input is longer than its limit.
    TextTooLong,
    /// The content type is not JSON, or the content encoding is not gzip.
    UnsupportedMediaType,
    /// The body is larger than its limit, or what it asks for takes more memory than there is for all requests.
    BodyTooLarge,
    /// The request's line and headers are larger than their limit.
    HeadersTooLarge,
    /// The request did not arrive in the time allowed.
    RequestTimeout,
    /// The route does not exist.
    RouteNotFound,
    /// The route does not accept this method.
    MethodNotAllowed,
    /// The model does not exist.
    ModelNotFound,
    /// The session does not exist.
    SessionNotFound,
    /// The session expired.
    SessionExpired,
    /// The session was evicted to make room for others.
    SessionEvicted,
    /// The weights that computed the session's state are no longer served.
    ModelChanged,
    /// Another server wrote to the session first, and what was written on this one is lost. `x-session-position` says where the session stands.
    SessionDiverged,
    /// A model of this name is loaded already.
    ModelExists,
    /// The model is the default one, which cannot be unloaded.
    ModelIsDefault,
    /// Another model is being loaded, reloaded or unloaded.
    ModelsChanging,
    /// The folder of the model cannot be loaded, or there is no memory for the model.
    LoadFailed,
    /// A session with this id exists already.
    SessionExists,
    /// Another write is running on the session.
    SessionBusy,
    /// The session does not stand at `expected_position`.
    PositionMismatch,
    /// The state was computed with other weights than those of the model.
    StateMismatch,
    /// The model cannot do what is asked.
    NotSupported,
    /// There is no room for another session.
    SessionsFull,
    /// There is no room for another job, or no memory for it.
    QueueFull,
    /// There are too many connections from the client's address.
    TooManyConnections,
    /// The server has too much to do to finish the request in its time. `retry-after` says when to try again.
    Overloaded,
    /// The key of the request has used as much as it may. `retry-after` says when to try again.
    RateLimited,
    /// The request has no key, or one that is not valid.
    Unauthorized,
    /// The key of the request does not allow it.
    Forbidden,
    /// The server is still loading its models.
    Loading,
    /// The server is shutting down.
    Draining,
    /// The time limit passed.
    Timeout,
    /// The client closed the connection. Only logs and metrics see this.
    Cancelled,
    /// An internal error.
    Internal,
}

/// The family of a code, as OpenAI's clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// The request must be changed.
    InvalidRequestError,
    /// The request needs a key, or another one.
    AuthenticationError,
    /// What the request names does not exist, or no longer exists.
    NotFoundError,
    /// The request conflicts with the state of a session, or with the models that are loaded.
    ConflictError,
    /// Too many requests are waiting, or were sent with the key.
    RateLimitError,
    /// The server failed.
    ServerError,
    /// The server cannot accept the request now.
    UnavailableError,
}

impl ErrorDetail {
    /// The failure `code`, which says `message` and names no value.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: code.kind(), param: None, code }
    }

    /// The same failure, naming the value at fault.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }
}

impl ErrorCode {
    /// The family of the code.
    pub fn kind(self) -> ErrorType {
        match self {
            Self::InvalidRequest
            | Self::InvalidJson
            | Self::HeadersTooLarge
            | Self::RequestTimeout
            | Self::UnknownField
            | Self::InvalidValue
            | Self::EmptyInput
            | Self::EmptyContext
            | Self::UnknownToken
            | Self::TokenOutOfRange
            | Self::TextTooLong
            | Self::StateMismatch
            | Self::NotSupported
            | Self::LoadFailed
            | Self::UnsupportedMediaType
            | Self::BodyTooLarge
            | Self::MethodNotAllowed
            | Self::Cancelled => ErrorType::InvalidRequestError,
            Self::RouteNotFound
            | Self::ModelNotFound
            | Self::SessionNotFound
            | Self::SessionExpired
            | Self::SessionEvicted
            | Self::ModelChanged
            | Self::SessionDiverged => ErrorType::NotFoundError,
            Self::SessionExists
            | Self::SessionBusy
            | Self::PositionMismatch
            | Self::ModelExists
            | Self::ModelIsDefault
            | Self::ModelsChanging => ErrorType::ConflictError,
            Self::Unauthorized | Self::Forbidden => ErrorType::AuthenticationError,
            Self::QueueFull | Self::Overloaded | Self::TooManyConnections | Self::RateLimited => {
                ErrorType::RateLimitError
            }
            Self::SessionsFull | Self::Loading | Self::Draining => ErrorType::UnavailableError,
            Self::Timeout | Self::Internal => ErrorType::ServerError,
        }
    }
}

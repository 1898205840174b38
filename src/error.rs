//! The core's one error type: a kind, a message, and the field at fault. It knows nothing of HTTP.

use std::fmt;
use std::time::Duration;

/// A failed request or a failed load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind, which determines the status and the code that a client sees.
    pub kind: ErrorKind,
    /// What was wrong, what was found, and what is accepted or which limit applies.
    pub message: String,
    /// The path of the field at fault in the request, such as `sampling.top_p`.
    pub param: Option<String>,
    /// After how long the same request would probably be accepted.
    pub retry_after: Option<Duration>,
    /// The limit of a key that was reached.
    pub quota: Option<u64>,
    /// Where the session of the request stands, if the failure says so.
    pub position: Option<u64>,
}

/// `Result` with the core's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A field's value is out of range or has the wrong type.
    InvalidValue,
    /// The request needs an input, and none was given.
    EmptyInput,
    /// No token has been read yet, so there is nothing to predict from.
    EmptyContext,
    /// A word is not in the vocabulary, and the model has no unknown token.
    UnknownToken,
    /// A token id is outside the vocabulary.
    TokenOutOfRange,
    /// The input is longer than its limit.
    TextTooLong,
    /// The model was not found.
    ModelNotFound,
    /// The session was not found.
    SessionNotFound,
    /// The session's time to live has passed.
    SessionExpired,
    /// The session was evicted to make room for others.
    SessionEvicted,
    /// The weights that computed the session's state are no longer served.
    ModelChanged,
    /// Another server wrote to the session first, and what was written here is lost.
    SessionDiverged,
    /// A model of this name is loaded already.
    ModelExists,
    /// The model is the default one, which cannot be unloaded.
    ModelIsDefault,
    /// Another change of the models is in progress.
    ModelsChanging,
    /// A session with this id already exists.
    SessionExists,
    /// Another write to the session is in progress.
    SessionBusy,
    /// The session's position is not the one that the request expects.
    PositionMismatch,
    /// A state was computed with other weights than those of the model.
    StateMismatch,
    /// The model cannot do what is asked.
    NotSupported,
    /// The table of sessions is full.
    SessionsFull,
    /// The request takes more memory than there is for all requests.
    TooLarge,
    /// The queue of waiting jobs is full, or the memory of requests is taken.
    QueueFull,
    /// There is too much to do to finish the request in its time.
    Overloaded,
    /// The request has no key, or one that is not valid.
    Unauthorized,
    /// The request's key does not allow it.
    Forbidden,
    /// The request's key has used as much as it may.
    RateLimited,
    /// The service is shutting down.
    Draining,
    /// The request did not finish in the time allowed.
    Timeout,
    /// The client abandoned the request.
    Cancelled,
    /// A model folder cannot be loaded.
    Load,
    /// The command line or the configuration is wrong.
    Config,
    /// A bug in the program, a number that is not finite, or a failure of the machine.
    Internal,
}

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, retry_after: None, quota: None, position: None }
    }

    /// An [`ErrorKind::InvalidValue`] for the field `param`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidValue, message).at(param)
    }

    /// An [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An [`ErrorKind::Load`].
    pub fn load(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Load, message)
    }

    /// Names `param` as the field at fault.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says after how long the same request would probably be accepted.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Says which limit of a key was reached.
    pub fn over(mut self, quota: u64) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Says where the session of the request stands.
    pub fn standing_at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// Puts `context: ` before the message.
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

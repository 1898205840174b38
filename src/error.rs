//! The one error of the core: what went wrong, in words and as a kind. It knows no HTTP.

use std::fmt;

/// A failed request or a failed load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind, which decides the status and the code that a client sees.
    pub kind: ErrorKind,
    /// What was found, what was expected and, where there is one, the limit.
    pub message: String,
    /// The path of the request's field at fault, such as `sampling.top_p`.
    pub param: Option<String>,
}

/// `Result` with the core's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A field's value is out of its range or of the wrong type.
    InvalidValue,
    /// A field that no request of this kind has.
    UnknownField,
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
    /// The session does not stand at the position that the request expects.
    PositionMismatch,
    /// A state that other weights have made.
    StateMismatch,
    /// What this model or server cannot do.
    NotSupported,
    /// No room for another session.
    SessionsFull,
    /// No room for another job.
    QueueFull,
    /// The service is stopping.
    Draining,
    /// The time allowed ran out.
    Timeout,
    /// The request was given up by its client.
    Cancelled,
    /// A model folder cannot be served as it is.
    Load,
    /// Wrong usage or configuration.
    Config,
    /// A bug, or numbers that stopped being finite.
    Internal,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None }
    }

    /// An [`ErrorKind::InvalidValue`] of the field `param`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidValue, message).at(param)
    }

    /// A bug, or what the machine refuses.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A model folder that cannot be served.
    pub fn load(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Load, message)
    }

    /// The same error, naming the field at fault.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same error with `context: ` before its message.
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

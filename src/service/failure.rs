//! What a client sees of a failure.

use crate::api::error::{ErrorCode, ErrorDetail};
use crate::engine::jobs::ReadingFailure;
use crate::error::{Error, ErrorKind};

/// A write that failed, and where its session stands.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteFailure {
    /// What went wrong.
    pub error: Error,
    /// Where the session stands, if the write had begun to move it.
    pub position: Option<u64>,
}

impl From<Error> for WriteFailure {
    fn from(error: Error) -> Self {
        Self { error, position: None }
    }
}

impl From<ReadingFailure> for WriteFailure {
    fn from(ReadingFailure { error, position }: ReadingFailure) -> Self {
        Self { error, position }
    }
}

/// The failure as a client sees it. An internal error is logged here, where it is handled, and nowhere else.
pub fn detail(error: Error) -> ErrorDetail {
    let code = code(error.kind);
    if code == ErrorCode::Internal {
        tracing::error!(message = %error.message);
    }
    ErrorDetail { param: error.param, ..ErrorDetail::new(code, error.message) }
}

fn code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidValue => ErrorCode::InvalidValue,
        ErrorKind::EmptyInput => ErrorCode::EmptyInput,
        ErrorKind::EmptyContext => ErrorCode::EmptyContext,
        ErrorKind::UnknownToken => ErrorCode::UnknownToken,
        ErrorKind::TokenOutOfRange => ErrorCode::TokenOutOfRange,
        ErrorKind::TextTooLong => ErrorCode::TextTooLong,
        ErrorKind::ModelNotFound => ErrorCode::ModelNotFound,
        ErrorKind::SessionNotFound => ErrorCode::SessionNotFound,
        ErrorKind::SessionExpired => ErrorCode::SessionExpired,
        ErrorKind::SessionEvicted => ErrorCode::SessionEvicted,
        ErrorKind::ModelChanged => ErrorCode::ModelChanged,
        ErrorKind::SessionDiverged => ErrorCode::SessionDiverged,
        ErrorKind::ModelExists => ErrorCode::ModelExists,
        ErrorKind::ModelIsDefault => ErrorCode::ModelIsDefault,
        ErrorKind::ModelsChanging => ErrorCode::ModelsChanging,
        ErrorKind::Load => ErrorCode::LoadFailed,
        ErrorKind::SessionExists => ErrorCode::SessionExists,
        ErrorKind::SessionBusy => ErrorCode::SessionBusy,
        ErrorKind::PositionMismatch => ErrorCode::PositionMismatch,
        ErrorKind::StateMismatch => ErrorCode::StateMismatch,
        ErrorKind::NotSupported => ErrorCode::NotSupported,
        ErrorKind::SessionsFull => ErrorCode::SessionsFull,
        ErrorKind::TooLarge => ErrorCode::BodyTooLarge,
        ErrorKind::QueueFull => ErrorCode::QueueFull,
        ErrorKind::Overloaded => ErrorCode::Overloaded,
        ErrorKind::Unauthorized => ErrorCode::Unauthorized,
        ErrorKind::Forbidden => ErrorCode::Forbidden,
        ErrorKind::RateLimited => ErrorCode::RateLimited,
        ErrorKind::Draining => ErrorCode::Draining,
        ErrorKind::Timeout => ErrorCode::Timeout,
        ErrorKind::Cancelled => ErrorCode::Cancelled,
        ErrorKind::Config | ErrorKind::Internal => ErrorCode::Internal,
    }
}

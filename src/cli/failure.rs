//! How a command fails: what it prints, and the exit code.

use std::io::{self, ErrorKind as IoErrorKind, Write, stderr};
use std::process::ExitCode;

use crate::config::{self, Unparsed};
use crate::error::{Error, ErrorKind};
use crate::service::WriteFailure;

/// The outcome of a command.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Help or version: not a failure.
    Shown(clap::Error),
    /// Wrong usage or configuration.
    Usage(String),
    /// The work failed.
    Failed(String),
    /// The reader of the output has closed it, as in `rnnlm-server score - | head`.
    PipeClosed,
}

/// `EX_USAGE` of BSD's `sysexits.h`.
const USAGE: u8 = 64;

impl Failure {
    /// Prints the reason to stderr, in one line, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        // If stderr is closed there is nobody to tell.
        match self {
            Self::Shown(text) => {
                let _ = text.print();
                ExitCode::SUCCESS
            }
            Self::PipeClosed => ExitCode::SUCCESS,
            Self::Usage(message) => {
                let _ = writeln!(stderr(), "rnnlm-server: {message}");
                ExitCode::from(USAGE)
            }
            Self::Failed(message) => {
                let _ = writeln!(stderr(), "rnnlm-server: {message}");
                ExitCode::FAILURE
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Config => Self::Usage(error.message),
            // A field of the request is an option here. An error in the text itself names no field.
            ErrorKind::InvalidValue if error.param.is_some() => Self::Usage(error.message),
            _ => Self::Failed(error.message),
        }
    }
}

impl From<WriteFailure> for Failure {
    fn from(failure: WriteFailure) -> Self {
        failure.error.into()
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        if error.use_stderr() { Self::Usage(config::one_line(&error)) } else { Self::Shown(error) }
    }
}

impl From<Unparsed> for Failure {
    fn from(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => error.into(),
            Unparsed::File(error) => error.into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            IoErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        assert!(matches!(Failure::from(io::Error::from(IoErrorKind::BrokenPipe)), Failure::PipeClosed));
        assert!(matches!(Failure::from(io::Error::from(IoErrorKind::StorageFull)), Failure::Failed(_)));
    }
}

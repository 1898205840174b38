//! How a command fails: what is printed, and the exit code.

use std::io::{self, ErrorKind as IoErrorKind, Write, stderr};
use std::process::ExitCode;

use crate::config::{self, Unparsed};
use crate::error::{Error, ErrorKind};

/// What a command comes to.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// A question about the program: the answer is not a failure.
    Shown(clap::Error),
    /// Wrong usage or configuration.
    Usage(String),
    /// The work failed.
    Failed(String),
    /// Whoever read the output has seen enough, as in `rnnlm-server score - | head`.
    PipeClosed,
}

/// `EX_USAGE` of BSD's `sysexits.h`.
const USAGE: u8 = 64;

impl Failure {
    /// Says why on stderr, in one line, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        // Whether anybody can hear it changes nothing.
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
            // A field of the request is an option here; what the text itself holds is named by none.
            ErrorKind::InvalidValue if error.param.is_some() => Self::Usage(error.message),
            _ => Self::Failed(error.message),
        }
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

//! Requests that are turned away because there is no room for them: each is counted once, where it is refused.

use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::{Metrics, Rejected};

/// `outcome`, counted if it is a refusal.
pub(super) fn counted<T>(metrics: &Metrics, outcome: Result<T>) -> Result<T> {
    outcome.inspect_err(|error| {
        if let Some(reason) = reason(error) {
            metrics.rejected(reason);
        }
    })
}

/// Why a job, a session or a question to a store was turned away; `None` for another error.
fn reason(error: &Error) -> Option<Rejected> {
    match error.kind {
        ErrorKind::Draining => Some(Rejected::Draining),
        ErrorKind::QueueFull => Some(Rejected::QueueFull),
        ErrorKind::Overloaded => Some(Rejected::Overloaded),
        ErrorKind::SessionsFull => Some(Rejected::SessionsFull),
        ErrorKind::RateLimited => Some(Rejected::RateLimited),
        _ => None,
    }
}

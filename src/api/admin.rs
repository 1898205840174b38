//! What whoever runs the server is told.

use serde::Serialize;
use utoipa::ToSchema;

/// A server that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Drained {
    /// The requests that are still open.
    pub open_requests: usize,
}

//! The exclusive right to advance a session.

use std::sync::Arc;

use super::{SessionId, Sessions, Snapshot};

/// A working copy of a session that nobody else may advance meanwhile.
///
/// Dropping it puts the copy back, wherever the work has come to: a lease that was not advanced changes nothing.
#[derive(Debug)]
pub struct Lease {
    /// The working copy.
    pub snapshot: Snapshot,
    id: SessionId,
    model: Arc<str>,
    sessions: Arc<Sessions>,
}

impl Lease {
    /// Only the table makes leases, having marked the session as busy.
    pub(super) fn new(
        id: SessionId,
        (model, snapshot): (Arc<str>, Snapshot),
        sessions: Arc<Sessions>,
    ) -> Self {
        Self { snapshot, id, model, sessions }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The name of its model.
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.sessions.put_back(&self.id, &mut self.snapshot);
    }
}

//! The exclusive right to advance a session.

use std::sync::Arc;

use super::{SessionId, Sessions, Snapshot, Standing};

/// A session in the hands of the one job that may advance it.
///
/// Dropping the lease puts the session back where the job has taken it. A lease that was not advanced changes nothing.
#[derive(Debug)]
pub struct Lease {
    /// Where the session stands, once the lease is dropped.
    pub snapshot: Snapshot,
    id: SessionId,
    model: Arc<str>,
    sessions: Sessions,
}

impl Lease {
    /// Only the table creates leases, after it has marked the session as busy.
    pub(super) fn new(id: SessionId, standing: Standing, sessions: Sessions) -> Self {
        let Standing { model, snapshot, .. } = standing;
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

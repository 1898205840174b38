//! The exclusive right to advance a session.

use std::sync::Arc;

use super::moment::Moment;
use super::{SessionId, Sessions, Snapshot, Standing};
use crate::error::Result;

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
    /// When its next checkpoint is due; `None` if sessions are not stored.
    checkpoint: Option<Moment>,
}

impl Lease {
    /// Only the table creates leases, after it has marked the session as busy.
    pub(super) fn new(id: SessionId, standing: Standing, sessions: Sessions) -> Self {
        let Standing { model, snapshot, .. } = standing;
        let interval = sessions.changes().map(|changes| changes.limits().interval);
        let checkpoint = interval.map(|interval| sessions.now().after(interval));
        Self { snapshot, id, model, sessions, checkpoint }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The name of its model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Lets the session continue at `start` instead, whose cache may be larger than that which it had. Its history begins anew there, and
    /// is as long as before.
    ///
    /// # Errors
    /// `SessionsFull` and `RateLimited`, as [`Sessions::create`]; then the session stands where it stood.
    pub fn restart(&mut self, start: Snapshot) -> Result<()> {
        let restarted = self.snapshot.restarted(start);
        self.sessions.restart(&self.id, &mut restarted.clone())?;
        self.snapshot = restarted;
        Ok(())
    }

    /// Lets a store know where the write has led so far, if it is time. Nothing waits for the store, and readers still see the session as
    /// it stood before the write.
    pub fn reached(&mut self) {
        let Some(due) = self.checkpoint else { return };
        let Some(changes) = self.sessions.changes() else { return };
        let now = self.sessions.now();
        if now < due {
            return;
        }
        self.checkpoint = Some(now.after(changes.limits().interval));
        // A store keeps no history, and a second owner would have it copied at the next token.
        let Snapshot { state, identity, position, tail, .. } = &self.snapshot;
        let reached = Snapshot {
            state: state.clone(),
            identity: identity.clone(),
            position: *position,
            tail: tail.clone(),
            history: None,
        };
        changes.reached(&self.sessions.name(&self.id), reached);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.sessions.put_back(&self.id, &mut self.snapshot);
    }
}

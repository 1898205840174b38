//! What a server that shares a store with others asks of the sessions of all owners.

use super::owner::Name;
use super::table::Doom;
use super::{Restored, SessionId, Sessions};
use crate::error::{Error, Result};

/// What became of a session that was to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is in the table.
    Placed,
    /// It has expired.
    Expired,
    /// The table has something of its own that is not stored yet, and has kept it.
    Unstored,
}

impl Sessions {
    /// Whether the session exists in this table.
    pub fn has(&self, name: &Name) -> bool {
        self.lock_whole().has(name, self.now())
    }

    /// Whether a write is running on the session.
    pub fn is_busy(&self, name: &Name) -> bool {
        self.lock_whole().is_busy(name)
    }

    /// Whether the store has not seen what this table has of the session: a write that is running, a change, or its deletion.
    pub fn is_unstored(&self, name: &Name) -> bool {
        self.lock_whole().is_unstored(name)
    }

    /// Puts a session of the store in the place of the copy in this table, if that has nothing of its own.
    ///
    /// # Errors
    /// `SessionsFull` when there is no room and no session may be evicted.
    pub fn reload(&self, restored: Restored) -> Result<Reload> {
        let restored = restored.with_history(self.limits());
        let mut table = self.lock_whole();
        let name = table.name_of(&restored.record.name);
        if table.is_unstored(&name) {
            return Ok(Reload::Unstored);
        }
        table.discard(&name);
        let is_alive = self.restore_in(&mut table, restored)?;
        Ok(if is_alive { Reload::Placed } else { Reload::Expired })
    }

    /// Forgets the copy of a session, unless it has something of its own.
    pub fn discard(&self, name: &Name) {
        let mut table = self.lock_whole();
        if !table.is_unstored(name) {
            table.discard(name);
        }
    }

    /// Notes that a session is to be stored again, because the store has lost it.
    pub fn note_unstored(&self, name: &Name) {
        self.lock_whole().note_unstored(name);
    }

    /// Ends the copy of a session to which another server wrote first: what was written here is lost, and the session is stored at
    /// `position`. If a write is running, the copy ends with it.
    pub fn diverge(&self, name: &Name, position: u64) {
        self.doom(name, Doom::Diverged(position));
    }

    /// Ends the copy of a session that another server has deleted. If a write is running, the copy ends with it.
    pub fn bury(&self, name: &Name) {
        self.doom(name, Doom::Deleted);
    }

    fn doom(&self, name: &Name, doom: Doom) {
        self.lock_whole().doom(name, doom, self.terms());
    }

    /// Whether the copy ends with the write that is running on it.
    pub fn is_doomed(&self, name: &Name) -> bool {
        self.lock_whole().is_doomed(name)
    }

    /// Says that a session has diverged, once: from then on it is what the store has.
    ///
    /// # Errors
    /// `SessionDiverged`.
    pub fn tell_divergence(&self, name: &Name) -> Result<()> {
        self.lock_whole().take_divergence(name).map_or(Ok(()), Err)
    }

    /// Why the last write to a session is not in the store and will not be; `None` if that is not known.
    pub fn lost_write(&self, id: &SessionId) -> Option<Error> {
        self.lock_whole().lost_write(&self.name(id), self.now())
    }
}

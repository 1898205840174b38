//! How sessions end: by their client, by their time, or for others.

use super::{Table, Terms, place_of};
use crate::error::Result;
use crate::session::gone::{Ending, GoneSession};
use crate::session::lists::Position;
use crate::session::memory::session_bytes;
use crate::session::moment::Moment;
use crate::session::owner::Name;
use crate::session::{Closed, Happened, SessionLimits};

impl Table {
    /// Removes a session that a client ends.
    pub(in crate::session) fn delete(
        &mut self,
        name: &Name,
        expected_position: Option<u64>,
        now: Moment,
    ) -> Result<()> {
        if self.gone.leave(name) {
            self.note_left(name, Happened::Deleted);
            return Ok(());
        }
        let position = self.found(name, now)?;
        self.at(position).check_writable(expected_position)?;
        self.close(position, Closed::Deleted);
        Ok(())
    }

    /// Removes an idle session, from the store too.
    pub(super) fn close(&mut self, position: Position, why: Closed) {
        let is_deleted = matches!(why, Closed::Deleted | Closed::Replaced);
        self.note(position, if is_deleted { Happened::Deleted } else { Happened::Left });
        self.remove(position);
        *self.closed.entry(why).or_default() += 1;
    }

    /// Takes an idle session out of the table.
    pub(super) fn remove(&mut self, position: Position) {
        let Self { sessions, index, seed, origins, .. } = self;
        index.swap_remove(position, |position| place_of(&sessions[position as usize], seed, origins));
        self.by_use.swap_remove(position);
        self.by_expiry.swap_remove(position);
        let session = self.sessions.swap_remove(position as usize);
        let bytes = session_bytes(&session);
        self.bytes -= bytes;
        let owner = self.owner(&session);
        self.accounts.remove(owner, bytes);
        self.origins.leave(session.origin());
    }

    /// Removes an idle session, and remembers why.
    pub(super) fn end(&mut self, position: Position, why: Ending, terms: Terms<'_>) {
        let Terms { limits, now } = terms;
        let name = self.name(self.at(position));
        self.gone.remember(GoneSession { name, why, at: now }, limits);
        self.close(position, why.closed());
    }

    /// Removes up to `count_max` of the sessions that have expired, and forgets as many of those that ended long ago. Returns whether
    /// there may be more of either.
    pub(in crate::session) fn expire(
        &mut self,
        count_max: usize,
        limits: &SessionLimits,
        now: Moment,
    ) -> bool {
        for _ in 0..count_max {
            match self.by_expiry.first_due(now) {
                Some(position) if self.at(position).has_expired(now) => {
                    self.end(position, Ending::Expired, Terms { limits, now });
                }
                Some(position) if self.by_expiry.is_behind(now) => {
                    self.by_expiry.clear(position);
                    self.by_expiry.set(position, self.at(position).expires());
                }
                _ => return self.forget(count_max, now),
            }
        }
        true
    }

    /// Removes this session if it has expired.
    pub(in crate::session) fn expire_one(&mut self, name: &Name, limits: &SessionLimits, now: Moment) {
        if let Some(position) = self.find(name).filter(|position| self.at(*position).has_expired(now)) {
            self.end(position, Ending::Expired, Terms { limits, now });
        }
    }
}

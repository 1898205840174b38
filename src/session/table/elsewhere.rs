//! What other servers do to sessions that this table has a copy of.

use std::sync::Arc;

use super::{Ending, Table, Terms};
use crate::error::Error;
use crate::session::changes::Eviction;
use crate::session::gone::{GoneSession, diverged};
use crate::session::lists::Position;
use crate::session::moment::Moment;
use crate::session::owner::Name;
use crate::session::stored::Busy;
use crate::session::{Changes, Closed, Happened};

/// How a busy session will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Doom {
    /// Another server has deleted it.
    Deleted,
    /// Another server has written to it, and it is stored at this position.
    Diverged(u64),
}

impl Table {
    /// Whether the session can be evicted without a loss.
    pub(super) fn may_evict(&self, position: Position) -> bool {
        let keeping = |changes: &&Arc<Changes>| changes.limits().eviction == Eviction::Keeps;
        let keeping = self.changes.as_ref().filter(keeping);
        keeping.is_none_or(|changes| !changes.is_unstored(&self.name(self.at(position))))
    }

    pub(in crate::session) fn has(&self, name: &Name, now: Moment) -> bool {
        self.find(name).is_some_and(|position| !self.at(position).has_expired(now))
    }

    pub(in crate::session) fn is_busy(&self, name: &Name) -> bool {
        self.find(name).is_some_and(|position| self.at(position).busy() == Busy::Leased)
    }

    /// Whether the store has not seen what this table has: a write that is running, a change, or a deletion.
    pub(in crate::session) fn is_unstored(&self, name: &Name) -> bool {
        let is_noted = self.changes.as_ref().is_some_and(|changes| changes.is_unstored(name));
        is_noted || self.is_busy(name)
    }

    /// Takes an idle copy out of the table, as if it had never been there.
    pub(in crate::session) fn discard(&mut self, name: &Name) {
        self.gone.revive(name);
        if let Some(position) = self.find(name) {
            self.remove(position);
        }
    }

    /// Notes that an existing session is to be stored.
    pub(in crate::session) fn note_unstored(&self, name: &Name) {
        if let Some(position) = self.find(name) {
            self.note(position, Happened::Changed);
        }
    }

    /// Ends a session that another server has ended or written to: at once, or when its lease does.
    pub(in crate::session) fn doom(&mut self, name: &Name, doom: Doom, terms: Terms<'_>) {
        let Some(position) = self.find(name) else { return };
        match self.at(position).busy() {
            Busy::Idle => self.meet_doom(position, doom, terms),
            Busy::Leased => drop(self.doomed.insert(name.clone(), doom)),
        }
    }

    pub(super) fn meet_doom(&mut self, position: Position, doom: Doom, terms: Terms<'_>) {
        match doom {
            Doom::Deleted => {
                self.note(position, Happened::Left);
                self.remove(position);
                *self.closed.entry(Closed::Deleted).or_default() += 1;
            }
            Doom::Diverged(at) => {
                let name = self.name(self.at(position));
                let gone = GoneSession { name, why: Ending::Diverged { position: at }, at: terms.now };
                self.gone.remember(gone, terms.limits);
                self.close(position, Closed::Diverged);
            }
        }
    }

    pub(in crate::session) fn is_doomed(&self, name: &Name) -> bool {
        self.doomed.contains_key(name)
    }

    /// Says that a session has diverged, once.
    pub(in crate::session) fn take_divergence(&mut self, name: &Name) -> Option<Error> {
        self.gone.take_divergence(name)
    }

    /// Why what was written to a session is not in the store and will not be; `None` if that is not known.
    pub(in crate::session) fn lost_write(&self, name: &Name, now: Moment) -> Option<Error> {
        match self.doomed.get(name) {
            Some(Doom::Diverged(position)) => Some(diverged(name, *position)),
            Some(Doom::Deleted) => Some(self.gone.error(name, now)),
            None => self.gone.has_diverged(name).then(|| self.gone.error(name, now)),
        }
    }
}

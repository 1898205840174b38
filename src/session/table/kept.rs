//! What a store needs of the table: what has changed, each session as it is to be stored, and names that mean the same in every process.

use super::Table;
use crate::session::gone::Gone;
use crate::session::lists::Position;
use crate::session::moment::{Moment, Timeline};
use crate::session::owner::{Name, Owner};
use crate::session::stored::Scene;
use crate::session::{Happened, Record, StoredName};

impl Table {
    /// Notes what has happened to the session at `position`.
    pub(super) fn note(&self, position: Position, happened: Happened) {
        if let Some(changes) = &self.changes {
            changes.changed(&self.name(self.at(position)), happened);
        }
    }

    /// Forgets up to `count_max` of those that ended long ago, and the names of stored sessions that were of no use until they expired.
    pub(super) fn forget(&mut self, count_max: usize, now: Moment) -> bool {
        let left = self.gone.expired(count_max, now);
        left.iter().for_each(|name| self.note_left(name, Happened::Left));
        self.gone.forget(count_max, now) || left.len() == count_max
    }

    /// Notes that a stored session is no longer kept.
    pub(super) fn note_left(&self, name: &Name, happened: Happened) {
        if let Some(changes) = &self.changes {
            changes.changed(name, happened);
        }
    }

    /// The session for a store, if it exists.
    pub(in crate::session) fn record(&self, name: &Name, now: Moment, time: &Timeline) -> Option<Record> {
        let session = self.at(self.find(name)?);
        if session.has_expired(now) {
            return None;
        }
        let checkpoint = self.changes.as_ref().and_then(|changes| changes.checkpoint(name));
        Some(session.record(&Scene { origins: &self.origins, owners: &self.owners, time }, checkpoint))
    }

    /// Whether a store is to keep a session of this name.
    pub(in crate::session) fn holds(&self, name: &StoredName) -> bool {
        let owner = name.owner.as_ref().map_or(Some(Owner::ANYONE), |owner| self.owners.find(owner));
        let name = owner.map(|owner| Name { owner, id: name.id.clone() });
        name.is_some_and(|name| self.find(&name).is_some() || self.gone.holds(&name))
    }

    /// The sessions of all owners after `after`, in the order of the owners, and for each in that of [`Self::after`].
    pub(in crate::session) fn names(&self, after: Option<&Name>, now: Moment) -> impl Iterator<Item = Name> {
        let first = after.map_or(Owner::ANYONE, |after| after.owner);
        self.owners.all_from(first).flat_map(move |owner| {
            let id = after.filter(|after| after.owner == owner).map(|after| &after.id);
            let live = self.after(owner, id).filter(move |session| !session.has_expired(now));
            live.map(move |session| self.name(session))
        })
    }

    /// The owner with this name, which is added if it is new.
    pub(in crate::session) fn owner_named(&mut self, name: &str) -> Owner {
        self.owners.named(name)
    }

    /// The name in this table of a session of a store.
    pub(in crate::session) fn name_of(&mut self, name: &StoredName) -> Name {
        let owner = name.owner.as_ref().map_or(Owner::ANYONE, |owner| self.owner_named(owner));
        Name { owner, id: name.id.clone() }
    }

    /// The name in a store of a session of this table.
    pub(in crate::session) fn stored_name(&self, name: &Name) -> StoredName {
        StoredName { owner: self.owners.name(name.owner).cloned(), id: name.id.clone() }
    }

    /// The sessions of a store that cannot live on.
    pub(in crate::session) fn gone_mut(&mut self) -> &mut Gone {
        &mut self.gone
    }
}

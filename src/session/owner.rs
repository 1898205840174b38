//! To whom sessions belong.

use std::collections::HashMap;
use std::sync::Arc;

use super::SessionId;

/// An owner of sessions. What one owner has does not exist for another. The number means something in this table only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owner(u32);

/// A session's name in the table: an id is a name among the sessions of one owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub(super) owner: Owner,
    pub(super) id: SessionId,
}

/// The owners by name. None is forgotten: there are at most as many as have asked for sessions, or had some in a store.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// From number 1 on.
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Owner>,
}

impl Owner {
    /// Whoever asks, where nobody has to say who they are.
    pub(super) const ANYONE: Self = Self(0);

    /// The owner with this number.
    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Owners {
    /// The owner with this name, which is added if it is new.
    pub(super) fn named(&mut self, name: &str) -> Owner {
        if let Some(owner) = self.find(name) {
            return owner;
        }
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        let owner = Owner::numbered(self.names.len() as u32);
        self.numbers.insert(name, owner);
        owner
    }

    /// The owner with this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<Owner> {
        self.numbers.get(name).copied()
    }

    /// The name of an owner; `None` for [`Owner::ANYONE`].
    pub(super) fn name(&self, owner: Owner) -> Option<&Arc<str>> {
        self.names.get(owner.index().checked_sub(1)?)
    }

    /// All owners from `first` on.
    pub(super) fn all_from(&self, first: Owner) -> impl Iterator<Item = Owner> + use<> {
        (first.0..=self.names.len() as u32).map(Owner::numbered)
    }
}

//! What a server knows of the stored sessions that it has copies of: the version that each copy rests on, and which of them it claims.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::session::Name;
use crate::store::Version;

/// The copies by name. A session that was never stored has none.
#[derive(Default)]
pub(super) struct Copies {
    copies: HashMap<Name, Copy>,
    claimed: BTreeSet<Name>,
}

#[derive(Default)]
struct Copy {
    /// The stored version that the copy rests on.
    known: Option<Version>,
    /// Shared with the requests that are about to write.
    claim: Option<Arc<()>>,
}

impl Copies {
    pub(super) fn known(&self, name: &Name) -> Option<Version> {
        self.copies.get(name)?.known
    }

    /// From now on the copy rests on this version; on none if it is not stored.
    pub(super) fn rest_on(&mut self, name: &Name, version: Option<Version>) {
        self.copies.entry(name.clone()).or_default().known = version;
    }

    /// The token of the claim, which this server has from now on.
    pub(super) fn claim(&mut self, name: &Name) -> Arc<()> {
        self.claimed.insert(name.clone());
        self.copies.entry(name.clone()).or_default().claim.get_or_insert_default().clone()
    }

    /// This server claims the session no longer.
    pub(super) fn release(&mut self, name: &Name) {
        self.claimed.remove(name);
        if let Some(copy) = self.copies.get_mut(name) {
            copy.claim = None;
        }
    }

    pub(super) fn is_claimed(&self, name: &Name) -> bool {
        self.claimed.contains(name)
    }

    /// Whether a request is about to write.
    pub(super) fn is_wanted(&self, name: &Name) -> bool {
        let claim = self.copies.get(name).and_then(|copy| copy.claim.as_ref());
        claim.is_some_and(|token| Arc::strong_count(token) > 1)
    }

    /// The session is not in the table any more.
    pub(super) fn forget(&mut self, name: &Name) {
        self.claimed.remove(name);
        self.copies.remove(name);
    }

    pub(super) fn all_claimed(&self) -> impl Iterator<Item = &Name> {
        self.claimed.iter()
    }
}

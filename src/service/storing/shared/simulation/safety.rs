//! What must hold after every event.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{IDS, Replica, World, id, node_of};
use crate::service::storing::Found;
use crate::service::storing::entry;
use crate::store::Version;

/// What was seen of a session in the store, since that last knew nothing of it.
#[derive(Default)]
pub(super) struct Past {
    versions: BTreeSet<Version>,
    /// Lives that were ended.
    ended: BTreeSet<usize>,
}

impl World {
    /// What expires meanwhile was not ended by anybody. A server that was away may bring back another branch of it.
    pub(super) fn advance_clock(&mut self, time: Duration) {
        self.clock.advance(time);
        self.stored = std::array::from_fn(|which| self.stored_node(which));
        for (past, key) in self.past.iter_mut().zip(IDS) {
            if !self.shelf.knows(key) {
                *past = Past::default();
            }
        }
    }

    pub(super) fn stored_node(&self, which: usize) -> Option<usize> {
        let stored = self.shelf.stored(IDS[which])?;
        let found = entry::read(IDS[which], &stored.bytes, |name| self.models.get(name));
        let Ok(Found::Session(session)) = found else { panic!("an entry cannot be read") };
        assert_eq!(session.record.snapshot.position, stored.position);
        Some(node_of(&session.record.snapshot))
    }

    fn continues(&self, after: usize, before: usize) -> bool {
        std::iter::successors(Some(after), |&node| self.nodes[node].before).any(|node| node == before)
    }

    pub(super) fn look(&mut self) {
        for (which, key) in IDS.into_iter().enumerate() {
            let now = self.stored_node(which);
            if let (Some(before), Some(now)) = (self.stored[which], now) {
                let same_life = self.nodes[before].life == self.nodes[now].life;
                assert!(
                    !same_life || self.continues(now, before),
                    "`{key}`: {now} was stored over {before}, which it does not continue"
                );
            }
            if let Some(before) = self.stored[which] {
                let ended = self.nodes[before].life;
                if now.is_none_or(|now| self.nodes[now].life != ended) {
                    self.past[which].ended.insert(ended);
                }
            }
            if let Some(now) = now {
                assert!(!self.past[which].ended.contains(&self.nodes[now].life), "`{key}` has come back");
            }
            self.stored[which] = now;
            self.past[which].versions.extend(self.shelf.stored(key).map(|stored| stored.version));
            for server in &self.servers {
                let Replica { sessions, findings, .. } = &server.replica;
                let Ok(standing) = sessions.look(&id(which)) else { continue };
                let copy = node_of(&standing.snapshot);
                let name = sessions.name(&id(which));
                if let (Some(now), Some(known)) = (now, findings.copies.known(&name))
                    && self.past[which].versions.contains(&known)
                    && !sessions.is_unstored(&name)
                    && self.nodes[copy].life == self.nodes[now].life
                {
                    assert!(
                        self.continues(now, copy),
                        "`{key}`: the copy {copy} is not a beginning of {now}"
                    );
                }
            }
        }
    }
}

//! A shared store in memory, for tests: what the script of Redis does, in the words of this program. A test compares the two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Action, Call, Replica, Reply, Reserve, SharedStore, Stored, Version};
use crate::clock::Clock;
use crate::error::Result;

/// A shared store in memory. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Shelf {
    clock: Clock,
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

/// What a key holds.
#[derive(Clone, Debug)]
struct Entry {
    written: Option<Written>,
    claim: Option<Claim>,
    expires: Instant,
}

#[derive(Clone, Debug)]
struct Written {
    version: Version,
    position: u64,
    /// `None` for the mark of a deletion.
    bytes: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    by: Replica,
    until: Instant,
}

impl Shelf {
    /// Nothing, at the time of `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, entries: Arc::default() }
    }

    /// The session with this key; `None` if there is none.
    pub fn stored(&self, key: &str) -> Option<Stored> {
        let now = self.clock.now();
        let entries = self.entries.lock().expect(POISONED);
        entries.get(key).filter(|entry| entry.expires > now)?.stored(now)
    }

    /// Whether there is a session with this key, or the mark of a deletion.
    pub fn knows(&self, key: &str) -> bool {
        let now = self.clock.now();
        let entries = self.entries.lock().expect(POISONED);
        entries.get(key).is_some_and(|entry| entry.expires > now && entry.written.is_some())
    }

    /// Forgets everything, as a Redis does that keeps nothing on its disk.
    pub fn clear(&self) {
        self.entries.lock().expect(POISONED).clear();
    }
}

impl SharedStore for Shelf {
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Reply>> {
        let now = self.clock.now();
        let mut entries = self.entries.lock().expect(POISONED);
        let replies = calls.iter().map(|call| {
            let mut entry = entries.remove(&call.key).filter(|entry| entry.expires > now).unwrap_or(Entry {
                written: None,
                claim: None,
                expires: now,
            });
            let reply = entry.answer(call, now);
            if entry.written.is_some() || entry.claim.is_some() {
                entries.insert(call.key.clone(), entry);
            }
            reply
        });
        Ok(replies.collect())
    }
}

const POISONED: &str = "bug: a panic under the lock of a store";

/// What decides about a call.
struct Facts {
    /// Another server claims the session.
    is_taken: bool,
    is_deleted: bool,
    holds_nothing: bool,
    /// The copy is as new as what is stored.
    is_current: bool,
    /// What is stored is what the copy rests on, or was written by the server itself.
    rests: bool,
    /// The caller has claimed the place of a session that was deleted.
    is_reserved: bool,
}

impl Entry {
    fn answer(&mut self, call: &Call, now: Instant) -> Reply {
        let facts = self.facts(call, now);
        let by = call.by;
        match &call.action {
            Action::Look if self.written.is_none() => Reply::Absent,
            Action::Look if facts.is_deleted => Reply::Deleted,
            Action::Look if facts.is_current => Reply::Done,
            Action::Look => self.newer(now),
            Action::Claim { .. } if facts.is_taken => Reply::Busy,
            Action::Claim { reserve, .. } if facts.holds_nothing && !facts.may_reserve(*reserve) => {
                if facts.is_deleted { Reply::Deleted } else { Reply::Absent }
            }
            Action::Claim { hold, .. } => {
                self.claim(by, now + *hold);
                if facts.holds_nothing || facts.is_current { Reply::Done } else { self.newer(now) }
            }
            Action::Put { .. } | Action::Remove { .. } if facts.is_refused() => self.refused(),
            Action::Put { version, position, bytes, ttl, hold } => {
                let bytes = Some(bytes.clone());
                self.written = Some(Written { version: *version, position: *position, bytes });
                self.expires = now + *ttl.max(hold);
                self.hold(by, *hold, now);
                Reply::Done
            }
            Action::Remove { version, ttl } => {
                self.written = Some(Written { version: *version, position: 0, bytes: None });
                self.claim = None;
                self.expires = now + *ttl;
                Reply::Done
            }
            Action::Touch { .. } if self.written.is_none() && self.claim.is_none() => Reply::Absent,
            Action::Touch { .. } if facts.is_deleted && !facts.is_reserved => Reply::Deleted,
            Action::Touch { .. } if !(facts.rests || facts.is_reserved) => self.refused(),
            Action::Touch { ttl, hold } => {
                if !facts.holds_nothing {
                    self.expires = self.expires.max(now + *ttl);
                }
                if facts.is_taken {
                    return if hold.is_zero() { Reply::Done } else { self.refused() };
                }
                self.hold(by, *hold, now);
                Reply::Done
            }
        }
    }

    fn facts(&self, call: &Call, now: Instant) -> Facts {
        let Call { by, known, .. } = call;
        let claim = self.claim.filter(|claim| claim.until > now);
        let version = self.written.as_ref().map(|written| written.version);
        let is_deleted = self.written.as_ref().is_some_and(|written| written.bytes.is_none());
        // A session that this server wrote last is at least as new there.
        let is_own = version.is_some_and(|version| version.replica == *by);
        Facts {
            is_taken: claim.is_some_and(|claim| claim.by != *by),
            is_deleted,
            holds_nothing: version.is_none() || is_deleted,
            is_current: known.is_some() && (is_own || version == *known),
            rests: version.is_none() || is_own || version == *known,
            is_reserved: claim.is_some_and(|claim| claim.by == *by) && is_deleted && known.is_none(),
        }
    }

    fn claim(&mut self, by: Replica, until: Instant) {
        self.claim = Some(Claim { by, until });
        self.expires = self.expires.max(until);
    }

    /// Claims for `hold`, or gives the claim back.
    fn hold(&mut self, by: Replica, hold: Duration, now: Instant) {
        match hold.is_zero() {
            true => self.claim = None,
            false => self.claim(by, now + hold),
        }
    }

    fn refused(&self) -> Reply {
        match &self.written {
            Some(Written { bytes: None, .. }) => Reply::Deleted,
            Some(written) => Reply::Refused { position: written.position },
            None => Reply::Refused { position: 0 },
        }
    }

    fn newer(&self, now: Instant) -> Reply {
        self.stored(now).map_or(Reply::Absent, Reply::Newer)
    }

    fn stored(&self, now: Instant) -> Option<Stored> {
        let Written { version, position, bytes } = self.written.as_ref()?;
        let ttl = self.expires.saturating_duration_since(now);
        Some(Stored { version: *version, position: *position, ttl, bytes: bytes.clone()? })
    }
}

impl Facts {
    fn is_refused(&self) -> bool {
        self.is_taken || !(self.rests || self.is_reserved)
    }

    fn may_reserve(&self, reserve: Reserve) -> bool {
        match reserve {
            Reserve::No => self.is_reserved,
            Reserve::Absent => !self.is_deleted || self.is_reserved,
            Reserve::Deleted => true,
        }
    }
}

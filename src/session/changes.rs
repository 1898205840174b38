//! What has changed in the table and is not stored yet: the names of sessions, in the order of their first change.
//!
//! Nothing is copied: whoever stores a session reads it from the table then, so only the newest version of each waits. The exception
//! is a write under way, which the table does not show before its end. What it has led to so far is kept here, as its *checkpoint*.
//!
//! Every change has a ticket, a number that rises. That all changes up to a ticket are stored is known from the first name that
//! still waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{Name, Snapshot};

/// The number of a change, from 1.
pub type Ticket = u64;

/// The sessions that wait to be stored.
#[derive(Debug)]
pub struct Changes {
    limits: ChangeLimits,
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

/// The bounds of [`Changes`].
#[derive(Clone, Copy, Debug)]
pub struct ChangeLimits {
    /// Most sessions that wait. When there are more, all sessions must be stored anew.
    pub sessions_max: usize,
    /// The time between two checkpoints of a write; zero for one after each turn.
    pub interval: Duration,
    /// What becomes of a stored session that is evicted from the table.
    pub eviction: Eviction,
}

/// What becomes of a stored session that is evicted from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// It is removed from the store.
    Removes,
    /// It stays in the store, from where it comes back when it is used. What is not stored yet is not evicted.
    Keeps,
}

/// What has happened to a session that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was used, and lives longer.
    Used,
    /// It has expired, or has left the table in another way.
    Left,
    /// It is new, or stands elsewhere.
    Changed,
    /// Its client has deleted it.
    Deleted,
}

/// What [`Changes::attend`] waits for beside calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heed {
    /// Sessions that wait.
    Changes,
    /// Nothing.
    CallsOnly,
}

/// Sessions that are being stored, each with the ticket of its first change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken(pub Vec<Named>);

/// A session that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Of its first change that is not stored.
    pub ticket: Ticket,
    /// Its name.
    pub name: Name,
    /// What has happened to it.
    pub happened: Happened,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The ticket of the last change.
    last: Ticket,
    order: BTreeMap<Ticket, Name>,
    waiting: HashMap<Name, Waits>,
    /// What was taken, and is neither stored nor put back.
    taken: HashMap<Name, Happened>,
    /// Of the writes under way that have one.
    checkpoints: HashMap<Name, Snapshot>,
    /// Whether a change found no room.
    has_overflowed: bool,
    was_called: bool,
    is_closed: bool,
}

/// A session that waits.
#[derive(Clone, Copy, Debug)]
struct Waits {
    ticket: Ticket,
    happened: Happened,
}

impl Happened {
    /// This, and `later` after it.
    fn then(self, later: Self) -> Self {
        if later == Self::Used { self } else { later }
    }

    /// Whether the store has not seen what the table has.
    fn is_unstored(self) -> bool {
        matches!(self, Self::Changed | Self::Deleted)
    }
}

impl Changes {
    /// Nothing waits.
    pub fn new(limits: ChangeLimits) -> Self {
        Self { limits, waiting: Mutex::default(), bell: Condvar::new() }
    }

    /// The bounds.
    pub fn limits(&self) -> ChangeLimits {
        self.limits
    }

    /// A session has ended, is new, or stands where the table says.
    pub(super) fn changed(&self, name: &Name, happened: Happened) {
        let mut waiting = self.lock();
        waiting.checkpoints.remove(name);
        self.add(waiting, name, happened);
    }

    /// A session was used, and lives longer; or its claim in a shared store may have to be kept or given back.
    pub fn used(&self, name: &Name) {
        self.add(self.lock(), name, Happened::Used);
    }

    /// A write under way has led to `snapshot`.
    pub(super) fn reached(&self, name: &Name, snapshot: Snapshot) {
        let mut waiting = self.lock();
        waiting.checkpoints.insert(name.clone(), snapshot);
        self.add(waiting, name, Happened::Changed);
    }

    fn add(&self, mut waiting: MutexGuard<'_, Waiting>, name: &Name, happened: Happened) {
        waiting.last += 1;
        if let Some(waits) = waiting.waiting.get_mut(name) {
            waits.happened = waits.happened.then(happened);
            return;
        }
        if waiting.order.len() >= self.limits.sessions_max {
            waiting.has_overflowed = true;
            return;
        }
        let ticket = waiting.last;
        let is_first = waiting.order.is_empty();
        waiting.order.insert(ticket, name.clone());
        waiting.waiting.insert(name.clone(), Waits { ticket, happened });
        drop(waiting);
        if is_first {
            self.bell.notify_all();
        }
    }

    /// Where the write under way on a session has led, if it has a checkpoint.
    pub(super) fn checkpoint(&self, name: &Name) -> Option<Snapshot> {
        self.lock().checkpoints.get(name).cloned()
    }

    /// Whether the store has not seen what the table has of this session.
    pub(super) fn is_unstored(&self, name: &Name) -> bool {
        let waiting = self.lock();
        let later = waiting.waiting.get(name).map(|waits| waits.happened);
        later.into_iter().chain(waiting.taken.get(name).copied()).any(Happened::is_unstored)
    }

    /// Takes up to `count_max` of the sessions that have waited longest.
    pub fn take(&self, count_max: usize) -> Taken {
        let mut waiting = self.lock();
        let mut taken = Vec::with_capacity(count_max.min(waiting.order.len()));
        while taken.len() < count_max
            && let Some((ticket, name)) = waiting.order.pop_first()
        {
            let waits = waiting.waiting.remove(&name).expect("bug: what has a place waits");
            waiting.taken.insert(name.clone(), waits.happened);
            taken.push(Named { ticket, name, happened: waits.happened });
        }
        Taken(taken)
    }

    /// Puts back what could not be stored.
    pub fn put_back(&self, taken: Taken) {
        let mut waiting = self.lock();
        for Named { ticket, name, happened } in taken.0 {
            waiting.taken.remove(&name);
            let later = waiting.waiting.get(&name).copied();
            if let Some(later) = later {
                waiting.order.remove(&later.ticket);
            }
            let happened = later.map_or(happened, |later| happened.then(later.happened));
            waiting.waiting.insert(name.clone(), Waits { ticket, happened });
            waiting.order.insert(ticket, name);
        }
    }

    /// What was taken and not put back is stored.
    pub fn stored(&self) {
        self.lock().taken.clear();
    }

    /// The ticket of the last change.
    pub fn last(&self) -> Ticket {
        self.lock().last
    }

    /// The ticket up to which nothing waits; `None` after a change that found no room. What was taken and not put back counts as stored.
    pub fn settled(&self) -> Option<Ticket> {
        let waiting = self.lock();
        let settled = waiting.order.first_key_value().map_or(waiting.last, |(first, _)| first - 1);
        (!waiting.has_overflowed).then_some(settled)
    }

    /// The number of sessions that wait.
    pub fn count(&self) -> usize {
        self.lock().order.len()
    }

    /// Whether a change has found no room since the last call.
    pub fn take_overflow(&self) -> bool {
        std::mem::take(&mut self.lock().has_overflowed)
    }

    /// Says that nothing more will come: nobody waits for changes any longer.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.bell.notify_all();
    }

    /// Whether changes may still come.
    pub fn is_open(&self) -> bool {
        !self.lock().is_closed
    }

    /// Waits until a session waits. Returns whether changes may still come.
    pub fn wait(&self) -> bool {
        let idle =
            |waiting: &mut Waiting| waiting.order.is_empty() && !waiting.is_closed && !waiting.has_overflowed;
        let waiting = self.bell.wait_while(self.lock(), idle).expect(POISONED);
        !waiting.is_closed
    }

    /// Waits for `time`, or until nothing more will come.
    pub fn pause(&self, time: Duration) {
        let open = |waiting: &mut Waiting| !waiting.is_closed;
        let paused = self.bell.wait_timeout_while(self.lock(), time, open);
        drop(paused.expect(POISONED));
    }

    /// Wakes whoever attends.
    pub fn call(&self) {
        self.lock().was_called = true;
        self.bell.notify_all();
    }

    /// Waits for `time` at most, until a call, or the end; with [`Heed::Changes`] also until a session waits. Returns whether changes may
    /// still come.
    pub fn attend(&self, heed: Heed, time: Duration) -> bool {
        let idle = |waiting: &mut Waiting| {
            let hears = heed == Heed::Changes && !waiting.order.is_empty();
            !(waiting.is_closed || waiting.was_called || hears)
        };
        let waited = self.bell.wait_timeout_while(self.lock(), time, idle);
        let (mut waiting, _) = waited.expect(POISONED);
        waiting.was_called = false;
        !waiting.is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(POISONED)
    }
}

const POISONED: &str = "bug: a panic under the lock of the changes";

#[cfg(test)]
mod tests;

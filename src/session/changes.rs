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
}

#[derive(Debug, Default)]
struct Waiting {
    /// The ticket of the last change.
    last: Ticket,
    order: BTreeMap<Ticket, Name>,
    tickets: HashMap<Name, Ticket>,
    /// Of the writes under way that have one.
    checkpoints: HashMap<Name, Snapshot>,
    /// Whether a change found no room.
    has_overflowed: bool,
    is_closed: bool,
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
    pub(super) fn changed(&self, name: &Name) {
        let mut waiting = self.lock();
        waiting.checkpoints.remove(name);
        self.add(waiting, name);
    }

    /// A session was used, and lives longer.
    pub(super) fn used(&self, name: &Name) {
        self.add(self.lock(), name);
    }

    /// A write under way has led to `snapshot`.
    pub(super) fn reached(&self, name: &Name, snapshot: Snapshot) {
        let mut waiting = self.lock();
        waiting.checkpoints.insert(name.clone(), snapshot);
        self.add(waiting, name);
    }

    fn add(&self, mut waiting: MutexGuard<'_, Waiting>, name: &Name) {
        waiting.last += 1;
        if waiting.tickets.contains_key(name) {
            return;
        }
        if waiting.order.len() >= self.limits.sessions_max {
            waiting.has_overflowed = true;
            return;
        }
        let ticket = waiting.last;
        let is_first = waiting.order.is_empty();
        waiting.order.insert(ticket, name.clone());
        waiting.tickets.insert(name.clone(), ticket);
        drop(waiting);
        if is_first {
            self.bell.notify_all();
        }
    }

    /// Where the write under way on a session has led, if it has a checkpoint.
    pub(super) fn checkpoint(&self, name: &Name) -> Option<Snapshot> {
        self.lock().checkpoints.get(name).cloned()
    }

    /// Takes up to `count_max` of the sessions that have waited longest.
    pub fn take(&self, count_max: usize) -> Taken {
        let mut waiting = self.lock();
        let mut taken = Vec::with_capacity(count_max.min(waiting.order.len()));
        while taken.len() < count_max
            && let Some((ticket, name)) = waiting.order.pop_first()
        {
            waiting.tickets.remove(&name);
            taken.push(Named { ticket, name });
        }
        Taken(taken)
    }

    /// Puts back what could not be stored.
    pub fn put_back(&self, taken: Taken) {
        let mut waiting = self.lock();
        for Named { ticket, name } in taken.0 {
            if let Some(later) = waiting.tickets.insert(name.clone(), ticket) {
                waiting.order.remove(&later);
            }
            waiting.order.insert(ticket, name);
        }
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

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(POISONED)
    }
}

const POISONED: &str = "bug: a panic under the lock of the changes";

#[cfg(test)]
mod tests {
    use super::super::owner::Owner;
    use super::*;
    use crate::lm::State;
    use crate::session::SessionId;

    fn name(number: usize) -> Name {
        Name { owner: Owner::ANYONE, id: SessionId::parse(&format!("s{number}")).unwrap() }
    }

    fn changes(sessions_max: usize) -> Changes {
        Changes::new(ChangeLimits { sessions_max, interval: Duration::ZERO })
    }

    fn names(taken: &Taken) -> Vec<String> {
        taken.0.iter().map(|named| named.name.id.to_string()).collect()
    }

    #[test]
    fn a_session_that_changes_again_waits_once_in_its_old_place() {
        let changes = changes(10);
        for number in [1, 2, 1, 3, 1] {
            changes.changed(&name(number));
        }
        assert_eq!((changes.count(), changes.last(), changes.settled()), (3, 5, Some(0)));
        let taken = changes.take(2);
        assert_eq!(names(&taken), ["s1", "s2"]);
        assert_eq!(changes.settled(), Some(3), "the fourth change waits");
        changes.put_back(taken);
        assert_eq!(changes.settled(), Some(0));
        assert_eq!(names(&changes.take(10)), ["s1", "s2", "s3"]);
        assert_eq!(changes.settled(), Some(5));
    }

    #[test]
    fn what_changes_while_it_is_stored_waits_again_and_is_not_lost_by_a_failure() {
        let changes = changes(10);
        changes.changed(&name(1));
        changes.changed(&name(2));
        let taken = changes.take(1);
        changes.changed(&name(1));
        assert_eq!((changes.count(), changes.settled()), (2, Some(1)));
        changes.put_back(taken);
        assert_eq!((changes.count(), changes.settled()), (2, Some(0)));
        assert_eq!(names(&changes.take(10)), ["s1", "s2"]);
    }

    #[test]
    fn a_checkpoint_lasts_until_the_write_has_ended() {
        let changes = changes(10);
        let snapshot = Snapshot::at_start(State::zeros(1), "weights".into());
        changes.reached(&name(1), snapshot.clone());
        changes.take(10);
        changes.used(&name(1));
        assert_eq!(changes.checkpoint(&name(1)), Some(snapshot));
        changes.changed(&name(1));
        assert_eq!(changes.checkpoint(&name(1)), None);
    }

    #[test]
    fn a_change_without_room_is_remembered_as_such() {
        let changes = changes(2);
        (0..3).for_each(|number| changes.changed(&name(number)));
        changes.changed(&name(0));
        assert_eq!((changes.count(), changes.settled()), (2, None));
        assert!(changes.take_overflow() && !changes.take_overflow());
    }

    #[test]
    fn whoever_waits_hears_of_a_change_and_of_the_end() {
        let changes = std::sync::Arc::new(changes(2));
        let other = changes.clone();
        let waits = std::thread::spawn(move || {
            let first = other.wait();
            other.take(1);
            (first, other.wait())
        });
        changes.changed(&name(1));
        while changes.count() > 0 {
            std::thread::yield_now();
        }
        changes.close();
        assert_eq!(waits.join().unwrap(), (true, false));
        changes.pause(Duration::from_secs(3600));
    }
}

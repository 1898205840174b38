//! The sessions as the rest of the program sees them: one lock, taken for moments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::moment::{Moment, Timeline};
use super::table::{Table, Terms};
use super::{Changes, Lease, Record, SessionId, SessionLimits, Snapshot, Standing};
use crate::clock::Clock;
use crate::error::Result;
use crate::text::ExtraWords;

/// All sessions of the server.
#[derive(Debug)]
pub struct Sessions {
    pub(super) limits: SessionLimits,
    pub(super) time: Timeline,
    table: Mutex<Table>,
    changes: Option<Arc<Changes>>,
}

/// What a session is created from.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Generated when absent.
    pub id: Option<SessionId>,
    /// The name of its model.
    pub model: Arc<str>,
    /// The number of tokens of its model.
    pub vocab_size: usize,
    /// Where it starts.
    pub snapshot: Snapshot,
    /// How long it lives after its last use; the default of the server when absent.
    pub ttl: Option<Duration>,
    /// Words that are suggested in it although its model does not know them.
    pub extra_words: Option<Arc<ExtraWords>>,
    /// What happens to an idle session of the same id.
    pub on_existing: OnExisting,
}

/// What happens to an idle session when a new one asks for its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// It stays, and the new one is refused.
    Refuse,
    /// The new one takes its place.
    Replace,
}

/// What a client may know about a session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// Its name.
    pub id: SessionId,
    /// The name of its model.
    pub model: Arc<str>,
    /// Tokens read.
    pub position: u64,
    /// Bytes of its state.
    pub state_bytes: usize,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was last read or written; looking at this does not count.
    pub last_used_at: SystemTime,
    /// When it expires if nobody uses it.
    pub expires_at: SystemTime,
    /// Whether a write is running.
    pub busy: bool,
}

/// Why a session no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closed {
    /// Its client deleted it.
    Deleted,
    /// Its client replaced it.
    Replaced,
    /// It was not used for its time to live.
    Expired,
    /// It made room for another.
    Evicted,
}

impl Closed {
    /// The reasons in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
        }
    }
}

/// The table in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Sessions by model.
    pub by_model: BTreeMap<Arc<str>, usize>,
    /// Bytes of all sessions.
    pub bytes: usize,
    /// Sessions with a running write.
    pub busy: usize,
    /// Sessions closed since the start, by reason.
    pub closed: BTreeMap<Closed, u64>,
}

/// Expired sessions that a use of the table removes on the way.
const EXPIRED_EACH: usize = 4;
/// Expired sessions that [`Sessions::expire`] removes under one lock: some tenths of a millisecond.
const EXPIRED_PIECE: usize = 256;

impl Sessions {
    /// An empty table, whose sessions end with it.
    pub fn new(limits: SessionLimits, clock: Clock) -> Arc<Self> {
        Self::noting(limits, clock, None)
    }

    /// An empty table that notes in `changes` what is to be stored.
    pub fn noting(limits: SessionLimits, clock: Clock, changes: Option<Arc<Changes>>) -> Arc<Self> {
        let time = Timeline::new(clock);
        let table = Mutex::new(Table::new(limits.ttl, time.now(), changes.clone()));
        Arc::new(Self { limits, time, table, changes })
    }

    /// Adds a session.
    ///
    /// # Errors
    /// `SessionExists` or `SessionBusy` when the id is taken, `SessionsFull` when there is no room.
    pub fn create(&self, new: NewSession) -> Result<SessionInfo> {
        let id = new.id.clone().unwrap_or_else(SessionId::random);
        let mut table = self.lock_for(&id);
        table.check_free(&id, new.on_existing)?;
        let session = table.admit(id, new, Terms { limits: &self.limits, now: self.time.now() })?;
        let info = table.info(&session, &self.time);
        table.insert(session);
        Ok(info)
    }

    /// Checks that [`Self::create`] would accept this id now, before the work that leads to a session is done.
    ///
    /// # Errors
    /// As `create`, except for `SessionsFull`.
    pub fn check_free(&self, id: &SessionId, on_existing: OnExisting) -> Result<()> {
        self.lock_for(id).check_free(id, on_existing)
    }

    /// Checks that a session can go back to `position`, without using it.
    ///
    /// # Errors
    /// As [`Self::info`] and [`Snapshot::check_rewind`].
    pub fn check_rewind(&self, id: &SessionId, position: u64) -> Result<()> {
        self.lock_for(id).get(id, self.time.now())?.check_rewind(position)
    }

    /// The extra words of a session, without using it.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn extra_words(&self, id: &SessionId) -> Result<Option<Arc<ExtraWords>>> {
        Ok(self.lock_for(id).get(id, self.time.now())?.extra_words())
    }

    /// Looks at a session without using it.
    ///
    /// # Errors
    /// `SessionNotFound`, `SessionExpired`, `SessionEvicted`.
    pub fn info(&self, id: &SessionId) -> Result<SessionInfo> {
        let table = self.lock_for(id);
        let session = table.get(id, self.time.now())?;
        Ok(table.info(session, &self.time))
    }

    /// At most `limit` of the sessions after `after`, in an order that the table chooses and keeps. A session that exists for as long
    /// as its pages are read is listed once; `after` need not exist any more.
    pub fn list(&self, after: Option<&SessionId>, limit: usize) -> Vec<SessionInfo> {
        let table = self.lock_whole();
        let now = self.time.now();
        let live = table.after(after).filter(|session| !session.has_expired(now));
        live.take(limit).map(|session| table.info(session, &self.time)).collect()
    }

    /// How a session stands, without the effect of a write that is running. This is no use of the session.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn look(&self, id: &SessionId) -> Result<Standing> {
        self.lock_for(id).look(id, self.time.now())
    }

    /// How a session stands, without the effect of a write that is running. This counts as a use.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn read(&self, id: &SessionId) -> Result<Standing> {
        self.lock_for(id).read(id, self.time.now())
    }

    /// The right to advance a session.
    ///
    /// # Errors
    /// As [`Self::info`]; `SessionBusy` while another lease is out; `PositionMismatch` when the session does not
    /// stand at `expected_position`.
    pub fn lease(self: &Arc<Self>, id: &SessionId, expected_position: Option<u64>) -> Result<Lease> {
        let lent = self.lock_for(id).lend(id, expected_position, self.time.now())?;
        Ok(Lease::new(id.clone(), lent, self.clone()))
    }

    /// Sets a session back to `start`.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub fn reset(
        self: &Arc<Self>,
        id: &SessionId,
        start: Snapshot,
        expected_position: Option<u64>,
    ) -> Result<SessionInfo> {
        let mut lease = self.lease(id, expected_position)?;
        lease.snapshot.restart(start);
        drop(lease);
        self.info(id)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub fn delete(&self, id: &SessionId, expected_position: Option<u64>) -> Result<()> {
        self.lock_for(id).delete(id, expected_position, self.time.now())
    }

    /// The table in figures, with the sessions that have expired and still take memory.
    pub fn stats(&self) -> SessionStats {
        self.lock_whole().stats()
    }

    /// The bytes of all sessions, added up one by one; the running account must equal this.
    #[cfg(test)]
    pub(super) fn counted_afresh(&self) -> usize {
        self.lock_whole().counted_afresh()
    }

    /// The bounds of this table.
    pub fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// The session for a store, with the effect of a write that is running as far as it is known; `None` if it does not exist. This is
    /// no use of the session.
    pub fn record(&self, id: &SessionId) -> Option<Record> {
        self.lock_whole().record(id, self.time.now(), &self.time)
    }

    /// The time of the table.
    pub(super) fn now(&self) -> Moment {
        self.time.now()
    }

    /// Where changes are noted.
    pub(super) fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.as_ref()
    }

    /// Ends a lease: the session stands where the lease has led.
    pub(super) fn put_back(&self, id: &SessionId, snapshot: &mut Snapshot) {
        let now = self.time.now();
        self.lock().put_back(id, snapshot, now);
    }

    /// Frees the memory of some of the sessions that have expired. Returns whether there may be more.
    ///
    /// A session that has expired does not exist any more for clients, also while it still takes memory. Someone has to call this now and
    /// then; it holds the lock for a piece of the work only.
    pub fn expire(&self) -> bool {
        self.lock_whole().expire(EXPIRED_PIECE, &self.limits, self.time.now())
    }

    /// The table, rid of the session `id` if that has expired.
    fn lock_for(&self, id: &SessionId) -> MutexGuard<'_, Table> {
        let mut table = self.lock();
        table.expire_one(id, &self.limits, self.time.now());
        table
    }

    /// The table, rid of some of what has expired: little enough not to be felt.
    fn lock(&self) -> MutexGuard<'_, Table> {
        let mut table = self.lock_whole();
        table.expire(EXPIRED_EACH, &self.limits, self.time.now());
        table
    }

    pub(super) fn lock_whole(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("bug: a panic under the lock of the sessions")
    }
}

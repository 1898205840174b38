//! The sessions as the rest of the program sees them: those of one owner, in a table of all behind one lock, taken for moments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::moment::{Moment, Timeline};
use super::owner::{Name, Owner};
use super::table::{Table, Terms};
use super::{Changes, Lease, PIECE, SessionId, SessionLimits, Snapshot, Standing};
use crate::clock::Clock;
use crate::error::Result;
use crate::text::ExtraWords;

/// The sessions of one owner. A clone is the same handle; [`Self::of`] gives that of another owner, to the same table.
#[derive(Clone, Debug)]
pub struct Sessions {
    owner: Owner,
    all: Arc<All>,
}

/// The sessions of all owners.
#[derive(Debug)]
struct All {
    limits: SessionLimits,
    time: Timeline,
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
    /// Its weights are no longer served.
    ModelChanged,
    /// Another server wrote to it first.
    Diverged,
}

impl Closed {
    /// The reasons in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::ModelChanged => "model_changed",
            Self::Diverged => "diverged",
        }
    }
}

/// What an owner has, with sessions that have expired and still take memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The number of sessions.
    pub sessions: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// The whole table in figures.
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

impl Sessions {
    /// An empty table, whose sessions end with it, as the handle of anyone.
    pub fn new(limits: SessionLimits, clock: Clock) -> Self {
        Self::noting(limits, clock, None)
    }

    /// An empty table that notes in `changes` what is to be stored, as the handle of anyone.
    pub fn noting(limits: SessionLimits, clock: Clock, changes: Option<Arc<Changes>>) -> Self {
        let time = Timeline::new(clock);
        let table = Mutex::new(Table::new(limits.ttl, time.now(), changes.clone()));
        let all = Arc::new(All { limits, time, table, changes });
        Self { owner: Owner::ANYONE, all }
    }

    /// The sessions of the owner with this name, in the same table.
    pub fn of(&self, owner: &str) -> Self {
        let owner = self.lock_whole().owner_named(owner);
        Self { owner, all: self.all.clone() }
    }

    /// Adds a session.
    ///
    /// # Errors
    /// `SessionExists` or `SessionBusy` when the id is taken, `SessionsFull` when there is no room, `RateLimited` when the owner has as
    /// much as one may have.
    pub fn create(&self, new: NewSession) -> Result<SessionInfo> {
        let id = new.id.clone().unwrap_or_else(SessionId::random);
        let name = self.name(&id);
        let mut table = self.lock_for(&name);
        table.check_free(&name, new.on_existing)?;
        let session = table.admit(&name, new, self.terms())?;
        let info = table.info(&session, &self.all.time);
        table.insert(session);
        Ok(info)
    }

    /// Checks that [`Self::create`] would accept this id now, before the work that leads to a session is done.
    ///
    /// # Errors
    /// As `create`, except for `SessionsFull` and `RateLimited`.
    pub fn check_free(&self, id: &SessionId, on_existing: OnExisting) -> Result<()> {
        let name = self.name(id);
        self.lock_for(&name).check_free(&name, on_existing)
    }

    /// Checks that a session can go back to `position`, without using it.
    ///
    /// # Errors
    /// As [`Self::info`] and [`Snapshot::check_rewind`].
    pub fn check_rewind(&self, id: &SessionId, position: u64) -> Result<()> {
        let name = self.name(id);
        self.lock_for(&name).get(&name, self.now())?.check_rewind(position)
    }

    /// The extra words of a session, without using it.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn extra_words(&self, id: &SessionId) -> Result<Option<Arc<ExtraWords>>> {
        let name = self.name(id);
        Ok(self.lock_for(&name).get(&name, self.now())?.extra_words())
    }

    /// Looks at a session without using it.
    ///
    /// # Errors
    /// `SessionNotFound`, `SessionExpired`, `SessionEvicted`, `ModelChanged`.
    pub fn info(&self, id: &SessionId) -> Result<SessionInfo> {
        let name = self.name(id);
        let table = self.lock_for(&name);
        let session = table.get(&name, self.now())?;
        Ok(table.info(session, &self.all.time))
    }

    /// At most `limit` of the sessions after `after`, in an order that the table chooses and keeps. A session that exists for as long
    /// as its pages are read is listed once; `after` need not exist any more.
    pub fn list(&self, after: Option<&SessionId>, limit: usize) -> Vec<SessionInfo> {
        let table = self.lock_whole();
        let now = self.now();
        let live = table.after(self.owner, after).filter(|session| !session.has_expired(now));
        live.take(limit).map(|session| table.info(session, &self.all.time)).collect()
    }

    /// Whether the owner has sessions of this model, those included that have expired and still take memory.
    pub fn has_any_of(&self, model: &str) -> bool {
        self.lock_whole().has_any_of(self.owner, model)
    }

    /// How a session stands, without the effect of a write that is running. This is no use of the session.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn look(&self, id: &SessionId) -> Result<Standing> {
        let name = self.name(id);
        self.lock_for(&name).look(&name, self.now())
    }

    /// How a session stands, without the effect of a write that is running. This counts as a use.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn read(&self, id: &SessionId) -> Result<Standing> {
        let name = self.name(id);
        self.lock_for(&name).read(&name, self.now())
    }

    /// The right to advance a session.
    ///
    /// # Errors
    /// As [`Self::info`]; `SessionBusy` while another lease is out; `PositionMismatch` when the session does not
    /// stand at `expected_position`.
    pub fn lease(&self, id: &SessionId, expected_position: Option<u64>) -> Result<Lease> {
        let name = self.name(id);
        let lent = self.lock_for(&name).lend(&name, expected_position, self.now())?;
        Ok(Lease::new(id.clone(), lent, self.clone()))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub fn delete(&self, id: &SessionId, expected_position: Option<u64>) -> Result<()> {
        let name = self.name(id);
        self.lock_for(&name).delete(&name, expected_position, self.now())
    }

    /// What the owner has.
    pub fn account(&self) -> Account {
        self.lock_whole().account(self.owner)
    }

    /// What the owners with these names have, in their order.
    pub fn accounts(&self, owners: &[&str]) -> Vec<Account> {
        let table = self.lock_whole();
        owners.iter().map(|owner| table.account_named(owner)).collect()
    }

    /// The table of all owners in figures, with the sessions that have expired and still take memory.
    pub fn stats(&self) -> SessionStats {
        self.lock_whole().stats()
    }

    /// The bytes of all sessions of all owners, added up one by one; the running account must equal this.
    #[cfg(test)]
    pub(super) fn counted_afresh(&self) -> usize {
        self.lock_whole().counted_afresh()
    }

    /// The bounds of this table.
    pub fn limits(&self) -> &SessionLimits {
        &self.all.limits
    }

    /// The time of the table.
    pub(super) fn now(&self) -> Moment {
        self.all.time.now()
    }

    pub(super) fn time(&self) -> &Timeline {
        &self.all.time
    }

    /// Where changes are noted.
    pub(super) fn changes(&self) -> Option<&Arc<Changes>> {
        self.all.changes.as_ref()
    }

    /// What decides now which sessions stay.
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { limits: self.limits(), now: self.now() }
    }

    /// Lets a leased session stand at `snapshot`, if there is room for it. The old state is left in `snapshot`.
    pub(super) fn restart(&self, id: &SessionId, snapshot: &mut Snapshot) -> Result<()> {
        let name = self.name(id);
        self.lock().restart(&name, snapshot, self.terms())
    }

    /// Ends a lease: the session stands where the lease has led.
    pub(super) fn put_back(&self, id: &SessionId, snapshot: &mut Snapshot) {
        let name = self.name(id);
        let mut table = self.lock();
        table.put_back(&name, snapshot, self.terms());
        table.leave_if_changed(&name, self.limits().sessions_max);
    }

    /// Frees the memory of some of the sessions of all owners that have expired. Returns whether there may be more.
    ///
    /// A session that has expired does not exist any more for clients, also while it still takes memory. Someone has to call this now and
    /// then; it holds the lock for a piece of the work only.
    pub fn expire(&self) -> bool {
        self.lock_whole().expire(PIECE, self.limits(), self.now())
    }

    /// The name of a session of this owner, whether it exists or not.
    pub fn name(&self, id: &SessionId) -> Name {
        Name { owner: self.owner, id: id.clone() }
    }

    /// The table, rid of the session `name` if that has expired or its weights are no longer served.
    fn lock_for(&self, name: &Name) -> MutexGuard<'_, Table> {
        let mut table = self.lock();
        table.expire_one(name, self.limits(), self.now());
        table.leave_if_changed(name, self.limits().sessions_max);
        table
    }

    /// The table, rid of some of what has expired: little enough not to be felt.
    fn lock(&self) -> MutexGuard<'_, Table> {
        let mut table = self.lock_whole();
        table.expire(EXPIRED_EACH, self.limits(), self.now());
        table
    }

    pub(super) fn lock_whole(&self) -> MutexGuard<'_, Table> {
        self.all.table.lock().expect("bug: a panic under the lock of the sessions")
    }
}

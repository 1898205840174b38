//! The table below the lock: expiry, eviction, and the account of every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gone::{Gone, GoneSession};
use super::memory::session_bytes;
use super::{
    Closed, Evict, NewSession, OnExisting, SessionId, SessionInfo, SessionLimits, SessionStats, Snapshot,
    Standing,
};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::text::ExtraWords;

#[derive(Debug, Default)]
pub(super) struct Table {
    sessions: BTreeMap<SessionId, Session>,
    /// Idle sessions by last use, the longest unused first.
    by_use: BTreeSet<(Instant, SessionId)>,
    /// Idle sessions by the time at which they expire.
    by_expiry: BTreeSet<(Instant, SessionId)>,
    gone: Gone,
    bytes: usize,
    busy: usize,
    by_model: BTreeMap<Arc<str>, usize>,
    closed: BTreeMap<Closed, u64>,
}

#[derive(Debug)]
pub(super) struct Session {
    model: Arc<str>,
    snapshot: Snapshot,
    extra_words: Option<Arc<ExtraWords>>,
    created: Instant,
    last_used: Instant,
    ttl: Duration,
    busy: Busy,
}

/// A session that is about to be added.
pub(super) struct Newcomer<'a> {
    pub(super) id: &'a SessionId,
    pub(super) session: &'a Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Idle,
    Leased,
}

impl Session {
    pub(super) fn new(new: NewSession, ttl_default: Duration, now: Instant) -> Self {
        let ttl = new.ttl.unwrap_or(ttl_default);
        let NewSession { model, snapshot, extra_words, .. } = new;
        Self { model, snapshot, extra_words, created: now, last_used: now, ttl, busy: Busy::Idle }
    }

    fn standing(&self) -> Standing {
        Standing {
            model: self.model.clone(),
            snapshot: self.snapshot.clone(),
            ttl: self.ttl,
            extra_words: self.extra_words.clone(),
        }
    }

    fn expires(&self) -> Instant {
        self.last_used + self.ttl
    }

    /// Whether it has not been used for its time to live. A busy session is in use.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.busy == Busy::Idle && self.expires() <= now
    }

    /// Bytes that this session takes. Reading on does not change them.
    pub(super) fn bytes(&self, id: &SessionId) -> usize {
        session_bytes(id, &self.snapshot) + self.extra_words.as_ref().map_or(0, |words| words.bytes())
    }

    pub(super) fn extra_words(&self) -> Option<Arc<ExtraWords>> {
        self.extra_words.clone()
    }

    pub(super) fn check_rewind(&self, position: u64) -> Result<()> {
        self.snapshot.check_rewind(position)
    }

    pub(super) fn info(&self, id: &SessionId, clock: &Clock) -> SessionInfo {
        SessionInfo {
            id: id.clone(),
            model: self.model.clone(),
            position: self.snapshot.position,
            state_bytes: self.snapshot.state.bytes(),
            created_at: clock.date(self.created),
            last_used_at: clock.date(self.last_used),
            expires_at: clock.date(self.expires()),
            busy: self.busy == Busy::Leased,
        }
    }
}

impl Table {
    pub(super) fn get(&self, id: &SessionId, now: Instant) -> Result<&Session> {
        self.sessions.get(id).ok_or_else(|| self.gone.error(id, now))
    }

    pub(super) fn after(&self, id: Option<&SessionId>) -> impl Iterator<Item = (&SessionId, &Session)> {
        let start = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.sessions.range((start, Bound::Unbounded))
    }

    pub(super) fn read(&mut self, id: &SessionId, now: Instant) -> Result<Standing> {
        self.touch(id, now);
        Ok(self.get(id, now)?.standing())
    }

    /// Marks a session as busy: from now on it neither expires nor is evicted.
    pub(super) fn lend(
        &mut self,
        id: &SessionId,
        expected_position: Option<u64>,
        now: Instant,
    ) -> Result<Standing> {
        self.check_writable(id, expected_position, now)?;
        self.unlist(id);
        self.busy += 1;
        let session = self.session_mut(id);
        session.busy = Busy::Leased;
        Ok(session.standing())
    }

    pub(super) fn put_back(&mut self, id: &SessionId, snapshot: &mut Snapshot, now: Instant) {
        self.busy -= 1;
        let session = self.session_mut(id);
        std::mem::swap(&mut session.snapshot, snapshot);
        session.busy = Busy::Idle;
        session.last_used = now;
        self.enlist(id);
    }

    pub(super) fn stats(&self) -> SessionStats {
        SessionStats {
            by_model: self.by_model.clone(),
            bytes: self.bytes,
            busy: self.busy,
            closed: self.closed.clone(),
        }
    }

    /// A session that is known to exist: leased, or looked up under the same lock.
    fn session_mut(&mut self, id: &SessionId) -> &mut Session {
        self.sessions.get_mut(id).expect("bug: the session is in the table")
    }

    pub(super) fn check_free(&self, id: &SessionId, on_existing: OnExisting) -> Result<()> {
        match self.sessions.get(id) {
            None => Ok(()),
            Some(session) if session.busy == Busy::Leased => Err(busy(id)),
            Some(_) if on_existing == OnExisting::Replace => Ok(()),
            Some(_) => {
                let message = format!("session `{id}` already exists; the id of a new session must be free");
                Err(Error::new(ErrorKind::SessionExists, message).at("id"))
            }
        }
    }

    pub(super) fn check_writable(
        &self,
        id: &SessionId,
        expected_position: Option<u64>,
        now: Instant,
    ) -> Result<()> {
        let session = self.get(id, now)?;
        if session.busy == Busy::Leased {
            return Err(busy(id));
        }
        let found = session.snapshot.position;
        match expected_position {
            Some(expected) if expected != found => {
                let message = format!("session `{id}` stands at position {found}, expected {expected}");
                Err(Error::new(ErrorKind::PositionMismatch, message).at("expected_position"))
            }
            _ => Ok(()),
        }
    }

    /// Evicts idle sessions until the new one fits, not counting the one that it replaces.
    pub(super) fn make_room(
        &mut self,
        newcomer: &Newcomer<'_>,
        limits: &SessionLimits,
        now: Instant,
    ) -> Result<()> {
        let id = newcomer.id;
        let bytes = newcomer.session.bytes(id);
        let replaced = self.sessions.get(id);
        let replaced_count = usize::from(replaced.is_some());
        let replaced_bytes = replaced.map_or(0, |old| old.bytes(id));
        let fits = |table: &Self| {
            table.sessions.len() - replaced_count < limits.sessions_max
                && table.bytes - replaced_bytes + bytes <= limits.bytes_max
        };
        // No session is evicted for one that would not fit into an empty table.
        let may_evict = limits.evict == Evict::Lru && bytes <= limits.bytes_max && limits.sessions_max > 0;
        // The memory of sessions that have expired comes first.
        let mut may_have_expired = true;
        while may_have_expired && !fits(self) {
            may_have_expired = self.expire(1, limits, now);
        }
        while !fits(self) {
            let oldest = self.by_use.iter().map(|(_, idle)| idle).find(|idle| *idle != id).cloned();
            let Some(oldest) = oldest.filter(|_| may_evict) else { return Err(self.full(limits, bytes)) };
            self.gone.remember(GoneSession { id: oldest.clone(), why: Closed::Evicted, at: now }, limits);
            self.close(&oldest, Closed::Evicted);
        }
        Ok(())
    }

    fn full(&self, limits: &SessionLimits, bytes: usize) -> Error {
        let message = format!(
            "no room for a session of {bytes} bytes: {} of {} sessions (`--sessions-max`), {} of {} bytes (`--sessions-max-bytes`), {} busy",
            self.sessions.len(),
            limits.sessions_max,
            self.bytes,
            limits.bytes_max,
            self.busy,
        );
        Error::new(ErrorKind::SessionsFull, message)
    }

    /// Adds a session. It replaces an idle one of the same id.
    pub(super) fn insert(&mut self, id: SessionId, session: Session) {
        if self.sessions.contains_key(&id) {
            self.close(&id, Closed::Replaced);
        }
        self.gone.revive(&id);
        self.bytes += session.bytes(&id);
        *self.by_model.entry(session.model.clone()).or_default() += 1;
        self.sessions.insert(id.clone(), session);
        self.enlist(&id);
    }

    /// Removes an idle session.
    pub(super) fn close(&mut self, id: &SessionId, why: Closed) {
        self.unlist(id);
        let session = self.sessions.remove(id).expect("bug: only sessions in the table are closed");
        self.bytes -= session.bytes(id);
        *self.by_model.entry(session.model).or_default() -= 1;
        *self.closed.entry(why).or_default() += 1;
    }

    /// Removes up to `count_max` of the sessions that have expired, and forgets as many of those that ended long ago. Returns whether
    /// there may be more of either.
    pub(super) fn expire(&mut self, count_max: usize, limits: &SessionLimits, now: Instant) -> bool {
        for _ in 0..count_max {
            let Some((_, id)) = self.by_expiry.first().filter(|(expires, _)| *expires <= now).cloned() else {
                return self.gone.forget(count_max, now);
            };
            self.close_expired(&id, limits, now);
        }
        true
    }

    /// Removes this session if it has expired.
    pub(super) fn expire_one(&mut self, id: &SessionId, limits: &SessionLimits, now: Instant) {
        if self.sessions.get(id).is_some_and(|session| session.has_expired(now)) {
            self.close_expired(id, limits, now);
        }
    }

    fn close_expired(&mut self, id: &SessionId, limits: &SessionLimits, now: Instant) {
        self.gone.remember(GoneSession { id: id.clone(), why: Closed::Expired, at: now }, limits);
        self.close(id, Closed::Expired);
    }

    fn touch(&mut self, id: &SessionId, now: Instant) {
        let Some(session) = self.sessions.get(id) else { return };
        let idle = session.busy == Busy::Idle;
        self.unlist(id);
        self.session_mut(id).last_used = now;
        if idle {
            self.enlist(id);
        }
    }

    /// Lists an idle session by use and by expiry.
    fn enlist(&mut self, id: &SessionId) {
        let session = &self.sessions[id];
        self.by_use.insert((session.last_used, id.clone()));
        self.by_expiry.insert((session.expires(), id.clone()));
    }

    fn unlist(&mut self, id: &SessionId) {
        let session = &self.sessions[id];
        self.by_use.remove(&(session.last_used, id.clone()));
        self.by_expiry.remove(&(session.expires(), id.clone()));
    }
}

fn busy(id: &SessionId) -> Error {
    Error::new(ErrorKind::SessionBusy, format!("session `{id}` is busy: another write is running on it"))
}

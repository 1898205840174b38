//! The table below the lock: expiry, eviction, and the account of every byte.
//!
//! Sessions lie in one array without gaps, and the index and the orders refer to their positions in it. Creating, using, evicting and
//! expiring a session is O(1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::dense::Dense;
use super::gone::{Gone, GoneSession};
use super::index::{Index, Seed};
use super::lists::{Lists, POSITIONS_MAX, Position};
use super::memory::session_bytes;
use super::moment::{Moment, Timeline};
use super::origins::Origins;
use super::stored::{Beginning, Busy, Scene, Session};
use super::wheel::Wheel;
use super::{
    Changes, Closed, Evict, NewSession, OnExisting, Record, SessionId, SessionInfo, SessionLimits,
    SessionStats, Snapshot, Standing,
};
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Table {
    sessions: Dense<Session>,
    seed: Seed,
    index: Index,
    /// Idle sessions, the longest unused first: one list.
    by_use: Lists,
    /// Idle sessions by the time at which they expire.
    by_expiry: Wheel,
    origins: Origins,
    gone: Gone,
    bytes: usize,
    busy: usize,
    closed: BTreeMap<Closed, u64>,
    /// Where changes are noted, if sessions are stored.
    changes: Option<Arc<Changes>>,
}

/// What decides which sessions stay.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a SessionLimits,
    pub(super) now: Moment,
}

/// The only list of `by_use`.
const IDLE: usize = 0;

impl Table {
    /// An empty table for sessions that live for `ttl_max` or shorter, from `now` on.
    pub(super) fn new(ttl_max: Duration, now: Moment, changes: Option<Arc<Changes>>) -> Self {
        Self {
            sessions: Dense::default(),
            seed: Seed::random(),
            index: Index::new(),
            by_use: Lists::new(1),
            by_expiry: Wheel::new(ttl_max, now),
            origins: Origins::default(),
            gone: Gone::default(),
            bytes: 0,
            busy: 0,
            closed: BTreeMap::new(),
            changes,
        }
    }

    /// Notes that the session at `position` is new, stands elsewhere or ends.
    fn note(&self, position: Position) {
        if let Some(changes) = &self.changes {
            changes.changed(self.at(position).id());
        }
    }

    fn find(&self, id: &SessionId) -> Option<Position> {
        self.index.find(self.seed.hash(id), |position| self.at(position).id() == id)
    }

    fn at(&self, position: Position) -> &Session {
        &self.sessions[position as usize]
    }

    fn at_mut(&mut self, position: Position) -> &mut Session {
        &mut self.sessions[position as usize]
    }

    fn found(&self, id: &SessionId, now: Moment) -> Result<Position> {
        self.find(id).ok_or_else(|| self.gone.error(id, now))
    }

    pub(super) fn get(&self, id: &SessionId, now: Moment) -> Result<&Session> {
        Ok(self.at(self.found(id, now)?))
    }

    pub(super) fn info(&self, session: &Session, time: &Timeline) -> SessionInfo {
        session.info(&self.origins, time)
    }

    /// The sessions after `id`, whether that exists or not, in the order of the index.
    pub(super) fn after(&self, id: Option<&SessionId>) -> impl Iterator<Item = &Session> {
        let start = id.map(|id| (Index::order(self.seed.hash(id)), id.clone()));
        let buckets = self.index.buckets_from(start.as_ref().map_or(0, |(order, _)| *order));
        buckets.flat_map(move |bucket| {
            let sessions = bucket.map(|position| self.at(position));
            let placed = sessions.map(|session| (Index::order(self.seed.hash(session.id())), session));
            let after = |order: u64, session: &Session| {
                start.as_ref().is_none_or(|(start, id)| (order, session.id()) > (*start, id))
            };
            let mut page: Vec<(u64, &Session)> =
                placed.filter(|(order, session)| after(*order, session)).collect();
            page.sort_unstable_by_key(|(order, session)| (*order, session.id()));
            page.into_iter().map(|(_, session)| session)
        })
    }

    pub(super) fn look(&self, id: &SessionId, now: Moment) -> Result<Standing> {
        Ok(self.get(id, now)?.standing(&self.origins))
    }

    pub(super) fn read(&mut self, id: &SessionId, now: Moment) -> Result<Standing> {
        let position = self.found(id, now)?;
        self.unlist(position);
        if let Some(changes) = &self.changes
            && self.at(position).is_prolonged(now)
        {
            changes.used(id);
        }
        self.at_mut(position).set_last_used(now);
        if self.at(position).busy() == Busy::Idle {
            self.enlist(position);
        }
        Ok(self.at(position).standing(&self.origins))
    }

    /// Marks a session as busy: from now on it neither expires nor is evicted.
    pub(super) fn lend(
        &mut self,
        id: &SessionId,
        expected_position: Option<u64>,
        now: Moment,
    ) -> Result<Standing> {
        let position = self.found(id, now)?;
        self.at(position).check_writable(expected_position)?;
        self.unlist(position);
        self.busy += 1;
        self.at_mut(position).set_busy(Busy::Leased);
        Ok(self.at(position).standing(&self.origins))
    }

    pub(super) fn put_back(&mut self, id: &SessionId, snapshot: &mut Snapshot, now: Moment) {
        self.busy -= 1;
        let position = self.find(id).expect("bug: a leased session is in the table");
        let session = self.at_mut(position);
        // A state that was put into the session may have another cache.
        let bytes_before = session_bytes(session);
        session.stand_at(snapshot);
        let bytes = session_bytes(session);
        session.set_busy(Busy::Idle);
        session.set_last_used(now);
        self.bytes = self.bytes - bytes_before + bytes;
        self.enlist(position);
        self.note(position);
    }

    pub(super) fn stats(&self) -> SessionStats {
        SessionStats {
            by_model: self.origins.by_model(),
            bytes: self.bytes,
            busy: self.busy,
            closed: self.closed.clone(),
        }
    }

    pub(super) fn check_free(&self, id: &SessionId, on_existing: OnExisting) -> Result<()> {
        let Some(position) = self.find(id) else { return Ok(()) };
        self.at(position).check_idle()?;
        match on_existing {
            OnExisting::Replace => Ok(()),
            OnExisting::Refuse => {
                let message = format!("session `{id}` already exists; the id of a new session must be free");
                Err(Error::new(ErrorKind::SessionExists, message).at("id"))
            }
        }
    }

    /// Checks that `new` can be added under `id`, which is free or that of an idle session, and makes room for it.
    pub(super) fn admit(&mut self, id: SessionId, new: NewSession, terms: Terms<'_>) -> Result<Session> {
        let Terms { limits, now } = terms;
        let origin = self.origins.number(&new.model, &new.snapshot.identity);
        let ttl = new.ttl.unwrap_or(limits.ttl);
        let session = Session::new(id, new, &Beginning { now, ttl, origin });
        self.make_room(&session, limits, now)?;
        Ok(session)
    }

    /// Evicts idle sessions until the new one fits, not counting the one that it replaces.
    fn make_room(&mut self, new: &Session, limits: &SessionLimits, now: Moment) -> Result<()> {
        let bytes = session_bytes(new);
        let replaced = self.find(new.id()).map(|position| session_bytes(self.at(position)));
        let count_max = limits.sessions_max.min(POSITIONS_MAX);
        let fits = |table: &Self| {
            table.sessions.len() - usize::from(replaced.is_some()) < count_max
                && table.bytes - replaced.unwrap_or_default() + bytes <= limits.bytes_max
        };
        // No session is evicted for one that would not fit into an empty table.
        let may_evict = limits.evict == Evict::Lru && bytes <= limits.bytes_max && count_max > 0;
        // The memory of sessions that have expired comes first.
        let mut may_have_expired = true;
        while may_have_expired && !fits(self) {
            may_have_expired = self.expire(1, limits, now);
        }
        while !fits(self) {
            let oldest = self.longest_unused(new.id()).filter(|_| may_evict);
            let Some(oldest) = oldest else { return Err(self.full(limits, bytes)) };
            self.end(oldest, Closed::Evicted, Terms { limits, now });
        }
        Ok(())
    }

    /// The idle session that was not used for longest, except for `id`.
    fn longest_unused(&self, id: &SessionId) -> Option<Position> {
        let first = self.by_use.first(IDLE)?;
        if self.at(first).id() == id { self.by_use.next(first) } else { Some(first) }
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

    /// Adds a session that was admitted. It replaces an idle one of the same id.
    pub(super) fn insert(&mut self, session: Session) {
        let position = self.place(session);
        self.note(position);
    }

    /// As [`Self::insert`], for a session that is stored already.
    pub(super) fn place(&mut self, session: Session) -> Position {
        if let Some(position) = self.find(session.id()) {
            self.close(position, Closed::Replaced);
        }
        self.gone.revive(session.id());
        self.bytes += session_bytes(&session);
        self.origins.join(session.origin());
        let position = self.sessions.len() as Position;
        self.sessions.push(session);
        let Self { sessions, index, seed, .. } = self;
        index.add(|position| seed.hash(sessions[position as usize].id()));
        self.by_use.add();
        self.by_expiry.add();
        self.enlist(position);
        position
    }

    /// Removes a session that a client ends.
    pub(super) fn delete(
        &mut self,
        id: &SessionId,
        expected_position: Option<u64>,
        now: Moment,
    ) -> Result<()> {
        if self.gone.leave(id) {
            self.note_left(id);
            return Ok(());
        }
        let position = self.found(id, now)?;
        self.at(position).check_writable(expected_position)?;
        self.close(position, Closed::Deleted);
        Ok(())
    }

    /// Removes an idle session.
    fn close(&mut self, position: Position, why: Closed) {
        self.note(position);
        let Self { sessions, index, seed, .. } = self;
        index.swap_remove(position, |position| seed.hash(sessions[position as usize].id()));
        self.by_use.swap_remove(position);
        self.by_expiry.swap_remove(position);
        let session = self.sessions.swap_remove(position as usize);
        self.bytes -= session_bytes(&session);
        self.origins.leave(session.origin());
        *self.closed.entry(why).or_default() += 1;
    }

    /// Removes an idle session, and remembers why.
    fn end(&mut self, position: Position, why: Closed, terms: Terms<'_>) {
        let Terms { limits, now } = terms;
        let id = self.at(position).id().clone();
        self.gone.remember(GoneSession { id, why, at: now }, limits);
        self.close(position, why);
    }

    /// Removes up to `count_max` of the sessions that have expired, and forgets as many of those that ended long ago. Returns whether
    /// there may be more of either.
    pub(super) fn expire(&mut self, count_max: usize, limits: &SessionLimits, now: Moment) -> bool {
        for _ in 0..count_max {
            match self.by_expiry.first_due(now) {
                Some(position) if self.at(position).has_expired(now) => {
                    self.end(position, Closed::Expired, Terms { limits, now });
                }
                Some(position) if self.by_expiry.is_behind(now) => {
                    self.by_expiry.clear(position);
                    self.by_expiry.set(position, self.at(position).expires());
                }
                _ => return self.forget(count_max, now),
            }
        }
        true
    }

    /// Forgets up to `count_max` of those that ended long ago, and the names of stored sessions that were of no use until they expired.
    fn forget(&mut self, count_max: usize, now: Moment) -> bool {
        let left = self.gone.expired(count_max, now);
        left.iter().for_each(|id| self.note_left(id));
        self.gone.forget(count_max, now) || left.len() == count_max
    }

    /// Notes that a stored session is no longer kept.
    fn note_left(&self, id: &SessionId) {
        if let Some(changes) = &self.changes {
            changes.changed(id);
        }
    }

    /// The session for a store, if it exists.
    pub(super) fn record(&self, id: &SessionId, now: Moment, time: &Timeline) -> Option<Record> {
        let session = self.at(self.find(id)?);
        if session.has_expired(now) {
            return None;
        }
        let checkpoint = self.changes.as_ref().and_then(|changes| changes.checkpoint(id));
        Some(session.record(&Scene { origins: &self.origins, time }, checkpoint))
    }

    /// Whether a store is to keep a session of this name.
    pub(super) fn holds(&self, id: &SessionId) -> bool {
        self.find(id).is_some() || self.gone.holds(id)
    }

    /// The sessions of a store that cannot live on.
    pub(super) fn gone_mut(&mut self) -> &mut Gone {
        &mut self.gone
    }

    /// Removes this session if it has expired.
    pub(super) fn expire_one(&mut self, id: &SessionId, limits: &SessionLimits, now: Moment) {
        if let Some(position) = self.find(id).filter(|position| self.at(*position).has_expired(now)) {
            self.end(position, Closed::Expired, Terms { limits, now });
        }
    }

    /// Lists an idle session by use and by expiry.
    fn enlist(&mut self, position: Position) {
        let expires = self.at(position).expires();
        self.by_use.push_back(IDLE, position);
        self.by_expiry.set(position, expires);
    }

    fn unlist(&mut self, position: Position) {
        self.by_use.unlink(position);
        self.by_expiry.clear(position);
    }

    /// The bytes of all sessions, added up one by one; the running account must equal this.
    #[cfg(test)]
    pub(super) fn counted_afresh(&self) -> usize {
        self.sessions.iter().map(session_bytes).sum()
    }
}

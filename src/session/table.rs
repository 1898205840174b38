//! The table below the lock: expiry, eviction, and the account of every byte.
//!
//! Sessions lie in one array without gaps, and the index and the orders refer to their positions in it. Creating, using, evicting and
//! expiring a session is O(1).

mod changed;
mod elsewhere;
mod ending;
mod kept;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(super) use elsewhere::Doom;

use super::accounts::{Accounts, Change};
use super::dense::Dense;
use super::gone::{Ending, Gone};
use super::index::{Index, Place, Seed};
use super::lists::{Lists, POSITIONS_MAX, Position};
use super::memory::{session_bytes, session_bytes_with};
use super::moment::{Moment, Timeline};
use super::origins::Origins;
use super::owner::{Name, Owner, Owners};
use super::stored::{Beginning, Busy, Session};
use super::wheel::Wheel;
use super::{
    Account, Changes, Closed, Evict, Happened, NewSession, OnExisting, SessionId, SessionInfo, SessionLimits,
    SessionStats, Snapshot, Standing, cannot_go_on,
};
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Table {
    sessions: Dense<Session>,
    owners: Owners,
    seed: Seed,
    index: Index,
    /// Idle sessions, the longest unused first: one list.
    by_use: Lists,
    /// Idle sessions by the time at which they expire.
    by_expiry: Wheel,
    origins: Origins,
    gone: Gone,
    accounts: Accounts,
    bytes: usize,
    busy: usize,
    closed: BTreeMap<Closed, u64>,
    /// Where changes are noted, if sessions are stored.
    changes: Option<Arc<Changes>>,
    /// Busy sessions that end when their leases do, because another server has ended them or written to them.
    doomed: HashMap<Name, Doom>,
}

/// What decides which sessions stay.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a SessionLimits,
    pub(super) now: Moment,
}

/// Idle sessions that are looked at for one that may be evicted, under one lock.
const CANDIDATES_MAX: usize = 64;

/// The only list of `by_use`.
const IDLE: usize = 0;

impl Table {
    /// An empty table for sessions that live for `ttl_max` or shorter, from `now` on.
    pub(super) fn new(ttl_max: Duration, now: Moment, changes: Option<Arc<Changes>>) -> Self {
        Self {
            sessions: Dense::default(),
            owners: Owners::default(),
            seed: Seed::random(),
            index: Index::default(),
            by_use: Lists::new(1),
            by_expiry: Wheel::new(ttl_max, now),
            origins: Origins::default(),
            gone: Gone::default(),
            accounts: Accounts::default(),
            bytes: 0,
            busy: 0,
            closed: BTreeMap::new(),
            changes,
            doomed: HashMap::new(),
        }
    }

    fn find(&self, name: &Name) -> Option<Position> {
        let place = Place { owner: name.owner, hash: self.seed.hash(&name.id) };
        self.index.find(place, |position| self.at(position).id() == &name.id)
    }

    fn owner(&self, session: &Session) -> Owner {
        self.origins[session.origin()].owner
    }

    fn name(&self, session: &Session) -> Name {
        Name { owner: self.owner(session), id: session.id().clone() }
    }

    fn at(&self, position: Position) -> &Session {
        &self.sessions[position as usize]
    }

    fn at_mut(&mut self, position: Position) -> &mut Session {
        &mut self.sessions[position as usize]
    }

    fn found(&self, name: &Name, now: Moment) -> Result<Position> {
        let position = self.find(name).ok_or_else(|| self.gone.error(name, now))?;
        match self.why_changed(position) {
            Some(why) => Err(cannot_go_on(name.id.as_str(), why)),
            None => Ok(position),
        }
    }

    pub(super) fn get(&self, name: &Name, now: Moment) -> Result<&Session> {
        Ok(self.at(self.found(name, now)?))
    }

    pub(super) fn info(&self, session: &Session, time: &Timeline) -> SessionInfo {
        session.info(&self.origins, time)
    }

    /// The sessions of `owner` after `id`, whether that exists or not, in the order of the index.
    pub(super) fn after(&self, owner: Owner, id: Option<&SessionId>) -> impl Iterator<Item = &Session> {
        let start = id.map(|id| (Index::order(self.seed.hash(id)), id.clone()));
        let buckets = self.index.buckets_from(owner, start.as_ref().map_or(0, |(order, _)| *order));
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

    pub(super) fn look(&self, name: &Name, now: Moment) -> Result<Standing> {
        Ok(self.get(name, now)?.standing(&self.origins))
    }

    pub(super) fn read(&mut self, name: &Name, now: Moment) -> Result<Standing> {
        let position = self.found(name, now)?;
        self.unlist(position);
        if let Some(changes) = &self.changes
            && self.at(position).is_prolonged(now)
        {
            changes.used(name);
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
        name: &Name,
        expected_position: Option<u64>,
        now: Moment,
    ) -> Result<Standing> {
        let position = self.found(name, now)?;
        self.at(position).check_writable(expected_position)?;
        self.unlist(position);
        self.busy += 1;
        self.at_mut(position).set_busy(Busy::Leased);
        Ok(self.at(position).standing(&self.origins))
    }

    pub(super) fn put_back(&mut self, name: &Name, snapshot: &mut Snapshot, terms: Terms<'_>) {
        self.busy -= 1;
        let position = self.stand_at(name, snapshot);
        let session = self.at_mut(position);
        session.set_busy(Busy::Idle);
        session.set_last_used(terms.now);
        self.enlist(position);
        match self.doomed.remove(name) {
            None => self.note(position, Happened::Changed),
            Some(doom) => self.meet_doom(position, doom, terms),
        }
    }

    /// Lets a leased session stand at `snapshot`, whose state may have another cache. Room is made for it as for a new session that
    /// takes the place of this one, and the session stands there at once, so that nobody else gets that room.
    pub(super) fn restart(&mut self, name: &Name, snapshot: &mut Snapshot, terms: Terms<'_>) -> Result<()> {
        let session = self.at(self.leased(name));
        let bytes = session_bytes_with(session, &snapshot.state);
        // An owner keeps what it has, also if it may have less now.
        if bytes > session_bytes(session) {
            self.make_room(name, bytes, terms)?;
        }
        self.stand_at(name, snapshot);
        Ok(())
    }

    /// Lets a leased session stand at `snapshot`, and counts its bytes anew. Returns where it is.
    fn stand_at(&mut self, name: &Name, snapshot: &mut Snapshot) -> Position {
        let position = self.leased(name);
        let session = self.at_mut(position);
        let before = session_bytes(session);
        session.stand_at(snapshot);
        let after = session_bytes(session);
        self.bytes = self.bytes - before + after;
        self.accounts.resize(name.owner, before, after);
        position
    }

    fn leased(&self, name: &Name) -> Position {
        self.find(name).expect("bug: a leased session is in the table")
    }

    pub(super) fn stats(&self) -> SessionStats {
        SessionStats {
            by_model: self.origins.by_model(),
            bytes: self.bytes,
            busy: self.busy,
            closed: self.closed.clone(),
        }
    }

    /// Whether `owner` has sessions of this model.
    pub(super) fn has_any_of(&self, owner: Owner, model: &str) -> bool {
        self.origins.has_any(owner, model)
    }

    /// What `owner` has.
    pub(super) fn account(&self, owner: Owner) -> Account {
        self.accounts.of(owner)
    }

    /// What the owner with this name has.
    pub(super) fn account_named(&self, owner: &str) -> Account {
        self.owners.find(owner).map(|owner| self.account(owner)).unwrap_or_default()
    }

    pub(super) fn check_free(&self, name: &Name, on_existing: OnExisting) -> Result<()> {
        let Some(position) = self.find(name) else { return Ok(()) };
        let id = &name.id;
        self.at(position).check_idle()?;
        match on_existing {
            OnExisting::Replace => Ok(()),
            OnExisting::Refuse => {
                let message = format!("session `{id}` already exists; the id of a new session must be free");
                Err(Error::new(ErrorKind::SessionExists, message).at("id"))
            }
        }
    }

    /// Checks that `new` can be added under `name`, which is free or that of an idle session, and makes room for it.
    pub(super) fn admit(&mut self, name: &Name, new: NewSession, terms: Terms<'_>) -> Result<Session> {
        let Terms { limits, now } = terms;
        let origin = self.origins.number(name.owner, &new);
        let ttl = new.ttl.unwrap_or(limits.ttl);
        let session = Session::new(name.id.clone(), new, &Beginning { now, ttl, origin });
        self.make_room(name, session_bytes(&session), terms)?;
        Ok(session)
    }

    /// Evicts idle sessions until one of `bytes` fits under this name, not counting the one that it replaces.
    fn make_room(&mut self, name: &Name, bytes: usize, terms: Terms<'_>) -> Result<()> {
        let Terms { limits, now } = terms;
        // Looked up each time: what it replaces may be among what has expired.
        let change = |table: &Self| {
            let replaced = table.find(name).map(|position| session_bytes(table.at(position)));
            Change { new: bytes, replaced }
        };
        let count_max = limits.sessions_max.min(POSITIONS_MAX);
        let fits = |table: &Self| {
            let Change { new, replaced } = change(table);
            table.sessions.len() - usize::from(replaced.is_some()) < count_max
                && table.bytes - replaced.unwrap_or_default() + new <= limits.bytes_max
        };
        // No session is evicted for one that would not fit into an empty table.
        let may_evict = limits.evict == Evict::Lru && bytes <= limits.bytes_max && count_max > 0;
        // The memory of sessions that have expired comes first.
        let has_quota = |table: &Self| table.accounts.check(name.owner, limits.each_owner, change(table));
        let mut may_have_expired = true;
        while may_have_expired && !(fits(self) && has_quota(self).is_ok()) {
            may_have_expired = self.expire(1, limits, now);
        }
        // Before any eviction: nobody loses a session to one that is refused.
        has_quota(self)?;
        while !fits(self) {
            let oldest = self.longest_unused(name).filter(|_| may_evict);
            let Some(oldest) = oldest else { return Err(self.full(limits, bytes)) };
            self.end(oldest, Ending::Evicted, terms);
        }
        Ok(())
    }

    /// The idle session that was not used for longest, except for the one with this name and for those that must not be evicted.
    fn longest_unused(&self, name: &Name) -> Option<Position> {
        let named = self.find(name);
        let idle = std::iter::successors(self.by_use.first(IDLE), |&position| self.by_use.next(position));
        let mut candidates = idle.filter(|&position| Some(position) != named).take(CANDIDATES_MAX);
        candidates.find(|&position| self.may_evict(position))
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
        self.note(position, Happened::Changed);
    }

    /// As [`Self::insert`], for a session that is stored already.
    pub(super) fn place(&mut self, session: Session) -> Position {
        let name = self.name(&session);
        if let Some(position) = self.find(&name) {
            self.close(position, Closed::Replaced);
        }
        self.gone.revive(&name);
        let bytes = session_bytes(&session);
        self.bytes += bytes;
        self.accounts.add(name.owner, bytes);
        self.origins.join(session.origin());
        let position = self.sessions.len() as Position;
        self.sessions.push(session);
        let Self { sessions, index, seed, origins, .. } = self;
        index.add(|position| place_of(&sessions[position as usize], seed, origins));
        self.by_use.add();
        self.by_expiry.add();
        self.enlist(position);
        position
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

/// Where the index has a session.
fn place_of(session: &Session, seed: &Seed, origins: &Origins) -> Place {
    Place { owner: origins[session.origin()].owner, hash: seed.hash(session.id()) }
}

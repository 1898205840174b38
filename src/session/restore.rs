//! Sessions of a store live on in a new table.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::gone::UnusableSession;
use super::table::{Table, Terms};
use super::{NewSession, OnExisting, OwnerLimits, Record, SessionLimits, Sessions, Unusable};
use crate::error::Result;

/// A session of a store, and the model that it belongs to.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The session.
    pub record: Record,
    /// The number of tokens of its model.
    pub vocab_size: usize,
}

impl Restored {
    /// The same session with its way back, as far as `limits` allow. It is made before a table is locked, because it takes memory.
    pub(super) fn with_history(mut self, limits: &SessionLimits) -> Self {
        let Record { snapshot, rewind_tokens, .. } = self.record;
        let snapshot = snapshot.with_history(rewind_tokens.min(limits.rewind_max));
        self.record = Record { snapshot, ..self.record };
        self
    }

    /// The same session, used when it must have been to live for `ttl` from `now`.
    pub fn living_for(mut self, ttl: Duration, now: SystemTime) -> Self {
        self.record.last_used_at = now + ttl.min(self.record.ttl) - self.record.ttl;
        self
    }
}

impl Sessions {
    /// Adds a session of a store, for its owner. Those that were used longest ago must be added first. Returns whether it still lives: one
    /// that has expired is not added.
    ///
    /// An owner keeps what it has, also if it may have less now: it can create no more then. Otherwise a session could be lost by a restart. A
    /// session that may go back farther than the limits allow now is kept too, and goes back as far as they allow.
    ///
    /// # Errors
    /// `SessionsFull` when there is no room and sessions are not evicted.
    pub fn restore(&self, restored: Restored) -> Result<bool> {
        let restored = restored.with_history(self.limits());
        self.restore_in(&mut self.lock_whole(), restored)
    }

    /// As [`Self::restore`], in the table that was locked. The session has its history.
    pub(super) fn restore_in(&self, table: &mut Table, restored: Restored) -> Result<bool> {
        let Restored { record, vocab_size } = restored;
        let Record { name, model, snapshot, ttl, extra_words, created_at, last_used_at, .. } = record;
        let last_used = self.time().moment(last_used_at);
        let now = self.now();
        if last_used.after(ttl) <= now {
            return Ok(false);
        }
        let new = NewSession {
            id: None,
            model,
            vocab_size,
            snapshot,
            ttl: Some(ttl),
            extra_words,
            on_existing: OnExisting::Replace,
        };
        let limits = SessionLimits { each_owner: OwnerLimits::default(), ..self.limits().clone() };
        let name = table.name_of(&name);
        let mut session = table.admit(&name, new, Terms { limits: &limits, now })?;
        session.set_created(self.time().moment(created_at));
        session.set_last_used(last_used);
        table.place(session);
        Ok(true)
    }

    /// Remembers the sessions of a store that cannot live on, so that their clients are told why until they would have expired.
    pub fn remember_unusable(&self, sessions: Vec<Unusable>) {
        let mut table = self.lock_whole();
        let gone: Vec<UnusableSession> = sessions
            .into_iter()
            .map(|Unusable { name, why, expires_at }| UnusableSession {
                name: table.name_of(&name),
                why: Arc::from(why),
                until: self.time().moment_ahead(expires_at),
            })
            .collect();
        table.gone_mut().set_unusable(gone);
    }
}

//! Sessions of a store live on in a new table.

use std::sync::Arc;

use super::gone::UnusableSession;
use super::table::Terms;
use super::{NewSession, OnExisting, Record, SessionId, Sessions, Unusable};
use crate::error::Result;

/// A session of a store, and the model that it belongs to.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The session.
    pub record: Record,
    /// The number of tokens of its model.
    pub vocab_size: usize,
}

impl Sessions {
    /// Adds a session of a store. Those that were used longest ago must be added first. Returns whether it still lives: one that has expired
    /// is not added.
    ///
    /// # Errors
    /// `SessionsFull` when there is no room and sessions are not evicted.
    pub fn restore(&self, restored: Restored) -> Result<bool> {
        let Restored { record, vocab_size } = restored;
        let Record { id, model, snapshot, rewind_tokens, ttl, extra_words, created_at, last_used_at } =
            record;
        let last_used = self.time.moment(last_used_at);
        let now = self.time.now();
        if last_used.after(ttl) <= now {
            return Ok(false);
        }
        let new = NewSession {
            id: None,
            model,
            vocab_size,
            snapshot: snapshot.with_history(rewind_tokens),
            ttl: Some(ttl),
            extra_words,
            on_existing: OnExisting::Replace,
        };
        let mut table = self.lock_whole();
        let mut session = table.admit(id, new, Terms { limits: &self.limits, now })?;
        session.set_created(self.time.moment(created_at));
        session.set_last_used(last_used);
        table.place(session);
        Ok(true)
    }

    /// Remembers the sessions of a store that cannot live on, so that their clients are told why until they would have expired.
    pub fn remember_unusable(&self, sessions: Vec<Unusable>) {
        let mut gone: Vec<UnusableSession> = sessions
            .into_iter()
            .map(|Unusable { id, why, expires_at }| UnusableSession {
                id,
                why: Arc::from(why),
                until: self.time.moment_ahead(expires_at),
            })
            .collect();
        gone.sort_by_key(|session| session.until);
        self.lock_whole().gone_mut().set_unusable(gone);
    }

    /// Whether a store is to keep an entry of this name: that of a session, or of one that cannot live on.
    pub fn holds(&self, id: &SessionId) -> bool {
        self.lock_whole().holds(id)
    }
}

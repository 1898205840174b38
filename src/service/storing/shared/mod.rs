//! Sessions that several servers share through one store.
//!
//! Each use of a session begins by asking the store whether another server has written to it ([`Service::meet_session`]), and each write by
//! claiming it ([`Service::claim`]). One thread owns the connection, and everything that is known of the stored sessions ([`Replica`]). Requests
//! ask it and wait, at most for `--store-timeout`. While the store is lost they do not ask, and sessions are served from memory.

mod copies;
mod replica;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::writer::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::service::refusal::counted;
use crate::session::{Changes, Name, SessionId};

pub(super) use replica::{Findings, Replica, Terms};
pub(super) use thread::run;

/// Most requests that wait for the thread, unless `--queue-max` is lower; their places are allocated at the start.
pub(super) const WAITING_MAX: usize = 1 << 16;

/// What a server wants with a session before it uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
    /// Under an id that may be free.
    Create,
}

/// A question of a request, and where its answer goes.
pub(super) struct Ask {
    name: Name,
    wish: Wish,
    answer: oneshot::Sender<Answer>,
}

/// A claim for a wish to write; `None` without a store that answers.
type Answer = Result<Option<Claim>>;

/// The right to begin a write. The write itself keeps the claim once it has its lease.
pub(in crate::service) struct Claim {
    name: Name,
    changes: Arc<Changes>,
    /// Shared with what the thread knows of the session.
    token: Option<Arc<()>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.token = None;
        // If there is no write, the claim is given back.
        self.changes.used(&self.name);
    }
}

/// How requests ask the thread of a shared store.
pub(super) struct Asking {
    pub(super) asks: SyncSender<Ask>,
    pub(super) changes: Arc<Changes>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) timeout: Duration,
    /// Most sessions that wait to be stored before new writes are refused.
    pub(super) waiting_max: usize,
}

impl Asking {
    async fn ask(&self, name: Name, wish: Wish) -> Answer {
        if self.progress.borrow().is_failing {
            return Ok(None);
        }
        let (answer, answered) = oneshot::channel();
        match self.asks.try_send(Ask { name, wish, answer }) {
            Ok(()) => self.changes.call(),
            Err(TrySendError::Full(_)) => {
                let message = "too many requests wait for the session store; the maximum is that of waiting jobs (`--queue-max`)";
                return Err(Error::new(ErrorKind::QueueFull, message));
            }
            // The server ends.
            Err(TrySendError::Disconnected(_)) => return Ok(None),
        }
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Refuses a write whose session would be one too many of those that wait to be stored.
    fn check_room(&self) -> Result<()> {
        let waiting = self.changes.count();
        if waiting < self.waiting_max {
            return Ok(());
        }
        let message = format!(
            "{waiting} sessions wait for the session store; the maximum is {} (`--store-queue-max`)",
            self.waiting_max
        );
        Err(Error::new(ErrorKind::SessionsFull, message))
    }
}

impl Service {
    /// Lets the session `id` be as the store has it, if servers share one. Every use of a session begins with this. An id that cannot be one
    /// is refused later.
    ///
    /// # Errors
    /// `SessionDiverged`, once; no room for a session that must be loaded.
    pub async fn meet_session(&self, id: &str) -> Result<()> {
        let Some(asking) = self.asking() else { return Ok(()) };
        let Ok(id) = SessionId::parse(id) else { return Ok(()) };
        let name = self.sessions.name(&id);
        self.sessions.tell_divergence(&name)?;
        if self.sessions.is_unstored(&name) {
            return Ok(());
        }
        self.ask(asking, name, Wish::Read).await.map(drop)
    }

    /// The right to begin a write to the session `id`. Kept until the write has its lease.
    ///
    /// # Errors
    /// `SessionBusy` if another server writes to it; as [`Self::meet_session`]; too much that is not stored.
    pub(in crate::service) async fn claim(&self, id: &SessionId) -> Result<Option<Claim>> {
        self.claimed(id, Wish::Write).await
    }

    /// The same for a session that is to be created.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub(in crate::service) async fn claim_new(&self, id: Option<&SessionId>) -> Result<Option<Claim>> {
        match (id, self.asking()) {
            (Some(id), _) => self.claimed(id, Wish::Create).await,
            // An id that is made up is free.
            (None, Some(asking)) => self.check_store_room(asking).map(|()| None),
            (None, None) => Ok(None),
        }
    }

    async fn claimed(&self, id: &SessionId, wish: Wish) -> Result<Option<Claim>> {
        let Some(asking) = self.asking() else { return Ok(None) };
        self.check_store_room(asking)?;
        self.ask(asking, self.sessions.name(id), wish).await
    }

    fn check_store_room(&self, asking: &Asking) -> Result<()> {
        counted(&self.metrics, asking.check_room())
    }

    /// The answer, for which the request waits.
    async fn ask(&self, asking: &Asking, name: Name, wish: Wish) -> Answer {
        let timer = self.store_timer();
        let _timed = timer.begin();
        counted(&self.metrics, asking.ask(name, wish).await)
    }

    fn asking(&self) -> Option<&Asking> {
        self.storing.as_ref()?.asking.as_ref()
    }
}

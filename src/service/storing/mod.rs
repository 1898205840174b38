//! Sessions survive the process: they are written to a store behind the requests that change them, and read from it at the start. Servers
//! can share a store ([`shared`]), from which sessions are read when they are used.
//!
//! The table notes which sessions have changed ([`Changes`]); a thread of its own writes them ([`writer`]). No engine and no request waits for
//! the store, unless `--store-flush` is zero: then [`Service::settled`] waits before an answer is sent.
//!
//! The table decides what exists in a store of its own. What it ends, by deletion, expiry or eviction, is removed from the store.

mod entry;
mod shared;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::catalog::Registry;
use crate::clock::Clock;
use crate::config::{Config, SessionStore};
use crate::error::{Error, ErrorKind, Result};
use crate::session::{ChangeLimits, Changes, Eviction, PIECE, SessionId, SessionLimits, Sessions, Unusable};
use crate::store::{self, Change, FileStore, RedisStore, SharedStore, Store};
use crate::telemetry::Metrics;
use entry::Found;
use shared::{Asking, Findings, Replica, Terms};
use writer::{Anew, Models, Progress, Writer};

/// The sessions, and the store that they survive in, if there is one.
pub(super) struct Kept {
    /// Those of anyone.
    pub(super) sessions: Sessions,
    pub(super) storing: Option<Storing>,
}

/// What sessions are kept with.
pub(super) struct Keeping<'a> {
    pub(super) config: &'a Config,
    pub(super) limits: SessionLimits,
    pub(super) models: &'a Arc<Registry>,
    pub(super) metrics: &'a Metrics,
    pub(super) clock: &'a Clock,
}

/// The thread that writes to the store. Dropping it writes what is left.
pub(super) struct Storing {
    changes: Arc<Changes>,
    progress: watch::Receiver<Progress>,
    flush: Duration,
    /// How requests ask a shared store.
    asking: Option<Asking>,
    /// Joined once.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What to wait for before an answer is sent.
#[derive(Clone)]
pub(super) struct Settling {
    changes: Arc<Changes>,
    progress: watch::Receiver<Progress>,
}

impl Keeping<'_> {
    /// The table of sessions, with those of the store in it.
    ///
    /// # Errors
    /// A store that cannot be opened or read, or holds more sessions than there is room for.
    pub(super) fn open(self) -> Result<Kept> {
        match &self.config.sessions.session_store {
            SessionStore::Memory => {
                let sessions = Sessions::new(self.limits, self.clock.clone());
                Ok(Kept { sessions, storing: None })
            }
            SessionStore::File(folder) => self.over(Box::new(FileStore::open(folder)?)),
            SessionStore::Redis(url) => {
                let timeout = self.config.sessions.store_timeout;
                self.sharing(Box::new(RedisStore::new(url.secret(), timeout)?))
            }
        }
    }

    /// The table of a server that shares `store` with others. It is empty: sessions are loaded when they are used.
    fn sharing(self, store: Box<dyn SharedStore>) -> Result<Kept> {
        let options = &self.config.sessions;
        let models = self.models.clone();
        let limits = ChangeLimits {
            // Beside those that may wait, sessions that are in the table may end.
            sessions_max: options.store_queue_max.saturating_add(options.sessions_max),
            interval: options.store_flush,
            eviction: Eviction::Keeps,
        };
        let changes = Arc::new(Changes::new(limits));
        let sessions = Sessions::noting(self.limits, self.clock.clone(), Some(changes.clone()));
        let me = getrandom::u64().map_err(|error| {
            Error::internal(format!("the system has no random number for this server: {error}"))
        })?;
        let replica = Replica {
            sessions: sessions.clone(),
            changes: changes.clone(),
            models,
            store,
            clock: self.clock.clone(),
            metrics: self.metrics.store(),
            terms: Terms { me: store::Replica(me), hold: options.store_claim, mark: options.session_ttl },
            findings: Findings::default(),
        };
        let (asks, asked) =
            std::sync::mpsc::sync_channel(self.config.engine.queue_max.min(shared::WAITING_MAX));
        let progress = replica.findings.progress.subscribe();
        let asking = Asking {
            asks,
            changes: changes.clone(),
            progress: progress.clone(),
            timeout: options.store_timeout,
            waiting_max: options.store_queue_max,
        };
        let flush = options.store_flush;
        let thread = started(move || shared::run(replica, &asked, flush))?;
        let storing = Storing { changes, progress, flush, asking: Some(asking), thread };
        Ok(Kept { sessions, storing: Some(storing) })
    }

    fn over(self, mut store: Box<dyn Store>) -> Result<Kept> {
        let options = &self.config.sessions;
        let models = self.models.clone();
        let limits = ChangeLimits {
            sessions_max: options.store_queue_max,
            interval: options.store_flush,
            eviction: Eviction::Removes,
        };
        let changes = Arc::new(Changes::new(limits));
        let sessions = Sessions::noting(self.limits, self.clock.clone(), Some(changes.clone()));
        let metrics = self.metrics.store();
        let begun = self.clock.now();
        let Read { restored, unusable, damaged, expired } = read(&mut *store, &models, &sessions)?;
        metrics.damaged(damaged);
        let took = self.clock.now().saturating_duration_since(begun);
        tracing::info!(sessions = restored, expired, unusable, damaged, ?took, "sessions restored");
        let writer = Writer {
            sessions: sessions.clone(),
            changes: changes.clone(),
            models,
            store,
            clock: self.clock.clone(),
            metrics,
            progress: watch::Sender::new(Progress::default()),
            anew: Anew::No,
            page: PIECE,
        };
        let progress = writer.progress.subscribe();
        let flush = options.store_flush;
        let thread = started(move || writer.run(flush))?;
        let storing = Storing { changes, progress, flush, asking: None, thread };
        Ok(Kept { sessions, storing: Some(storing) })
    }
}

/// What was found in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Read {
    restored: usize,
    /// Of weights that are not here.
    unusable: usize,
    damaged: usize,
    expired: usize,
}

/// Adds the sessions of `store` to the table. Those that are damaged or have expired are removed from the store.
fn read(store: &mut dyn Store, models: &Models, sessions: &Sessions) -> Result<Read> {
    let mut read = Read::default();
    let mut found = Vec::new();
    let mut dropped = Vec::new();
    let mut unusable: Vec<Unusable> = Vec::new();
    store.load(&mut |key, bytes| match entry::read(key, bytes, |name| models.get(name)) {
        Ok(Found::Session(session)) => found.push(session),
        Ok(Found::Unusable(session)) => unusable.push(session),
        Err(error) => {
            tracing::error!(session = key, %error, "a stored session is dropped");
            read.damaged += 1;
            dropped.push(Change::Remove { key: key.to_owned() });
        }
    })?;
    // The table evicts those first that were added first.
    found.sort_by_key(|session| session.record.last_used_at);
    let count = found.len();
    for session in found {
        let key = session.record.name.to_string();
        let is_alive = sessions.restore(*session).map_err(|error| {
            let message = format!("the session store holds {count} sessions: {}", error.message);
            Error::new(ErrorKind::Config, message)
        })?;
        match is_alive {
            true => read.restored += 1,
            false => {
                read.expired += 1;
                dropped.push(Change::Remove { key });
            }
        }
    }
    read.unusable = unusable.len();
    sessions.remember_unusable(unusable);
    if !dropped.is_empty() {
        store.write(&dropped)?;
    }
    Ok(read)
}

/// The thread of a store.
fn started(run: impl FnOnce() + Send + 'static) -> Result<Mutex<Option<JoinHandle<()>>>> {
    let thread = std::thread::Builder::new().name("store".to_owned()).spawn(run);
    let thread = thread.map_err(|error| {
        Error::internal(format!("the thread of the session store cannot be started: {error}"))
    })?;
    Ok(Mutex::new(Some(thread)))
}

impl Storing {
    /// Writes what is left, and ends. What changes later is not stored.
    pub(super) fn finish(&self) {
        self.changes.close();
        let mut thread = self.thread.lock().expect("bug: a panic while a thread was joined");
        if let Some(thread) = thread.take() {
            // A panic was logged.
            let _ = thread.join();
        }
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Settling {
    /// Returns when all that has changed so far is stored, or the store has failed and sessions live in memory.
    pub(super) async fn settle(&mut self) {
        let ticket = self.changes.last();
        let is_settled = |progress: &Progress| progress.is_failing || progress.stored >= ticket;
        // The writer ends with the service: then nobody can wait any longer.
        let _ = self.progress.wait_for(is_settled).await;
    }
}

impl Service {
    /// Writes the gauges of the store.
    pub(super) fn observe_store(&self) {
        if let Some(storing) = &self.storing {
            let is_settled = storing.progress.borrow().stored == storing.changes.last();
            // What is being written waits too.
            let waiting = if is_settled { 0 } else { storing.changes.count().max(1) };
            self.metrics.store().waiting(waiting);
        }
    }

    /// What answers wait for; `None` if they do not.
    pub(super) fn settling(&self) -> Option<Settling> {
        let storing = self.storing.as_ref().filter(|storing| storing.flush.is_zero())?;
        Some(Settling { changes: storing.changes.clone(), progress: storing.progress.clone() })
    }

    /// What `write` to the session `id` returns, once it is stored as the options want it; an error if another server wrote first.
    pub(super) async fn settled_in<T, E: From<Error>>(
        &self,
        id: &str,
        write: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let outcome = self.settled(write).await;
        let waits = self.storing.as_ref().is_some_and(|storing| storing.flush.is_zero());
        if waits
            && outcome.is_ok()
            && let Ok(id) = SessionId::parse(id)
            && let Some(error) = self.sessions.lost_write(&id)
        {
            return Err(error.into());
        }
        outcome
    }

    /// What `write` returns, once what it has changed is stored as the options want it.
    pub(super) async fn settled<T>(&self, write: impl Future<Output = T>) -> T {
        let outcome = write.await;
        if let Some(mut settling) = self.settling() {
            let timer = self.store_timer();
            let _timed = timer.begin();
            settling.settle().await;
        }
        outcome
    }
}

//! The writer: takes the sessions that have changed, and writes them to the store as a group.
//!
//! The only place that waits for a store is the thread that runs a writer. What cannot be written goes back to where it was taken from and
//! is tried again, so that a store that comes back catches up; meanwhile sessions live in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::entry;
use crate::catalog::Registry;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::session::{Changes, Name, Record, Sessions, StoredName, Taken, Ticket};
use crate::store::{Change, Store};
use crate::telemetry::StoreMetrics;

/// Most sessions of a group.
const GROUP_MAX: usize = 4096;

/// How long a writer waits after the first of several failures, and at most.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(5);

/// The models by name.
pub(super) type Models = Arc<Registry>;

/// How far the store has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The ticket up to which every change is stored.
    pub(super) stored: Ticket,
    /// Whether the last group could not be written.
    pub(super) is_failing: bool,
}

/// What a writer needs.
pub(super) struct Writer {
    pub(super) sessions: Sessions,
    pub(super) changes: Arc<Changes>,
    pub(super) models: Models,
    pub(super) store: Box<dyn Store>,
    pub(super) clock: Clock,
    pub(super) metrics: StoreMetrics,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) anew: Anew,
    /// Sessions that are looked at under one lock when all must be stored anew.
    pub(super) page: usize,
}

/// Whether all sessions are being stored anew, because some changes were not noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Anew {
    /// They are not.
    #[default]
    No,
    /// What the store must not keep is removed first.
    Removing,
    /// The sessions after this one are still to be written.
    After(Option<Name>),
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything is stored.
    Idle,
    /// A group was written; there may be more.
    Wrote,
    /// The store has failed.
    Failed,
}

impl Writer {
    /// Writes until nothing more will come, and then what is left. A change waits for `flush`, so that others join it.
    pub(super) fn run(mut self, flush: Duration) {
        let mut retry = RETRY_FIRST;
        while self.wait() {
            self.changes.pause(flush);
            match self.write_all() {
                Step::Failed => {
                    self.changes.pause(retry);
                    retry = (retry * 2).min(RETRY_MAX);
                }
                Step::Idle | Step::Wrote => retry = RETRY_FIRST,
            }
        }
        if self.write_all() == Step::Failed {
            let left = self.changes.count();
            tracing::error!(sessions = left, "the session store has failed, and the last changes are lost");
        }
    }

    /// Waits until there is something to write. Returns whether changes may still come.
    fn wait(&self) -> bool {
        match self.anew {
            Anew::No => self.changes.wait(),
            // What is still to be stored anew is not among the changes.
            Anew::Removing | Anew::After(_) => self.changes.is_open(),
        }
    }

    /// Writes until everything is stored, or the store fails.
    fn write_all(&mut self) -> Step {
        loop {
            match self.step() {
                Step::Wrote => {}
                last => return last,
            }
        }
    }

    /// Writes a group.
    pub(super) fn step(&mut self) -> Step {
        if self.changes.take_overflow() {
            self.anew = Anew::Removing;
        }
        let taken = self.changes.take(GROUP_MAX);
        if taken.0.is_empty() && self.anew == Anew::No {
            return self.tell(Step::Idle);
        }
        match self.write(&taken) {
            Ok(()) => {
                self.changes.stored();
                self.tell(Step::Wrote)
            }
            Err(error) => {
                self.changes.put_back(taken);
                complain(&self.progress, &self.metrics, &error);
                Step::Failed
            }
        }
    }

    /// Writes `taken` and, if all are stored anew, the next page of the others.
    fn write(&mut self, taken: &Taken) -> Result<()> {
        if self.anew == Anew::Removing {
            self.remove_strangers()?;
        }
        let page = match &self.anew {
            Anew::After(last) => self.sessions.names(last.as_ref(), self.page),
            Anew::No | Anew::Removing => Vec::new(),
        };
        let names = taken.0.iter().map(|named| &named.name).chain(&page);
        let group: Vec<Change> = names.filter_map(|name| self.change(name)).collect();
        if !group.is_empty() {
            let begun = self.clock.now();
            guarded(|| self.store.write(&group))?;
            self.metrics.wrote(group.len(), self.clock.now().saturating_duration_since(begun));
        }
        if self.anew != Anew::No {
            self.anew = page.last().map_or(Anew::No, |last| Anew::After(Some(last.clone())));
        }
        Ok(())
    }

    /// Removes from the store what the table does not know.
    fn remove_strangers(&mut self) -> Result<()> {
        let sessions = self.sessions.clone();
        let keep = |key: &str| StoredName::parse(key).is_ok_and(|name| sessions.holds(&name));
        guarded(|| self.store.retain(&keep))?;
        self.anew = Anew::After(None);
        Ok(())
    }

    /// The session as it stands now, or its removal; `None` if it cannot be written, which must not keep others from it.
    fn change(&self, name: &Name) -> Option<Change> {
        let key = self.sessions.stored_name(name).to_string();
        let Some(record) = self.sessions.record(name) else {
            // What has left because its model was changed stays as it was stored last.
            return (!self.sessions.has_left(name)).then_some(Change::Remove { key });
        };
        match bytes_of(&self.models, &record)? {
            Ok(bytes) => Some(Change::Put { key, bytes }),
            Err(error) => {
                self.metrics.failed();
                tracing::error!(%error, "a session cannot be stored");
                None
            }
        }
    }

    /// Tells those who wait what is stored.
    fn tell(&mut self, step: Step) -> Step {
        let settled = self.changes.settled().filter(|_| self.anew == Anew::No);
        let stored = settled.unwrap_or_else(|| self.progress.borrow().stored);
        tell(&self.progress, stored, &self.changes);
        step
    }
}

/// The entry of a session; `None` if its weights are no longer served. A write that began before its model was changed may still run: its
/// session is about to leave.
pub(super) fn bytes_of(models: &Models, record: &Record) -> Option<Result<Vec<u8>>> {
    let served = models.get(&record.model).filter(|served| *served.identity == *record.snapshot.identity)?;
    Some(entry::write(&served, record))
}

/// Tells those who wait what is stored.
pub(super) fn tell(progress: &watch::Sender<Progress>, stored: Ticket, changes: &Changes) {
    let before = progress.send_replace(Progress { stored, is_failing: false });
    if before.is_failing {
        tracing::info!(waiting = changes.count(), "the session store works again");
    }
}

/// Says once that the store has failed: until it works again, its errors are counted only.
pub(super) fn complain(progress: &watch::Sender<Progress>, metrics: &StoreMetrics, error: &Error) {
    metrics.failed();
    let is_news = progress.send_if_modified(|progress| !std::mem::replace(&mut progress.is_failing, true));
    if is_news {
        tracing::error!(%error, "the session store has failed; sessions are in memory only until it works again");
    }
}

/// Calls a store. A panic in it is a failure.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let called = catch_unwind(AssertUnwindSafe(call));
    called.unwrap_or_else(|_| Err(Error::internal("internal error: the session store panicked")))
}

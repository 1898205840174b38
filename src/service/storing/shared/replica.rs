//! One of the servers that share a store: what it asks the store, and what follows from the replies.
//!
//! The store decides which write is the first of a version. A copy rests on a version; where the store has another, a copy with nothing of its
//! own is replaced, and one with writes that were not stored has diverged: it is dropped, and its clients are told. A store that is lost
//! changes nothing: what could not be written waits, and rests on the version that it rested on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::copies::Copies;
use super::{Answer, Ask, Claim, Wish};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::service::storing::entry::{self, Found};
use crate::service::storing::writer::{Models, Progress, Step, bytes_of, complain, guarded, tell};
use crate::session::{Changes, Happened, Name, Named, Record, Reload, Sessions, Taken};
use crate::store::{self, Action, Call, Reply, Reserve, SharedStore, Stored, Version};
use crate::telemetry::StoreMetrics;

/// Most sessions that are written together: few enough that requests between two groups do not wait long.
const GROUP_MAX: usize = 64;

/// What a replica needs.
pub(in crate::service::storing) struct Replica {
    pub(in crate::service::storing) sessions: Sessions,
    pub(in crate::service::storing) changes: Arc<Changes>,
    pub(in crate::service::storing) models: Models,
    pub(in crate::service::storing) store: Box<dyn SharedStore>,
    pub(in crate::service::storing) clock: Clock,
    pub(in crate::service::storing) metrics: StoreMetrics,
    pub(in crate::service::storing) terms: Terms,
    pub(in crate::service::storing) findings: Findings,
}

/// Who a replica is, and how long what it leaves in the store lasts.
#[derive(Clone, Copy, Debug)]
pub(in crate::service::storing) struct Terms {
    /// Who it is.
    pub(in crate::service::storing) me: store::Replica,
    /// How long a claim lasts if it is not renewed.
    pub(in crate::service::storing) hold: Duration,
    /// How long the mark of a deletion lasts.
    pub(in crate::service::storing) mark: Duration,
}

/// What a replica finds out. At first it knows nothing of the store.
#[derive(Default)]
pub(in crate::service::storing) struct Findings {
    pub(in crate::service::storing) progress: watch::Sender<Progress>,
    pub(super) copies: Copies,
    /// The number of the last write.
    writes: u64,
}

/// A session that is written, and what is asked for it.
struct Write {
    name: Name,
    happened: Happened,
    call: Call,
}

impl Replica {
    /// Whether the last call has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.findings.progress.borrow().is_failing
    }

    /// Answers what requests ask; with nothing if the store is lost.
    pub(super) fn answer(&mut self, asks: Vec<Ask>) {
        let calls: Vec<Call> = asks.iter().map(|ask| self.question(&ask.name, ask.wish)).collect();
        let replies = if self.is_failing() { None } else { self.ask_store(&calls) };
        let mut replies = replies.into_iter().flatten();
        for Ask { name, wish, answer } in asks {
            let answered = replies.next().map_or(Ok(None), |reply| self.heed(&name, wish, reply));
            // Whoever has asked may be gone; then the claim goes with the answer.
            let _ = answer.send(answered);
        }
    }

    fn question(&self, name: &Name, wish: Wish) -> Call {
        let has_copy = self.sessions.has(name);
        let hold = self.terms.hold;
        let action = match wish {
            Wish::Read => Action::Look,
            Wish::Write if has_copy => Action::Claim { hold, reserve: Reserve::Absent },
            Wish::Write => Action::Claim { hold, reserve: Reserve::No },
            Wish::Create => Action::Claim { hold, reserve: Reserve::Deleted },
        };
        let known = if has_copy { self.findings.copies.known(name) } else { None };
        self.call_for(name, known, action)
    }

    fn call_for(&self, name: &Name, known: Option<Version>, action: Action) -> Call {
        Call { key: self.sessions.stored_name(name).to_string(), by: self.terms.me, known, action }
    }

    /// What a reply means for the copy, and the claim that it has given.
    fn heed(&mut self, name: &Name, wish: Wish, reply: Reply) -> Answer {
        let has_claim = wish != Wish::Read && matches!(reply, Reply::Done | Reply::Newer(_));
        let claim = has_claim.then(|| Claim {
            name: name.clone(),
            changes: self.changes.clone(),
            token: Some(self.findings.copies.claim(name)),
        });
        match reply {
            Reply::Done if wish == Wish::Create && !self.sessions.has(name) => {
                self.findings.copies.rest_on(name, None);
            }
            Reply::Done => {}
            Reply::Newer(stored) => self.adopt(name, stored)?,
            Reply::Busy => {
                let id = self.sessions.stored_name(name).id;
                let message = format!("session `{id}` is busy: another server writes to it");
                return Err(Error::new(ErrorKind::SessionBusy, message));
            }
            Reply::Absent => self.restore_lost(name),
            Reply::Deleted => self.sessions.discard(name),
            Reply::Refused { .. } => return Err(Error::internal("internal error: a question was refused")),
        }
        Ok(claim)
    }

    /// The store holds nothing, although a copy rests on what it held: it has lost that, and gets it again.
    fn restore_lost(&mut self, name: &Name) {
        if self.findings.copies.known(name).is_some() && self.sessions.has(name) {
            self.findings.copies.rest_on(name, None);
            self.sessions.note_unstored(name);
        }
    }

    /// Puts what is stored in the place of the copy.
    fn adopt(&mut self, name: &Name, stored: Stored) -> Result<()> {
        let Stored { version, position, ttl, bytes } = stored;
        let key = self.sessions.stored_name(name).to_string();
        match entry::read(&key, &bytes, |name| self.models.get(name)) {
            Ok(Found::Session(restored)) => {
                let now = self.clock.date(self.clock.now());
                match self.sessions.reload(restored.living_for(ttl, now))? {
                    Reload::Placed | Reload::Expired => {}
                    Reload::Unstored => {
                        self.sessions.diverge(name, position);
                        self.sessions.tell_divergence(name)?;
                        return Ok(());
                    }
                }
            }
            Ok(Found::Unusable(unusable)) => {
                self.sessions.discard(name);
                self.sessions.remember_unusable(vec![unusable]);
            }
            Err(error) => {
                tracing::error!(session = key, %error, "a stored session cannot be read");
                self.metrics.damaged(1);
                self.sessions.discard(name);
            }
        }
        self.findings.copies.rest_on(name, Some(version));
        Ok(())
    }

    /// Lets the claims of running writes last longer, and gives back those that nobody needs.
    pub(super) fn renew(&self) {
        self.findings.copies.all_claimed().for_each(|name| self.changes.used(name));
    }

    /// Writes a group.
    pub(super) fn step(&mut self) -> Step {
        if self.changes.take_overflow() {
            tracing::error!(
                "more sessions wait for the session store than there is room for, and some are not stored"
            );
        }
        let taken = self.changes.take(GROUP_MAX);
        let writes: Vec<Write> = taken.0.iter().filter_map(|named| self.write_of(named)).collect();
        if writes.is_empty() && !self.is_failing() {
            return self.stored(&taken);
        }
        let calls: Vec<Call> = writes.iter().map(|write| write.call.clone()).collect();
        let begun = self.clock.now();
        let Some(replies) = self.ask_store(&calls) else {
            self.changes.put_back(taken);
            return Step::Failed;
        };
        if !writes.is_empty() {
            self.metrics.wrote(writes.len(), self.clock.now().saturating_duration_since(begun));
        }
        for (write, reply) in writes.into_iter().zip(replies) {
            self.written(write, &reply);
        }
        self.stored(&taken)
    }

    fn stored(&mut self, taken: &Taken) -> Step {
        self.changes.stored();
        let stored = self.changes.settled().unwrap_or_else(|| self.changes.last());
        tell(&self.findings.progress, stored, &self.changes);
        if taken.0.is_empty() { Step::Idle } else { Step::Wrote }
    }

    /// What is asked for a session that has changed; `None` if nothing is.
    fn write_of(&mut self, named: &Named) -> Option<Write> {
        let Named { name, happened, .. } = named;
        if self.sessions.is_doomed(name) {
            return None;
        }
        // In this order: a request that has its lease gives the claim to it.
        let is_held = self.findings.copies.is_wanted(name) || self.sessions.is_busy(name);
        let hold = if is_held { self.terms.hold } else { Duration::ZERO };
        let known = self.findings.copies.known(name);
        let action = match (self.sessions.record(name), happened) {
            (Some(record), Happened::Changed | Happened::Deleted) => self.put(&record, hold)?,
            (Some(record), Happened::Used | Happened::Left) => {
                Action::Touch { ttl: self.left_of(&record), hold }
            }
            (None, Happened::Deleted) => {
                Action::Remove { version: self.next_version(), ttl: self.terms.mark }
            }
            (None, _) if self.findings.copies.is_claimed(name) => Action::Touch { ttl: Duration::ZERO, hold },
            (None, _) => {
                self.findings.copies.forget(name);
                return None;
            }
        };
        let call = self.call_for(name, known, action);
        Some(Write { name: name.clone(), happened: *happened, call })
    }

    fn put(&mut self, record: &Record, hold: Duration) -> Option<Action> {
        match bytes_of(&self.models, record)? {
            Ok(bytes) => Some(Action::Put {
                version: self.next_version(),
                position: record.snapshot.position,
                bytes,
                ttl: self.left_of(record),
                hold,
            }),
            Err(error) => {
                self.metrics.failed();
                tracing::error!(%error, "a session cannot be stored");
                None
            }
        }
    }

    fn next_version(&mut self) -> Version {
        self.findings.writes += 1;
        Version { replica: self.terms.me, number: self.findings.writes }
    }

    /// How long a session lives from now.
    fn left_of(&self, record: &Record) -> Duration {
        let now = self.clock.date(self.clock.now());
        let used = now.duration_since(record.last_used_at).unwrap_or_default();
        record.ttl.saturating_sub(used)
    }

    /// What the reply to a write means.
    fn written(&mut self, write: Write, reply: &Reply) {
        let Write { name, happened, call } = write;
        let name = &name;
        match (&call.action, reply) {
            (Action::Put { version, hold, .. }, Reply::Done) => {
                self.findings.copies.rest_on(name, Some(*version));
                self.holds(name, *hold);
            }
            (Action::Put { .. }, Reply::Refused { position }) => self.diverge(name, *position),
            (Action::Put { .. }, _) => {
                self.findings.copies.forget(name);
                self.sessions.bury(name);
            }
            (Action::Touch { hold, .. }, Reply::Done) => self.holds(name, *hold),
            (Action::Touch { .. }, _) if self.sessions.is_busy(name) => match reply {
                Reply::Refused { position } => self.diverge(name, *position),
                Reply::Deleted => self.sessions.bury(name),
                _ => self.restore_lost(name),
            },
            (Action::Touch { .. }, reply) => {
                self.findings.copies.release(name);
                match reply {
                    Reply::Absent => self.restore_lost(name),
                    Reply::Deleted => self.sessions.discard(name),
                    // Another server has written since: the next use sees it.
                    _ => {}
                }
                if happened == Happened::Left && !self.sessions.has(name) {
                    self.findings.copies.forget(name);
                }
            }
            _ => self.findings.copies.forget(name),
        }
    }

    fn holds(&mut self, name: &Name, hold: Duration) {
        match hold.is_zero() {
            false => drop(self.findings.copies.claim(name)),
            true if self.sessions.has(name) => self.findings.copies.release(name),
            true => self.findings.copies.forget(name),
        }
    }

    fn diverge(&mut self, name: &Name, position: u64) {
        self.findings.copies.forget(name);
        self.sessions.diverge(name, position);
    }

    /// Makes calls; `None` if the store has failed.
    fn ask_store(&mut self, calls: &[Call]) -> Option<Vec<Reply>> {
        match guarded(|| self.store.call(calls)) {
            Ok(replies) => Some(replies),
            Err(error) => {
                complain(&self.findings.progress, &self.metrics, &error);
                None
            }
        }
    }
}

//! The engine: one turn after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::{self, Active};
use super::bell::News;
use super::choose::{self, Occasion, Share};
use super::inbox::{Inbox, Taken, Waiting, earlier};
use super::outlet::Flow;
use super::parked::Parked;
use super::{Ending, Observer, Submission, batch};
use crate::clock::Clock;
use crate::lm::Scratch;

/// A scheduler for all models, driven by [`Self::turn`]: by a thread of a [`Pool`](super::Pool), or by a test.
pub struct Engine {
    inbox: Arc<Inbox>,
    limits: EngineLimits,
    clock: Clock,
    observer: Arc<dyn Observer>,
    scratch: Scratch,
    /// The jobs that have rows to run.
    active: Vec<Active>,
    /// The jobs whose readers have no room.
    parked: Parked,
    /// What is known about the jobs in the inbox.
    waiting: Waiting,
    /// Whether every job is to end.
    is_stopping: bool,
    /// The model that ran last.
    last_model: Option<Arc<str>>,
    /// Turns that ran a batch.
    turns: u64,
    /// When a short row last ran.
    short_at: Option<Instant>,
}

/// The limits of an engine and of its turns.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most rows that run together.
    pub rows_max: usize,
    /// Most bytes of state of the rows that run together. One row always runs.
    pub state_bytes_max: usize,
    /// The most that a turn with short rows costs, as a multiple of their bare step.
    pub turn_steps: usize,
    /// The most that a turn costs if no short row runs or is expected, as a multiple of the bare step of one row.
    pub turn_steps_idle: usize,
    /// How long after a short row has run another is expected.
    pub idle_after: Duration,
    /// Most bytes of logits alive at once.
    pub logits_bytes_max: usize,
    /// Most parked jobs. While there are this many, no other job is admitted.
    pub parked_max: usize,
    /// How long a job may be parked.
    pub stall_timeout: Duration,
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A batch ran; there may be more.
    Ran,
    /// There is nothing to run until there is news, or until this time.
    Idle(Option<Instant>),
    /// The inbox is shut and every job has ended.
    Over,
}

impl Engine {
    /// An idle engine behind `inbox`.
    pub fn new(inbox: Arc<Inbox>, limits: EngineLimits, clock: Clock, observer: Arc<dyn Observer>) -> Self {
        let scratch = Scratch::new(limits.logits_bytes_max);
        Self {
            inbox,
            limits,
            clock,
            observer,
            scratch,
            active: Vec::new(),
            parked: Parked::default(),
            waiting: Waiting::default(),
            is_stopping: false,
            last_model: None,
            turns: 0,
            short_at: None,
        }
    }

    /// Ends the jobs that must end, admits waiting ones, runs one batch of one model, and commits it.
    pub fn turn(&mut self) -> Turn {
        let now = self.clock.now();
        let news = self.inbox.news();
        self.is_stopping |= news.tell_of(&[News::SHUT]);
        self.look_at_active(now);
        self.look_at_parked(news, now);
        self.look_at_waiting(news, now);
        self.admit(now);
        let Some(model) = choose::next_model(&self.active, self.last_model.as_ref()) else {
            self.close_jobs();
            return self.idle();
        };
        let shares = self.choose(&model, now);
        self.observer.batch(&model, &batch::report(&self.active, &shares));
        let outcomes = batch::run(&mut self.active, &shares, &mut self.scratch);
        self.last_model = Some(model);
        for own in outcomes.chunk_by(|a, b| a.share.job == b.share.job) {
            self.active[own[0].share.job].commit(own);
        }
        self.close_jobs();
        Turn::Ran
    }

    /// Jobs that were admitted and have not ended.
    pub fn active_jobs(&self) -> usize {
        self.active.len() + self.parked.count()
    }

    /// Takes turns until the inbox is shut and every job has ended.
    pub(super) fn work(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Turn::Ran) => {}
                Ok(Turn::Idle(until)) => self.inbox.wait(until, &self.clock),
                Ok(Turn::Over) => return,
                // Panics of models and jobs are caught where they happen, so this is a bug of the engine itself. The jobs it was
                // working on may be in any state and fail; later ones are not affected.
                Err(_) => {
                    self.active.extend(self.parked.take_out(|_| true));
                    self.active.iter_mut().for_each(|job| job.fail(active::bug("the engine")));
                    self.close_jobs();
                }
            }
        }
    }

    /// Ends the active jobs whose reader is gone or whose time is up, or all of them if the service stops, and parks those whose
    /// reader has no room. Checking a flow takes no lock.
    fn look_at_active(&mut self, now: Instant) {
        let is_stopping = self.is_stopping;
        let full = self.active.extract_if(.., |job| {
            if job.is_ending() {
                return false;
            }
            let flow = job.job.flow();
            match (Reasons { flow, is_late: is_late(job.deadline, now), is_stopping }).ending() {
                Some(ending) => job.end(ending),
                None => return flow == Flow::Full && !job.is_silent(),
            }
            false
        });
        for job in full {
            self.parked.park(job, now, self.limits.stall_timeout);
        }
    }

    /// The same for parked jobs, if there is news of their readers or the time of one is up. Those with room become active again.
    fn look_at_parked(&mut self, news: News, now: Instant) {
        let is_due = is_late(self.parked.due(), now);
        if !is_due && !news.tell_of(&[News::ROOM, News::GONE, News::SHUT]) {
            return;
        }
        let is_stopping = self.is_stopping;
        let back = self.parked.take_out(|parked| {
            let flow = parked.job.job.flow();
            match (Reasons { flow, is_late: parked.is_due(now), is_stopping }).ending() {
                Some(ending) => parked.job.end(ending),
                None => return flow != Flow::Full,
            }
            true
        });
        self.active.extend(back);
    }

    /// The same for waiting jobs.
    fn look_at_waiting(&mut self, news: News, now: Instant) {
        if news.tell_of(&[News::JOB]) {
            self.waiting = self.inbox.look();
        }
        let is_due = is_late(self.waiting.deadline, now);
        if self.waiting.jobs == 0 || !is_due && !news.tell_of(&[News::GONE, News::SHUT]) {
            return;
        }
        let Taken { jobs, left } = self.inbox.take_ended(now);
        self.waiting = left;
        for job in jobs {
            let ending = self.reasons(&job, now).ending().unwrap_or(Ending::Cancelled);
            self.refuse(job, ending);
        }
    }

    fn reasons(&self, job: &Submission, now: Instant) -> Reasons {
        Reasons { flow: job.job.flow(), is_late: is_late(job.deadline, now), is_stopping: self.is_stopping }
    }

    /// Ends a job that never ran.
    fn refuse(&self, job: Submission, ending: Ending) {
        let Submission { start, job, .. } = job;
        // Free the session before the reader hears of the end.
        drop(start);
        self.inbox.left(1);
        active::close(job, ending, None);
    }

    /// Admits waiting jobs, first in, first out, while there is room in the batch. A job counts for at most half of a batch.
    fn admit(&mut self, now: Instant) {
        let EngineLimits { rows_max, state_bytes_max, parked_max, .. } = self.limits;
        let weight = |job: &Active| job.rows.len().min(rows_max.div_ceil(2));
        let state_bytes = |job: &Active| weight(job) * job.model.info().state_bytes();
        let mut rows: usize = self.active.iter().map(weight).sum();
        let mut bytes: usize = self.active.iter().map(state_bytes).sum();
        // One job is always admitted, however large its states are.
        while self.waiting.jobs > 0
            && rows < rows_max
            && (bytes == 0 || bytes < state_bytes_max)
            && self.parked.count() < parked_max
        {
            let Taken { jobs, left } = self.inbox.pop();
            self.waiting = left;
            let Some(submission) = jobs else { return };
            if let Some(ending) = self.reasons(&submission, now).ending() {
                self.refuse(submission, ending);
                continue;
            }
            let job = Active::admit(submission, self.turns);
            rows += weight(&job);
            bytes += state_bytes(&job);
            self.active.push(job);
        }
    }

    /// The rows of `model` that run in this turn.
    fn choose(&mut self, model: &str, now: Instant) -> Vec<Share> {
        let expectant = self.short_at.is_some_and(|at| now < at + self.limits.idle_after);
        let occasion = Occasion { model, expectant, crowded: self.waiting.jobs > 0 };
        let choice = choose::choose(&self.active, &occasion, &self.limits);
        if choice.shorts > 0 {
            self.short_at = Some(now);
        }
        self.turns += 1;
        choice.shares.iter().for_each(|share| self.active[share.job].last_turn = self.turns);
        choice.shares
    }

    fn close_jobs(&mut self) {
        for job in self.active.extract_if(.., |job| job.rows.is_empty()) {
            self.inbox.left(1);
            job.close();
        }
    }

    /// What to do when no job is active.
    fn idle(&self) -> Turn {
        if self.is_stopping && self.parked.count() == 0 && self.waiting.jobs == 0 {
            return Turn::Over;
        }
        Turn::Idle(earlier(self.parked.due(), self.waiting.deadline))
    }
}

/// Why a job may have to end early.
struct Reasons {
    flow: Flow,
    is_late: bool,
    is_stopping: bool,
}

impl Reasons {
    fn ending(&self) -> Option<Ending> {
        match self {
            Self { flow: Flow::Gone, .. } => Some(Ending::Cancelled),
            Self { is_late: true, .. } => Some(Ending::TimedOut),
            Self { is_stopping: true, .. } => Some(Ending::Shutdown),
            _ => None,
        }
    }
}

fn is_late(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|at| at <= now)
}

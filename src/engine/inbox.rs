//! The bounded queue in front of an engine.
//!
//! Jobs wait in lanes, each first in, first out: a model's short jobs, which always find room soon, and its long ones. A job is accepted
//! only if it can probably be done in its time; [`forecast`](super::forecast) says how that is estimated.
//!
//! Its lock is taken when a job is put in or taken out, not in every turn: between jobs, [`News`] and [`Waiting`] tell the engine
//! what it needs to know about the queue, and [`Figures`] tell the queue what it needs to know of the engine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::bell::{Bell, News};
use super::figures::Figures;
use super::forecast::{Demand, Load, Patience, Running, Situation, expected_draws};
use super::job::ModelKey;
use super::outlet::Flow;
use super::{Submission, choose};
use crate::clock::Clock;
use crate::lm::Cost;

/// Jobs that wait for an engine.
pub struct Inbox {
    limits: InboxLimits,
    queue: Mutex<Queue>,
    bell: Bell,
    /// Jobs that wait here and jobs that run in the engine.
    load: AtomicUsize,
}

/// How much may wait, and what the engine does in a turn.
#[derive(Clone, Copy, Debug)]
pub struct InboxLimits {
    /// Most jobs.
    pub jobs_max: usize,
    /// Most bytes of their tokens.
    pub bytes_max: usize,
    /// The expected wait that is always accepted if the deadline of a job permits it. A longer one is accepted only if the job runs
    /// twice as long.
    pub wait_max: Duration,
    /// As the engine's, in [`EngineLimits`](super::EngineLimits).
    pub rows_max: usize,
    /// As the engine's.
    pub state_bytes_max: usize,
    /// As the engine's.
    pub turn_steps: f64,
}

/// Why a job was not accepted, and the job.
pub struct Refused {
    /// The job.
    pub submission: Box<Submission>,
    /// Why.
    pub why: Refusal,
}

/// Why a job was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As much waits as is allowed.
    Full,
    /// It would probably not be done in time, or would wait too long. After this time it would have been accepted.
    Overloaded(Duration),
    /// No more jobs are accepted.
    Shut,
}

impl Refusal {
    /// What to say when one engine refuses for this reason and another for `other`: what ends soonest.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Overloaded(one), Self::Overloaded(other)) => Self::Overloaded(one.min(other)),
            (one @ Self::Overloaded(_), _) | (_, one @ Self::Overloaded(_)) => one,
            (Self::Full, _) | (_, Self::Full) => Self::Full,
            (Self::Shut, Self::Shut) => Self::Shut,
        }
    }
}

#[derive(Default)]
struct Queue {
    lanes: BTreeMap<Lane, VecDeque<Queued>>,
    /// What the jobs in each lane need.
    loads: BTreeMap<Lane, Load>,
    /// Of each model that had a job.
    figures: BTreeMap<ModelKey, Known>,
    jobs: usize,
    bytes: usize,
    /// Not later than the earliest deadline of a waiting job.
    deadline: Option<Instant>,
    is_shut: bool,
}

/// A job that waits.
struct Queued {
    job: Submission,
    /// What it was found to need when it came.
    load: Load,
    /// Bytes of its tokens.
    bytes: usize,
}

/// What is known of a model.
#[derive(Clone)]
struct Known {
    figures: Arc<Figures>,
    cost: Cost,
}

/// A job that an engine is about to start.
pub(super) struct Admitted {
    pub(super) job: Submission,
    /// Of its model.
    pub(super) figures: Arc<Figures>,
}

/// Where a job waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) model: ModelKey,
    pub(super) length: Length,
}

/// How long a job takes an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Length {
    /// A few turns.
    Short,
    /// It draws tokens, or reads many.
    Long,
}

/// The waiting jobs, as they were when the engine last took the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Their number.
    pub(super) jobs: usize,
    /// Not later than the earliest of their deadlines.
    pub(super) deadline: Option<Instant>,
}

/// Jobs that were taken out, and what is left.
pub(super) struct Taken<T> {
    pub(super) jobs: T,
    pub(super) left: Waiting,
}

impl Inbox {
    /// An empty queue.
    pub fn new(limits: InboxLimits) -> Self {
        Self { limits, queue: Mutex::default(), bell: Bell::default(), load: AtomicUsize::new(0) }
    }

    /// Adds a job, or gives it back if there is no room for it or no time.
    pub fn push(&self, submission: Submission) -> Result<(), Refused> {
        let mut queue = self.lock();
        match queue.check(&submission, &self.limits, self.load()) {
            Ok(()) => queue.add(submission, &self.limits),
            Err(why) => return Err(Refused { submission: Box::new(submission), why }),
        }
        self.load.fetch_add(1, Ordering::Relaxed);
        drop(queue);
        self.bell.ring(News::JOB);
        Ok(())
    }

    /// What there is to know about the waiting jobs.
    pub(super) fn look(&self) -> Waiting {
        self.lock().waiting()
    }

    /// Removes the first job of a lane for which `has_room` returns true; short jobs come first.
    pub(super) fn pop(&self, has_room: impl FnMut(&Lane, &Submission) -> bool) -> Taken<Option<Admitted>> {
        let mut queue = self.lock();
        let first = queue.pop(&self.limits, has_room);
        Taken { jobs: first, left: queue.waiting() }
    }

    /// Removes the jobs that will never run: those whose reader is gone or whose deadline has passed, and all of them after [`Self::shut`].
    pub(super) fn take_ended(&self, now: Instant) -> Taken<Vec<Submission>> {
        let mut queue = self.lock();
        let is_shut = queue.is_shut;
        let has_ended = |queued: &Queued| {
            let job = &queued.job;
            is_shut || job.job.flow() == Flow::Gone || job.deadline.is_some_and(|at| at <= now)
        };
        let mut ended: Vec<Queued> = Vec::new();
        for jobs in queue.lanes.values_mut() {
            let (gone, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(jobs).into_iter().partition(|queued| has_ended(queued));
            *jobs = kept;
            ended.extend(gone);
        }
        ended.iter().for_each(|queued| queue.forget(queued, &self.limits));
        queue.deadline = queue.lanes.values().flatten().filter_map(|queued| queued.job.deadline).min();
        let ended = ended.into_iter().map(|queued| queued.job).collect();
        Taken { jobs: ended, left: queue.waiting() }
    }

    /// Counts jobs that have ended.
    pub(super) fn left(&self, jobs: usize) {
        self.load.fetch_sub(jobs, Ordering::Relaxed);
    }

    /// Jobs that wait here and jobs that run in the engine.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.lock().jobs
    }

    /// Accepts no more jobs, and ends all that wait or run.
    pub fn shut(&self) {
        self.lock().is_shut = true;
        self.bell.ring(News::SHUT);
    }

    /// Tells the engine what a reader has done, and wakes it if it sleeps.
    pub(super) fn tell(&self, news: News) {
        self.bell.ring(news);
    }

    /// What has happened since the last call.
    pub(super) fn news(&self) -> News {
        self.bell.take()
    }

    /// Looks for news for at most `time` without sleeping; whether there is some.
    pub(super) fn spin(&self, time: Duration) -> bool {
        self.bell.spin(time)
    }

    /// Sleeps until there is news, or until `clock` shows `until`.
    pub(super) fn wait(&self, until: Option<Instant>, clock: &Clock) {
        self.bell.wait(until, clock);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("bug: a panic under the lock of an inbox")
    }
}

impl Queue {
    /// Whether a job is accepted beside `others`, which wait or run. One that has the engine to itself always is, and nothing is foreseen
    /// of a model that never ran.
    fn check(&mut self, job: &Submission, limits: &InboxLimits, others: usize) -> Result<(), Refusal> {
        if self.is_shut {
            return Err(Refusal::Shut);
        }
        // A job that would wait alone is always accepted: its size is limited by the request, not by the queue.
        let is_crowded = self.jobs > 0 && self.bytes + job.token_bytes() > limits.bytes_max;
        if self.jobs >= limits.jobs_max || is_crowded {
            return Err(Refusal::Full);
        }
        let is_foreseen = others > 0 && self.known(job).figures.is_measured();
        let Some(deadline) = job.deadline.filter(|_| is_foreseen) else { return Ok(()) };
        let demand = self.demand(job);
        let situation = self.situation(job, limits);
        let patience = Patience {
            left: deadline.saturating_duration_since(job.arrived),
            wait_max: (!situation.waiting.is_empty()).then_some(limits.wait_max),
        };
        let estimate = situation.estimate(&demand);
        estimate.check(&patience).map_err(Refusal::Overloaded)
    }

    /// What is to be done before the job, and beside it.
    fn situation(&mut self, job: &Submission, limits: &InboxLimits) -> Situation {
        let own = self.known(job);
        let lane = Lane::of(job, limits);
        let own_key = job.model_key();
        let others = self.figures.iter().filter(|(key, _)| **key != own_key).map(|(_, known)| {
            let running = known.figures.running();
            let is_idle = running == Running::default();
            let step_cost = known.cost.bare_step(running.rows.max(1)) + running.recalls;
            let step = known.figures.pace().time(step_cost as f64);
            if is_idle { Duration::ZERO } else { step }
        });
        Situation {
            cost: own.cost,
            pace: own.figures.pace(),
            rows_max: choose::rows_max(job.model.info(), limits.rows_max, limits.state_bytes_max),
            turn_steps: limits.turn_steps,
            running: match lane.length {
                // Short jobs go before all that is long.
                Length::Short => Running::default(),
                Length::Long => own.figures.running(),
            },
            waiting: self.loads.get(&lane).copied().unwrap_or_default(),
            others: others.sum(),
        }
    }

    fn known(&mut self, job: &Submission) -> Known {
        let key = job.model_key();
        if let Some(known) = self.figures.get(&key) {
            return known.clone();
        }
        self.forget_replaced(&key.name);
        let known = Known { figures: Arc::default(), cost: job.model.cost() };
        self.figures.insert(key, known.clone());
        known
    }

    /// Forgets the models of this name that were replaced and of which no job waits or runs. While one does, its figures must stay: the
    /// engine writes to them, and would never write to others that are made for a late job of the same weights.
    fn forget_replaced(&mut self, name: &str) {
        let Self { lanes, loads, figures, .. } = self;
        lanes.retain(|lane, jobs| *lane.model.name != *name || !jobs.is_empty());
        loads.retain(|lane, _| *lane.model.name != *name || lanes.contains_key(lane));
        figures.retain(|key, known| {
            let waits = || lanes.keys().any(|lane| lane.model == *key);
            // The engine has a share of the figures that it writes to, and so has every job that runs.
            let runs = || Arc::strong_count(&known.figures) > 1;
            *key.name != *name || runs() || waits()
        });
    }

    fn demand(&mut self, job: &Submission) -> Demand {
        let end = self.known(job).figures.end();
        job.demand(|draws| expected_draws(draws, end))
    }

    fn add(&mut self, job: Submission, limits: &InboxLimits) {
        let lane = Lane::of(&job, limits);
        let load = self.demand(&job).load();
        let bytes = job.token_bytes();
        self.jobs += 1;
        self.bytes += bytes;
        self.deadline = earlier(self.deadline, job.deadline);
        let all = self.loads.entry(lane.clone()).or_default();
        *all = all.and(load);
        self.lanes.entry(lane).or_default().push_back(Queued { job, load, bytes });
    }

    fn pop(
        &mut self,
        limits: &InboxLimits,
        mut has_room: impl FnMut(&Lane, &Submission) -> bool,
    ) -> Option<Admitted> {
        let firsts = self.lanes.iter().filter_map(|(lane, jobs)| Some((lane, &jobs.front()?.job)));
        let fitting = firsts.filter(|(lane, first)| has_room(lane, first));
        let lane = fitting.min_by_key(|(lane, first)| (lane.length, first.arrived))?.0.clone();
        let queued = self.lanes.get_mut(&lane)?.pop_front()?;
        self.forget(&queued, limits);
        let figures = self.known(&queued.job).figures;
        Some(Admitted { job: queued.job, figures })
    }

    /// Takes a job that was removed out of the account.
    fn forget(&mut self, queued: &Queued, limits: &InboxLimits) {
        self.jobs -= 1;
        self.bytes -= queued.bytes;
        let all = self.loads.entry(Lane::of(&queued.job, limits)).or_default();
        *all = all.without(queued.load);
    }

    fn waiting(&self) -> Waiting {
        Waiting { jobs: self.jobs, deadline: self.deadline.filter(|_| self.jobs > 0) }
    }
}

impl Lane {
    pub(super) fn of(job: &Submission, limits: &InboxLimits) -> Self {
        Self { model: job.model_key(), length: job.length(limits.turn_steps) }
    }
}

/// The earlier of two times, either of which may be missing.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;

//! The engine: one turn after the other.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::{self, Active};
use super::bell::News;
use super::choose::{self, Choice, Occasion};
use super::inbox::{Inbox, Lane, Taken, Waiting, earlier};
use super::job::ModelKey;
use super::models::Models;
use super::outlet::Flow;
use super::pace::Pace;
use super::parked::Parked;
use super::{Ending, Observer, Submission, batch};
use crate::clock::Clock;
use crate::lm::{Model, Scratch};

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
    last_model: Option<ModelKey>,
    /// The last ticket that a job was given.
    tickets: u64,
    /// When a short row last ran.
    short_at: Option<Instant>,
    /// Whether the last batch was of a single job.
    was_alone: bool,
    models: Models,
}

/// The limits of an engine and of its turns.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most rows that run together.
    pub rows_max: usize,
    /// Most bytes of state of the rows that run together. One row always runs.
    pub state_bytes_max: usize,
    /// The most that a turn with short rows costs, as a multiple of their bare step.
    pub turn_steps: f64,
    /// The most that a turn costs if no short row runs or is expected, as a multiple of the bare step of one row.
    pub turn_steps_idle: f64,
    /// How long after a short row has run another is expected.
    pub idle_after: Duration,
    /// The most time that a turn takes, by the pace of the model; a row always reads a token.
    pub turn_time: Duration,
    /// How long a long job waits for a place in the batch, before it takes turns with those that have one.
    pub place_wait: Duration,
    /// Most jobs that run, those that take turns included.
    pub running_max: usize,
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
            tickets: 0,
            short_at: None,
            was_alone: false,
            models: Models::default(),
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
            self.publish();
            return self.idle();
        };
        let Choice { shares, cost, .. } = self.choose(&model, now);
        self.observer.batch(&model.name, &batch::report(&self.active, &shares));
        let begun = self.clock.now();
        let outcomes = batch::run(&mut self.active, &shares, &mut self.scratch);
        let elapsed = self.clock.now().saturating_duration_since(begun);
        self.models.of(&model).figures.measured(Pace::measured(cost, elapsed));
        let by_job = outcomes.chunk_by(|a, b| a.share.job == b.share.job);
        self.was_alone = by_job.clone().count() == 1;
        let sent = by_job.map(|own| self.active[own[0].share.job].commit(own)).sum();
        self.observer.generated(&model.name, sent);
        self.last_model = Some(model);
        self.close_jobs();
        self.publish();
        Turn::Ran
    }

    /// Tells the inbox what runs, so that it can foresee when a new job would be done.
    fn publish(&self) {
        let works = self.active.iter().map(|job| (&job.model_key, job.work(self.short_max(&*job.model))));
        self.models.publish(works);
    }

    /// The most that the prompts of a short job cost.
    fn short_max(&self, model: &dyn Model) -> u64 {
        model.cost().bare_steps(self.limits.turn_steps, 1)
    }

    /// Jobs that were admitted and have not ended.
    pub fn active_jobs(&self) -> usize {
        self.active.len() + self.parked.count()
    }

    /// Whether the last batch was of a single job.
    pub fn was_alone(&self) -> bool {
        self.was_alone
    }

    /// Takes turns until the inbox is shut and every job has ended. When there is nothing to do after a job that was alone, it looks for news
    /// for the time `spin` before it sleeps. After several jobs it sleeps at once: the threads that write their answers need the processor.
    pub(super) fn work(mut self, spin: Duration) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Turn::Ran) => {}
                Ok(Turn::Idle(until)) => {
                    let spin = if self.was_alone { spin } else { Duration::ZERO };
                    if !self.inbox.spin(spin) {
                        self.inbox.wait(until, &self.clock);
                    }
                }
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
        let Submission { start, job, timed, .. } = job;
        // Free the session and stop the time before the reader hears of the end.
        drop(start);
        drop(timed);
        self.inbox.left(1);
        active::close(job, ending, None);
    }

    /// Admits waiting jobs, first in, first out in each lane, while there is room.
    fn admit(&mut self, now: Instant) {
        if self.waiting.jobs == 0 {
            return;
        }
        let mut taken: BTreeMap<Lane, Taking> = BTreeMap::new();
        for job in &self.active {
            self.take_room(&mut taken, job);
        }
        while self.waiting.jobs > 0 && self.parked.count() < self.limits.parked_max {
            let limits = &self.limits;
            let is_full = self.active.len() >= limits.running_max;
            let room = |lane: &Lane, first: &Submission| {
                let has_place = taken.get(lane).is_none_or(|taking| taking.leaves_room(limits));
                // A long job that has waited is admitted beyond the batch, whose rows then take turns.
                has_place || !is_full && now.saturating_duration_since(first.arrived) >= limits.place_wait
            };
            let Taken { jobs, left } = self.inbox.pop(room);
            self.waiting = left;
            let Some(admitted) = jobs else { return };
            if let Some(ending) = self.reasons(&admitted.job, now).ending() {
                self.refuse(admitted.job, ending);
                continue;
            }
            self.tickets += 1;
            let job = Active::admit(admitted, self.tickets);
            self.note_model(&job);
            self.take_room(&mut taken, &job);
            self.active.push(job);
        }
    }

    /// Remembers the model of a job that is admitted.
    fn note_model(&mut self, job: &Active) {
        let is_used = |key: &ModelKey| {
            self.active.iter().chain(self.parked.jobs()).any(|other| other.model_key == *key)
        };
        self.models.note(job, is_used);
    }

    /// Counts the places in a batch that a job takes: at most half of them.
    fn take_room(&self, taken: &mut BTreeMap<Lane, Taking>, job: &Active) {
        let lane = Lane { model: job.model_key.clone(), length: job.length(self.short_max(&*job.model)) };
        let rows = job.rows.len().min(self.limits.rows_max.div_ceil(2));
        let taking = taken.entry(lane).or_default();
        taking.rows += rows;
        taking.state_bytes += rows * job.model.info().state_bytes();
    }

    /// The rows of `model` that run in this turn.
    fn choose(&mut self, model: &ModelKey, now: Instant) -> Choice {
        let expectant = self.short_at.is_some_and(|at| now < at + self.limits.idle_after);
        let remembered = self.models.of(model);
        let occasion = Occasion {
            model,
            expectant,
            crowded: self.waiting.jobs > 0,
            may_be_questions_only: !remembered.had_questions_only,
            cost_max: remembered.figures.pace().cost_within(self.limits.turn_time),
        };
        let choice = choose::choose(&self.active, &occasion, &self.limits);
        if choice.shorts > 0 {
            self.short_at = Some(now);
        }
        self.models.of_mut(model).had_questions_only = choice.questions_only;
        self.queue_up(&choice);
        choice
    }

    /// Puts the jobs that run at the end of the queue, in the order in which they stood there.
    fn queue_up(&mut self, choice: &Choice) {
        let mut jobs: Vec<usize> = choice.shares.iter().map(|share| share.job).collect();
        jobs.dedup();
        jobs.sort_by_key(|&job| self.active[job].ticket);
        for job in jobs {
            self.tickets += 1;
            self.active[job].ticket = self.tickets;
        }
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

/// What the jobs of a lane take of a batch.
#[derive(Default)]
struct Taking {
    rows: usize,
    state_bytes: usize,
}

impl Taking {
    /// One job always has room, however large its states are.
    fn leaves_room(&self, limits: &EngineLimits) -> bool {
        self.rows < limits.rows_max && (self.state_bytes == 0 || self.state_bytes < limits.state_bytes_max)
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

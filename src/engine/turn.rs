//! The engine: one turn after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::{self, Active};
use super::choose::{self, Occasion, Share};
use super::inbox::{Gate, Inbox};
use super::outlet::Flow;
use super::{Answer, Ending, Observer, batch};
use crate::clock::Clock;
use crate::error::Error;
use crate::lm::Scratch;

/// A scheduler for all models, driven by [`Self::turn`]: by a thread of a [`Pool`](super::Pool), or by a test.
pub struct Engine {
    inbox: Arc<Inbox>,
    limits: EngineLimits,
    clock: Clock,
    observer: Arc<dyn Observer>,
    scratch: Scratch,
    active: Vec<Active>,
    /// The model that ran last.
    last_model: Option<Arc<str>>,
    /// Turns that ran a batch.
    turns: u64,
    /// When something short ran last.
    short_at: Option<Instant>,
}

/// What a turn may hold.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Most rows that run together.
    pub rows_max: usize,
    /// Most bytes of the states of rows that run together; one row always runs.
    pub state_bytes_max: usize,
    /// What a turn may cost beside rows that somebody waits for, in bare steps of those rows.
    pub turn_steps: usize,
    /// What a turn may cost while nobody waits for anything short, in bare steps of one row.
    pub turn_steps_idle: usize,
    /// How long after something short ran more of its kind is expected.
    pub idle_after: Duration,
    /// Most bytes of logits alive at once.
    pub logits_bytes_max: usize,
    /// Most jobs that may stand parked; while so many do, none is admitted.
    pub parked_max: usize,
    /// How long a job may stand parked.
    pub stall_timeout: Duration,
}

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A batch ran; there may be more.
    Ran,
    /// Nothing can run before the inbox rings, or before this time.
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
            last_model: None,
            turns: 0,
            short_at: None,
        }
    }

    /// Ends what is over, admits what waits, runs one batch of one model, and commits it.
    pub fn turn(&mut self) -> Turn {
        let now = self.clock.now();
        self.end_jobs(now);
        self.admit(now);
        let Some(model) = choose::next_model(&self.active, self.last_model.as_ref()) else {
            self.close_jobs();
            return self.idle();
        };
        let shares = self.choose(&model, now);
        self.observer.batch(&model, &batch::report(&self.active, &shares));
        let outcomes = batch::run(&mut self.active, &shares, &mut self.scratch);
        self.last_model = Some(model);
        self.commit(&shares, outcomes);
        self.close_jobs();
        Turn::Ran
    }

    /// Jobs that were admitted and have not ended.
    pub fn active_jobs(&self) -> usize {
        self.active.len()
    }

    /// Takes turns until the inbox is shut and every job has ended.
    pub(super) fn work(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Turn::Ran) => {}
                Ok(Turn::Idle(until)) => self.inbox.wait(until),
                Ok(Turn::Over) => return,
                // The models' and the jobs' panics are caught where they happen: this is a bug of the engine itself. Nothing
                // that was active can be trusted to go on; what comes next can.
                Err(_) => {
                    self.active.iter_mut().for_each(|job| job.fail(active::bug("the engine")));
                    self.close_jobs();
                }
            }
        }
    }

    /// The one cancel path: jobs whose reader is gone, whose time is up, who stalled, or who must make way for the stop.
    fn end_jobs(&mut self, now: Instant) {
        let gate = self.inbox.gate();
        for job in self.active.iter_mut().filter(|job| !job.is_ending()) {
            let flow = job.job.flow();
            job.park(flow, now);
            let stalled = job.parked_since.is_some_and(|since| now >= since + self.limits.stall_timeout);
            if let Some(ending) =
                ending(flow, if stalled { Time::Over } else { time(job.deadline, now) }, gate)
            {
                job.end(ending);
            }
        }
        for waiting in self.inbox.take_ended(now) {
            let ending = ending(waiting.job.flow(), time(waiting.deadline, now), gate);
            drop(waiting.start);
            self.inbox.left(1);
            active::close(waiting.job, ending.unwrap_or(Ending::Cancelled), None);
        }
    }

    /// First in, first out, while the batch has room. A job counts for at most half of it, and a parked one not at all.
    fn admit(&mut self, now: Instant) {
        let EngineLimits { rows_max, state_bytes_max, parked_max, .. } = self.limits;
        let weight = |job: &Active| match job.parked_since {
            Some(_) => 0,
            None => job.rows.len().min(rows_max.div_ceil(2)),
        };
        let state_bytes = |job: &Active| weight(job) * job.model.info().state_bytes();
        let mut rows: usize = self.active.iter().map(weight).sum();
        let mut bytes: usize = self.active.iter().map(state_bytes).sum();
        let parked = self.active.iter().filter(|job| job.parked_since.is_some()).count();
        // One job is always admitted, however large its states.
        while rows < rows_max && (bytes == 0 || bytes < state_bytes_max) && parked < parked_max {
            let Some(submission) = self.inbox.pop() else { return };
            let mut job = Active::admit(submission, self.turns);
            job.park(job.job.flow(), now);
            rows += weight(&job);
            bytes += state_bytes(&job);
            self.active.push(job);
        }
    }

    /// The rows of `model` that run in this turn.
    fn choose(&mut self, model: &str, now: Instant) -> Vec<Share> {
        let expectant = self.short_at.is_some_and(|at| now < at + self.limits.idle_after);
        let occasion = Occasion { model, expectant, crowded: self.inbox.waiting() > 0 };
        let choice = choose::choose(&self.active, &occasion, &self.limits);
        if choice.shorts > 0 {
            self.short_at = Some(now);
        }
        self.turns += 1;
        choice.shares.iter().for_each(|share| self.active[share.job].last_turn = self.turns);
        choice.shares
    }

    /// Counts what was read, and lets every row go on as its job has answered.
    fn commit(&mut self, shares: &[Share], outcomes: Vec<batch::Outcome>) {
        // From the last to the first, so that a row that leaves moves no row that is still to come.
        for (share, outcome) in shares.iter().zip(outcomes).rev() {
            let job = &mut self.active[share.job];
            if share.row < job.rows.len() {
                Self::commit_row(job, share, outcome).unwrap_or_else(|error| job.fail(error));
            }
        }
        shares.chunk_by(|a, b| a.job == b.job).for_each(|own| {
            self.active[own[0].job].settle();
        });
    }

    fn commit_row(job: &mut Active, share: &Share, outcome: batch::Outcome) -> Result<(), Error> {
        let row = &mut job.rows[share.row];
        outcome.read?;
        row.commit(share.len);
        let answer = outcome.answer?;
        if !row.tokens().is_empty() {
            return Ok(());
        }
        match job.proceed(share.row, answer)? {
            Answer::Feed { token, logits } => {
                job.rows[share.row].feed(token, logits);
                Ok(())
            }
            Answer::Split(plans) => job.split(share.row, plans),
            Answer::Done => job.split(share.row, Vec::new()),
        }
    }

    fn close_jobs(&mut self) {
        let mut index = 0;
        while index < self.active.len() {
            if self.active[index].rows.is_empty() {
                self.inbox.left(1);
                self.active.remove(index).close();
            } else {
                index += 1;
            }
        }
    }

    fn idle(&self) -> Turn {
        if self.active.is_empty() && self.inbox.gate() == Gate::Shut && self.inbox.waiting() == 0 {
            return Turn::Over;
        }
        let stalls = self.active.iter().filter_map(|job| Some(job.parked_since? + self.limits.stall_timeout));
        let deadlines = self.active.iter().filter_map(|job| job.deadline);
        Turn::Idle(stalls.chain(deadlines).chain(self.inbox.next_deadline()).min())
    }
}

/// Whether a job's time has come.
#[derive(Clone, Copy, PartialEq)]
enum Time {
    Left,
    Over,
}

fn time(deadline: Option<Instant>, now: Instant) -> Time {
    if deadline.is_some_and(|at| at <= now) { Time::Over } else { Time::Left }
}

fn ending(flow: Flow, time: Time, gate: Gate) -> Option<Ending> {
    match (flow, time, gate) {
        (Flow::Gone, ..) => Some(Ending::Cancelled),
        (_, Time::Over, _) => Some(Ending::TimedOut),
        (_, _, Gate::Shut) => Some(Ending::Shutdown),
        (_, Time::Left, Gate::Open) => None,
    }
}

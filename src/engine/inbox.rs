//! The bounded queue before an engine, and the bell that wakes it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::Submission;
use super::outlet::Flow;

/// Jobs that wait for an engine, first in, first out.
pub struct Inbox {
    limits: InboxLimits,
    queue: Mutex<Queue>,
    bell: Condvar,
    /// Jobs that wait here and jobs that run behind: what a new one would stand behind.
    load: AtomicUsize,
}

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub struct InboxLimits {
    /// Most jobs.
    pub jobs_max: usize,
    /// Most bytes of their tokens.
    pub bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Submission>,
    bytes: usize,
    bell: Bell,
    gate: Gate,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Bell {
    #[default]
    Silent,
    Rung,
}

/// Whether jobs may come, and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    /// Jobs come and run.
    #[default]
    Open,
    /// Every job ends; the engine goes when none is left.
    Shut,
}

impl Inbox {
    /// An empty queue.
    pub fn new(limits: InboxLimits) -> Self {
        Self { limits, queue: Mutex::default(), bell: Condvar::new(), load: AtomicUsize::new(0) }
    }

    /// Takes a job in, or gives it back when there is no room.
    pub fn push(&self, submission: Submission) -> Result<(), Box<Submission>> {
        let mut queue = self.lock();
        let bytes = queue.bytes + submission.token_bytes();
        // A job alone is always taken: its own size is the request's limit, not the queue's.
        let crowded = !queue.jobs.is_empty() && bytes > self.limits.bytes_max;
        if queue.jobs.len() >= self.limits.jobs_max || crowded || queue.gate == Gate::Shut {
            return Err(Box::new(submission));
        }
        queue.bytes = bytes;
        queue.jobs.push_back(submission);
        self.load.fetch_add(1, Ordering::Relaxed);
        self.ring(queue);
        Ok(())
    }

    /// Takes the first job out.
    pub(super) fn pop(&self) -> Option<Submission> {
        let mut queue = self.lock();
        let submission = queue.jobs.pop_front()?;
        queue.bytes -= submission.token_bytes();
        Some(submission)
    }

    /// Takes out the jobs that will never run: those whose reader is gone or whose deadline has passed; all, once the gate is shut.
    pub(super) fn take_ended(&self, now: Instant) -> Vec<Submission> {
        let mut queue = self.lock();
        let shut = queue.gate == Gate::Shut;
        let ended = |job: &Submission| {
            shut || job.job.flow() == Flow::Gone || job.deadline.is_some_and(|at| at <= now)
        };
        if !queue.jobs.iter().any(ended) {
            return Vec::new();
        }
        let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.jobs).into_iter().partition(ended);
        queue.bytes -= ended.iter().map(Submission::token_bytes).sum::<usize>();
        queue.jobs = kept.into();
        ended
    }

    /// The earliest deadline among the jobs that wait.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lock().jobs.iter().filter_map(|job| job.deadline).min()
    }

    /// A job has left, by whatever way.
    pub(super) fn left(&self, jobs: usize) {
        self.load.fetch_sub(jobs, Ordering::Relaxed);
    }

    /// Jobs here and in the engine behind.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Wakes the engine: a reader made room, or went.
    pub fn wake(&self) {
        self.ring(self.lock());
    }

    /// From now on every job ends, those that wait too.
    pub fn shut(&self) {
        let mut queue = self.lock();
        queue.gate = Gate::Shut;
        self.ring(queue);
    }

    pub(super) fn gate(&self) -> Gate {
        self.lock().gate
    }

    /// Sleeps until the bell rings, or until `until`.
    pub(super) fn wait(&self, until: Option<Instant>) {
        let mut queue = self.lock();
        while queue.bell == Bell::Silent {
            let Some(until) = until else {
                queue = self.bell.wait(queue).expect("bug: a panic under the lock of an inbox");
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.bell.wait_timeout(queue, left).expect("bug: a panic under the lock of an inbox").0;
        }
        queue.bell = Bell::Silent;
    }

    fn ring(&self, mut queue: MutexGuard<'_, Queue>) {
        queue.bell = Bell::Rung;
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("bug: a panic under the lock of an inbox")
    }
}

//! The bounded queue in front of an engine.
//!
//! Its lock is taken when a job is put in or taken out, not in every turn: between jobs, [`News`] and [`Waiting`] tell the engine
//! what it needs to know about the queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::Submission;
use super::bell::{Bell, News};
use super::outlet::Flow;
use crate::clock::Clock;

/// Jobs that wait for an engine, first in, first out.
pub struct Inbox {
    limits: InboxLimits,
    queue: Mutex<Queue>,
    bell: Bell,
    /// Jobs that wait here and jobs that run in the engine.
    load: AtomicUsize,
}

/// How much may wait.
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
    /// Not later than the earliest deadline of a waiting job.
    deadline: Option<Instant>,
    is_shut: bool,
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

    /// Adds a job, or gives it back if there is no room.
    pub fn push(&self, submission: Submission) -> Result<(), Box<Submission>> {
        let mut queue = self.lock();
        let bytes = queue.bytes + submission.token_bytes();
        // A job that would wait alone is always accepted: its size is limited by the request, not by the queue.
        let crowded = !queue.jobs.is_empty() && bytes > self.limits.bytes_max;
        if queue.jobs.len() >= self.limits.jobs_max || crowded || queue.is_shut {
            return Err(Box::new(submission));
        }
        queue.bytes = bytes;
        queue.deadline = earlier(queue.deadline, submission.deadline);
        queue.jobs.push_back(submission);
        self.load.fetch_add(1, Ordering::Relaxed);
        drop(queue);
        self.bell.ring(News::JOB);
        Ok(())
    }

    /// What there is to know about the waiting jobs.
    pub(super) fn look(&self) -> Waiting {
        self.lock().waiting()
    }

    /// Removes the first job.
    pub(super) fn pop(&self) -> Taken<Option<Submission>> {
        let mut queue = self.lock();
        let first = queue.jobs.pop_front();
        queue.bytes -= first.as_ref().map_or(0, Submission::token_bytes);
        Taken { jobs: first, left: queue.waiting() }
    }

    /// Removes the jobs that will never run: those whose reader is gone or whose deadline has passed, and all of them after [`Self::shut`].
    pub(super) fn take_ended(&self, now: Instant) -> Taken<Vec<Submission>> {
        let mut queue = self.lock();
        let is_shut = queue.is_shut;
        let ended = |job: &Submission| {
            is_shut || job.job.flow() == Flow::Gone || job.deadline.is_some_and(|at| at <= now)
        };
        let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.jobs).into_iter().partition(ended);
        queue.bytes -= ended.iter().map(Submission::token_bytes).sum::<usize>();
        queue.deadline = kept.iter().filter_map(|job| job.deadline).min();
        queue.jobs = kept.into();
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
        self.lock().jobs.len()
    }

    /// Accepts no more jobs, and ends all that wait or run.
    pub fn shut(&self) {
        self.lock().is_shut = true;
        self.bell.ring(News::SHUT);
    }

    /// Whether [`Self::shut`] was called.
    pub(super) fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    /// Tells the engine what a reader has done, and wakes it if it sleeps.
    pub(super) fn tell(&self, news: News) {
        self.bell.ring(news);
    }

    /// What has happened since the last call.
    pub(super) fn news(&self) -> News {
        self.bell.take()
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
    fn waiting(&self) -> Waiting {
        Waiting { jobs: self.jobs.len(), deadline: self.deadline.filter(|_| !self.jobs.is_empty()) }
    }
}

/// The earlier of two times, either of which may be missing.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

//! The bounded queue before an engine.
//!
//! Its lock is taken for each job, when it comes and when it is taken out, but not for each token or turn: what the engine
//! must know of the queue meanwhile comes as [`News`] and as [`Waiting`].

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
    /// No job waits whose deadline is earlier.
    deadline: Option<Instant>,
    is_shut: bool,
}

/// What the engine knows of the jobs that wait, from when it last took the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// How many there are.
    pub(super) jobs: usize,
    /// None of them has an earlier deadline.
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

    /// Takes a job in, or gives it back when there is no room.
    pub fn push(&self, submission: Submission) -> Result<(), Box<Submission>> {
        let mut queue = self.lock();
        let bytes = queue.bytes + submission.token_bytes();
        // A job alone is always taken: its own size is the request's limit, not the queue's.
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

    /// The jobs that wait.
    pub(super) fn look(&self) -> Waiting {
        self.lock().waiting()
    }

    /// Takes the first job out.
    pub(super) fn pop(&self) -> Taken<Option<Submission>> {
        let mut queue = self.lock();
        let first = queue.jobs.pop_front();
        queue.bytes -= first.as_ref().map_or(0, Submission::token_bytes);
        Taken { jobs: first, left: queue.waiting() }
    }

    /// Takes out the jobs that will never run: those whose reader is gone or whose deadline has passed; all, once it is shut.
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

    /// From now on every job ends, those that wait too.
    pub fn shut(&self) {
        self.lock().is_shut = true;
        self.bell.ring(News::SHUT);
    }

    /// Whether jobs come no more.
    pub(super) fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    /// Tells the engine what a reader has done, and wakes it.
    pub(super) fn tell(&self, news: News) {
        self.bell.ring(news);
    }

    /// What has happened since this was last asked.
    pub(super) fn news(&self) -> News {
        self.bell.take()
    }

    /// Sleeps until there is news, or until `until` by `clock`.
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

//! Parked jobs: their readers have no room, so they take part in no turn.

use std::time::{Duration, Instant};

use super::active::Active;
use super::inbox::earlier;
use super::stopwatch::Place;

/// Parked jobs. They are examined when there is news of a reader, or when the time of one of them is up.
#[derive(Default)]
pub(super) struct Parked {
    jobs: Vec<ParkedJob>,
    /// When the time of the first of them is up.
    due: Option<Instant>,
}

/// A parked job.
pub(super) struct ParkedJob {
    pub(super) job: Active,
    /// When it has waited too long for its reader.
    stalls_at: Instant,
}

impl Parked {
    /// Parks `job` from `now` on, for at most `stall_timeout`.
    pub(super) fn park(&mut self, mut job: Active, now: Instant, stall_timeout: Duration) {
        job.time(Place::Parked);
        self.keep(ParkedJob { job, stalls_at: now + stall_timeout });
    }

    /// Their number.
    pub(super) fn count(&self) -> usize {
        self.jobs.len()
    }

    /// When the time of the first of them is up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// All of them.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &Active> {
        self.jobs.iter().map(|parked| &parked.job)
    }

    /// Removes the jobs for which `leaves` returns true.
    pub(super) fn take_out(&mut self, leaves: impl FnMut(&mut ParkedJob) -> bool) -> Vec<Active> {
        let gone: Vec<ParkedJob> = self.jobs.extract_if(.., leaves).collect();
        self.due = self.jobs.iter().map(ParkedJob::due).min();
        let unparked = |ParkedJob { mut job, .. }| {
            job.time(Place::Batch);
            job
        };
        gone.into_iter().map(unparked).collect()
    }

    fn keep(&mut self, job: ParkedJob) {
        self.due = earlier(self.due, Some(job.due()));
        self.jobs.push(job);
    }
}

impl ParkedJob {
    /// When its time is up.
    fn due(&self) -> Instant {
        self.job.deadline.map_or(self.stalls_at, |deadline| deadline.min(self.stalls_at))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due() <= now
    }
}

//! The jobs that stand parked: their readers have no room, so they cost no turn.

use std::time::{Duration, Instant};

use super::active::Active;
use super::inbox::earlier;

/// Parked jobs. They are looked at when there is news of a reader, or when the time of one of them is up.
#[derive(Default)]
pub(super) struct Parked {
    jobs: Vec<ParkedJob>,
    /// Nobody's time is up earlier.
    due: Option<Instant>,
}

/// A job and how long its reader may take.
pub(super) struct ParkedJob {
    pub(super) job: Active,
    /// When it has waited for too long for its reader.
    stalls_at: Instant,
}

impl Parked {
    /// Parks `job` from `now` on, for at most `stall_timeout`.
    pub(super) fn park(&mut self, job: Active, now: Instant, stall_timeout: Duration) {
        self.keep(ParkedJob { job, stalls_at: now + stall_timeout });
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.jobs.len()
    }

    /// The first time at which one of them may have to end.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes those out for which `leaves` holds.
    pub(super) fn take_out(&mut self, leaves: impl FnMut(&mut ParkedJob) -> bool) -> Vec<Active> {
        let gone: Vec<ParkedJob> = self.jobs.extract_if(.., leaves).collect();
        self.due = self.jobs.iter().map(ParkedJob::due).min();
        gone.into_iter().map(|parked| parked.job).collect()
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

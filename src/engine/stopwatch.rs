//! Where the time of a request goes: how long its jobs wait and run, and in how many turns.
//!
//! A request may have several jobs, one after the other or at the same time. At every moment it counts as running if one of them runs, else as
//! waiting if one of them waits, so that both times together are never more than that of the request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, Phase};

/// Times the jobs of one request. It is locked when a job changes its place, not in a turn.
#[derive(Debug, Default)]
pub struct Stopwatch {
    places: Mutex<Places>,
    turns: AtomicU64,
}

/// What a [`Stopwatch`] shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Time in which jobs waited for an engine and none ran.
    pub queue: Phase,
    /// Time in which at least one job was in the batch. A job that is parked, because its reader is slow, is not.
    pub engine: Phase,
    /// Turns in which jobs ran, those of each job added.
    pub turns: u64,
    /// Jobs that an engine has accepted.
    pub jobs: u64,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for an engine.
    Queue,
    /// An engine runs it.
    Batch,
    /// Its reader has no room.
    Parked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Places {
    waiting: usize,
    running: usize,
    /// When a job last changed its place.
    since: Option<Instant>,
    queue: Phase,
    engine: Phase,
    jobs: u64,
}

/// A job that is timed until this is dropped.
#[derive(Debug)]
pub struct Timed {
    stopwatch: Arc<Stopwatch>,
    clock: Clock,
    place: Place,
}

impl Stopwatch {
    /// What it shows now, with the time of jobs that have not ended.
    pub fn read(&self, clock: &Clock) -> Timings {
        let mut places = *self.lock();
        places.pass(clock.now());
        let Places { queue, engine, jobs, .. } = places;
        Timings { queue, engine, turns: self.turns.load(Ordering::Relaxed), jobs }
    }

    fn change(&self, clock: &Clock, change: impl FnOnce(&mut Places)) {
        let mut places = self.lock();
        // Read under the lock, so that times rise from change to change.
        places.pass(clock.now());
        change(&mut places);
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Counts the time since the last change.
    fn pass(&mut self, now: Instant) {
        let since = self.since.replace(now).unwrap_or(now);
        if self.running > 0 {
            self.engine.add(since, now);
        } else if self.waiting > 0 {
            self.queue.add(since, now);
        }
    }

    fn enter(&mut self, place: Place) {
        if let Some(jobs) = self.jobs_in(place) {
            *jobs += 1;
        }
    }

    fn leave(&mut self, place: Place) {
        if let Some(jobs) = self.jobs_in(place) {
            *jobs -= 1;
        }
    }

    /// The number of jobs in `place`, where it matters.
    fn jobs_in(&mut self, place: Place) -> Option<&mut usize> {
        match place {
            Place::Queue => Some(&mut self.waiting),
            Place::Batch => Some(&mut self.running),
            Place::Parked => None,
        }
    }
}

impl Timed {
    /// Times a job that waits for an engine from now on.
    pub fn start(stopwatch: &Arc<Stopwatch>, clock: &Clock) -> Self {
        stopwatch.change(clock, |places| places.enter(Place::Queue));
        Self { stopwatch: stopwatch.clone(), clock: clock.clone(), place: Place::Queue }
    }

    pub(super) fn move_to(&mut self, place: Place) {
        let from = std::mem::replace(&mut self.place, place);
        self.stopwatch.change(&self.clock, |places| {
            places.jobs += u64::from(from == Place::Queue);
            places.leave(from);
            places.enter(place);
        });
    }

    /// Counts a turn in which the job ran.
    pub(super) fn turn(&self) {
        self.stopwatch.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.stopwatch.change(&self.clock, |places| places.leave(self.place));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn figures(stopwatch: &Stopwatch, clock: &Clock) -> (u64, u64, u64) {
        let Timings { queue, engine, jobs, .. } = stopwatch.read(clock);
        (queue.total.as_secs(), engine.total.as_secs(), jobs)
    }

    #[test]
    fn a_job_waits_runs_is_parked_and_ends() {
        let clock = Clock::manual();
        let stopwatch = Arc::new(Stopwatch::default());
        let begun = clock.now();
        let mut job = Timed::start(&stopwatch, &clock);
        clock.advance(2 * SECOND);
        job.move_to(Place::Batch);
        clock.advance(3 * SECOND);
        assert_eq!(figures(&stopwatch, &clock), (2, 3, 1), "a job that runs is timed up to now");
        job.move_to(Place::Parked);
        clock.advance(7 * SECOND);
        job.move_to(Place::Batch);
        clock.advance(SECOND);
        drop(job);
        clock.advance(SECOND);
        assert_eq!(figures(&stopwatch, &clock), (2, 4, 1));
        let engine = stopwatch.read(&clock).engine.bounds.unwrap();
        assert_eq!((engine.from - begun, engine.to - begun), (2 * SECOND, 13 * SECOND));
    }

    #[test]
    fn jobs_at_the_same_time_are_not_counted_twice() {
        let clock = Clock::manual();
        let stopwatch = Arc::new(Stopwatch::default());
        let mut jobs: Vec<Timed> = (0..3).map(|_| Timed::start(&stopwatch, &clock)).collect();
        clock.advance(SECOND);
        for job in &mut jobs {
            job.move_to(Place::Batch);
            clock.advance(SECOND);
        }
        drop(jobs);
        assert_eq!(figures(&stopwatch, &clock), (1, 3, 3));
    }

    #[test]
    fn a_job_that_is_refused_has_waited_and_is_no_job() {
        let clock = Clock::manual();
        let stopwatch = Arc::new(Stopwatch::default());
        let refused = Timed::start(&stopwatch, &clock);
        clock.advance(SECOND);
        drop(refused);
        clock.advance(SECOND);
        assert_eq!(figures(&stopwatch, &clock), (1, 0, 0));
    }
}

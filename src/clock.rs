//! The clock that the program reads, and the time that something took. The clock is passed in, so that tests can set the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A source of time. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    wall_start: SystemTime,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Nanoseconds since `start`.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { start: Instant::now(), wall_start: SystemTime::now(), source: Source::System }
    }

    /// A clock that stands still until [`Self::advance`] moves it.
    pub fn manual() -> Self {
        Self { source: Source::Manual(Arc::default()), ..Self::system() }
    }

    /// The current time, for measuring and comparing.
    pub fn now(&self) -> Instant {
        match &self.source {
            Source::System => Instant::now(),
            Source::Manual(nanos) => self.start + Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// `at` as a date, to show to people. It does not jump when the machine's date is set.
    pub fn date(&self, at: Instant) -> SystemTime {
        self.wall_start + at.saturating_duration_since(self.start)
    }

    /// Advances a manual clock.
    ///
    /// # Panics
    /// If this is the machine's clock, which cannot be advanced.
    pub fn advance(&self, by: Duration) {
        match &self.source {
            Source::System => panic!("bug: the machine's clock cannot be advanced"),
            Source::Manual(nanos) => nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst),
        };
    }
}

/// The time that something took. It may lie in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// The sum of the pieces.
    pub total: Duration,
    /// From the beginning of the first to the end of the last; `None` if there was none.
    pub bounds: Option<Bounds>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The beginning.
    pub from: Instant,
    /// The end, which is not earlier.
    pub to: Instant,
}

impl Phase {
    /// Adds a piece, which overlaps no other. An end before the beginning counts as the beginning.
    pub fn add(&mut self, from: Instant, to: Instant) {
        let to = to.max(from);
        self.total += to - from;
        self.bounds = Some(match self.bounds {
            Some(bounds) => Bounds { from: bounds.from.min(from), to: bounds.to.max(to) },
            None => Bounds { from, to },
        });
    }
}

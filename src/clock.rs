//! The clock that the program reads. It is passed in, so that tests can set the time.

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

//! Time as the program sees it, passed in so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A source of time; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    wall_start: SystemTime,
    hand: Hand,
}

#[derive(Clone, Debug)]
enum Hand {
    System,
    /// Nanoseconds since the start.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { start: Instant::now(), wall_start: SystemTime::now(), hand: Hand::System }
    }

    /// A clock that stands still until [`Self::advance`] moves it.
    pub fn manual() -> Self {
        Self { hand: Hand::Manual(Arc::default()), ..Self::system() }
    }

    /// Now, for measuring and comparing.
    pub fn now(&self) -> Instant {
        match &self.hand {
            Hand::System => Instant::now(),
            Hand::Manual(nanos) => self.start + Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// `at` as a date, for people. It never jumps when the machine's date is set.
    pub fn date(&self, at: Instant) -> SystemTime {
        self.wall_start + at.saturating_duration_since(self.start)
    }

    /// Moves a manual clock.
    ///
    /// # Panics
    /// On the machine's clock, which nobody can move.
    pub fn advance(&self, by: Duration) {
        match &self.hand {
            Hand::System => panic!("bug: the machine's clock cannot be advanced"),
            Hand::Manual(nanos) => nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst),
        };
    }
}

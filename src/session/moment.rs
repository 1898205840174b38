//! Times of the table: half as large as an `Instant`, which matters in a million sessions.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// Nanoseconds since the table was created. What is later than 584 years is "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    /// The moment `time` later.
    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    pub(super) fn nanos(self) -> u64 {
        self.0
    }
}

/// Nanoseconds in `time`, at most those that a [`Moment`] can hold.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that counts from the creation of the table.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Clock,
    start: Instant,
}

impl Timeline {
    pub(super) fn new(clock: Clock) -> Self {
        Self { start: clock.now(), clock }
    }

    pub(super) fn now(&self) -> Moment {
        Moment(nanos(self.clock.now().saturating_duration_since(self.start)))
    }

    /// The moment as a date, to show to people.
    pub(super) fn date(&self, moment: Moment) -> SystemTime {
        self.clock.date(self.start) + Duration::from_nanos(moment.0)
    }
}

//! Times of the table: half as large as an `Instant`, which matters in a million sessions.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// Nanoseconds since ten years before the table was created, because sessions of a store are older than the table. What is later than
/// 584 years is "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    /// Whether a multiple of `step` lies between the two, or at the later of them.
    pub(super) fn passes(self, later: Self, step: Duration) -> bool {
        let step = nanos(step).max(1);
        self.0 / step != later.0 / step
    }

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

/// How long before the creation of the table moments begin.
const BEFORE: Duration = Duration::from_hours(10 * 365 * 24);

/// A clock that counts from [`BEFORE`] the creation of the table.
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
        Moment(nanos(BEFORE + self.clock.now().saturating_duration_since(self.start)))
    }

    /// The moment as a date, to show to people.
    pub(super) fn date(&self, moment: Moment) -> SystemTime {
        self.clock.date(self.start) - BEFORE + Duration::from_nanos(moment.0)
    }

    /// The moment of a date, at the latest now: a date of another process may be in the future of this machine's clock.
    pub(super) fn moment(&self, date: SystemTime) -> Moment {
        self.moment_ahead(date).min(self.now())
    }

    /// The moment of a date, which may be in the future.
    pub(super) fn moment_ahead(&self, date: SystemTime) -> Moment {
        let begin = self.clock.date(self.start) - BEFORE;
        Moment(nanos(date.duration_since(begin).unwrap_or_default()))
    }
}

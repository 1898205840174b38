//! How long the work of a model takes: measured while it runs, because a cost only compares works of one model.

use std::time::Duration;

/// The time that a unit of a model's cost takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    nanos: f64,
}

impl Default for Pace {
    /// A model that was never measured is taken for a slow one: a multiply-add in a nanosecond.
    fn default() -> Self {
        Self { nanos: 1.0 }
    }
}

impl Pace {
    /// The share of a new measurement: one outlier changes little, and a change shows within some ten turns.
    const SHARE: f64 = 0.125;

    /// The pace of a model that took `elapsed` for `cost`.
    pub(super) fn measured(cost: u64, elapsed: Duration) -> Self {
        Self { nanos: elapsed.as_nanos() as f64 / cost.max(1) as f64 }
    }

    /// This pace and a later one together.
    pub(super) fn and(self, later: Self) -> Self {
        Self { nanos: self.nanos + Self::SHARE * (later.nanos - self.nanos) }
    }

    /// How long work of this cost takes.
    pub(super) fn time(self, cost: f64) -> Duration {
        Duration::from_nanos((self.nanos * cost) as u64)
    }

    /// The cost of the work that can be done in `time`.
    pub(super) fn cost_within(self, time: Duration) -> u64 {
        // The cast saturates: where work takes no time, any cost is affordable.
        (time.as_nanos() as f64 / self.nanos) as u64
    }

    /// For an atomic word.
    pub(super) fn to_bits(self) -> u64 {
        self.nanos.to_bits()
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self { nanos: f64::from_bits(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_follows_a_model_that_becomes_slower() {
        let fast = Pace::measured(1000, Duration::from_micros(1));
        assert_eq!(fast.time(5000.0), Duration::from_micros(5));
        let slow = Pace::measured(1000, Duration::from_micros(10));
        let once = fast.and(slow);
        assert!(once.time(1000.0) < Duration::from_micros(3), "one slow turn may be an accident");
        let soon = (0..30).fold(fast, |pace, _| pace.and(slow));
        assert!(soon.time(1000.0) > Duration::from_micros(9));
    }

    #[test]
    fn the_cost_that_is_affordable_is_the_inverse_of_the_time() {
        let pace = Pace::measured(1000, Duration::from_millis(7));
        assert_eq!(pace.cost_within(Duration::from_millis(70)), 10_000);
        assert_eq!(Pace::measured(10, Duration::ZERO).cost_within(Duration::from_millis(1)), u64::MAX);
        // 50 ms, at a nanosecond each.
        assert_eq!(Pace::default().cost_within(Duration::from_millis(50)), 50_000_000);
    }
}

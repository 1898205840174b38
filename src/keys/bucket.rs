//! How many requests a name may send: a bucket of tokens, which fills at a steady rate.
//!
//! It is kept as the time at which it would be full again (the generic cell rate algorithm, ITU-T I.371), which is exact and needs no
//! timer: each request moves that time on by the period of a token, and is refused if it would then lie further ahead than the
//! bucket is deep.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The time in which a token comes.
    period: Duration,
    /// The tokens that it holds.
    burst: u32,
    full_at: Mutex<Instant>,
}

/// What a name may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that are accepted at once after a pause.
    pub limit: u64,
    /// Requests that would be accepted now.
    pub remaining: u64,
    /// The time until `limit` would be accepted again.
    pub reset: Duration,
}

/// A request that came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooEarly {
    /// Most requests at once.
    pub(super) burst: u32,
    /// The time after which it would be accepted.
    pub(super) retry_after: Duration,
}

impl Bucket {
    /// A full bucket: `per_second` tokens a second, and at most `burst`, which are both above 0.
    pub(super) fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        Self { period: Duration::from_secs_f64(per_second.recip()), burst, full_at: Mutex::new(now) }
    }

    /// Takes a token.
    pub(super) fn take(&self, now: Instant) -> Result<Allowance, TooEarly> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let lacking = full_at.saturating_duration_since(now);
        let depth = self.period * self.burst;
        let lacking_then = lacking + self.period;
        if lacking_then > depth {
            return Err(TooEarly { burst: self.burst, retry_after: lacking_then - depth });
        }
        *full_at = now + lacking_then;
        let remaining = (depth - lacking_then).as_nanos() / self.period.as_nanos();
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        Ok(Allowance { limit: self.burst.into(), remaining, reset: lacking_then })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_accepted_and_then_one_in_each_period() {
        let start = Instant::now();
        let bucket = Bucket::new(4.0, 3, start);
        let quarter = Duration::from_millis(250);
        for used in 1..=3 {
            let allowance = bucket.take(start).unwrap();
            assert_eq!(
                allowance,
                Allowance { limit: 3, remaining: u64::from(3 - used), reset: quarter * used }
            );
        }
        let refused = bucket.take(start).unwrap_err();
        assert_eq!(refused, TooEarly { burst: 3, retry_after: quarter });
        assert!(bucket.take(start + quarter - Duration::from_nanos(1)).is_err());
        assert_eq!(bucket.take(start + quarter).unwrap().remaining, 0);
        assert!(
            bucket.take(start + quarter).is_err(),
            "a refused request costs nothing, an accepted one does"
        );
        assert_eq!(
            bucket.take(start + quarter * 100).unwrap().remaining,
            2,
            "it does not hold more than a burst"
        );
    }

    #[test]
    fn what_retry_after_says_is_true() {
        let start = Instant::now();
        let bucket = Bucket::new(0.5, 1, start);
        assert!(bucket.take(start).is_ok());
        let at = start + Duration::from_millis(700);
        let TooEarly { retry_after, .. } = bucket.take(at).unwrap_err();
        assert_eq!(retry_after, Duration::from_millis(1300));
        assert!(bucket.take(at + retry_after).is_ok());
    }

    proptest! {
        /// In any window of time, no more are accepted than a full bucket and what comes in that time.
        #[test]
        fn no_window_has_more_than_a_burst_and_its_share(
            rate in 1..20u32,
            burst in 1..10u32,
            pauses in prop::collection::vec(0..400u64, 1..80),
        ) {
            let start = Instant::now();
            let bucket = Bucket::new(f64::from(rate), burst, start);
            let mut at = start;
            let mut accepted: Vec<Instant> = Vec::new();
            for pause in pauses {
                at += Duration::from_millis(pause);
                accepted.extend(bucket.take(at).ok().map(|_| at));
            }
            for (first, begin) in accepted.iter().enumerate() {
                for (last, end) in accepted.iter().enumerate().skip(first) {
                    let share = (*end - *begin).as_secs_f64() * f64::from(rate);
                    prop_assert!((last - first + 1) as f64 <= f64::from(burst) + share + 1e-6);
                }
            }
        }
    }
}

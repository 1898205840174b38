//! The time of a run of a model, over and over, until its median is steady.

use std::hint::black_box;
use std::time::Duration;

use clap::ValueEnum;

use crate::clock::Clock;
use crate::error::Error;
use crate::lm::{Logits, Model, Row, Scratch, State, TokenId};

/// What is measured: a run in which each of `rows` rows reads `tokens` tokens and asks for the logits after the last one.
pub(super) struct Case {
    pub(super) work: Work,
    pub(super) rows: usize,
    pub(super) tokens: usize,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Work {
    /// Read one token in each row.
    Step,
    /// Read a whole prompt in each row.
    Prompt,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Prompt => "prompt",
        }
    }
}

/// The times of all runs of a case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) runs: usize,
    /// A tenth of the runs were at most as long.
    pub(super) p10: Duration,
    pub(super) median: Duration,
    /// A tenth of the runs were at least as long.
    pub(super) p90: Duration,
}

impl Timing {
    /// Of at least one run.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
        Self { runs: times.len(), p10: percentile(10), median: percentile(50), p90: percentile(90) }
    }
}

/// A median of fewer runs says little.
const RUNS_MIN: usize = 5;
/// Bounds the memory of the times.
const RUNS_MAX: usize = 1 << 20;
/// The part of the time for which the model is run before anything counts: caches and the processor's clock warm up, and input
/// products of frequent tokens are kept.
const WARM_UP: u32 = 4;

/// A model, and all that its runs need.
pub(super) struct Bench<'m> {
    model: &'m dyn Model,
    scratch: Scratch,
    ids: Ids,
    clock: Clock,
}

impl<'m> Bench<'m> {
    pub(super) fn new(model: &'m dyn Model, logits_bytes_max: usize, clock: Clock) -> Self {
        let ids = Ids::new(model.info().vocab_size);
        Self { model, scratch: Scratch::new(logits_bytes_max), ids, clock }
    }

    /// Runs `case` for `time`, and a part of it beforehand. Every run continues from the states of the one before, on new tokens.
    ///
    /// # Errors
    /// `Load` when a row fails, because then there is nothing to measure.
    pub(super) fn measure(&mut self, case: &Case, time: Duration) -> Result<Timing, Error> {
        let mut states = vec![self.model.start_state(); case.rows];
        let begun = self.clock.now();
        while self.clock.now() - begun < time / WARM_UP {
            self.run(case, &mut states)?;
        }
        let mut times = Vec::new();
        let begun = self.clock.now();
        while times.len() < RUNS_MIN || self.clock.now() - begun < time && times.len() < RUNS_MAX {
            times.push(self.run(case, &mut states)?);
        }
        Ok(Timing::of(times))
    }

    fn run(&mut self, case: &Case, states: &mut [State]) -> Result<Duration, Error> {
        let ids: Vec<TokenId> = (0..case.rows * case.tokens).map(|_| self.ids.next()).collect();
        let each = states.iter_mut().zip(ids.chunks_exact(case.tokens));
        let mut rows: Vec<Row<'_>> = each.map(|(state, ids)| Row::new(state, ids, Logits::Last)).collect();
        let begun = self.clock.now();
        self.model.run(&mut rows, &mut self.scratch, &mut |_, _, logits| {
            black_box(logits);
        });
        let elapsed = self.clock.now() - begun;
        rows.into_iter().try_for_each(|row| row.outcome).map_err(|error| Error::load(error.to_string()))?;
        Ok(elapsed)
    }
}

/// Ids that are as frequent as the words of a text whose ids are their ranks: inversely proportional to the rank (Zipf 1949). The
/// order of magnitude of a rank is uniform, and so is the rank within it.
struct Ids {
    vocab_size: u64,
    /// Of a linear congruential generator (Knuth, MMIX), whose upper bits are good enough here.
    state: u64,
}

impl Ids {
    fn new(vocab_size: usize) -> Self {
        Self { vocab_size: vocab_size as u64, state: 1 }
    }

    fn next(&mut self) -> TokenId {
        let magnitudes = u64::from(self.vocab_size.ilog2()) + 1;
        let low = 1 << self.below(magnitudes);
        let rank = low + self.below(low);
        ((rank - 1) % self.vocab_size) as TokenId
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 32) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::fake::Fake;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = (0..=100).rev().map(Duration::from_micros).collect();
        let micros = Duration::from_micros;
        let expected = Timing { runs: 101, p10: micros(10), median: micros(50), p90: micros(90) };
        assert_eq!(Timing::of(times), expected);
        let one = micros(7);
        assert_eq!(Timing::of(vec![one]), Timing { runs: 1, p10: one, median: one, p90: one });
    }

    #[test]
    fn every_id_is_in_the_vocabulary_and_the_first_are_the_most_frequent() {
        for vocab_size in [1, 2, 3, 1000] {
            let mut ids = Ids::new(vocab_size);
            let mut counts = vec![0; vocab_size];
            (0..100_000).for_each(|_| counts[ids.next() as usize] += 1);
            assert!(counts.iter().all(|&count| count > 0), "{vocab_size}: {counts:?}");
            // Ten orders of magnitude, so a tenth of the ids are the first one, and the last half share the last tenth or two.
            if vocab_size == 1000 {
                assert!((9_000..11_500).contains(&counts[0]), "{}", counts[0]);
                assert!(counts[512..].iter().sum::<i32>() < 11_000);
            }
        }
    }

    /// The measurement of a model whose every run takes 10 microseconds.
    fn measured(time: Duration) -> Timing {
        let clock = Clock::manual();
        let hands = clock.clone();
        let fake = Fake::new(3).before_run(move |_| hands.advance(Duration::from_micros(10)));
        let case = Case { work: Work::Prompt, rows: 2, tokens: 3 };
        Bench::new(&fake, 0, clock).measure(&case, time).expect("a model that does not fail")
    }

    #[test]
    fn runs_fill_the_time_and_are_never_too_few() {
        let run = Duration::from_micros(10);
        let timing = |runs: usize| Timing { runs, p10: run, median: run, p90: run };
        assert_eq!(measured(Duration::from_millis(1)), timing(100));
        assert_eq!(measured(Duration::ZERO), timing(RUNS_MIN));
    }

    #[test]
    fn a_model_that_fails_is_not_measured() {
        let fake = Fake::new(1).nan_on(0);
        let case = Case { work: Work::Step, rows: 1, tokens: 1 };
        let error = Bench::new(&fake, 0, Clock::system()).measure(&case, Duration::ZERO).unwrap_err();
        assert!(error.message.contains("finite"), "{error:?}");
    }
}

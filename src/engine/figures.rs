//! What an engine knows of a model's work: measured and counted by the engine, read where jobs arrive.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::forecast::{Running, expected_draws};
use super::pace::Pace;

/// The figures of one model on one engine. Each is an atomic word, so that the engine takes no lock to write them.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The bits of a [`Pace`]; 0 until a turn was measured that took time.
    pace: AtomicU64,
    /// Rows that draw.
    rows: AtomicUsize,
    /// Tokens that the job which may end first can still draw.
    soonest: AtomicUsize,
    /// What the caches of the rows that draw cost in each turn.
    recalls: AtomicU64,
    /// The cost of the long prompts and texts that are being read.
    reading: AtomicU64,
    /// Tokens that texts had when they ended.
    drawn: AtomicU64,
    /// How many of those texts ended before their maximum.
    early: AtomicU64,
}

/// What the active jobs of a model have left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Rows that draw.
    pub(super) rows: usize,
    /// The fewest tokens that one of their jobs can still draw.
    pub(super) draws_min: Option<usize>,
    /// What the caches of the rows that draw cost in each turn, once they are as full as they become.
    pub(super) recalls: u64,
    /// The cost of long prompts and texts.
    pub(super) reading: u64,
}

/// A text that has ended by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedText {
    /// Its tokens.
    pub(super) drawn: usize,
    /// Whether more were allowed.
    pub(super) is_early: bool,
}

impl Work {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            draws_min: self.draws_min.into_iter().chain(other.draws_min).min(),
            recalls: self.recalls + other.recalls,
            reading: self.reading + other.reading,
        }
    }
}

impl Figures {
    /// Tokens after which half of what was counted is forgotten, so that the figures follow a change of the requests.
    const MEMORY: u64 = 1 << 16;

    pub(super) fn pace(&self) -> Pace {
        match self.pace.load(Relaxed) {
            0 => Pace::default(),
            bits => Pace::from_bits(bits),
        }
    }

    /// Whether the pace is more than a guess.
    pub(super) fn is_measured(&self) -> bool {
        self.pace.load(Relaxed) != 0
    }

    /// Counts the pace of a turn. Only the engine's thread does.
    pub(super) fn measured(&self, pace: Pace) {
        let all = match self.pace.load(Relaxed) {
            0 => pace,
            bits => Pace::from_bits(bits).and(pace),
        };
        self.pace.store(all.to_bits(), Relaxed);
    }

    /// What runs.
    pub(super) fn running(&self) -> Running {
        Running {
            rows: self.rows.load(Relaxed),
            soonest: expected_draws(self.soonest.load(Relaxed), self.end()),
            recalls: self.recalls.load(Relaxed),
            reading: self.reading.load(Relaxed),
        }
    }

    pub(super) fn set_running(&self, work: Work) {
        self.rows.store(work.rows, Relaxed);
        self.soonest.store(work.draws_min.unwrap_or(0), Relaxed);
        self.recalls.store(work.recalls, Relaxed);
        self.reading.store(work.reading, Relaxed);
    }

    /// Counts a text that has ended by itself. Only the engine's thread does.
    pub(super) fn ended(&self, text: EndedText) {
        let drawn = self.drawn.load(Relaxed) + text.drawn as u64;
        let early = self.early.load(Relaxed) + u64::from(text.is_early);
        let halved = u32::from(drawn > Self::MEMORY);
        self.drawn.store(drawn >> halved, Relaxed);
        self.early.store(early >> halved, Relaxed);
    }

    /// The share of the tokens drawn that were the last of their text, although more were allowed.
    pub(super) fn end(&self) -> f64 {
        self.early.load(Relaxed) as f64 / self.drawn.load(Relaxed).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_turn_that_is_measured_replaces_the_guess() {
        let figures = Figures::default();
        assert_eq!((figures.pace(), figures.is_measured()), (Pace::default(), false));
        let slow = Pace::measured(1, Duration::from_millis(7));
        figures.measured(slow);
        assert_eq!((figures.pace(), figures.is_measured()), (slow, true));
    }

    #[test]
    fn the_share_of_ends_follows_the_texts() {
        let figures = Figures::default();
        assert_eq!(figures.end(), 0.0);
        figures.ended(EndedText { drawn: 300, is_early: false });
        assert_eq!(figures.end(), 0.0, "a text that was cut off at its maximum did not end");
        figures.ended(EndedText { drawn: 100, is_early: true });
        assert_eq!(figures.end(), 1.0 / 400.0);
        (0..100_000).for_each(|_| figures.ended(EndedText { drawn: 10, is_early: true }));
        assert!((figures.end() - 0.1).abs() < 0.001, "{}", figures.end());
    }
}

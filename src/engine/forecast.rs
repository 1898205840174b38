//! When a job would be done, if it were accepted now.
//!
//! An overloaded server that accepts everything finishes nothing: each job is slowed down by the others until its deadline cuts it short, and
//! what was computed for it is lost. So a job is accepted only if it can probably be finished in its time. What cannot is refused at once,
//! which costs nothing, and its client learns when to come back.
//!
//! The estimate is made of what is known exactly (the rows that run, the work that waits before the job), of what is measured (the pace of
//! the model, and how soon its texts end), and of the maximum that the request sets.

use std::time::Duration;

use super::pace::Pace;
use crate::lm::Cost;

/// What a job needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Demand {
    /// Rows that draw.
    pub(super) rows: usize,
    /// Tokens that each of them will probably draw.
    pub(super) draws: f64,
    /// What the caches of all these rows cost in each turn.
    pub(super) recalls: u64,
    /// The cost of what the request has the job read.
    pub(super) reading: u64,
}

/// What is to be done for a model, when a job arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) cost: Cost,
    pub(super) pace: Pace,
    /// Most rows that run together.
    pub(super) rows_max: usize,
    /// Most that a turn costs, as a multiple of the step of the rows that draw.
    pub(super) turn_steps: f64,
    pub(super) running: Running,
    /// What waits before the job.
    pub(super) waiting: Load,
    /// How long the turns of all other models take, one each.
    pub(super) others: Duration,
}

/// What runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Running {
    /// Rows that draw.
    pub(super) rows: usize,
    /// Tokens after which the first of their jobs probably ends, and leaves its place.
    pub(super) soonest: f64,
    /// What the caches of these rows cost in each turn.
    pub(super) recalls: u64,
    /// The cost of the long prompts and texts that are being read.
    pub(super) reading: u64,
}

/// What waits, as far as it can be foreseen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Rows that draw.
    pub(super) rows: usize,
    /// Tokens that all of them together will probably draw.
    pub(super) draws: f64,
    /// What the caches of these rows cost in each turn.
    pub(super) recalls: u64,
    /// The cost of the long prompts and texts.
    pub(super) reading: u64,
}

/// How long a job would probably wait, and then run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) wait: Duration,
    pub(super) run: Duration,
}

/// What a job must be able to do to be accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The time until its deadline.
    pub(super) left: Duration,
    /// An expected wait that is always accepted; none if nothing waits, since then any is.
    pub(super) wait_max: Option<Duration>,
}

impl Demand {
    pub(super) fn load(&self) -> Load {
        Load {
            rows: self.rows,
            draws: self.rows as f64 * self.draws,
            recalls: self.recalls,
            reading: self.reading,
        }
    }
}

impl Load {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            draws: self.draws + other.draws,
            recalls: self.recalls + other.recalls,
            reading: self.reading + other.reading,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.reading == 0
    }

    /// Without what was added before.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            rows: self.rows - other.rows,
            draws: (self.draws - other.draws).max(0.0),
            recalls: self.recalls - other.recalls,
            reading: self.reading - other.reading,
        }
    }
}

/// Rows that draw in each turn.
#[derive(Clone, Copy, Debug)]
struct Drawing {
    rows: usize,
    /// What their caches cost.
    recalls: u64,
}

impl Drawing {
    /// As many of them as fit into a batch.
    fn within(self, rows_max: usize) -> Self {
        if self.rows <= rows_max {
            return self;
        }
        Self { rows: rows_max, recalls: self.recalls / self.rows as u64 * rows_max as u64 }
    }
}

impl Situation {
    /// How long a job would wait for a place in the batch, and then run.
    pub(super) fn estimate(&self, demand: &Demand) -> Estimate {
        let rows_before = self.running.rows + self.waiting.rows;
        let recalls_before = self.running.recalls + self.waiting.recalls;
        let before = Drawing { rows: rows_before, recalls: recalls_before };
        let has_place = rows_before + demand.rows <= self.rows_max;
        let wait = match has_place {
            true => Duration::ZERO,
            // Each turn of a full batch draws a token for each of its rows.
            false => {
                let turns = self.running.soonest + self.waiting.draws / self.rows_max as f64;
                self.turns(turns, before.within(self.rows_max))
            }
        };
        let all = Drawing { rows: rows_before + demand.rows, recalls: recalls_before + demand.recalls };
        let drawing = all.within(self.rows_max);
        // Beyond a full batch, rows take turns.
        let share = (self.running.rows as f64 / self.rows_max as f64).max(1.0);
        let run = self.turns(demand.draws * share, drawing) + self.reading_time(demand, drawing.rows);
        Estimate { wait, run }
    }

    /// The time of `count` turns in which these rows draw.
    fn turns(&self, count: f64, drawing: Drawing) -> Duration {
        let reads = self.running.reading + self.waiting.reading > 0;
        let steps = if reads { self.turn_steps } else { 1.0 };
        let step_cost = self.cost.bare_step(drawing.rows) + drawing.recalls;
        let step = self.pace.time(step_cost as f64 * steps);
        (step + self.others).mul_f64(count)
    }

    /// The time in which everything is read that comes with requests. Beside rows that draw, it gets what these leave of a turn.
    fn reading_time(&self, demand: &Demand, rows: usize) -> Duration {
        if demand.reading == 0 {
            return Duration::ZERO;
        }
        let reading = self.running.reading + self.waiting.reading + demand.reading;
        let share = match rows {
            0 => 1.0,
            // With `--turn-steps 1` a long text gets a token of each turn.
            _ => self.turn_steps / (self.turn_steps - 1.0).max(0.5),
        };
        self.pace.time(reading as f64 * share)
    }
}

impl Estimate {
    /// The share of its time that a job may need by the estimate, which can err.
    const MARGIN: f64 = 0.8;

    /// How long a job may wait for each second that it runs. One that would wait longer is one of too many.
    const WAIT_SHARE: f64 = 0.5;

    /// Whether the job is accepted; if not, after how much of the work before it the answer would be different.
    pub(super) fn check(&self, patience: &Patience) -> Result<(), Duration> {
        let ready = self.wait + self.run;
        let too_late = ready.saturating_sub(patience.left.mul_f64(Self::MARGIN));
        let too_long = patience.wait_max.map_or(Duration::ZERO, |wait_max| {
            self.wait.saturating_sub(wait_max.max(self.run.mul_f64(Self::WAIT_SHARE)))
        });
        match too_late.max(too_long) {
            Duration::ZERO => Ok(()),
            excess => Err(excess),
        }
    }
}

/// How many of at most `draws_max` tokens a text probably has, if each token ends it with probability `end`.
pub(super) fn expected_draws(draws_max: usize, end: f64) -> f64 {
    if end <= 0.0 {
        return draws_max as f64;
    }
    // The mean of a geometric distribution that is cut off at the maximum.
    -libm::expm1(draws_max as f64 * libm::log1p(-end.min(0.999))) / end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of one row takes 2 ms, and 1 ms more for each further row.
    fn situation(running: Running, waiting: Load) -> Situation {
        Situation {
            cost: Cost { run: 1, token: 1, ..Cost::default() },
            pace: Pace::measured(1, Duration::from_millis(1)),
            rows_max: 9,
            turn_steps: 2.0,
            running,
            waiting,
            others: Duration::ZERO,
        }
    }

    fn running(rows: usize) -> Running {
        Running { rows, soonest: 10.0, recalls: 0, reading: 0 }
    }

    const NOTHING: Load = Load { rows: 0, draws: 0.0, recalls: 0, reading: 0 };

    const ONE: Demand = Demand { rows: 1, draws: 100.0, recalls: 0, reading: 0 };

    #[test]
    fn a_job_runs_as_long_as_the_turns_that_it_shares() {
        let alone = situation(running(0), NOTHING).estimate(&ONE);
        assert_eq!(alone, Estimate { wait: Duration::ZERO, run: Duration::from_millis(200) });
        let beside = situation(running(8), NOTHING).estimate(&ONE);
        assert_eq!(beside, Estimate { wait: Duration::ZERO, run: Duration::from_millis(1000) });
        let others = Situation { others: Duration::from_millis(3), ..situation(running(0), NOTHING) };
        assert_eq!(others.estimate(&ONE).run, Duration::from_millis(500));
        let crowded = situation(running(18), NOTHING).estimate(&ONE);
        assert_eq!(crowded.run, Duration::from_millis(2000), "each row runs in every second turn");
    }

    #[test]
    fn caches_make_every_turn_longer() {
        let cached = Demand { recalls: 3, ..ONE };
        assert_eq!(situation(running(0), NOTHING).estimate(&cached).run, Duration::from_millis(500));
        let others = Running { recalls: 8, ..running(8) };
        assert_eq!(situation(others, NOTHING).estimate(&ONE).run, Duration::from_millis(1800));
        // Half of the rows run in each turn, with half of the caches.
        let crowded = Running { recalls: 18, ..running(18) };
        let crowded = situation(crowded, NOTHING).estimate(&Demand { recalls: 1, ..ONE });
        assert_eq!(crowded.run, Duration::from_millis(3800));
    }

    #[test]
    fn a_job_without_a_place_waits_for_the_work_before_it() {
        // Nine rows run, the first to end after 10 turns of 10 ms; nine jobs of 100 tokens wait: 100 turns.
        let nine = Demand { rows: 9, ..ONE }.load();
        let queued = situation(running(9), nine).estimate(&ONE);
        assert_eq!(queued, Estimate { wait: Duration::from_millis(1100), run: Duration::from_secs(1) });
    }

    #[test]
    fn a_text_is_read_in_what_the_streams_leave_of_a_turn() {
        let text = Demand { rows: 0, draws: 0.0, recalls: 0, reading: 1000 };
        assert_eq!(situation(running(0), NOTHING).estimate(&text).run, Duration::from_secs(1));
        assert_eq!(situation(running(1), NOTHING).estimate(&text).run, Duration::from_secs(2));
        let before = Running { reading: 500, ..running(0) };
        assert_eq!(situation(before, NOTHING).estimate(&text).run, Duration::from_millis(1500));
    }

    #[test]
    fn a_job_is_refused_if_it_would_be_late_or_would_wait_longer_than_half_of_its_run() {
        let seconds = Duration::from_secs;
        let estimate = |wait, run| Estimate { wait: seconds(wait), run: seconds(run) };
        let patience = Patience { left: seconds(50), wait_max: Some(seconds(2)) };
        assert_eq!(estimate(0, 40).check(&patience), Ok(()));
        assert_eq!(estimate(0, 45).check(&patience), Err(seconds(5)));
        assert_eq!(estimate(5, 10).check(&patience), Ok(()));
        assert_eq!(estimate(8, 10).check(&patience), Err(seconds(3)));
        assert_eq!(estimate(2, 0).check(&patience), Ok(()), "a short wait is always accepted");
        assert_eq!(estimate(16, 30).check(&patience), Err(seconds(6)));
        let first_in_line = Patience { wait_max: None, ..patience };
        assert_eq!(estimate(30, 10).check(&first_in_line), Ok(()));
        assert_eq!(estimate(31, 10).check(&first_in_line), Err(seconds(1)));
    }

    #[test]
    fn texts_end_early_as_often_as_they_did() {
        assert_eq!(expected_draws(300, 0.0), 300.0);
        let ends_after_ten = expected_draws(300, 0.1);
        assert!((ends_after_ten - 10.0).abs() < 1e-9, "{ends_after_ten}");
        // 1 + 1/2 + 1/4
        assert!((expected_draws(3, 0.5) - 1.75).abs() < 1e-12);
        assert!(expected_draws(1, 1.0) >= 0.999);
    }
}

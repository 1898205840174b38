//! Which rows run in a turn, and how many tokens each reads.
//!
//! Short requests must not wait for long ones, so the work of a turn is bounded, counted by the model's own costs. If short rows
//! run, or are likely to arrive, the bound is a small multiple of the step of the short rows alone. Otherwise it is larger, because a pass
//! over the weights is used best by many tokens. Short rows are served first; long ones share what is left.
//!
//! A question does not wait for the draws of a large batch: if it is cheap beside the texts that are drawn, it has a turn to itself, and they
//! have the next of their model.
//!
//! A row whose state has a cache also costs what the cache compares. That is a part of the step of short rows, and of the work of long ones.
//!
//! The bound is also one of time, by the pace that was measured. Rows that do not fit, in the batch or in the time, are set aside: they keep
//! their states, and as those that have waited longest are the first in a later turn: jobs by when they last ran, the rows of a job by how
//! little they have read.

use super::EngineLimits;
use super::active::Active;
use super::job::ModelKey;
use super::row::Stage;
use crate::lm::{Cost, Extent, Logits, ModelInfo, State};

/// A row's share of a batch: the `row`-th row of the `job`-th job reads `len` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) job: usize,
    pub(super) row: usize,
    pub(super) len: usize,
}

/// The rows of a turn.
#[derive(Default)]
pub(super) struct Choice {
    /// In the order of the jobs and their rows.
    pub(super) shares: Vec<Share>,
    /// How many of them are short.
    pub(super) shorts: usize,
    /// The cost of the turn.
    pub(super) cost: u64,
    /// Whether texts that are drawn were left out for the sake of questions.
    pub(super) questions_only: bool,
}

/// What the engine knows about a turn that is about to begin.
pub(super) struct Occasion<'a> {
    /// The model whose turn it is.
    pub(super) model: &'a ModelKey,
    /// Whether a short row ran recently, so that another is likely to arrive.
    pub(super) expectant: bool,
    /// Whether jobs wait because there is no room for them.
    pub(super) crowded: bool,
    /// Whether texts that are drawn may be left out: never in two turns of the model, one after the other.
    pub(super) may_be_questions_only: bool,
    /// The most that the turn may cost, whatever runs; a row always reads a token.
    pub(super) cost_max: u64,
}

/// The model whose turn it is. Models with rows to run take turns in the order of their names; `last` ran last.
pub(super) fn next_model(active: &[Active], last: Option<&ModelKey>) -> Option<ModelKey> {
    let keys = || active.iter().filter(|job| job.runnable()).map(|job| &job.model_key);
    let after = keys().filter(|key| last.is_some_and(|last| *key > last)).min();
    after.or_else(|| keys().min()).cloned()
}

/// Chooses the rows that run in this turn, and how many tokens each reads.
///
/// The job that has waited longest always runs, now or in the turn after one of questions. If several jobs want to run, each gets at most half of the batch; so do all questions
/// together beside texts that are drawn, and the other way round, as far as the others need it.
pub(super) fn choose(active: &[Active], occasion: &Occasion<'_>, limits: &EngineLimits) -> Choice {
    let jobs = longest_waiting_first(active, occasion.model);
    let Some(&first) = jobs.first() else { return Choice::default() };
    let rows_max = rows_max(active[first].model.info(), limits.rows_max, limits.state_bytes_max);
    let rows_each_max = if jobs.len() > 1 { rows_max.div_ceil(2) } else { rows_max };
    let cost = active[first].model.cost();
    let short_max = cost.bare_steps(limits.turn_steps, 1);
    let own = |job: usize| Wish::of(job, &active[job], short_max);
    let wishes = least_read_first(jobs.iter().map(|&job| own(job)), rows_each_max);
    let (mut shorts, mut longs): (Vec<Wish<'_>>, Vec<Wish<'_>>) =
        wishes.into_iter().partition(|wish| wish.kind != Kind::Long);
    let questions_only = occasion.may_be_questions_only && are_cheap(&cost, &shorts);
    if questions_only {
        shorts.retain(|wish| wish.kind == Kind::Asked);
        longs.clear();
    }

    let longs_min = usize::from(longs.first().is_some_and(|wish| wish.share.job == first));
    let mut budget = Budget { cost, work_max: occasion.cost_max, taken: Extent::default() };
    let mut shorts = mixed(shorts, Places { first, count: rows_max - longs_min });
    shorts.truncate(budget.affordable(&shorts).max(1 - longs_min));
    longs.truncate(rows_max - shorts.len());
    let work_max = if shorts.is_empty() && !occasion.expectant {
        let (steps, rows) = match occasion.crowded {
            true => (limits.turn_steps, longs.len()),
            false => (limits.turn_steps_idle, 1),
        };
        cost.bare_steps(steps, rows)
    } else {
        let step = shorts.iter().fold(Extent::default(), |step, short| short.added_to(step, 1));
        let recalls = limits.turn_steps * cost.recalls(step) as f64;
        cost.bare_steps(limits.turn_steps, shorts.len().max(1)) + recalls as u64
    };
    budget.work_max = work_max.min(occasion.cost_max);
    budget.take(&mut shorts);
    longs.truncate(budget.affordable(&longs).max(longs_min));
    budget.take(&mut longs);

    let count = shorts.len();
    let mut shares: Vec<Share> = shorts.into_iter().chain(longs).map(|wish| wish.share).collect();
    shares.sort_unstable_by_key(|share| (share.job, share.row));
    Choice { shares, shorts: count, cost: cost.of(budget.taken), questions_only }
}

/// Whether the questions among `shorts` cost little beside the texts that are drawn, so that a turn for them alone delays these little: by a
/// fifth at most, if questions never end.
fn are_cheap(cost: &Cost, shorts: &[Wish<'_>]) -> bool {
    const CHEAPER: u64 = 4;
    let (asked, drawing): (Vec<&Wish<'_>>, Vec<&Wish<'_>>) =
        shorts.iter().partition(|wish| wish.kind == Kind::Asked);
    let questions =
        asked.iter().fold(Extent::default(), |extent, wish| wish.added_to(extent, wish.piece_max));
    let are_both = !asked.is_empty() && !drawing.is_empty();
    are_both && CHEAPER * cost.of(questions) <= cost.bare_step(drawing.len())
}

/// The jobs of `model` that can run, those that have waited longest first.
fn longest_waiting_first(active: &[Active], model: &ModelKey) -> Vec<usize> {
    let is_wanted = |job: &Active| job.model_key == *model && job.runnable();
    let mut jobs: Vec<usize> = (0..active.len()).filter(|&job| is_wanted(&active[job])).collect();
    jobs.sort_by_key(|&job| active[job].ticket);
    jobs
}

/// The wishes of all jobs, one job after the other, and at most `each_max` of each. Those of a job are in the order of what they have read, so
/// that rows which do not fit together take turns.
fn least_read_first<'a>(
    jobs: impl Iterator<Item = impl Iterator<Item = Wish<'a>>>,
    each_max: usize,
) -> Vec<Wish<'a>> {
    let mut wishes = Vec::new();
    for own in jobs {
        let begin = wishes.len();
        wishes.extend(own);
        wishes[begin..].sort_by_key(|wish| wish.position);
        wishes.truncate(begin + each_max);
    }
    wishes
}

/// How many rows of a model may run together.
pub(super) fn rows_max(info: &ModelInfo, rows_max: usize, state_bytes_max: usize) -> usize {
    rows_max.min(state_bytes_max / info.state_bytes().max(1)).max(1)
}

/// The places of a batch that short rows may take.
struct Places {
    /// The job that has waited longest.
    first: usize,
    count: usize,
}

/// The short rows that get a place, those of the job that has waited longest first. Questions get the first half of the places, texts that
/// are drawn the second, and either what the other does not need.
fn mixed<'a>(shorts: Vec<Wish<'a>>, places: Places) -> Vec<Wish<'a>> {
    let Places { first, count } = places;
    let (mut asked, mut drawing): (Vec<Wish<'_>>, Vec<Wish<'_>>) =
        shorts.into_iter().partition(|wish| wish.kind == Kind::Asked);
    let drawing_min = usize::from(drawing.first().is_some_and(|wish| wish.share.job == first));
    asked.truncate(count - drawing.len().min(count / 2).max(drawing_min));
    drawing.truncate(count - asked.len());
    asked.append(&mut drawing);
    asked.sort_by_key(|wish| wish.share.job != first);
    asked
}

/// A row that wants to run.
struct Wish<'a> {
    share: Share,
    /// Where it stands.
    state: &'a State,
    /// The tokens of `state`. The rows of a job start from one state, so they tell which row has read the least.
    position: u64,
    /// Tokens left to read.
    left: usize,
    /// How many of them it may read in one turn.
    piece_max: usize,
    logits: Logits,
    kind: Kind,
}

/// What a row does, by how long its client should wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It reads what all in all costs little, and the job draws nothing: a question.
    Asked,
    /// It reads a token that its job has chosen, or the short prompt of a text that will be drawn.
    Drawing,
    /// It reads a long prompt or text.
    Long,
}

impl<'a> Wish<'a> {
    /// The rows of a job. Its prompts are short if all of them together cost at most `short_max`.
    fn of(index: usize, job: &'a Active, short_max: u64) -> impl Iterator<Item = Self> {
        let brief = job.prompts_cost <= short_max;
        let draws = job.job.draws().left > 0;
        let running = job.rows.iter().enumerate().filter(|(_, row)| row.stage == Stage::Running);
        running.map(move |(row, one)| Self {
            share: Share { job: index, row, len: 0 },
            state: &one.place.snapshot().state,
            position: one.place.snapshot().position,
            left: one.tokens().len(),
            piece_max: one.piece_max(),
            logits: one.logits,
            kind: match (one.is_drawn(), brief) {
                (false, false) => Kind::Long,
                (false, true) if !draws => Kind::Asked,
                _ => Kind::Drawing,
            },
        })
    }

    /// `extent` with at most `len_max` tokens of this row added.
    fn added_to(&self, extent: Extent, len_max: usize) -> Extent {
        let len = self.piece_max.min(len_max);
        let positions = match self.logits {
            Logits::Last if len < self.left => 0,
            logits => logits.positions(len).len(),
        };
        extent.and(self.state.counted(Extent::of_row(len, positions)))
    }
}

/// What a turn may cost, and what it contains so far.
struct Budget {
    cost: Cost,
    work_max: u64,
    taken: Extent,
}

impl Budget {
    /// Adds all of `wishes`, each cut to the largest length that the budget affords for all of them, and at least one token.
    fn take(&mut self, wishes: &mut [Wish<'_>]) {
        let len = self.len_max(wishes);
        for wish in wishes {
            wish.share.len = wish.piece_max.min(len);
            self.taken = wish.added_to(self.taken, len);
        }
    }

    fn len_max(&self, wishes: &[Wish<'_>]) -> usize {
        let affords = |len: usize| {
            let extent = wishes.iter().fold(self.taken, |extent, wish| wish.added_to(extent, len));
            self.cost.of(extent) <= self.work_max
        };
        let longest = wishes.iter().map(|wish| wish.piece_max).max().unwrap_or(0);
        if longest <= 1 || affords(longest) {
            return longest;
        }
        // Binary search: a greater length never costs less.
        let mut taken = 1;
        let mut refused = longest;
        while refused - taken > 1 {
            let middle = taken.midpoint(refused);
            if affords(middle) {
                taken = middle;
            } else {
                refused = middle;
            }
        }
        taken
    }

    /// For how many of the first `wishes` the budget affords one token each.
    fn affordable(&self, wishes: &[Wish<'_>]) -> usize {
        let extents = wishes.iter().scan(self.taken, |extent, wish| {
            *extent = wish.added_to(*extent, 1);
            Some(*extent)
        });
        extents.take_while(|&extent| self.cost.of(extent) <= self.work_max).count()
    }
}

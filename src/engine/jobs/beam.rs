//! The job that searches for the most likely continuations with a beam.
//!
//! In each step every hypothesis that is alive is extended by its best tokens, and the best extensions of all of them together
//! take the places of the beam. A hypothesis that ends keeps its place, so the beam becomes narrower, and the search is over when all
//! places are taken by hypotheses that have ended (Graves 2012, section 2.5; with width 1 this is greedy decoding). Then the
//! hypotheses are ranked by their scores divided by a power of their lengths. The search is over earlier once no hypothesis that is alive
//! can be among the best any more, whatever follows (Huang et al. 2017, "When to finish?").
//!
//! Row i carries the i-th hypothesis that is alive. Where ends are handed out, a hypothesis that ends has a row beyond those, on which it
//! reads its last token.

use std::cmp::Ordering;

use super::continuation::{ContinuationPlan, Destination, Opening, alternatives};
use super::event::{Alternatives, Finish, Finished, GenerationEvent};
use super::hypothesis::Hypothesis;
use crate::engine::{At, Draws, Ending, Feed, Flow, Job, Outlet, Reader, RowPlan, Rows, Tag, outlet};
use crate::error::Result;
use crate::lm::Logits;
use crate::sampling::{Extension, extensions};
use crate::session::Snapshot;

/// What to search for.
pub struct BeamPlan {
    /// What to continue, and when to stop. Its `choices` are the best hypotheses; they are at most `width`. It moves no session.
    pub continuation: ContinuationPlan,
    /// Number of hypotheses kept in each step; at least 1.
    pub width: usize,
    /// The power of a hypothesis's length that divides its score.
    pub length_penalty: f64,
}

/// The job.
pub struct BeamSearch {
    opening: Opening,
    limits: Limits,
    /// By row.
    alive: Vec<Hypothesis>,
    /// What was found for each hypothesis that is alive since the last step.
    found: Vec<Option<Found>>,
    ended: Vec<Hypothesis>,
    outlet: Outlet<GenerationEvent>,
}

/// What bounds the search.
#[derive(Clone, Copy)]
struct Limits {
    width: usize,
    length_penalty: f64,
    tokens_max: usize,
    choices: usize,
    alternatives: usize,
    hands_out_ends: bool,
    /// Whether a token may raise the score of a hypothesis.
    scores_rise: bool,
}

/// The logits after a hypothesis, as far as the search needs them.
struct Found {
    extensions: Vec<Extension>,
    alternatives: Alternatives,
}

/// An extension that competes for a place.
#[derive(Clone, Copy)]
struct Candidate {
    /// The index of the hypothesis that it extends.
    parent: usize,
    extension: Extension,
    score: f64,
}

impl BeamSearch {
    /// The job, the plan of its first row, and where its events will come out. The tokens come with the last event.
    pub fn new(plan: BeamPlan) -> (Self, Vec<RowPlan>, Reader<GenerationEvent>) {
        let BeamPlan { continuation, width, length_penalty } = plan;
        let ContinuationPlan { tokens_max, choices, alternatives, destination, ref filters, .. } =
            continuation;
        let hands_out_ends = destination == Destination::Snapshots;
        let scores_rise = filters.may_raise();
        let limits =
            Limits { width, length_penalty, tokens_max, choices, alternatives, hands_out_ends, scores_rise };
        let (opening, beginning) = continuation.begin();
        let (outlet, reader) = outlet(1);
        let rows = vec![opening.plan()];
        let alive = vec![Hypothesis::new(beginning)];
        (Self { opening, limits, alive, found: vec![None], ended: Vec::new(), outlet }, rows, reader)
    }

    /// What follows when the prompt is read.
    fn start(&mut self, rows: &mut Rows<'_>) {
        if let Some(scored) = self.opening.take_scored() {
            self.outlet.send(GenerationEvent::Prompt(scored));
        }
        if self.limits.tokens_max > 0 {
            self.step(rows);
            return;
        }
        let mut nothing = self.alive.remove(0);
        nothing.finish = Some(Finish::Length);
        nothing.snapshot = self.limits.hands_out_ends.then(|| rows.snapshot(Opening::ROW).clone());
        self.ended.push(nothing);
        rows.finish(Opening::ROW);
    }

    /// Replaces the hypotheses that are alive by their best extensions.
    fn step(&mut self, rows: &mut Rows<'_>) {
        let mut alive = Vec::new();
        let mut fed = Vec::new();
        for candidate in self.best() {
            let Candidate { parent, extension, .. } = candidate;
            let alternatives = self.found[parent].as_ref().map(|found| found.alternatives.clone());
            let mut longer = self.alive[parent].extended(extension, alternatives.unwrap_or_default());
            let is_full = longer.len == self.limits.tokens_max;
            longer.finish = longer.finish.or(is_full.then_some(Finish::Length));
            let is_alive = longer.finish.is_none();
            let row = if is_alive { alive.len() } else { self.row_of_ended(self.ended.len()) };
            if is_alive || self.limits.hands_out_ends {
                let logits = if is_alive { Logits::Last } else { Logits::None };
                fed.push((row, Feed { from: parent, token: extension.token, logits }));
            }
            let hypotheses = if is_alive { &mut alive } else { &mut self.ended };
            hypotheses.push(longer);
        }
        if self.limits.is_decided(&self.ended, &alive) {
            alive.clear();
            fed.retain(|(row, _)| *row >= self.limits.width);
        }
        fed.into_iter().for_each(|(row, feed)| rows.feed(row, feed));
        rows.ready()
            .filter(|row| (alive.len()..self.limits.width).contains(row))
            .for_each(|row| drop(rows.finish(row)));
        self.found = alive.iter().map(|_| None).collect();
        self.alive = alive;
    }

    /// The extensions that get the places left, the best first.
    fn best(&self) -> Vec<Candidate> {
        let each = self.found.iter().enumerate().flat_map(|(parent, found)| {
            let extensions = found.iter().flat_map(|found| &found.extensions);
            let score = self.alive[parent].score;
            extensions.map(move |&extension| Candidate { parent, extension, score: score + extension.score })
        });
        let mut candidates: Vec<Candidate> = each.collect();
        candidates.sort_by(|a, b| self.better_first(a, b));
        candidates.truncate(self.limits.width - self.ended.len());
        candidates
    }

    /// By score; ties by the ids of all tokens.
    fn better_first(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let by_ids = || {
            let parents = match a.parent == b.parent {
                true => Ordering::Equal,
                false => self.alive[a.parent].by_ids(&self.alive[b.parent]),
            };
            parents.then(a.extension.token.cmp(&b.extension.token))
        };
        b.score.total_cmp(&a.score).then_with(by_ids)
    }

    /// Takes the snapshots of hypotheses that have read their last tokens.
    fn collect_ends(&mut self, rows: &mut Rows<'_>) {
        let width = self.limits.width;
        for row in rows.ready().filter(|&row| row >= width) {
            self.ended[row - width].snapshot = Some(rows.snapshot(row).clone());
            rows.finish(row);
        }
    }

    /// The row on which the `index`-th hypothesis that has ended reads its last token.
    fn row_of_ended(&self, index: usize) -> Tag {
        self.limits.width + index
    }
}

impl Limits {
    /// The score of a whole hypothesis.
    fn final_score(&self, hypothesis: &Hypothesis) -> f64 {
        match hypothesis.len {
            0 => hypothesis.score,
            len => hypothesis.score / libm::pow(len as f64, self.length_penalty),
        }
    }

    /// Whether as many hypotheses as are wanted have ended better than any of `alive` can.
    fn is_decided(&self, ended: &[Hypothesis], alive: &[Hypothesis]) -> bool {
        if self.scores_rise || ended.len() < self.choices {
            return false;
        }
        let mut scores: Vec<f64> = ended.iter().map(|one| self.final_score(one)).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let Some(&worst) = self.choices.checked_sub(1).and_then(|last| scores.get(last)) else { return true };
        // A tie would be broken by the ids, so an equal score does not decide.
        alive.iter().all(|one| worst > self.best_final_score(one))
    }

    /// The most that the final score of a hypothesis that is alive can become. Its score, which is not above 0, only falls. Divided by a power
    /// of the length, it is the highest at the largest length, or for a negative power at the smallest.
    fn best_final_score(&self, alive: &Hypothesis) -> f64 {
        /// Above what rounding adds.
        const SLACK: f64 = 1e-9;

        let len = if self.length_penalty < 0.0 { alive.len + 1 } else { self.tokens_max };
        alive.score * (1.0 - SLACK) / libm::pow(len as f64, self.length_penalty)
    }

    /// The best of `hypotheses`. Those that are still alive were ended by `ending`.
    fn finished(&self, mut hypotheses: Vec<Hypothesis>, ending: &Ending) -> Result<Finished> {
        hypotheses.sort_by(|a, b| {
            let by_score = self.final_score(b).total_cmp(&self.final_score(a));
            by_score.then_with(|| a.by_ids(b))
        });
        hypotheses.truncate(self.choices);
        let choices = hypotheses.into_iter().enumerate().map(|(index, hypothesis)| {
            let finish = match hypothesis.finish {
                Some(finish) => finish,
                None => Finish::by(ending, hypothesis.len)?,
            };
            Ok(hypothesis.into_choice(index, finish))
        });
        Ok(Finished { choices: choices.collect::<Result<_>>()?, position: None })
    }
}

impl Job for BeamSearch {
    fn look(&mut self, row: Tag, at: At, logits: &mut [f32]) -> Result<()> {
        if !self.opening.is_over() && !self.opening.look(at, logits) {
            return Ok(());
        }
        let alternatives = alternatives(logits, self.limits.alternatives);
        let extensions = extensions(&self.alive[row].filtering, logits, self.limits.width)?;
        self.found[row] = Some(Found { extensions, alternatives });
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        // Hypotheses are compared with each other, and those that did not fit into the batch have not run yet.
        if !rows.all_ready() {
            return Ok(());
        }
        if !self.opening.is_over() {
            self.opening.decide(rows);
            if self.opening.is_over() {
                self.start(rows);
            }
            return Ok(());
        }
        self.collect_ends(rows);
        self.step(rows);
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, _position: Option<u64>) {
        let Self { limits, ended, alive, outlet, .. } = *self;
        let finished = match ending {
            Ending::Failed(error) => Err(error),
            ending => limits.finished([ended, alive].concat(), &ending),
        };
        outlet.close(match finished {
            Ok(finished) => GenerationEvent::Done(finished),
            Err(error) => GenerationEvent::Failed { error, position: None },
        });
    }

    fn flow(&self) -> Flow {
        self.outlet.flow()
    }

    fn draws(&self) -> Draws {
        let longest = self.alive.iter().chain(&self.ended).map(|hypothesis| hypothesis.len).max();
        let drawn = longest.unwrap_or(0);
        Draws { drawn, left: self.limits.tokens_max - drawn, rows: self.limits.width }
    }

    fn wants_ends(&self) -> bool {
        self.limits.hands_out_ends
    }

    fn left(&mut self, row: Tag, snapshot: Snapshot) {
        let width = self.limits.width;
        let hypothesis = match row < width {
            true => self.alive.get_mut(row),
            false => self.ended.get_mut(row - width),
        };
        if let Some(hypothesis) = hypothesis {
            hypothesis.snapshot = Some(snapshot);
        }
    }
}

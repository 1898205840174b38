//! The job that reads tokens: to append them to a session, to answer a question about what follows, or to score them.

use std::sync::Arc;

use crate::engine::{At, Ending, Flow, Job, Promise, Reader, RowPlan, Rows, Tag, promise};
use crate::error::{Error, Result};
use crate::lm::{Extent, Logits, TokenId, logprob};
use crate::sampling::{NextAnswer, NextQuery};
use crate::session::Snapshot;
use crate::text::Joint;

/// What to read, and what to find out.
#[derive(Clone, Debug, Default)]
pub struct ReadingPlan {
    /// Read first.
    pub tokens: Arc<[TokenId]>,
    /// How the text ends with them.
    pub joint: Joint,
    /// Whether the logprob of each of `tokens` is kept, which costs the output layer for each.
    pub scored: bool,
    /// Continuations of `tokens`, each of which is scored.
    pub branches: Vec<Arc<[TokenId]>>,
    /// What is asked about the token after `tokens`.
    pub next: Option<NextQuery>,
}

/// What was found out. Logprobs are natural logarithms.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingResult {
    /// The logprob of each token, if they were to be scored.
    pub logprobs: Vec<f64>,
    /// The logprob of each token of each branch.
    pub branches: Vec<Vec<f64>>,
    /// The answer to the question.
    pub next: Option<NextAnswer>,
    /// Where the reading has led.
    pub snapshot: Option<Snapshot>,
    /// Where the session stands.
    pub position: Option<u64>,
}

/// A failed reading, and where its session stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingFailure {
    /// What went wrong.
    pub error: Error,
    /// Where the session stands, if there is one.
    pub position: Option<u64>,
}

/// The job. Row 0 reads the plan's tokens; row `1 + i` branch `i`; the rows after those the candidates of several tokens.
pub struct Reading {
    plan: ReadingPlan,
    promise: Promise<Result<ReadingResult, ReadingFailure>>,
    result: ReadingResult,
}

const MAIN: Tag = 0;

impl Reading {
    /// The job, the plans of its first rows, and where its result will come out.
    pub fn new(plan: ReadingPlan) -> (Self, Vec<RowPlan>, Reader<Result<ReadingResult, ReadingFailure>>) {
        let (promise, reader) = promise();
        let logits = match plan.scored {
            true => Logits::Each,
            false if plan.next.is_some() => Logits::Last,
            false => Logits::None,
        };
        let rows = vec![RowPlan { tag: MAIN, tokens: plan.tokens.clone(), joint: plan.joint, logits }];
        let branches = plan.branches.iter().map(|branch| Vec::with_capacity(branch.len())).collect();
        let result =
            ReadingResult { logprobs: Vec::new(), branches, next: None, snapshot: None, position: None };
        (Self { plan, promise, result }, rows, reader)
    }

    /// The rows that continue from row 0: the branches, and the candidates of several tokens.
    fn rows_after_main(&self) -> impl Iterator<Item = RowPlan> {
        let candidates = self.plan.next.iter().flat_map(|next| &next.candidates);
        let rows = self.plan.branches.iter().chain(candidates).zip(1..);
        let needed = rows.filter(|(tokens, tag)| *tag <= self.plan.branches.len() || tokens.len() > 1);
        needed.map(|(tokens, tag)| RowPlan {
            tag,
            tokens: tokens.clone(),
            joint: Joint::Closed,
            logits: Logits::Each,
        })
    }

    /// Decides what follows when row 0 is ready.
    fn decide_main(&mut self, rows: &mut Rows<'_>) {
        if self.plan.next.is_some() && self.result.next.is_none() {
            // The row has asked for the logits before each token; now it asks for those after the last.
            rows.read(
                MAIN,
                RowPlan { tag: MAIN, tokens: Arc::default(), joint: self.plan.joint, logits: Logits::Last },
            );
            return;
        }
        self.rows_after_main().for_each(|plan| rows.read(MAIN, plan));
        self.result.snapshot = Some(rows.snapshot(MAIN).clone());
        rows.finish(MAIN);
    }

    fn look_at_main(&mut self, at: At, logits: &mut [f32]) -> Result<()> {
        match (at, &self.plan.next) {
            (At::Before(index), _) => {
                self.result.logprobs.push(logprob(logits, self.plan.tokens[index]));
            }
            (At::End, Some(next)) => self.result.next = Some(next.answer(&next.view(logits, &[])?)),
            (At::End, None) => {}
        }
        Ok(())
    }

    fn score_candidate(&mut self, candidate: usize, index: usize, logits: &mut [f32]) -> Result<()> {
        let (Some(query), Some(answer)) = (&self.plan.next, &mut self.result.next) else { return Ok(()) };
        // The first token was scored with the answer itself.
        if index > 0 {
            let tokens = &query.candidates[candidate];
            let view = query.view(logits, &tokens[..index])?;
            answer.candidates[candidate].logprob += view.logprob(tokens[index]);
        }
        Ok(())
    }
}

impl Job for Reading {
    fn look(&mut self, row: Tag, at: At, logits: &mut [f32]) -> Result<()> {
        let branches = self.plan.branches.len();
        match (row, at) {
            (MAIN, at) => self.look_at_main(at, logits),
            (row, At::Before(index)) if row <= branches => {
                let token = self.plan.branches[row - 1][index];
                self.result.branches[row - 1].push(logprob(logits, token));
                Ok(())
            }
            (row, At::Before(index)) => self.score_candidate(row - 1 - branches, index, logits),
            (_, At::End) => Ok(()),
        }
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        for row in rows.ready() {
            match row {
                MAIN => self.decide_main(rows),
                row => drop(rows.finish(row)),
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, position: Option<u64>) {
        let Self { promise, mut result, .. } = *self;
        result.position = position;
        promise.keep(match ending.into_error() {
            None => Ok(result),
            Some(error) => Err(ReadingFailure { error, position }),
        });
    }

    fn flow(&self) -> Flow {
        self.promise.flow()
    }

    fn later(&self) -> Extent {
        self.rows_after_main().fold(Extent::default(), |extent, plan| {
            let len = plan.tokens.len();
            extent.and(Extent::of_row(len, plan.logits.positions(len).len()))
        })
    }
}

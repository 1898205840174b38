//! The job that codes: it reads tokens that a coder knows already, or finds out from the logits before each.

use std::sync::Arc;

use crate::engine::{At, Draws, Ending, Feed, Flow, Job, Promise, Reader, RowPlan, Rows, Tag, promise};
use crate::error::{Error, Result};
use crate::lm::{Logits, TokenId};
use crate::session::Snapshot;
use crate::text::Joint;

/// Sees the logits before each token, in order.
pub trait Coder: Send {
    /// The token that comes where the model expects `logits`. `index` counts the tokens of the job.
    ///
    /// # Errors
    /// An error ends the job.
    fn token(&mut self, index: usize, logits: &[f32]) -> Result<TokenId>;
}

/// Which tokens are read.
#[derive(Clone, Debug)]
pub enum Coding {
    /// Tokens that are known before. They are read in chunks.
    Known(Arc<[TokenId]>),
    /// As many tokens, each known only when the coder has seen the logits before it. They are read step by step.
    Unknown(usize),
}

/// A coder that has seen everything, and where the reading has led.
pub struct Coded<C> {
    /// The coder.
    pub coder: C,
    /// Where the reading has led.
    pub snapshot: Snapshot,
}

/// The job: one row.
pub struct CodingJob<C> {
    coding: Coding,
    coder: C,
    promise: Promise<Result<Coded<C>>>,
    /// Tokens that the coder has told.
    told: usize,
    /// The token told in this turn.
    token: Option<TokenId>,
    snapshot: Option<Snapshot>,
}

const ROW: Tag = 0;

impl<C: Coder + 'static> CodingJob<C> {
    /// The job, the plan of its row, and where its result will come out.
    pub fn new(coding: Coding, coder: C) -> (Self, Vec<RowPlan>, Reader<Result<Coded<C>>>) {
        let (promise, reader) = promise();
        let (tokens, logits) = match &coding {
            Coding::Known(tokens) => (tokens.clone(), Logits::Each),
            Coding::Unknown(0) => (Arc::default(), Logits::None),
            Coding::Unknown(_) => (Arc::default(), Logits::Last),
        };
        let plans = vec![RowPlan { tag: ROW, tokens, joint: Joint::Closed, logits }];
        (Self { coding, coder, promise, told: 0, token: None, snapshot: None }, plans, reader)
    }
}

impl<C: Coder + 'static> Job for CodingJob<C> {
    fn look(&mut self, _row: Tag, at: At, logits: &mut [f32]) -> Result<()> {
        let index = match at {
            At::Before(index) => index,
            At::End => self.told,
        };
        self.token = Some(self.coder.token(index, logits)?);
        self.told += 1;
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        match (&self.coding, self.token.take()) {
            (Coding::Unknown(count), Some(token)) => {
                let logits = if self.told < *count { Logits::Last } else { Logits::None };
                rows.feed(ROW, Feed { from: ROW, token, logits });
            }
            (Coding::Known(_) | Coding::Unknown(_), _) => self.snapshot = rows.finish(ROW),
        }
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, _position: Option<u64>) {
        let Self { coder, promise, snapshot, .. } = *self;
        let result = match ending.into_error() {
            Some(error) => Err(error),
            None => snapshot
                .map(|snapshot| Coded { coder, snapshot })
                .ok_or_else(|| Error::internal("internal error: a coding led to no state")),
        };
        promise.keep(result);
    }

    fn flow(&self) -> Flow {
        self.promise.flow()
    }

    fn draws(&self) -> Draws {
        match self.coding {
            Coding::Known(_) => Draws::default(),
            Coding::Unknown(count) => Draws { drawn: self.told, left: count - self.told, rows: 1 },
        }
    }
}

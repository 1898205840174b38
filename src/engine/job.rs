//! What the engine is asked to do: a few rows from one state, and what to do with their logits.

use std::sync::Arc;
use std::time::Instant;

use super::outlet::Flow;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Joint, Logits, Model, TokenId};
use crate::session::{Lease, Snapshot};

/// A job answers the logits of its rows; the engine does the rest.
///
/// Every method is called on an engine thread and must be quick. What a job decides while a batch runs it keeps
/// back until [`Self::settle`]: nothing leaves before the states that it rests on are committed.
pub trait Job: Send {
    /// Looks at the logits before each token of a row that asked for [`Logits::Each`]; `index` counts the tokens of
    /// the row's [`Plan`]. `logits` `[vocab_size]` may be overwritten.
    ///
    /// # Errors
    /// An error ends the whole job.
    fn look(&mut self, row: Tag, index: usize, logits: &mut [f32]) -> Result<()> {
        let _ = (row, index, logits);
        Ok(())
    }

    /// Decides how a row goes on after the last token of its plan; `logits` `[vocab_size]` are there when the row asked
    /// for [`Logits::Last`], and may be overwritten.
    ///
    /// # Errors
    /// An error ends the whole job.
    fn answer(&mut self, row: Tag, logits: Option<&mut [f32]>) -> Result<Answer>;

    /// The batch is committed: what was decided may leave.
    fn settle(&mut self) {}

    /// A row is done. What it has come to, unless that belongs to a session.
    fn retire(&mut self, row: Tag, snapshot: Snapshot) {
        let _ = (row, snapshot);
    }

    /// The job is over, and its session, if it held one, is free again and stands at `position`. The last word to the reader.
    fn close(self: Box<Self>, ending: Ending, position: Option<u64>);

    /// Whether the reader of the results keeps up, or is gone.
    fn flow(&self) -> Flow;
}

/// A job's own name for one of its rows.
pub type Tag = usize;

/// How a row goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Reads a token that the job has drawn from the logits.
    Feed {
        /// The token. The client may see it already: it is read even when the job is cancelled.
        token: TokenId,
        /// `Last` to go on, `None` when it is the end.
        logits: Logits,
    },
    /// The row ends, and rows with these plans start from where it stands.
    Split(Vec<Plan>),
    /// The row ends.
    Done,
}

/// What a row reads, and which logits it wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The job's name for the row.
    pub tag: Tag,
    /// What to read; may be empty.
    pub tokens: Arc<[TokenId]>,
    /// How the text stands after them.
    pub joint: Joint,
    /// Which logits are wanted.
    pub logits: Logits,
}

/// Why a job is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All rows are done.
    Done,
    /// A row failed, or the job itself.
    Failed(Error),
    /// The reader is gone.
    Cancelled,
    /// The deadline passed, or the reader stalled for too long.
    TimedOut,
    /// The service stops.
    Shutdown,
}

impl Ending {
    /// What a client hears that got no answer; nothing when the job is done.
    pub fn into_error(self) -> Option<Error> {
        let error = |kind, message: &str| Some(Error::new(kind, message));
        match self {
            Ending::Done => None,
            Ending::Failed(error) => Some(error),
            Ending::Cancelled => error(ErrorKind::Cancelled, "the client went away"),
            Ending::TimedOut => error(ErrorKind::Timeout, "the request was not finished within its time"),
            Ending::Shutdown => error(ErrorKind::Draining, "the service is stopping"),
        }
    }
}

/// A job on its way to an engine. Dropping it returns its lease.
pub struct Submission {
    /// The model's name, for metrics.
    pub name: Arc<str>,
    /// The identity of the model's weights, which must have made the state that the job starts from.
    pub identity: Arc<str>,
    /// The model.
    pub model: Arc<dyn Model>,
    /// Where all rows start.
    pub start: Start,
    /// The first rows.
    pub plans: Vec<Plan>,
    /// What answers their logits.
    pub job: Box<dyn Job>,
    /// When the job ends unfinished.
    pub deadline: Option<Instant>,
}

/// Where a job starts.
pub enum Start {
    /// From a session, which its one row advances.
    Session(Lease),
    /// From a copy, which nobody else sees.
    Copy(Snapshot),
}

impl Start {
    /// The state and what led to it.
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Start::Session(lease) => &lease.snapshot,
            Start::Copy(snapshot) => snapshot,
        }
    }
}

impl Submission {
    /// Bytes of the tokens that it brings.
    pub fn token_bytes(&self) -> usize {
        self.plans.iter().map(|plan| size_of_val(&*plan.tokens)).sum()
    }
}

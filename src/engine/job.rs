//! What the engine is asked to do: a few rows from one state, and who looks at their logits and decides.

use std::sync::Arc;
use std::time::Instant;

use super::outlet::Flow;
use super::rows::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Joint, Logits, Model, TokenId};
use crate::session::{Lease, Snapshot};

/// A job looks at the logits of its rows and decides what they read next; the engine does the rest.
///
/// While a batch runs, the job is shown logits row by row, on borrowed memory, and keeps what it needs of them: a top-k, a draw, a sum.
/// When the batch is committed, it decides for all of its rows together. What it sends then rests on committed states.
///
/// Every method is called on an engine thread and must be quick. A panic ends the job, and touches no other.
pub trait Job: Send {
    /// Looks at logits `[vocab_size]` of a row, which may be overwritten. Each are shown once.
    ///
    /// # Errors
    /// An error ends the whole job.
    fn look(&mut self, row: Tag, at: At, logits: &mut [f32]) -> Result<()>;

    /// Decides what becomes of the rows that are ready, at least one of which was not when the job decided last.
    ///
    /// # Errors
    /// An error ends the whole job. So does holding every row, since nothing would ever happen again.
    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()>;

    /// The job is over, and its session, if it held one, is free again and stands at `position`. The last word to the reader.
    fn close(self: Box<Self>, ending: Ending, position: Option<u64>);

    /// Whether the reader of the results keeps up, or is gone.
    fn flow(&self) -> Flow;
}

/// A job's own name for one of its rows.
pub type Tag = usize;

/// Where logits stand in what a row was given to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the token of this index, which [`Logits::Each`] asks for.
    Before(usize),
    /// After the last token, which [`Logits::Last`] asks for.
    End,
}

/// What a row reads, and which logits it wants.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlan {
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
    /// The first rows, of distinct tags.
    pub plans: Vec<RowPlan>,
    /// What looks at their logits.
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

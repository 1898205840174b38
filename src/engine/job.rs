//! What the engine is asked to do: rows that start from one state, and a job that looks at their logits and decides.

use std::sync::Arc;
use std::time::Instant;

use super::forecast::Demand;
use super::inbox::Length;
use super::outlet::Flow;
use super::rows::Rows;
use super::stopwatch::Timed;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Extent, Logits, Model, TokenId};
use crate::session::{Lease, Snapshot};
use crate::text::Joint;

/// A job looks at the logits of its rows and decides what they read next; the engine does the rest.
///
/// While a batch runs, the job is shown the logits of its rows one after the other, in borrowed memory, and keeps what it needs: a top-k, a
/// draw, a sum. Once the states of the batch are committed, it decides for all of its rows together. What it sends then therefore
/// rests on committed states.
///
/// Methods are called on an engine thread and must be quick. A panic ends the job and affects no other.
pub trait Job: Send {
    /// Looks at logits `[vocab_size]` of a row, which it may overwrite. Every vector of logits is shown once.
    ///
    /// # Errors
    /// An error ends the whole job.
    fn look(&mut self, row: Tag, at: At, logits: &mut [f32]) -> Result<()>;

    /// Decides what the rows that are ready do next. At least one of them has become ready since the last decision.
    ///
    /// # Errors
    /// An error ends the whole job. Holding every row ends it too, because the job would never be called again.
    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()>;

    /// Sends the last message to the reader. The job is over; its session, if it had one, is free again and stands at `position`.
    fn close(self: Box<Self>, ending: Ending, position: Option<u64>);

    /// Whether the reader of the results keeps up, is slow, or is gone.
    fn flow(&self) -> Flow;

    /// What it will have rows read later, beside the plans of its first rows.
    fn later(&self) -> Extent {
        Extent::default()
    }

    /// The tokens that each of its rows has drawn, and may still draw. A job that draws none, such as a reading, keeps the default.
    fn draws(&self) -> Draws {
        Draws::default()
    }

    /// Whether a text of a job that draws has ended although it could have had more tokens; asked once all of them have ended.
    fn ended_early(&self) -> bool {
        self.draws().left > 0
    }

    /// The number of tokens that it has drawn and sent so far.
    fn sent(&self) -> usize {
        0
    }

    /// Whether it wants to know where its rows stand when it ends early, although they are on no session. Each of them then reads the
    /// last token that was chosen for it, and [`Self::left`] is called.
    fn wants_ends(&self) -> bool {
        false
    }

    /// A row on no session has ended at `snapshot`, because the job ends early.
    fn left(&mut self, _row: Tag, _snapshot: Snapshot) {}
}

/// Tokens that the rows of a job draw. Of rows that differ, the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// So far.
    pub drawn: usize,
    /// At most from now on.
    pub left: usize,
    /// Rows that draw, once the prompt is read.
    pub rows: usize,
}

/// The name that a job gives to one of its rows.
pub type Tag = usize;

/// The position of logits in what a row was given to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the token with this index: what [`Logits::Each`] asks for.
    Before(usize),
    /// After the last token: what [`Logits::Last`] asks for.
    End,
}

/// What a row reads, and which logits it wants.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlan {
    /// The name of the row.
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
    /// One of its rows failed, or the job itself.
    Failed(Error),
    /// The reader is gone.
    Cancelled,
    /// The deadline passed, or the reader stalled for too long.
    TimedOut,
    /// The service stops.
    Shutdown,
}

impl Ending {
    /// The error for a client that got no answer; none when the job is done.
    pub fn into_error(self) -> Option<Error> {
        let error = |kind, message: &str| Some(Error::new(kind, message));
        match self {
            Ending::Done => None,
            Ending::Failed(error) => Some(error),
            Ending::Cancelled => error(ErrorKind::Cancelled, "the client went away"),
            Ending::TimedOut => error(
                ErrorKind::Timeout,
                "the request was not finished within its time (`--request-timeout`)",
            ),
            Ending::Shutdown => error(ErrorKind::Draining, "the service is stopping"),
        }
    }
}

/// A job on its way to an engine. Dropping it returns its lease.
pub struct Submission {
    /// The model's name, for metrics.
    pub name: Arc<str>,
    /// The identity of the weights, which must be the ones that computed the state the job starts from.
    pub identity: Arc<str>,
    /// The model.
    pub model: Arc<dyn Model>,
    /// Where all rows start.
    pub start: Start,
    /// The first rows. Their tags are distinct.
    pub plans: Vec<RowPlan>,
    /// The job that decides for them.
    pub job: Box<dyn Job>,
    /// When it was submitted.
    pub arrived: Instant,
    /// When the job must end, finished or not.
    pub deadline: Option<Instant>,
    /// What is kept until it is over, such as permits for the memory that it takes.
    pub held: Vec<Kept>,
    /// Times it, if anybody wants to know.
    pub timed: Option<Timed>,
}

/// Something that is kept until its last owner drops it.
pub type Kept = Arc<dyn Send + Sync>;

/// Which model a job runs on. A model that was replaced and the one in its place have one name and are two: their rows never share a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ModelKey {
    pub(super) name: Arc<str>,
    pub(super) identity: Arc<str>,
}

/// Where a job starts.
pub enum Start {
    /// From a session, which its only row advances.
    Session(Lease),
    /// From a snapshot, which moves no session.
    Copy(Snapshot),
}

impl Start {
    /// The snapshot that it starts from.
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Start::Session(lease) => &lease.snapshot,
            Start::Copy(snapshot) => snapshot,
        }
    }
}

impl Submission {
    /// Which model it runs on.
    pub(super) fn model_key(&self) -> ModelKey {
        ModelKey { name: self.name.clone(), identity: self.identity.clone() }
    }

    /// Bytes of its tokens: those that its first rows read, and those that the job has rows read later.
    pub fn token_bytes(&self) -> usize {
        let first: usize = self.plans.iter().map(|plan| plan.tokens.len()).sum();
        (first + self.job.later().tokens) * size_of::<TokenId>()
    }

    /// How long it takes an engine whose turns cost at most `turn_steps` steps.
    pub(super) fn length(&self, turn_steps: f64) -> Length {
        let draws = self.job.draws().left > 0;
        if draws || self.reading_cost() > self.model.cost().bare_steps(turn_steps, 1) {
            Length::Long
        } else {
            Length::Short
        }
    }

    /// What it needs. `expected` turns the maximum number of draws into the expected one.
    pub(super) fn demand(&self, expected: impl Fn(usize) -> f64) -> Demand {
        let Draws { left: draws_max, rows, .. } = self.job.draws();
        let reading = self.reading_cost();
        // What is read within a step of the rows that draw costs them nothing.
        let is_brief = draws_max > 0 && reading <= self.model.cost().bare_step(1);
        let rows = if draws_max > 0 { self.plans.len().max(rows) } else { 0 };
        let state = &self.start.snapshot().state;
        Demand {
            rows,
            draws: expected(draws_max),
            recalls: rows as u64 * self.model.cost().draw_recalls(state, draws_max),
            reading: if is_brief { 0 } else { reading },
        }
    }

    fn reading_cost(&self) -> u64 {
        let extent = self.plans.iter().fold(self.job.later(), |extent, plan| {
            let len = plan.tokens.len();
            extent.and(Extent::of_row(len, plan.logits.positions(len).len()))
        });
        self.model.cost().of(self.start.snapshot().state.counted(extent))
    }
}

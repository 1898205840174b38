//! The scheduler: it owns the processor and decides, turn by turn, which rows run together.
//!
//! A [`Submission`] brings a [`Job`], the model it runs on and where it starts. An [`Engine`] admits it from its
//! [`Inbox`], and in each [`Engine::turn`] takes a chunk from every active row of one model, runs them as one
//! batch, lets each job answer its rows' logits, and commits. Rows join and leave between any two turns: a new
//! request waits for one step, not for a batch (cellular batching, Gao et al., EuroSys 2018).
//!
//! [`Pool`] gives engines their threads. Results leave through an [`Outlet`], whose reader can be slow, or gone.

mod active;
mod batch;
mod choose;
mod inbox;
mod job;
pub mod jobs;
mod outlet;
mod pool;
mod turn;

pub use inbox::{Inbox, InboxLimits};
pub use job::{Answer, Ending, Job, Plan, Start, Submission, Tag};
pub use outlet::{Flow, Outlet, Reader, outlet};
pub use pool::{Pool, PoolStats, Setup};
pub use turn::{Engine, EngineLimits, Turn};

/// What the engine tells of its work while it works. Called on the engine's thread: it must be quick.
pub trait Observer: Send + Sync {
    /// A batch of rows ran.
    fn batch(&self, model: &str, batch: &BatchReport);
}

/// One batch in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Rows that ran together.
    pub rows: usize,
    /// Tokens read that a request brought.
    pub prompt_tokens: usize,
    /// Tokens read that were scored.
    pub scored_tokens: usize,
    /// Tokens read that the model itself had drawn.
    pub generated_tokens: usize,
}

impl Observer for () {
    fn batch(&self, _model: &str, _batch: &BatchReport) {}
}

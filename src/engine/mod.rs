//! The scheduler: it owns the processor and decides, turn by turn, which rows run together.
//!
//! A [`Submission`] holds a [`Job`], the model it runs on and where it starts. An [`Engine`] admits it from its
//! [`Inbox`]. In each [`Engine::turn`] it takes a piece of the active rows of one model, runs them as one batch, lets each job look
//! at the logits of its rows, commits the states, and lets each job decide what its rows read next. Rows join and leave between any two
//! turns, so a new request waits for one turn, not for a batch to end (cellular batching, Gao et al., EuroSys 2018).
//!
//! [`Pool`] runs each engine on a thread. Results leave through an [`Outlet`], whose reader may be slow or gone.

mod active;
mod batch;
mod bell;
mod choose;
mod figures;
mod forecast;
mod inbox;
mod job;
pub mod jobs;
mod models;
mod outlet;
mod pace;
mod parked;
mod pool;
mod row;
mod rows;
mod stopwatch;
mod turn;

pub use inbox::{Inbox, InboxLimits, Refusal, Refused};
pub use job::{At, Draws, Ending, Job, Kept, RowPlan, Start, Submission, Tag};
pub use outlet::{Capacity, Flow, Outlet, Promise, Reader, outlet, promise, wide_outlet};
pub use pool::{Pool, PoolStats, Setup};
pub use rows::{Feed, Rows};
pub use stopwatch::{Stopwatch, Timed, Timings};
pub use turn::{Engine, EngineLimits, Turn};

/// Receives the figures of the work while it is done. Called on the engine's thread, so it must be quick.
pub trait Observer: Send + Sync {
    /// A batch of rows ran.
    fn batch(&self, model: &str, batch: &BatchReport);

    /// Jobs have sent this many tokens that they have drawn.
    fn generated(&self, model: &str, tokens: usize);
}

/// The figures of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Rows that ran together.
    pub rows: usize,
    /// Tokens read that came with a request and were not scored.
    pub prompt_tokens: usize,
    /// Tokens read that were scored.
    pub scored_tokens: usize,
    /// Tokens read that a job had chosen.
    pub chosen_tokens: usize,
}

impl Observer for () {
    fn batch(&self, _model: &str, _batch: &BatchReport) {}
    fn generated(&self, _model: &str, _tokens: usize) {}
}

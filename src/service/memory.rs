//! The memory of requests: where a use case takes what a client makes large, before it is allocated.

use std::sync::Arc;

use super::Service;
use super::work::Work;
use crate::budget::{Aside, Budget, BudgetLimits, Exceeded, Permit, Purpose};
use crate::catalog::{Kept, Served};
use crate::config::{Bytes, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::Rejected;
use crate::text;

/// What a job takes beside its tokens and states: itself, its rows, and what it has sent and its reader has not read.
const JOB_BYTES: usize = 16 << 10;

/// The share of the whole that requests get at least, whatever else there is: without it a server could answer nothing.
const REQUESTS_SHARE_MIN: usize = 8;

/// The memory of an encoding.
pub(super) struct EncodingMemory(pub(super) Permit);

impl text::Memory for EncodingMemory {
    fn take(&mut self, bytes: usize) -> Result<()> {
        self.0.grow(bytes).map_err(refusal)
    }

    fn give_back(&mut self, bytes: usize) {
        self.0.shrink(bytes);
    }
}

/// The budget of requests: the memory of the whole service without what sessions and the engines' buffers may take.
pub(super) fn budget(config: &Config) -> Arc<Budget> {
    let Config { engine, sessions, http, memory_max, log_buffer, .. } = config;
    let buffers = engine.engine_threads.saturating_mul(engine.logits_buffer.0).saturating_add(log_buffer.0);
    let others = sessions.sessions_max_bytes.0.saturating_add(buffers);
    let bytes_max = memory_max.0.saturating_sub(others).max(least(config));
    Budget::new(BudgetLimits { bytes_max, bytes_min: least(config), answers_max: http.answers_max_bytes.0 })
}

/// What a model takes of the budget, until nobody uses it any more.
pub(super) fn of_model(budget: &Arc<Budget>, served: &Served) -> Kept {
    Arc::new(budget.set_aside(served.model.info().weights_bytes()))
}

fn least(config: &Config) -> usize {
    config.memory_max.0 / REQUESTS_SHARE_MIN
}

impl Service {
    /// The memory of requests.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Sets aside what the process takes when its models are loaded and nothing was asked yet. Models are set aside already.
    pub(super) fn set_aside(&self, resident: usize) {
        let least = least(&self.config);
        let models = self.catalog().iter().map(|served| served.model.info().weights_bytes()).sum();
        let others = resident.saturating_sub(models);
        let left = self.budget.bytes_max().saturating_sub(others);
        self.budget.set_aside_for_good(others);
        let requests = Bytes(self.budget.bytes_max());
        let Config { memory_max, sessions, .. } = &self.config;
        let sessions = sessions.sessions_max_bytes;
        let models = Bytes(resident);
        if left < least {
            tracing::warn!(
                %memory_max, %models, %sessions, %requests,
                "models and sessions leave too little of `--memory-max` for requests; compare `--sessions-max-bytes`"
            );
        } else {
            tracing::info!(%memory_max, %models, %sessions, %requests, "memory divided");
        }
    }

    /// Sets memory aside for a model that is about to be loaded.
    ///
    /// # Errors
    /// `Load` if models, sessions and requests leave too little of `--memory-max`.
    pub(super) fn room_for_model(&self, bytes: usize) -> Result<Aside> {
        self.budget.try_set_aside(bytes).map_err(|left| {
            let max = self.config.memory_max;
            let needed = Bytes(bytes);
            let left = Bytes(left);
            Error::load(format!(
                "its weights take {needed} or more; models, sessions and requests leave {left} of {max} (`--memory-max`)"
            ))
        })
    }

    /// Takes memory until the permit is dropped.
    ///
    /// # Errors
    /// `TooLarge` for more than there is for all requests; `QueueFull` if others have taken it.
    pub fn take(&self, purpose: Purpose, bytes: usize) -> Result<Permit> {
        self.budget.take(&self.holder(), purpose, bytes).map_err(|exceeded| self.over_memory(exceeded))
    }

    /// The error of memory that was not given. It is counted.
    pub fn over_memory(&self, exceeded: Exceeded) -> Error {
        self.counted(refusal(exceeded))
    }

    /// `error`, counted if it says that the server is full.
    pub(super) fn counted(&self, error: Error) -> Error {
        if error.kind == ErrorKind::QueueFull {
            self.metrics.rejected(Rejected::MemoryFull);
        }
        error
    }

    /// Takes what a job needs.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn take_for_job<T>(&self, work: &Work<T>) -> Result<Permit> {
        let state = &work.start.snapshot().state;
        let state_bytes = state.bytes() + state.cache().map_or(0, |cache| cache.bytes_max(0));
        let states = work.rows.saturating_mul(state_bytes);
        self.take(Purpose::Jobs, states.saturating_add(JOB_BYTES))
    }
}

/// The error of memory that was not given.
fn refusal(exceeded: Exceeded) -> Error {
    match exceeded {
        Exceeded::Never { needed, max } => Error::new(
            ErrorKind::TooLarge,
            format!(
                "the request takes {needed} bytes of memory or more; the maximum is {max}, which is what models and sessions leave of `--memory-max`"
            ),
        ),
        Exceeded::Now { needed, left } => Error::new(
            ErrorKind::QueueFull,
            format!(
                "the request takes {needed} more bytes of memory, and other requests leave {left} of `--memory-max`"
            ),
        ),
        Exceeded::Answers => Error::internal("internal error: what is no answer was refused as one"),
    }
}

/// The memory of this process that is not paged out, in bytes; `None` where the system does not say.
pub(super) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

//! The options of the scheduler and its threads.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shares::bytes_or_auto;
use super::values::{Bytes, bytes, count, duration, duration_or_zero, engine_threads, steps};

/// How much work is accepted, and how it is divided into turns.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct EngineOptions {
    /// Threads that run models; `auto` is the number of cores minus one, and at least one
    #[arg(long, value_name = "N", default_value = "auto", value_parser = engine_threads)]
    pub engine_threads: usize,

    /// Time for which an idle engine thread polls for work after a lone request before it sleeps; it sleeps at once if the engine threads leave no core free
    #[arg(long, value_name = "DURATION", default_value = "200us", value_parser = duration_or_zero)]
    pub engine_spin: Duration,

    /// Instruction set of the kernels; `auto` picks the best that the processor supports
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub kernel: Kernel,

    /// Whether a model keeps what its first layer computes from each token it has read: `auto` does within `--fold-embedding-max-bytes`, `on` for every token
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub fold_embedding: FoldEmbedding,

    /// Maximum bytes that `--fold-embedding auto` takes for each model
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
    pub fold_embedding_max_bytes: Bytes,

    /// Maximum number of rows that one turn computes together
    #[arg(long, value_name = "N", default_value = "256", value_parser = count())]
    pub max_batch: usize,

    /// Maximum bytes of state that one turn computes together; a model with large states gets fewer rows
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = bytes)]
    pub max_batch_state: Bytes,

    /// Maximum work of a turn in which streams or short requests run, as a multiple of their own step; long prompts and texts share the rest
    #[arg(long, value_name = "STEPS", default_value = "1.5", value_parser = steps)]
    pub turn_steps: f64,

    /// Maximum work of a turn in which only long prompts and texts run, as a multiple of the step of one row; more uses the processor better, less lets the next short request start sooner
    #[arg(long, value_name = "STEPS", default_value = "4", value_parser = steps)]
    pub turn_steps_idle: f64,

    /// Time after a stream or a short request for which turns stay small, because another is likely to follow
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_or_zero)]
    pub turn_idle_after: Duration,

    /// Maximum time of a turn, by what the model was measured to take; rows that do not fit take turns
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration)]
    pub turn_time: Duration,

    /// Time that a stream or long text waits for a place in a full batch, before it takes turns with those that run
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration_or_zero)]
    pub place_wait: Duration,

    /// Maximum number of jobs that run on one thread, those that take turns included
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub running_max: usize,

    /// Expected wait that is always accepted; a request that would probably wait longer, and longer than half of its own run, or that could not be finished in its time, is rejected with 429
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_or_zero)]
    pub queue_wait: Duration,

    /// Maximum number of waiting jobs; a request beyond it is rejected with 429
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub queue_max: usize,

    /// Maximum bytes of tokens that waiting jobs hold; a request beyond it is rejected with 429; `auto` is 256MiB, or an eighth of `--memory-max` if that is less, and enough for one prompt
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub queue_bytes_max: Bytes,

    /// Maximum number of `explain` and `neighbors` requests that are computed at once, each on a thread beside the engines
    #[arg(long, value_name = "N", default_value = "1", value_parser = count())]
    pub analysis_threads: usize,

    /// Maximum number of `explain` and `neighbors` requests that wait for one of the `--analysis-threads`; a request beyond it is rejected with 429
    #[arg(long, value_name = "N", default_value = "64", value_parser = count())]
    pub analysis_queue_max: usize,

    /// Maximum bytes of logits that one thread holds at once
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    pub logits_buffer: Bytes,

    /// Events that a stream may be ahead of its reader before its job is parked
    #[arg(long, value_name = "N", default_value = "64", value_parser = count())]
    pub stream_buffer: usize,

    /// Maximum number of jobs that are parked because their readers are slow; at the maximum, no further job is started
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub parked_max: usize,

    /// Time that a parked job waits for its reader before it is cancelled
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub stall_timeout: Duration,
}

impl EngineOptions {
    /// How long an engine looks for work before it sleeps.
    pub fn spin(&self) -> Duration {
        let cores = available_parallelism().map_or(1, NonZero::get);
        if self.engine_threads < cores { self.engine_spin } else { Duration::ZERO }
    }

    /// Bytes in which a model may keep its first layer's input product.
    pub fn fold_bytes_max(&self) -> usize {
        match self.fold_embedding {
            FoldEmbedding::Auto => self.fold_embedding_max_bytes.0,
            FoldEmbedding::On => usize::MAX,
            FoldEmbedding::Off => 0,
        }
    }
}

/// Whether the first layer's input product is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FoldEmbedding {
    /// Within a bound of memory.
    Auto,
    /// For every token that is read.
    On,
    /// Never.
    Off,
}

/// The instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    /// The best that the processor supports.
    Auto,
    /// AVX-512.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// Plain Rust.
    Portable,
}

impl Kernel {
    /// The name of the kernel that must be used; `None` if the processor decides.
    pub fn forced(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Avx512 => Some("avx512"),
            Self::Avx2 => Some("avx2"),
            Self::Portable => Some("portable"),
        }
    }
}

//! Options of the scheduler and its threads.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{Bytes, bytes, count, duration, duration_or_zero, threads};

/// How much work is taken in, and how it is cut into turns.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct EngineOptions {
    /// Threads that compute; `auto` is the number of cores less one, and at least one
    #[arg(long, value_name = "N", default_value = "auto", value_parser = threads)]
    pub engine_threads: usize,

    /// Instruction set of the kernels; `auto` takes the best that the processor has
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub kernel: Kernel,

    /// Rows that one turn computes together
    #[arg(long, value_name = "N", default_value = "256", value_parser = count())]
    pub max_batch: usize,

    /// Bytes of the states of rows that one turn computes together: a model whose states are large gets fewer rows
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = bytes)]
    pub max_batch_state: Bytes,

    /// Work of one turn beside streams and short requests, in steps of theirs: 2 lets long prompts and texts double the time of a step
    #[arg(long, value_name = "STEPS", default_value = "2", value_parser = count())]
    pub turn_steps: usize,

    /// Work of one turn while nobody waits for anything short, in steps of one row: more keeps the cores busy, less answers the next short request sooner
    #[arg(long, value_name = "STEPS", default_value = "16", value_parser = count())]
    pub turn_steps_idle: usize,

    /// How long after a stream or a short request turns stay small, because more are likely to come
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_or_zero)]
    pub turn_idle_after: Duration,

    /// Jobs that may wait; one more is answered 429
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub queue_max: usize,

    /// Bytes of tokens that waiting jobs may hold; a job beyond that is answered 429
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = bytes)]
    pub queue_bytes_max: Bytes,

    /// Bytes of logits that a thread holds at once
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    pub logits_buffer: Bytes,

    /// Events that a stream may be ahead of its reader before its row is parked
    #[arg(long, value_name = "N", default_value = "64", value_parser = count())]
    pub stream_buffer: usize,

    /// Jobs that may stand parked, their readers being slow; while so many do, no other is started
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub parked_max: usize,

    /// How long a parked row waits for its reader before it is cancelled
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub stall_timeout: Duration,
}

/// The instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    /// The best that the processor has.
    Auto,
    /// AVX-512.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// Plain Rust.
    Portable,
}

impl Kernel {
    /// The name of the kernel to run on whatever the processor, unless it is to be chosen.
    pub fn forced(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Avx512 => Some("avx512"),
            Self::Avx2 => Some("avx2"),
            Self::Portable => Some("portable"),
        }
    }
}

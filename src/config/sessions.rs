//! Options of the table of sessions.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{Bytes, bytes, count, duration};

/// How many sessions there may be, and for how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub struct SessionOptions {
    /// Sessions held at once
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count())]
    pub sessions_max: usize,

    /// Bytes of memory that all sessions may take, bookkeeping included
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    pub sessions_max_bytes: Bytes,

    /// Time to live of a session after its last use; a session's own `ttl_seconds` may not exceed it
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub session_ttl: Duration,

    /// What makes room in a full table: dropping the least recently used idle session, or nothing (503)
    #[arg(long, value_name = "POLICY", default_value = "lru")]
    pub evict: Evict,

    /// Sessions that expired or were evicted of which the reason is remembered, for an hour at most
    #[arg(long, value_name = "N", default_value = "100000", value_parser = count())]
    pub sessions_gone_max: usize,

    /// Sessions listed in one answer
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count())]
    pub sessions_page_max: usize,
}

/// What makes room in a full table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evict {
    /// The least recently used idle session goes.
    Lru,
    /// Nothing goes: the newcomer is refused.
    None,
}

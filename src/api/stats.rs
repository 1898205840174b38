//! What the server has done and is doing, in totals: for a page that shows it live. `/metrics` has the details.

use serde::Serialize;
use utoipa::ToSchema;

/// Totals over all models, without ids and without text. A rate is the difference of two answers, divided by that of their `uptime_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "uptime_seconds": 86_400.5,
    "tokens": {"prompt": 51_200, "generated": 20_480, "scored": 4_096},
    "unknown_tokens": 12,
    "sessions": 3,
    "sessions_bytes": 13_824,
    "requests_running": 1,
    "requests_waiting": 0,
    "time_to_first_token": {"count": 320, "total_seconds": 0.64},
}))]
pub struct Stats {
    /// The time since the server started to answer.
    pub uptime_seconds: f64,
    /// The tokens that were processed since then.
    pub tokens: TokenTotals,
    /// The words that were not in the vocabulary.
    pub unknown_tokens: u64,
    /// The sessions that exist now.
    pub sessions: usize,
    /// The memory that they use, in bytes.
    pub sessions_bytes: usize,
    /// The jobs that an engine has started and not finished.
    pub requests_running: usize,
    /// The jobs that wait for an engine.
    pub requests_waiting: usize,
    /// How long generations took to their first token.
    pub time_to_first_token: Durations,
}

/// Tokens by what was done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenTotals {
    /// Tokens that were read.
    pub prompt: u64,
    /// Tokens that were generated.
    pub generated: u64,
    /// Tokens that were scored.
    pub scored: u64,
}

/// Durations, counted and added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub total_seconds: f64,
}

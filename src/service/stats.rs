//! Use case: what the server has done and is doing, in totals.

use super::Service;
use crate::api::stats::{Durations, Stats, TokenTotals};

impl Service {
    /// Totals over all models. The sessions are those of the caller.
    pub fn stats(&self) -> Stats {
        let sessions = self.sessions.account();
        let jobs = self.pool.stats();
        let mut tokens = TokenTotals::default();
        let mut unknown_tokens = 0;
        // Those included that are no longer served: a total never falls.
        for model in self.metrics.models() {
            let model = model.totals();
            tokens.prompt += model.prompt;
            tokens.generated += model.generated;
            tokens.scored += model.scored;
            unknown_tokens += model.unknown;
        }
        let first_tokens = self.metrics.first_tokens();
        Stats {
            uptime_seconds: self.clock.now().saturating_duration_since(self.started).as_secs_f64(),
            tokens,
            unknown_tokens,
            sessions: sessions.sessions,
            sessions_bytes: sessions.bytes,
            requests_running: jobs.running,
            requests_waiting: jobs.waiting,
            time_to_first_token: Durations {
                count: first_tokens.count,
                total_seconds: first_tokens.total.as_secs_f64(),
            },
        }
    }
}

//! Use case: what the server says about itself.

use super::Service;
use crate::api::info::{Info, LimitsInfo};
use crate::catalog::Served;
use crate::config::Config;
use crate::kernels::Kernel;

impl Service {
    /// What the server is and what it accepts.
    pub fn info(&self) -> Info {
        let catalog = self.catalog();
        Info {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            models: catalog.iter().map(|served| served.name.to_string()).collect(),
            identities: catalog
                .iter()
                .map(|served| (served.name.to_string(), served.identity.to_string()))
                .collect(),
            weights_dtypes: catalog.iter().map(|served| weights_dtype(served)).collect(),
            default_model: catalog.default().name.to_string(),
            kernel: self.kernel.name(),
            numerics: self.kernel.numerics(),
            cpu_features: Kernel::cpu_features(),
            engine_threads: self.config.engine.engine_threads,
            keys_required: self.config.keys.api_keys.is_some(),
            limits: self.limits(),
        }
    }

    fn limits(&self) -> LimitsInfo {
        let Config { engine, sessions, limits, http, memory_max, .. } = &self.config;
        LimitsInfo {
            memory_max_bytes: memory_max.0,
            requests_max_bytes: self.budget.bytes_max(),
            max_body_bytes: http.max_body.0,
            max_text_bytes: limits.max_text.0,
            max_prompt_tokens: limits.max_prompt_tokens,
            max_pieces: limits.max_pieces,
            max_tokens: limits.max_tokens,
            max_top_k: limits.max_top_k,
            max_candidates: limits.max_candidates,
            max_requests: limits.max_requests,
            max_texts: limits.max_texts,
            max_utterances: limits.max_utterances,
            max_hypotheses: limits.max_hypotheses,
            max_line_bytes: limits.max_line.0,
            lines_at_once: limits.lines_at_once,
            max_mixture: limits.max_mixture,
            max_stops: limits.max_stops,
            max_stop_length_bytes: limits.max_stop_length.0,
            max_banned: limits.max_banned,
            max_logit_bias: limits.max_logit_bias,
            max_n: limits.max_n,
            max_beam_width: limits.max_beam_width,
            max_suggestions: limits.max_suggestions,
            max_next_words: limits.max_next_words,
            max_extra_words: limits.max_extra_words,
            max_prefix_length_bytes: limits.max_prefix_length.0,
            max_explain_tokens: limits.max_explain_tokens,
            max_neighbor_words: limits.max_neighbor_words,
            analysis_queue_max: engine.analysis_queue_max,
            max_answer_bytes: limits.max_answer.0,
            answers_max_bytes: http.answers_max_bytes.0,
            max_batch: engine.max_batch,
            queue_max: engine.queue_max,
            queue_bytes_max: engine.queue_bytes_max.0,
            sessions_max: sessions.sessions_max,
            sessions_max_bytes: sessions.sessions_max_bytes.0,
            rewind_max: sessions.rewind_max,
            session_ttl_seconds: sessions.session_ttl.as_secs_f64(),
            request_timeout_seconds: http.request_timeout.as_secs_f64(),
        }
    }
}

/// The name of a model and the type of its weights.
fn weights_dtype(served: &Served) -> (String, &'static str) {
    (served.name.to_string(), served.model.info().weights_dtype.name())
}

//! What the server says about itself.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// The answer of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// What the server is and what it accepts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Info {
    /// Always `rnnlm-server`.
    pub name: &'static str,
    /// The server's version.
    pub version: &'static str,
    /// The names of the models.
    pub models: Vec<String>,
    /// The identity of the weights of each model, as in `GET /v1/models`.
    pub identities: BTreeMap<String, String>,
    /// The type that the weights of each model are held in, as in `GET /v1/models`.
    pub weights_dtypes: BTreeMap<String, &'static str>,
    /// The model of requests that name none.
    pub default_model: String,
    /// The instruction set that the kernels use.
    pub kernel: &'static str,
    /// `fma` or `no_fma`. Results are bit-identical on all machines with the same value.
    pub numerics: &'static str,
    /// The features of the processor that the kernels can use.
    pub cpu_features: Vec<&'static str>,
    /// The number of threads that compute.
    pub engine_threads: usize,
    /// Whether requests need a key (`--api-keys`).
    pub keys_required: bool,
    /// The limits of a request and of the server.
    pub limits: LimitsInfo,
}

/// The limits of a request and of the server. Each is an option of `rnnlm-server serve`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LimitsInfo {
    /// `--memory-max`
    pub memory_max_bytes: usize,
    /// What models and sessions leave of `--memory-max` for all requests together.
    pub requests_max_bytes: usize,
    /// `--max-body`
    pub max_body_bytes: usize,
    /// `--max-text`
    pub max_text_bytes: usize,
    /// `--max-prompt-tokens`
    pub max_prompt_tokens: usize,
    /// `--max-pieces`
    pub max_pieces: usize,
    /// `--max-tokens`
    pub max_tokens: usize,
    /// `--max-top-k`
    pub max_top_k: usize,
    /// `--max-candidates`
    pub max_candidates: usize,
    /// `--max-requests`
    pub max_requests: usize,
    /// `--max-texts`
    pub max_texts: usize,
    /// `--max-utterances`
    pub max_utterances: usize,
    /// `--max-hypotheses`
    pub max_hypotheses: usize,
    /// `--max-line`
    pub max_line_bytes: usize,
    /// `--lines-at-once`
    pub lines_at_once: usize,
    /// `--max-mixture`
    pub max_mixture: usize,
    /// `--max-stops`
    pub max_stops: usize,
    /// `--max-stop-length`
    pub max_stop_length_bytes: usize,
    /// `--max-banned`
    pub max_banned: usize,
    /// `--max-logit-bias`
    pub max_logit_bias: usize,
    /// `--max-n`
    pub max_n: usize,
    /// `--max-beam-width`
    pub max_beam_width: usize,
    /// `--max-suggestions`
    pub max_suggestions: usize,
    /// `--max-next-words`
    pub max_next_words: usize,
    /// `--max-extra-words`
    pub max_extra_words: usize,
    /// `--max-prefix-length`
    pub max_prefix_length_bytes: usize,
    /// `--max-explain-tokens`
    pub max_explain_tokens: usize,
    /// `--max-neighbor-words`
    pub max_neighbor_words: usize,
    /// `--analysis-queue-max`
    pub analysis_queue_max: usize,
    /// `--max-answer`
    pub max_answer_bytes: usize,
    /// `--answers-max-bytes`
    pub answers_max_bytes: usize,
    /// `--max-batch`
    pub max_batch: usize,
    /// `--queue-max`
    pub queue_max: usize,
    /// `--queue-bytes-max`
    pub queue_bytes_max: usize,
    /// `--sessions-max`
    pub sessions_max: usize,
    /// `--sessions-max-bytes`
    pub sessions_max_bytes: usize,
    /// `--rewind-max`
    pub rewind_max: usize,
    /// `--session-ttl`
    pub session_ttl_seconds: f64,
    /// `--request-timeout`
    pub request_timeout_seconds: f64,
}

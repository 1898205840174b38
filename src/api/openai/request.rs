//! A request for completions.

use serde::Serialize;
use utoipa::ToSchema;

use super::lenient::Tolerant;
use super::prompts::{Prompts, prompts_schema};
use crate::api::fields;
use crate::api::generate::stop_schema;
use crate::api::prompt::Strings;
use crate::api::sampling::Sampling;
use crate::api::sessions::Expectation;

/// Texts to continue, as OpenAI's clients ask for them. Fields that are not listed here are ignored and named in the header
/// `x-ignored-fields`, except for those that would change the text, which are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"model": "classics", "prompt": "The old man", "max_tokens": 8, "temperature": 0.8, "seed": 7, "logprobs": 2}))]
pub struct CompletionRequest {
    /// The model. If absent, the default model or, with `session_id`, the session's model.
    pub model: Option<String>,
    /// What is continued, which [`prompts_schema`] describes.
    #[schema(schema_with = prompts_schema)]
    pub prompt: Prompts,
    /// The maximum number of tokens to draw for each choice. At 0, nothing is drawn; with `echo`, the prompt is only scored.
    /// If absent, 16, or the maximum if that is smaller.
    /// Limit: `--max-tokens`.
    #[schema(default = 16)]
    pub max_tokens: Option<usize>,
    /// The number of choices for each prompt. If absent, 1.
    /// Limit: `--max-n`.
    #[schema(minimum = 1, default = 1)]
    pub n: Option<usize>,
    /// Accepted only if it equals `n`: no choice is left out of the answer.
    #[schema(minimum = 1)]
    pub best_of: Option<usize>,
    /// Whether the answer is a stream of events.
    pub stream: bool,
    /// What the stream says beside the choices. Accepted only with `stream`.
    pub stream_options: Option<StreamOptions>,
    /// List each token with its log-probability, and this many most likely tokens beside it. If absent, no token is listed.
    /// Limit: `--max-top-k`.
    pub logprobs: Option<usize>,
    /// Whether the text of each choice begins with the prompt. With `logprobs`, the tokens of the prompt are listed too.
    pub echo: bool,
    /// The stop strings.
    #[schema(schema_with = stop_schema)]
    pub stop: Strings,
    /// Makes the draws repeatable. If absent, a seed is chosen; the answer says which.
    #[schema(maximum = 9007199254740991_i64)]
    pub seed: Option<u64>,
    /// Whether the text continues after an end-of-text token. If not, the end-of-text token ends the text unless it is also the
    /// newline token.
    pub ignore_eos: bool,
    /// The session to continue. It reads the prompt, which must be a single one, and moves to the end of the completion; `n` must be 1.
    #[schema(min_length = 1, max_length = 128)]
    pub session_id: Option<String>,
    /// How tokens are drawn.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Where the session must stand.
    #[serde(flatten)]
    pub expected: Expectation,
}

fields!(CompletionRequest {
    model, prompt, max_tokens, n, best_of, stream, stream_options, logprobs, echo, stop, seed, ignore_eos, session_id
} + sampling: Sampling + expected: Expectation);

impl CompletionRequest {
    /// The `max_tokens` of a request that gives none, unless the maximum is smaller.
    pub const MAX_TOKENS_DEFAULT: usize = 16;

    /// Fields of OpenAI and of other servers that would change the text, and that this server does not have.
    pub const REFUSED: &'static [&'static str] = &[
        "suffix",
        "messages",
        "input",
        "prompt_embeds",
        "max_completion_tokens",
        "min_tokens",
        "stop_token_ids",
        "bad_words",
        "use_beam_search",
        "beam_width",
        "length_penalty",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "response_format",
        "structured_outputs",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "grammar",
        "json_schema",
        "logits_processors",
        "truncate_prompt_tokens",
        "top_logprobs",
        "prompt_logprobs",
    ];
}

impl Tolerant for CompletionRequest {
    const REFUSED: &'static [&'static str] = Self::REFUSED;
}

/// What a stream says beside the choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"include_usage": true}))]
pub struct StreamOptions {
    /// Whether a last chunk without choices says how many tokens were read and drawn.
    pub include_usage: bool,
}

fields!(StreamOptions { include_usage });

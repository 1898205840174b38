//! Generation: what is asked for, and the answer in one piece. [`super::stream`] has the answer as events.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::fields;
use super::prompt::{Prompt, Strings};
use super::sampling::Sampling;
use super::sessions::Expectation;
use super::state::Carried;
use super::tokens::{ScoredToken, Token};

/// A text to continue: where it starts, how tokens are drawn, and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man", "max_tokens": 20, "temperature": 0.8, "seed": 7}))]
pub struct GenerateRequest {
    /// What is read first.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// How tokens are drawn.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// The maximum number of tokens to draw. At 0, the input is read and nothing is drawn.
    /// If absent, 64, or the maximum if that is smaller.
    /// Limit: `--max-tokens`.
    #[schema(default = 64)]
    pub max_tokens: Option<usize>,
    /// Whether the answer is a stream of server-sent events. If absent, the header `accept` decides.
    pub stream: Option<bool>,
    /// Makes the draws repeatable. If absent, a seed is chosen; the answer says which.
    #[schema(maximum = 9007199254740991_i64)]
    pub seed: Option<u64>,
    /// The stop strings, which [`stop_schema`] describes.
    #[schema(schema_with = stop_schema)]
    pub stop: Strings,
    /// The number of continuations. Choice i draws with random numbers of its own, which depend on the seed and i. With `beam`, the
    /// best `n` hypotheses. If absent, 1.
    /// Limit: `--max-n`.
    #[schema(minimum = 1, default = 1)]
    pub n: Option<usize>,
    /// Whether each choice becomes a session of its own, which stands after its last token. The answer names it. A session from which the request
    /// starts does not move.
    pub fork: bool,
    /// Search for the most likely continuations instead of drawing one. `temperature`, `top_k`, `top_p`, `min_p` and `typical_p` are then not
    /// accepted.
    pub beam: Option<Beam>,
    /// Whether the end-of-text token ends the text. If absent, it does unless it is also the newline token.
    pub stop_at_eos: Option<bool>,
    /// Whether an answer in one piece lists its tokens with their log-probabilities. A stream always does.
    pub token_logprobs: bool,
    /// The number of most likely tokens to list with each token. Above 0, it implies `token_logprobs`.
    /// Limit: `--max-top-k`.
    pub top_logprobs: usize,
    /// Whether the `text` of each choice begins with the input. With `token_logprobs`, the tokens of the input are listed in
    /// `prompt_logprobs`.
    pub echo: bool,
    /// Ends the generation after this many milliseconds. If absent, the maximum applies.
    /// Limit: `--request-timeout`.
    #[schema(minimum = 1)]
    pub timeout_ms: Option<u64>,
    /// A state to start from.
    #[serde(flatten)]
    pub carried: Carried,
}

fields!(GenerateRequest {
    max_tokens, stream, seed, stop, n, fork, beam, stop_at_eos, token_logprobs, top_logprobs, echo, timeout_ms
} + prompt: Prompt + sampling: Sampling + carried: Carried);

/// The schema of [`GenerateRequest::stop`]. A field with a schema of its own is not described by its comment.
pub(super) fn stop_schema() -> RefOr<Schema> {
    Strings::described(
        "Strings that end the text, which ends before them, or a single one. None may be empty.\nLimit: `--max-stops`. Limit of each: `--max-stop-length`.",
    )
}

impl GenerateRequest {
    /// The largest seed: the largest integer that every JSON reader holds exactly, 2^53 - 1.
    pub const SEED_MAX: u64 = (1 << 53) - 1;

    /// The `max_tokens` of a request that gives none, unless the maximum is smaller.
    pub const MAX_TOKENS_DEFAULT: usize = 64;

    /// The number of tokens to generate, where at most `maximum` are allowed.
    pub fn max_tokens_or_default(&self, maximum: usize) -> usize {
        self.max_tokens.unwrap_or(Self::MAX_TOKENS_DEFAULT.min(maximum))
    }
}

/// A beam search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"width": 4, "length_penalty": 1.0}))]
pub struct Beam {
    /// The number of hypotheses that are kept at each step. At 1, the search is greedy.
    /// Limit: `--max-beam-width`.
    #[schema(minimum = 1)]
    pub width: usize,
    /// The exponent of a hypothesis's length, by which its log-probability is divided at the end. At 0 the most likely hypothesis is the best;
    /// above 0 longer ones become better.
    #[schema(minimum = -10, maximum = 10)]
    pub length_penalty: f64,
}

fields!(Beam { width, length_penalty });

impl Beam {
    /// The largest absolute value of `length_penalty`.
    pub const LENGTH_PENALTY_MAX: f64 = 10.0;
}

impl Default for Beam {
    fn default() -> Self {
        Self { width: 4, length_penalty: 1.0 }
    }
}

/// A text to continue from where a session stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "and", "max_tokens": 20, "seed": 7, "expected_position": 4}))]
pub struct SessionGenerateRequest {
    /// What is read and drawn.
    #[serde(flatten)]
    pub generate: GenerateRequest,
    /// Whether the session moves. A single choice that is drawn can move it; `n` above 1 and `beam` require `commit` to be false or `fork` to be
    /// true. If the session does not move, `expected_position` must be absent.
    pub commit: bool,
    /// Where the session must stand.
    #[serde(flatten)]
    pub expected: Expectation,
}

fields!(SessionGenerateRequest { commit } + generate: GenerateRequest + expected: Expectation);

impl SessionGenerateRequest {
    /// Whether the session is to move.
    pub fn moves_session(&self) -> bool {
        self.commit && !self.generate.fork
    }
}

impl Default for SessionGenerateRequest {
    fn default() -> Self {
        Self { generate: GenerateRequest::default(), commit: true, expected: Expectation::default() }
    }
}

/// One or several continuations.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GenerateResponse {
    /// The model.
    pub model: String,
    /// The seed of the draws, given or chosen.
    pub seed: u64,
    /// The continuations: in the order of their indices, or with `beam`, the best first.
    pub choices: Vec<Choice>,
    /// The number of tokens read and drawn.
    pub usage: Usage,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The tokens of the input, if the request asked for `echo` and `token_logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<PromptToken>>,
    /// The session that moved, and where it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
    /// The state after the continuation, which has read all of its tokens, for the field `state` of another request. Present if the request has
    /// asked for it, unless the generation was cut short by its time limit or by the end of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// One continuation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Choice {
    /// The index of the choice.
    pub index: usize,
    /// The text to append to the input; with `echo`, the input and that text. It ends before an end-of-text token and before a stop string.
    pub text: String,
    /// The ids of all tokens drawn, including those that ended the text.
    pub tokens: Vec<u32>,
    /// The number of tokens drawn.
    pub token_count: usize,
    /// Why the text ended.
    pub finish_reason: FinishReason,
    /// The natural logarithm of the joint probability of the tokens.
    pub logprob: f64,
    /// The tokens with their log-probabilities, if the request asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_logprobs: Option<Vec<DrawnToken>>,
    /// The session that this choice became, with `fork`. Absent if the choice ended early because the server is shutting down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

/// A token of the input.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PromptToken {
    /// The token, its place in the input and its log-probability.
    #[serde(flatten)]
    pub token: ScoredToken,
    /// The most likely tokens at this place, if the request asked for them and something precedes the token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<Alternative>,
}

/// A token that was drawn. Log-probabilities are the model's own, whatever the filters.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DrawnToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The natural logarithm of the token's probability.
    pub logprob: f64,
    /// The most likely tokens at this place, if the request asked for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<Alternative>,
}

/// A token that could have been drawn.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Alternative {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The natural logarithm of the token's probability.
    pub logprob: f64,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// `max_tokens` tokens were drawn.
    Length,
    /// A stop string was reached.
    Stop,
    /// The end-of-text token was drawn.
    Eos,
    /// The time limit passed, or the client read its stream too slowly.
    Timeout,
    /// The client closed the connection.
    Cancelled,
    /// The server is shutting down.
    Shutdown,
}

/// The number of tokens read and drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the input.
    pub prompt_tokens: usize,
    /// Tokens of all choices.
    pub completion_tokens: usize,
    /// Tokens of the input and of all choices.
    pub total_tokens: usize,
}

/// A session and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionPosition {
    /// The session's id.
    pub id: String,
    /// The number of tokens read since the model's start.
    pub position: u64,
}

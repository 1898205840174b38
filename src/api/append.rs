//! How a session reads on.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::Prompt;
use super::question::{Distribution, Question};
use super::sessions::Expectation;
use super::suggest::{Suggest, Suggestions};
use super::tokens::ScoredToken;

/// What a session is to read. Exactly one of `text` and `tokens` is required, and it must not be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the sea", "next": {"top_k": 3}}))]
pub struct AppendRequest {
    /// What is read.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// Where the session must stand.
    #[serde(flatten)]
    pub expected: Expectation,
    /// Whether the tokens are listed with their log-probabilities, which costs one run of the output layer for each token.
    pub token_logprobs: bool,
    /// A question about the token after the input.
    pub next: Option<Question>,
    /// A half-typed word after the input, to complete.
    pub suggest: Option<Suggest>,
}

fields!(AppendRequest { token_logprobs, next, suggest } + prompt: Prompt + expected: Expectation);

/// What a session has read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AppendResponse {
    /// The position at which the session stands now.
    pub position: u64,
    /// The number of tokens read.
    pub token_count: usize,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The natural logarithm of the joint probability of the tokens, if `token_logprobs` was set; null for probability 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f64>,
    /// The tokens with their log-probabilities, if `token_logprobs` was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_logprobs: Option<Vec<ScoredToken>>,
    /// The distribution over the next token, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Distribution>,
    /// The suggestions, if the request asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggest: Option<Suggestions>,
}

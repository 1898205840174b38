//! The question what comes next, and its answer: shared by `next` and by the session requests that can ask it too.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::Word;
use super::sampling::Sampling;
use super::tokens::Token;

/// What is asked about the next token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"top_k": 3, "candidates": ["sea", 17]}))]
pub struct Question {
    /// How much of the distribution is shown.
    #[serde(flatten)]
    pub shown: Shown,
    /// Continuations whose probability is asked for: words, texts of several tokens, or token ids. Together they have at most
    /// `--max-prompt-tokens` tokens.
    /// Limit: `--max-candidates`.
    pub candidates: Vec<Word>,
    /// Show the distribution that remains after these filters instead of the model's own.
    pub sampling: Option<Sampling>,
}

fields!(Question { candidates, sampling } + shown: Shown);

/// How much of a distribution is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shown {
    /// The number of most likely tokens to list. If absent, 10, or the maximum if that is smaller.
    /// Limit: `--max-top-k`.
    #[schema(default = 10)]
    pub top_k: Option<usize>,
    /// Whether the unknown token and the end-of-text token are listed. Left out, they keep their share of the probability.
    pub special: bool,
    /// Whether the log-probabilities of the whole vocabulary are returned too.
    pub full: bool,
}

fields!(Shown { top_k, special, full });

impl Shown {
    /// The `top_k` of a request that gives none, unless the maximum is smaller.
    pub const TOP_K_DEFAULT: usize = 10;

    /// The number of tokens to list, where at most `maximum` are allowed.
    pub fn top_k_or_default(&self, maximum: usize) -> usize {
        self.top_k.unwrap_or(Self::TOP_K_DEFAULT.min(maximum))
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self { top_k: None, special: true, full: false }
    }
}

/// The distribution over the next token. Logarithms are natural.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Distribution {
    /// The most likely tokens, most likely first.
    pub distribution: Vec<RankedToken>,
    /// The candidates, in the order of the request.
    pub candidates: Vec<Candidate>,
    /// The entropy of the distribution, in nats.
    pub entropy: f64,
    /// The joint probability of the listed tokens.
    pub top_mass: f64,
    /// The logarithm of the sum of the exponentials of all logits; in the sampled view, of those that are kept, divided by the
    /// temperature.
    pub logsumexp: f64,
    /// Which distribution this is.
    pub view: View,
    /// The log-probabilities of the whole vocabulary by token id, if `full` was set; null for a token that was filtered out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Option<f64>>>,
}

/// Which distribution an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The model's own.
    Model,
    /// What remains of it after the filters in `sampling`.
    Sampled,
}

/// A token that may come next.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RankedToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The token's probability.
    pub prob: f64,
    /// The natural logarithm of the token's probability.
    pub logprob: f64,
    /// The token's rank among all tokens, from 1.
    pub rank: usize,
}

/// A continuation of the request, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Candidate {
    /// The candidate, if the request gave a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The candidate, if the request gave a token id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// The ids of the candidate's tokens.
    pub tokens: Vec<u32>,
    /// Whether a word of the candidate is not in the vocabulary: `prob` is then computed with the probability of the unknown
    /// token, which is that of all unknown words together.
    pub unknown: bool,
    /// The number of such words.
    pub unknown_count: usize,
    /// The joint probability of the candidate's tokens.
    pub prob: f64,
    /// The natural logarithm of `prob`; null for a candidate of probability 0, because it was filtered out or the model rules it out.
    pub logprob: Option<f64>,
    /// The candidate's rank among all tokens, from 1; null for a candidate of several tokens or of probability 0.
    pub rank: Option<usize>,
}

//! Scoring: how likely texts are.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::mixture::{MixturePart, MixtureText};
use super::prompt::{Prompt, TextOrIds};
use super::state::Carried;
use super::tokens::ScoredToken;
use super::unknown::Unknown;

/// Texts to score. Exactly one of `texts`, `text` and `tokens` is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"context": "the old", "texts": ["man and the sea", "sea and the man"]}))]
pub struct ScoreRequest {
    /// The only text, unless there are several in `texts`.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// Several models in place of one, whose probabilities are interpolated linearly. Not beside `model`.
    /// Limit: `--max-mixture`.
    #[schema(min_items = 1)]
    pub mixture: Option<Vec<MixturePart>>,
    /// A text that is read before every scored text and is not scored, or the ids of its tokens.
    pub context: Option<TextOrIds>,
    /// Several texts, each a string or a list of token ids.
    /// Limit: `--max-texts`.
    #[schema(min_items = 1)]
    pub texts: Option<Vec<TextOrIds>>,
    /// How the texts are scored.
    #[serde(flatten)]
    pub scoring: Scoring,
    /// Whether each text after the first starts from the end of the text before, instead of from the end of the context.
    pub carry_state: bool,
    /// A state to start from.
    #[serde(flatten)]
    pub carried: Carried,
}

fields!(ScoreRequest { mixture, context, texts, carry_state } + prompt: Prompt + scoring: Scoring + carried: Carried);

/// How texts are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// Whether the end-of-text token is scored after each text.
    pub add_eos: bool,
    /// Whether the tokens are listed with their log-probabilities.
    pub token_logprobs: bool,
    /// What is done with unknown words.
    #[schema(schema_with = Unknown::described_natural)]
    pub unknown: Unknown,
}

fields!(Scoring { add_eos, token_logprobs, unknown });

/// Continuations of a session to score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"continuations": ["and the sea", "and his boat"]}))]
pub struct SessionScoreRequest {
    /// The session's model, which is the only one accepted.
    pub model: Option<String>,
    /// The continuations, each a string or a list of token ids. Each is scored from where the session stands.
    /// Limit: `--max-texts`.
    #[schema(required, min_items = 1)]
    pub continuations: Option<Vec<TextOrIds>>,
    /// How the continuations are scored.
    #[serde(flatten)]
    pub scoring: Scoring,
}

fields!(SessionScoreRequest { model, continuations } + scoring: Scoring);

/// The options for a body of plain text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreTextQuery {
    /// The model of a body of plain text. If absent, the default model.
    pub model: Option<String>,
    /// Several models in place of one.
    #[schema(schema_with = MixtureText::described)]
    pub mixture: Option<MixtureText>,
    /// How a body of plain text is scored.
    #[serde(flatten)]
    pub scoring: Scoring,
}

fields!(ScoreTextQuery { model, mixture } + scoring: Scoring);

/// How likely the texts are.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScoreResponse {
    /// The model.
    pub model: String,
    /// One result for each text, in the order of the request.
    pub results: Vec<Score>,
    /// All texts together.
    pub total: Score,
    /// The state after the context, for the field `state` of another request; if the request has asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// How likely a text is. A ratio is null if nothing was scored, or if it is too large for a number. The logarithms and all ratios are
/// null for a text of probability 0: one with a token that the model rules out, whose `logprob` in `token_logprobs` is null too.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Score {
    /// The counts and the log-probability, from which the other figures follow.
    #[serde(flatten)]
    pub tally: Tally,
    /// The logarithm of the probability to base 10; null for probability 0.
    #[schema(value_type = Option<f64>, required)]
    pub logprob_base10: f64,
    /// `exp(-logprob / scored_count)`. Comparable only between models with equal tokenizers.
    pub perplexity: Option<f64>,
    /// `exp(-logprob / word_count)`.
    pub word_perplexity: Option<f64>,
    /// Bits per scored token.
    pub bits_per_token: Option<f64>,
    /// Bits per character of the scored part. Comparable between any tokenizers.
    pub bits_per_char: Option<f64>,
    /// Bits per byte of the scored part.
    pub bits_per_byte: Option<f64>,
    /// The tokens with their log-probabilities, if the request asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_logprobs: Option<Vec<ScoredToken>>,
}

/// What was counted in a text, and its log-probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Tally {
    /// The number of tokens, including an added end-of-text token.
    pub token_count: usize,
    /// The number of tokens that were scored: all except a first token that nothing precedes, and unknown ones that are excluded.
    pub scored_count: usize,
    /// The number of words that are not in the vocabulary.
    pub unknown_count: usize,
    /// The number of words in the scored part: runs of characters other than white space.
    pub word_count: usize,
    /// The number of Unicode scalar values in the scored part.
    pub char_count: usize,
    /// The number of UTF-8 bytes in the scored part.
    pub byte_count: usize,
    /// The natural logarithm of the joint probability of the scored tokens; null for probability 0.
    #[schema(value_type = Option<f64>, required)]
    pub logprob: f64,
}

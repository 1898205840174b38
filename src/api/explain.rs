//! Explaining: on which of the tokens before it the probability of a token depends.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::{Prompt, Word};
use super::question::RankedToken;
use super::tokens::InputToken;

/// A text, and the token after it whose log-probability is explained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and the", "target": "sea"}))]
pub struct ExplainRequest {
    /// What is read, from the model's start. It has at least one token, and at most `--max-explain-tokens`.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// The token whose log-probability is explained: a word of one token that the model knows, of at most `--max-prefix-length` bytes, or
    /// a token id. If absent, the most likely next token.
    pub target: Option<Word>,
}

fields!(ExplainRequest { target } + prompt: Prompt);

/// What is listed beside the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainQuery {
    /// Whether the values of the gates are listed for each token.
    pub gates: bool,
}

fields!(ExplainQuery { gates });

/// The derivative of `ln P(target)`, by backpropagation through time. Norms are Euclidean.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainResponse {
    /// The model.
    pub model: String,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The token that is explained, and its probability.
    pub target: RankedToken,
    /// The tokens of the input, in order.
    pub tokens: Vec<ExplainedToken>,
    /// How fast the gradient vanishes.
    pub gradient_by_lag: GradientByLag,
}

/// A token of the input, and how the log-probability of the target depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplainedToken {
    /// The token.
    #[serde(flatten)]
    pub token: InputToken,
    /// Gradient times input, summed over the embedding: to first order, how much the token has raised (or, if negative, lowered) the
    /// log-probability.
    pub saliency: f64,
    /// The norms of the gradient at this token's step.
    pub gradient_norm: GradientNorm,
    /// The gates of each layer in this token's step, the first layer first; empty for a cell without gates. Only with `gates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<LayerGates>>,
}

/// The norms of the gradient at one step.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GradientNorm {
    /// By the token's embedding.
    pub input: f64,
    /// By h, for each recurrent layer, the first layer first; empty for a network without recurrence.
    pub h: Vec<f64>,
    /// By c, for each layer of an LSTM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<Vec<f64>>,
}

/// The norms of the gradient by the number of steps back, from 0 at the last token, as multiples of the norm at lag 0. The layers count together.
/// A norm is null if the gradient at lag 0 is zero.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GradientByLag {
    /// By the embedding of the token.
    pub input: Vec<Option<f64>>,
    /// By h; empty for a network without recurrence.
    pub h: Vec<Option<f64>>,
    /// By c, of an LSTM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<Vec<Option<f64>>>,
}

/// The values of a layer's gates, one for each unit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LayerGates {
    /// Of an LSTM.
    Lstm {
        /// i: how much of the candidate enters the cell.
        input: Vec<f32>,
        /// f: how much of the cell is kept.
        forget: Vec<f32>,
        /// g: the candidate.
        candidate: Vec<f32>,
        /// o: how much of the cell is shown.
        output: Vec<f32>,
    },
    /// Of a GRU.
    Gru {
        /// r: how much of h the candidate sees.
        reset: Vec<f32>,
        /// z: how much of h is kept.
        update: Vec<f32>,
        /// n: the candidate.
        candidate: Vec<f32>,
    },
}

//! Predictions for keyboards of people who cannot speak or type (augmentative and alternative communication), in the shape of
//! Imagineville's API, which such keyboards call.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;

/// What was typed, in a query string.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PredictQuery {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// The text before the word that is being typed.
    /// Limit: `--max-text`.
    #[schema(example = "he looked at the ")]
    pub left: String,
    /// What is typed of the word. For characters, it is read after `left` as it is.
    /// Limit: `--max-prefix-length`.
    #[schema(example = "wi")]
    pub prefix: String,
    /// The number of predictions. If absent, 10, or the maximum if that is smaller.
    /// Limit: `--max-suggestions`.
    #[schema(minimum = 1, default = 10)]
    pub num: Option<usize>,
    /// Whether offensive words are left out. Models do not know which words offend, so only `false` is accepted.
    pub safe: bool,
    /// The text after the word. It is accepted because clients send it, and ignored: models read from left to right.
    pub right: String,
    /// The language. It is accepted because clients send it, and ignored: it is that of the model.
    pub lang: String,
    /// A vocabulary. It is accepted because clients send it, and ignored: it is that of the model.
    pub vocab: String,
    /// The key, for clients that cannot send it in the header `authorization`. Proxies may log it.
    pub key: String,
    /// An order. It is accepted because clients send it, and ignored: predictions are in the order of their probability.
    pub sort: String,
}

fields!(PredictQuery { model, left, prefix, num, safe, right, lang, vocab, key, sort });

impl PredictQuery {
    /// The `num` of a request that gives none, unless the maximum is smaller.
    pub const NUM_DEFAULT: usize = 10;

    /// The number of predictions, where at most `maximum` are allowed.
    pub fn num_or_default(&self, maximum: usize) -> usize {
        self.num.unwrap_or(Self::NUM_DEFAULT.min(maximum))
    }
}

/// What may come next.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"results": [{"text": "window", "token": "window", "logProb": -4.18}]}))]
pub struct Predictions {
    /// The predictions, most likely first; fewer than `num` if there are no more.
    pub results: Vec<Prediction>,
}

/// A word or a character that may come next.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"text": "window", "token": "window", "logProb": -4.18}))]
pub struct Prediction {
    /// The whole word, or the character; a space stands for the end of a word.
    pub text: String,
    /// The same as `text`, under the name that some clients read.
    pub token: String,
    /// The natural logarithm of the probability of the word after `left`, or of the character after all that was typed.
    pub log_prob: f64,
}

/// What may come after each of what may come next.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Futures {
    /// The characters or words that may come next, most likely first.
    pub futures: Vec<Future>,
}

/// What may come after a character or a word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Future {
    /// The character or the word.
    pub next: String,
    /// What may come after it.
    pub predictions: Predictions,
}

//! How tokens are drawn.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::Word;

/// How tokens are drawn. The filters apply in the order of the fields `banned`, `temperature`, `top_k`, `top_p`, `min_p`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"temperature": 0.8, "top_p": 0.95}))]
pub struct Sampling {
    /// Divides the logits. At 0 the most likely token is always drawn.
    #[schema(minimum = 0, maximum = 100)]
    pub temperature: f64,
    /// Draw only from this many most likely tokens. If absent, 0 or -1, from all.
    #[schema(minimum = -1)]
    pub top_k: Option<i64>,
    /// Draw only from the smallest set of most likely tokens that has this probability.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub top_p: f64,
    /// Draw only from tokens at least this probable, as a fraction of the probability of the most likely token.
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: f64,
    /// Words and token ids that are never drawn. A word must be a single token.
    /// Limit: `--max-banned`.
    pub banned: Vec<Word>,
    /// Whether the unknown token may be drawn.
    pub allow_unknown: bool,
}

fields!(Sampling { temperature, top_k, top_p, min_p, banned, allow_unknown });

impl Sampling {
    /// The highest `temperature`.
    pub const TEMPERATURE_MAX: f64 = 100.0;
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            banned: Vec::new(),
            allow_unknown: false,
        }
    }
}

//! The continuous cache: words that were read come back.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;

/// A continuous cache (Grave et al. 2017). Each of the last `window` tokens is remembered with the model's hidden vector before it, and the probability of a token is
/// `(1 - lambda) * p_model + lambda * p_cache`, where `p_cache` is a softmax of `theta * (h_now . h_then)` over what is remembered. The cache begins empty, and moves with the
/// state.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"window": 500, "theta": 0.6, "lambda": 0.15}))]
pub struct Cache {
    /// The number of tokens that are remembered.
    /// Limit: `--cache-window-max`.
    #[schema(minimum = 1)]
    pub window: usize,
    /// How much more similar hidden vectors count than others. At 0, all that is remembered counts the same.
    #[schema(minimum = 0, maximum = 1e6)]
    pub theta: f64,
    /// The weight of the cache. Below 1, so that no word has probability 0.
    #[schema(minimum = 0, exclusive_maximum = 1)]
    pub lambda: f64,
}

fields!(Cache { window, theta, lambda });

impl Default for Cache {
    fn default() -> Self {
        Self { window: 500, theta: 0.6, lambda: 0.15 }
    }
}

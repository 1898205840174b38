//! Several models in place of one.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;

/// A model of a mixture. The probability of each token is the sum of the models' probabilities, each times its weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"model": "classics", "weight": 0.6}))]
pub struct MixturePart {
    /// The model's name. All models of a mixture have the same tokenizer, by `tokenizer_sha256`.
    #[schema(required)]
    pub model: String,
    /// Its weight. The weights of a mixture sum to 1.
    #[schema(required, exclusive_minimum = 0, maximum = 1)]
    pub weight: f64,
}

fields!(MixturePart { model, weight });

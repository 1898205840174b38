//! Neighbours: the words that are nearest in the embedding.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::Word;
use super::tokens::Token;

/// A token, or tokens to add and subtract. Exactly one of `token` and the two lists is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"token": "sea", "top_k": 3}))]
pub struct NeighborsRequest {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// The token whose neighbours are asked for: a word of one token that the model knows, of at most `--max-prefix-length` bytes, or a
    /// token id.
    pub token: Option<Word>,
    /// Tokens whose directions are added.
    /// Limit: `--max-neighbor-words`.
    pub positive: Vec<Word>,
    /// Tokens whose directions are subtracted.
    /// Limit: `--max-neighbor-words`.
    pub negative: Vec<Word>,
    /// The number of neighbours to list. If absent, 10, or the maximum if that is smaller.
    /// Limit: `--max-top-k`.
    #[schema(default = 10)]
    pub top_k: Option<usize>,
}

fields!(NeighborsRequest { model, token, positive, negative, top_k });

/// The nearest tokens.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NeighborsResponse {
    /// The model.
    pub model: String,
    /// The neighbours, the nearest first. The tokens of the request are not among them.
    pub neighbors: Vec<Neighbor>,
}

/// A token that is near.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"id": 512, "token": "sea", "text": "sea", "similarity": 0.71}))]
pub struct Neighbor {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The cosine of the angle between its embedding and the direction asked for, from -1 to 1.
    pub similarity: f64,
}

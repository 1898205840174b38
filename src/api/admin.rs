//! What whoever runs the server is told.

use serde::Serialize;
use utoipa::ToSchema;

/// A server that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Drained {
    /// The requests that are still open.
    pub open_requests: usize,
}

/// A model that was loaded, reloaded or unloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"model": "classics", "change": "reloaded",
    "identity": "8f0d7c1e52a64b39b1c7f0a2d4e6985c3b7a1f60d9e84c25a6b3f7180e5d9c42",
    "previous_identity": "3c9a41f7be0d5826914ec7a8f25b60d7e1a3984c0f6b2d75e8a91c4d307f6b5e",
    "sessions_ended": 3, "models": ["classics", "shakespeare-rnn"]}))]
pub struct ModelChange {
    /// The name of the model.
    pub model: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// The identity of the weights that are served now; null if the model was unloaded.
    pub identity: Option<String>,
    /// The identity of the weights that were served before; null if the model was not loaded.
    pub previous_identity: Option<String>,
    /// Sessions that were removed because their weights are no longer served. One with a write that still runs leaves later.
    pub sessions_ended: usize,
    /// The names of all models that are served now.
    pub models: Vec<String>,
}

/// What can happen to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is served now, and was not before.
    Loaded,
    /// Its files were read again.
    Reloaded,
    /// It is no longer served.
    Unloaded,
}

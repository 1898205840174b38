//! States: as vectors, and on their way from one request to the next.

use serde::Serialize;
use utoipa::ToSchema;

use super::cache::Cache;
use super::fields;
use super::sessions::Expectation;

/// How a state is put into a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PutStateQuery {
    /// The model that the state must belong to. If absent, the model of the session or, if there is no session yet, the one with the state's
    /// identity.
    pub model: Option<String>,
    /// Where the session must stand before.
    #[serde(flatten)]
    pub expected: Expectation,
}

fields!(PutStateQuery { model } + expected: Expectation);

/// The state of a session: what its model keeps of everything it has read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionState {
    /// The session's model.
    pub model: String,
    /// The identity of the weights that computed the state.
    pub identity: String,
    /// The number of tokens read since the model's start.
    pub position: u64,
    /// The vectors of each layer, the first layer first. Empty for a model that is not a recurrent network of known layers.
    pub layers: Vec<LayerState>,
    /// The state of a model without layers, such as the last tokens that a window network reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f32>>,
    /// The session's cache, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheState>,
}

/// A cache. The file of a state has its vectors, too.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CacheState {
    /// The options that the session was created with.
    #[serde(flatten)]
    pub options: Cache,
    /// The number of tokens that are remembered, at most `window`.
    pub length: usize,
}

/// The vectors of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LayerState {
    /// The output of the layer, h.
    pub h: Vec<f32>,
    /// The Euclidean norm of `h`.
    pub h_norm: f64,
    /// The cell of an LSTM, c.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<Vec<f32>>,
    /// The Euclidean norm of `c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_norm: Option<f64>,
}

/// Sessions without a server that remembers them: the client keeps the state and sends it with each request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Carried {
    /// The state from which the request starts instead of the model's start: what an earlier request returned, or the state of a session in
    /// base64. A request to a session takes none.
    pub state: Option<String>,
    /// Whether the answer returns the state after what was read.
    pub return_state: bool,
    /// A cache, which is mixed into all probabilities. If absent, that of `state`, if there is one; beside `state`, it sets the options of the state's cache anew. A session
    /// gets its cache when it is created, so a request to a session takes none.
    pub cache: Option<Cache>,
}

fields!(Carried { state, return_state, cache });

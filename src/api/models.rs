//! The models that are served.

use serde::Serialize;
use utoipa::ToSchema;

use super::onnx::OnnxGraph;

/// The models, in the form of OpenAI's list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models, in the order of their names.
    pub data: Vec<Model>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// The model's name.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When the weights were written, in seconds since 1970.
    pub created: u64,
    /// Always `rnnlm-server`.
    pub owned_by: &'static str,
    /// Whether this is the model of requests that name none.
    pub default: bool,
    /// The recurrent cell: `rnn_tanh`, `rnn_relu`, `rnn_sigmoid`, `gru` or `lstm`; null for a graph that was not recognised as one of these.
    pub cell: Option<&'static str>,
    /// The number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The number of units in each layer, first layer first.
    pub hidden_sizes: Vec<usize>,
    /// The number of parameters.
    pub parameter_count: u64,
    /// The type that the weights are held in: `f32`, `f16`, `bf16` or `int8`; `f32` if matrices differ in theirs.
    pub weights_dtype: &'static str,
    /// The size of a session's state, without bookkeeping.
    pub state_bytes: usize,
    /// What computes the model: `native` or `tract`.
    pub backend: &'static str,
    /// A SHA-256 over weights and architecture. A state is valid only for the identity that it came from.
    pub identity: String,
    /// The kind of tokenizer: `whitespace`, `word`, `char` or `huggingface`.
    pub tokenizer_kind: &'static str,
    /// A SHA-256 over the vocabulary and the rules of the tokenizer. Perplexities are comparable only where it is equal.
    pub tokenizer_sha256: String,
    /// How the graph of an ONNX file was understood. Absent for other weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnx: Option<OnnxGraph>,
}

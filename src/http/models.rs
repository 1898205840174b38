//! `/v1/models`: what is served.

use std::time::UNIX_EPOCH;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiResult;
use super::extract::{Path, UseCases};
use super::onnx::OnnxGraph;
use crate::service::ModelDescription;

/// The models, in the form of OpenAI's list.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelList {
    /// `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(super) struct Model {
    id: String,
    /// `model`.
    object: &'static str,
    /// When the weights were written, in seconds since 1970.
    created: u64,
    owned_by: &'static str,
    /// Whether it answers requests that name no model.
    default: bool,
    /// The recurrent cell: `rnn_tanh`, `rnn_relu`, `rnn_sigmoid`, `gru` or `lstm`; null for a graph that is no known network.
    cell: Option<&'static str>,
    vocab_size: usize,
    /// Units of each layer, the first layer first.
    hidden_sizes: Vec<usize>,
    parameter_count: u64,
    /// The type that the weights are held in; `f32` where matrices differ in theirs.
    weights_dtype: &'static str,
    /// What a session costs, its bookkeeping aside.
    state_bytes: usize,
    /// What computes the model.
    backend: &'static str,
    /// SHA-256 over weights and architecture: states belong to one identity.
    identity: String,
    tokenizer_kind: &'static str,
    /// SHA-256 over vocabulary and rules: perplexities compare only where it is equal.
    tokenizer_sha256: String,
    /// How the graph of an ONNX file was understood; absent for other weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    onnx: Option<OnnxGraph>,
}

/// All models
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "models",
    responses((status = 200, body = ModelList)))]
pub(super) async fn list(UseCases(service): UseCases) -> Json<ModelList> {
    Json(ModelList { object: "list", data: service.models().into_iter().map(Model::from).collect() })
}

/// One model
#[utoipa::path(get, path = "/v1/models/{model}", operation_id = "get_model", tag = "models",
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, body = Model)))]
pub(super) async fn get(UseCases(service): UseCases, Path(name): Path<String>) -> ApiResult<Json<Model>> {
    Ok(Json(service.model(&name)?.into()))
}

impl From<ModelDescription> for Model {
    fn from(model: ModelDescription) -> Self {
        Self {
            id: model.name.to_string(),
            object: "model",
            // A clock that was wrong when the file was written is no reason to fail.
            created: model.created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            owned_by: "rnnlm-server",
            default: model.is_default,
            cell: model.cell,
            vocab_size: model.vocab_size,
            hidden_sizes: model.hidden_sizes,
            parameter_count: model.parameter_count,
            weights_dtype: model.weights_dtype,
            state_bytes: model.state_bytes,
            backend: model.backend,
            identity: model.identity,
            tokenizer_kind: model.tokenizer_kind,
            tokenizer_sha256: model.tokenizer_sha256,
            onnx: model.understanding.as_deref().map(OnnxGraph::from),
        }
    }
}

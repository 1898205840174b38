//! `/v1/models`.

use super::error::ApiResult;
use super::extract::{Path, UseCases};
use super::json::Json;
use crate::api::models::{Model, ModelList};

/// List models
#[utoipa::path(get, path = "/v1/models", operation_id = "listModels", tag = "models",
    responses((status = 200, description = "All models", body = ModelList)))]
pub(super) async fn list(UseCases(service): UseCases) -> Json<ModelList> {
    Json(service.models())
}

/// Get a model
#[utoipa::path(get, path = "/v1/models/{model}", operation_id = "getModel", tag = "models",
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, description = "The model", body = Model)))]
pub(super) async fn get(UseCases(service): UseCases, Path(name): Path<String>) -> ApiResult<Json<Model>> {
    Ok(Json(service.model(&name)?))
}

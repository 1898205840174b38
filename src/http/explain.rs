//! `/v1/explain` and `/v1/neighbors`.

use axum::response::{IntoResponse, Response};

use super::document::QueryOf;
use super::error::ApiResult;
use super::extract::{Body, Query, UseCases};
use super::held::hold;
use super::json::Json;
use crate::api::explain::{ExplainQuery, ExplainRequest, ExplainResponse};
use crate::api::neighbors::{NeighborsRequest, NeighborsResponse};
use crate::service::Explained;

/// Explain a token's probability
///
/// For the log-probability of `target` after `text` or `tokens`: how much each token has contributed, and how the gradient shrinks
/// on its way back through time. Only models of the native engine can be explained; requests for others are rejected with 422 `not_supported`.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explain", tag = "understanding", params(QueryOf<ExplainQuery>),
    request_body = ExplainRequest,
    responses((status = 200, description = "The gradient", body = ExplainResponse)))]
pub(super) async fn explain(
    UseCases(service): UseCases,
    Query(query): Query<ExplainQuery>,
    Body(request): Body<ExplainRequest>,
) -> ApiResult<Response> {
    let Explained { response, room } = service.explain(request, query).await?;
    Ok(hold(Json(response).into_response(), room))
}

/// List the nearest words
///
/// The tokens whose embeddings point in the most similar direction as `token`, or as the sum of the directions of `positive` less those of
/// `negative`. Only models of the native engine have a known embedding; requests for others are rejected with 422 `not_supported`.
#[utoipa::path(post, path = "/v1/neighbors", operation_id = "neighbors", tag = "understanding", request_body = NeighborsRequest,
    responses((status = 200, description = "The nearest tokens", body = NeighborsResponse)))]
pub(super) async fn neighbors(
    UseCases(service): UseCases,
    Body(request): Body<NeighborsRequest>,
) -> ApiResult<Json<NeighborsResponse>> {
    Ok(Json(service.neighbors(request).await?))
}

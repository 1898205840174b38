//! Probes, metrics, and what the server says about itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::app::{App, Phase, refusal};
use super::error::ApiResult;
use super::extract::UseCases;
use super::json::Json;
use crate::api::info::{Health, Info};
use crate::api::stats::Stats;
use crate::telemetry::Metrics;

const OK: Json<Health> = Json(Health { status: "ok" });

/// Check that the process is alive
///
/// Answers as long as the process can answer at all, also while it loads or shuts down.
#[utoipa::path(get, path = "/livez", operation_id = "getLiveness", tag = "operations",
    responses((status = 200, description = "The process is alive", body = Health)))]
pub(super) async fn livez() -> Json<Health> {
    OK
}

/// Check that the server is ready
///
/// 503, with the reason, while models are being loaded and while the server shuts down.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "operations",
    responses((status = 200, description = "The server accepts requests", body = Health)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> ApiResult<Json<Health>> {
    ready(&app)
}

/// Check that the server is ready
///
/// The same as `/readyz`.
#[utoipa::path(get, path = "/health", operation_id = "getHealth", tag = "operations",
    responses((status = 200, description = "The server accepts requests", body = Health)))]
pub(super) async fn health(State(app): State<Arc<App>>) -> ApiResult<Json<Health>> {
    ready(&app)
}

fn ready(app: &App) -> ApiResult<Json<Health>> {
    match app.phase() {
        Phase::Ready => Ok(OK),
        phase => Err(refusal(phase)),
    }
}

/// Get metrics for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operations",
    responses((status = 200, description = "The metrics, as OpenMetrics text", body = String,
        content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    if let Ok(service) = app.service() {
        service.observe();
        if let Some(keys) = &app.keys {
            service.observe_keys(keys);
        }
    }
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], app.metrics.render()).into_response()
}

/// Get this document
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operations",
    responses((status = 200, description = "The OpenAPI document, with the limits of this server", body = Object,
        content_type = "application/json")))]
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], app.document()).into_response()
}

/// Get version, models, numerics and limits
#[utoipa::path(get, path = "/v1/info", operation_id = "getInfo", tag = "operations",
    responses((status = 200, description = "What the server is and what it accepts", body = Info)))]
pub(super) async fn info(UseCases(service): UseCases) -> Json<Info> {
    Json(service.info())
}

/// Get totals since the start
///
/// For a page that shows what the server does. It has no ids and no text, and nothing by model; `/metrics` has that.
#[utoipa::path(get, path = "/v1/stats", operation_id = "getStats", tag = "operations",
    responses((status = 200, description = "The totals", body = Stats)))]
pub(super) async fn stats(UseCases(service): UseCases) -> Json<Stats> {
    Json(service.stats())
}

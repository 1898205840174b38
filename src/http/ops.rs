//! Probes, metrics, and what the service says of itself.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::{App, Phase, refusal};
use super::error::{ApiError, ApiResult};
use super::extract::UseCases;
use super::routes;
use crate::config::Config;
use crate::telemetry::Metrics;

/// What a probe answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// The process lives
///
/// Answers as long as the process can answer at all, also while it loads or drains.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = Health)))]
pub(super) async fn livez() -> Json<Health> {
    OK
}

/// The service takes requests
///
/// 503 while models are being loaded and while the service is stopping, with the reason.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, body = Health)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> ApiResult<Json<Health>> {
    ready(&app)
}

/// The service takes requests
///
/// The same as `/readyz`.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = Health)))]
pub(super) async fn health(State(app): State<Arc<App>>) -> ApiResult<Json<Health>> {
    ready(&app)
}

fn ready(app: &App) -> Result<Json<Health>, ApiError> {
    match app.phase() {
        Phase::Ready => Ok(OK),
        phase => Err(refusal(phase)),
    }
}

/// Metrics for Prometheus
///
/// OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    if let Ok(service) = app.service() {
        service.observe();
    }
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], app.metrics.render()).into_response()
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    responses((status = 200, body = Object, content_type = "application/json")))]
pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let json = routes::document().to_json().expect("a document of string keys can be written");
        json.into_bytes().into()
    });
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

/// What the service is.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    name: &'static str,
    version: &'static str,
    models: Vec<String>,
    default_model: String,
    /// The instruction set that the kernels use.
    kernel: &'static str,
    /// `fma` or `no_fma`: results are bit-identical across machines of one value.
    numerics: &'static str,
    cpu_features: Vec<&'static str>,
    engine_threads: usize,
    limits: LimitsInfo,
}

/// The limits of one request, and of the service.
#[derive(Serialize, ToSchema)]
pub(super) struct LimitsInfo {
    max_body_bytes: usize,
    max_text_bytes: usize,
    max_prompt_tokens: usize,
    max_tokens: usize,
    max_top_k: usize,
    max_candidates: usize,
    max_requests: usize,
    max_texts: usize,
    max_stops: usize,
    max_stop_length_bytes: usize,
    max_banned: usize,
    max_batch: usize,
    queue_max: usize,
    queue_bytes_max: usize,
    sessions_max: usize,
    sessions_max_bytes: usize,
    session_ttl_seconds: f64,
    request_timeout_seconds: f64,
}

/// Version, models, numerics and limits
#[utoipa::path(get, path = "/v1/info", tag = "operations", responses((status = 200, body = Info)))]
pub(super) async fn info(State(app): State<Arc<App>>, UseCases(service): UseCases) -> Json<Info> {
    let about = service.about();
    Json(Info {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        models: about.models.iter().map(ToString::to_string).collect(),
        default_model: about.default_model.to_string(),
        kernel: about.kernel,
        numerics: about.numerics,
        cpu_features: about.cpu_features,
        engine_threads: app.config.engine.engine_threads,
        limits: LimitsInfo::from(&app.config),
    })
}

impl From<&Config> for LimitsInfo {
    fn from(config: &Config) -> Self {
        let Config { engine, sessions, limits, http, .. } = config;
        Self {
            max_body_bytes: http.max_body.0,
            max_text_bytes: limits.max_text.0,
            max_prompt_tokens: limits.max_prompt_tokens,
            max_tokens: limits.max_tokens,
            max_top_k: limits.max_top_k,
            max_candidates: limits.max_candidates,
            max_requests: limits.max_requests,
            max_texts: limits.max_texts,
            max_stops: limits.max_stops,
            max_stop_length_bytes: limits.max_stop_length.0,
            max_banned: limits.max_banned,
            max_batch: engine.max_batch,
            queue_max: engine.queue_max,
            queue_bytes_max: engine.queue_bytes_max.0,
            sessions_max: sessions.sessions_max,
            sessions_max_bytes: sessions.sessions_max_bytes.0,
            session_ttl_seconds: sessions.session_ttl.as_secs_f64(),
            request_timeout_seconds: http.request_timeout.as_secs_f64(),
        }
    }
}

//! `/admin/`: for whoever runs the server, with the key of an admin.

use std::sync::Arc;

use axum::extract::State;
use tokio::task::spawn_blocking;

use super::app::App;
use super::error::ApiResult;
use super::extract::Path;
use super::json::Json;
use crate::api::admin::{Drained, ModelChange};
use crate::error::{Error, Result};
use crate::service::Service;

/// Drain the server
///
/// The server stops being ready and refuses new requests, and open ones continue, as after SIGTERM. The process ends only when it gets that
/// signal: until then an orchestrator can watch the open requests become fewer. A second call changes nothing.
#[utoipa::path(post, path = "/admin/drain", operation_id = "drain", tag = "operations",
    responses((status = 200, description = "The server drains", body = Drained)))]
pub(super) async fn drain(State(app): State<Arc<App>>) -> Json<Drained> {
    app.drain();
    let open_requests = app.open();
    tracing::info!(open = open_requests, "draining at the request of an admin");
    Json(Drained { open_requests })
}

/// Load a model
///
/// Reads the folder of this name in `--models` and serves it from then on. A folder that cannot be loaded changes nothing; `error.message` says
/// why. The answer comes when the model is loaded. While another model is being loaded, reloaded or unloaded, the answer is 409 `models_changing`.
#[utoipa::path(post, path = "/admin/models/{model}/load", operation_id = "loadModel", tag = "operations",
    params(("model" = String, Path, description = "The name of the folder", example = "classics")),
    responses((status = 200, description = "The model is served", body = ModelChange)))]
pub(super) async fn load(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> ApiResult<Json<ModelChange>> {
    change(&app, name, Service::load_model).await
}

/// Reload a model
///
/// Reads the files of a loaded model again and serves what they hold now. Requests that have begun finish on the old weights. Sessions go on if
/// the identity of the weights is the same; the others are removed, and answer 410 `model_changed`. If the files cannot be loaded, the model
/// stays as it was.
#[utoipa::path(post, path = "/admin/models/{model}/reload", operation_id = "reloadModel", tag = "operations",
    params(("model" = String, Path, description = "The name of the model", example = "classics")),
    responses((status = 200, description = "The model is served as its files are now", body = ModelChange)))]
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> ApiResult<Json<ModelChange>> {
    change(&app, name, Service::reload_model).await
}

/// Unload a model
///
/// Serves a model no longer. Requests that have begun finish, and then its memory is free. Its sessions are removed, and answer 410
/// `model_changed`. The default model cannot be unloaded.
#[utoipa::path(post, path = "/admin/models/{model}/unload", operation_id = "unloadModel", tag = "operations",
    params(("model" = String, Path, description = "The name of the model", example = "classics")),
    responses((status = 200, description = "The model is no longer served", body = ModelChange)))]
pub(super) async fn unload(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> ApiResult<Json<ModelChange>> {
    change(&app, name, Service::unload_model).await
}

/// Makes a change on a thread of its own, because it reads files. It is made also if the client does not wait for the end.
async fn change(
    app: &App,
    name: String,
    change: fn(&Service, &str) -> Result<ModelChange>,
) -> ApiResult<Json<ModelChange>> {
    let service = app.service()?.clone();
    let changed = spawn_blocking(move || change(&service, &name)).await;
    let changed =
        changed.unwrap_or_else(|_| Err(Error::internal("internal error: changing a model panicked")));
    Ok(Json(changed?))
}

//! `/admin/`: for whoever runs the server, with the key of an admin.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::app::App;
use crate::api::admin::Drained;

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

//! What happens to every request, as one list.

mod admission;
mod cors;
mod observe;
mod panic;
mod request_id;
mod session_id;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

pub(super) use admission::admission;
pub(super) use session_id::session_id;

use super::app::App;

/// The router in its layers. A request passes them from top to bottom, its response from bottom to top.
pub(super) fn wrap(router: Router, app: &Arc<App>) -> Router {
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn(request_id::identify))
            .layer(from_fn_with_state(app.clone(), observe::observe))
            .option_layer(cors::cors(&app.config.http.cors_origins))
            .layer(CatchPanicLayer::custom(panic::answer))
            // Not tower-http's limit, which would bound a text streamed to `/v1/score` too: this one binds extractors only.
            .layer(DefaultBodyLimit::max(app.config.http.max_body.0)),
    )
}

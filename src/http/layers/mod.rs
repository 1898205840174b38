//! What happens to every request, as one list.

mod accepted;
mod accounts;
mod authorize;
mod cors;
mod encoding;
mod enter;
mod observe;
mod panic;
mod report;
mod request_id;
mod session_id;
mod trace;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub(super) use accepted::{Accepted, accept, refuse_query};
pub(super) use authorize::{Gate, admins_only, authorize};
pub(super) use enter::{Entrance, enter};

use super::app::App;
use super::arrival::Pace;

/// The router in its layers. A request passes them from top to bottom, its response from bottom to top.
pub(super) fn wrap(router: Router, app: &Arc<App>) -> Router {
    let pace = Pace::from(&app.config.http);
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(app.clone(), observe::observe))
            .option_layer(cors::cors(&app.config.http.cors_origins))
            .layer(from_fn_with_state(pace, encoding::check))
            .layer(encoding::compress())
            .layer(CatchPanicLayer::custom(panic::answer))
            // The extractors limit what comes out of it. A limit here would bound a text streamed to `/v1/score` too.
            .layer(RequestDecompressionLayer::new()),
    )
}

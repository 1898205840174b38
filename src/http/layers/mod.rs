//! What happens to every request, as one list.

mod accepted;
mod admission;
mod asked;
mod authorize;
mod cors;
mod encoding;
mod observe;
mod panic;
mod request_id;
mod session_id;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub(super) use accepted::{Accepted, accepted, refuse_query};
pub(super) use admission::admission;
pub(super) use authorize::{Gate, admins_only, authorize};
pub(super) use session_id::session_id;

use super::app::App;
use super::arrival::{Pace, paced};

/// The router in its layers. A request passes them from top to bottom, its response from bottom to top.
pub(super) fn wrap(router: Router, app: &Arc<App>) -> Router {
    let pace = Pace::from(&app.config.http);
    let at_pace = move |request: Request| async move { request.map(|body| paced(body, pace)) };
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn(request_id::identify))
            .layer(from_fn_with_state(app.clone(), observe::observe))
            .layer(from_fn_with_state(app.clone(), asked::asked))
            .option_layer(cors::cors(&app.config.http.cors_origins))
            .layer(from_fn(encoding::check))
            .layer(encoding::compress())
            .layer(CatchPanicLayer::custom(panic::answer))
            .layer(map_request(at_pace))
            // The extractors limit what comes out of it. A limit here would bound a text streamed to `/v1/score` too.
            .layer(RequestDecompressionLayer::new()),
    )
}

//! Every route, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::ApiError;
use super::{
    aac, explain, generate, layers, models, next, openai, ops, page, reference, rescore, score, sessions,
    state, suggest, tokens,
};
use crate::api::error::ErrorCode;
use crate::config::{Config, Interface};

/// The whole service as a router: routes in their layers.
pub fn router(app: Arc<App>) -> Router {
    let layered = |routes: OpenApiRouter<Arc<App>>| {
        let accepted = from_fn_with_state(layers::Accepted::by(routes.get_openapi()), layers::accepted);
        let session_id = from_fn_with_state(app.clone(), layers::session_id);
        let admission = from_fn_with_state(app.clone(), layers::admission);
        routes.layer(session_id).layer(accepted).layer(admission)
    };
    let of_openai = layered(of_openai()).layer(map_response(openai::in_dialect));
    let (router, _) = always().merge(layered(own(&app.config))).merge(of_openai).split_for_parts();
    assemble(router.merge(pages()), &app)
}

/// The routes for a listener of their own: probes, metrics, and what the server says about itself.
pub(super) fn probes(app: &Arc<App>) -> Router {
    let (router, _) = always().split_for_parts();
    assemble(router, app)
}

/// Routes with what answers beside them, in the layers.
pub(super) fn assemble(routes: Router<Arc<App>>, app: &Arc<App>) -> Router {
    let routes = routes.fallback(unknown_route).method_not_allowed_fallback(unknown_method);
    layers::wrap(routes.with_state(app.clone()), app)
}

/// Routes that answer in every phase: they do no work, and probes must see a server that loads or shuts down.
fn always() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::health))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::openapi))
        .routes(routes!(ops::info))
        .routes(routes!(ops::stats))
}

/// The server's own routes that do work: refused while the server loads or shuts down.
fn own(config: &Config) -> OpenApiRouter<Arc<App>> {
    let routes = OpenApiRouter::default()
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(tokens::tokenize))
        .routes(routes!(tokens::detokenize))
        .routes(routes!(next::next, next::get_next))
        .routes(routes!(suggest::suggest))
        .routes(routes!(generate::generate))
        .routes(routes!(score::score))
        .routes(routes!(rescore::rescore))
        .routes(routes!(explain::explain))
        .routes(routes!(explain::neighbors))
        .routes(routes!(sessions::create, sessions::list))
        .routes(routes!(sessions::get, sessions::delete))
        .routes(routes!(sessions::append))
        .routes(routes!(next::session_next))
        .routes(routes!(suggest::session_suggest))
        .routes(routes!(generate::session_generate))
        .routes(routes!(score::session_score))
        .routes(routes!(sessions::fork))
        .routes(routes!(sessions::reset))
        .routes(routes!(sessions::rewind))
        .routes(routes!(state::get, state::put));
    if config.http.enables(Interface::Aac) { routes.merge(augmentative()) } else { routes }
}

/// Routes in the dialect of OpenAI, which do work too.
fn of_openai() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(openai::complete))
        .routes(routes!(openai::tokenizer_info))
        .routes(routes!(openai::tokenize))
        .routes(routes!(openai::detokenize))
}

/// Routes in the shape of another API, off unless they are enabled.
fn augmentative() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(aac::words))
        .routes(routes!(aac::words_after_characters))
        .routes(routes!(aac::words_after_words))
        .routes(routes!(aac::characters))
        .routes(routes!(aac::characters_after_characters))
        .routes(routes!(aac::characters_after_words))
}

/// Pages for people, which are not part of the API. They answer in every phase: the page says itself that the server is loading.
fn pages() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(page::index))
        .route("/web/{file}", get(page::file))
        .route("/docs", get(reference::redirect))
        .route("/docs/", get(reference::index))
        .route("/docs/{file}", get(reference::file))
}

/// What all routes of a server with this configuration say of themselves.
pub(super) fn described(config: &Config) -> OpenApi {
    always().merge(own(config)).merge(of_openai()).into_openapi()
}

pub(super) async fn unknown_route(request: Request) -> ApiError {
    let path = request.uri().path();
    let message = format!("the route `{path}` does not exist; `/openapi.json` lists all routes");
    ApiError::new(ErrorCode::RouteNotFound, message)
}

async fn unknown_method(request: Request) -> ApiError {
    let path = request.uri().path();
    let method = request.method();
    let message = format!("`{path}` does not accept {method}; the header `allow` lists what it accepts");
    ApiError::new(ErrorCode::MethodNotAllowed, message)
}

//! Every route, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{any, get};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::ApiError;
use super::layers::{Accepted, Entrance, Gate};
use super::{
    aac, admin, explain, generate, layers, models, next, openai, ops, page, reference, rescore, score,
    sessions, state, suggest, tokens,
};
use crate::api::error::ErrorCode;
use crate::config::{Config, Interface};

/// The whole service as a router: routes in their layers.
pub fn router(app: Arc<App>) -> Router {
    let config = &app.config;
    let all = working().merge(of_openai()).merge(augmentative(config));
    let accepted = Accepted::by(all.get_openapi());
    let behind = |gate: Gate, routes: OpenApiRouter<Arc<App>>| {
        let entrance = Entrance { gate, accepted: accepted.clone() };
        routes.layer(from_fn_with_state(entrance, layers::enter))
    };
    let keyed = behind(Gate::of(&app), working());
    let keyed_in_query = behind(Gate::taking_query(&app), augmentative(config));
    let of_openai = behind(Gate::of(&app), of_openai()).layer(map_response(openai::in_dialect));
    let routes = open(config).merge(knowing(&app)).merge(keyed).merge(of_openai).merge(keyed_in_query);
    let routes = routes.merge(administering(&app));
    let (router, _) = routes.split_for_parts();
    assemble(router.merge(pages()), &app)
}

/// The routes for a listener of their own: probes, metrics, and what the server says about itself.
pub(super) fn probes(app: &Arc<App>) -> Router {
    let routes = probing().merge(measuring()).merge(describing()).merge(knowing(app));
    let (router, _) = routes.split_for_parts();
    assemble(router, app)
}

/// Routes with what answers beside them, in the layers.
pub(super) fn assemble(routes: Router<Arc<App>>, app: &Arc<App>) -> Router {
    let routes = routes.fallback(unknown_route).method_not_allowed_fallback(unknown_method);
    layers::wrap(routes.with_state(app.clone()), app)
}

/// What needs no key. Metrics have a listener of their own if one is configured.
fn open(config: &Config) -> OpenApiRouter<Arc<App>> {
    let open = probing().merge(describing());
    if config.http.metrics_listen.is_some() { open } else { open.merge(measuring()) }
}

/// Probes, which need no key and answer in every phase: they do no work, and must see a server that loads or shuts down.
fn probing() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::health))
}

/// Metrics, for whoever watches the server.
fn measuring() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default().routes(routes!(ops::metrics))
}

/// The document, which says how to use a key.
fn describing() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default().routes(routes!(ops::openapi))
}

/// What the server says about itself, also while it shuts down.
fn knowing(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let routes = about();
    let accepted = Accepted::by(routes.get_openapi());
    routes
        .layer(from_fn_with_state(accepted, layers::accept))
        .layer(from_fn_with_state(Gate::of(app), layers::authorize))
}

fn about() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default().routes(routes!(ops::info)).routes(routes!(ops::stats))
}

/// Routes for whoever runs the server, which need the key of an admin. What lies below `/admin/` and does not exist says so to admins only.
fn administering(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let routes = admin();
    let accepted = Accepted::by(routes.get_openapi());
    routes
        .route("/admin/{*rest}", any(unknown_route))
        .layer(from_fn_with_state(accepted, layers::accept))
        .layer(from_fn(layers::admins_only))
        .layer(from_fn_with_state(Gate::of(app), layers::authorize))
}

fn admin() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(admin::drain))
        .routes(routes!(admin::load))
        .routes(routes!(admin::reload))
        .routes(routes!(admin::unload))
}

/// The server's own routes that do work: refused while the server loads or shuts down.
fn working() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
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
        .routes(routes!(state::get, state::put))
}

/// Routes in the dialect of OpenAI, which do work too.
fn of_openai() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(openai::complete))
        .routes(routes!(openai::tokenizer_info))
        .routes(routes!(openai::tokenize))
        .routes(routes!(openai::detokenize))
}

/// Routes in the shape of another API, none unless they are enabled.
fn augmentative(config: &Config) -> OpenApiRouter<Arc<App>> {
    if !config.http.enables(Interface::Aac) {
        return OpenApiRouter::default();
    }
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
    let working = working().merge(of_openai()).merge(augmentative(config));
    open(config).merge(about()).merge(working).merge(admin()).into_openapi()
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

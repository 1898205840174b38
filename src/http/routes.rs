//! Every route, in one table, and the OpenAPI document that follows from it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::{ApiError, Code, ErrorBody};
use super::{append, generate, layers, models, next, ops, score, sessions, tokens};

/// The whole service as a router: routes in their layers.
pub fn router(app: Arc<App>) -> Router {
    let admission = from_fn_with_state(app.clone(), layers::admission);
    let (router, _) = always().merge(admitted().layer(admission)).split_for_parts();
    assemble(router, &app)
}

/// Routes with what answers beside them, in the layers.
pub(super) fn assemble(routes: Router<Arc<App>>, app: &Arc<App>) -> Router {
    let routes = routes.fallback(unknown_route).method_not_allowed_fallback(unknown_method);
    layers::wrap(routes.with_state(app.clone()), app)
}

/// Routes that answer in every phase: they do no work, and probes must see a service that loads or drains.
fn always() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::health))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::openapi))
        .routes(routes!(ops::info))
}

/// Routes that do work: refused while the service loads or drains.
fn admitted() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(tokens::tokenize))
        .routes(routes!(tokens::detokenize))
        .routes(routes!(next::next, next::next_of_address))
        .routes(routes!(generate::generate))
        .routes(routes!(score::score))
        .routes(routes!(sessions::create, sessions::list))
        .routes(routes!(sessions::get, sessions::delete))
        .routes(routes!(append::append))
        .routes(routes!(next::session_next))
        .routes(routes!(generate::session_generate))
        .routes(routes!(score::session_score))
        .routes(routes!(sessions::fork))
        .routes(routes!(sessions::reset))
        .layer(from_fn(layers::session_id))
}

/// The OpenAPI document of all routes.
pub fn document() -> OpenApi {
    let mut document = head();
    document.merge(always().merge(admitted()).into_openapi());
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut schemas = Vec::new();
    <ErrorBody as ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    document.paths.paths.values_mut().flat_map(operations).for_each(add_error_responses);
    document
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("rnnlm-server")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(env!("CARGO_PKG_DESCRIPTION")));
    OpenApiBuilder::new().info(info).build()
}

/// Every route fails in the same form, so that it is written here and not at each handler.
fn add_error_responses(operation: &mut Operation) {
    for (range, who) in [("4XX", "The request cannot be answered"), ("5XX", "The server cannot answer")] {
        let content = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
        let mut response = Response::new(format!("{who}: `error.code` says why"));
        response.content.insert("application/json".to_owned(), RefOr::T(content));
        operation.responses.responses.entry(range.to_owned()).or_insert(RefOr::T(response));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

async fn unknown_route(request: Request) -> ApiError {
    let message = format!("there is no route `{}`; `/openapi.json` lists them", request.uri().path());
    ApiError::new(Code::RouteNotFound, message)
}

async fn unknown_method(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(
        Code::MethodNotAllowed,
        format!("`{path}` does not take `{method}`; the header `allow` says what it does"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_id_a_summary_a_tag_and_its_errors() {
        let mut document = document();
        let mut ids = std::collections::HashSet::new();
        let mut count = 0;
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                count += 1;
                let id =
                    operation.operation_id.clone().unwrap_or_else(|| panic!("{path} has no operationId"));
                assert!(ids.insert(id.clone()), "the operationId `{id}` is given twice");
                assert!(
                    operation.summary.as_ref().is_some_and(|text| !text.is_empty()),
                    "{path}: no summary"
                );
                assert!(operation.tags.as_ref().is_some_and(|tags| tags.len() == 1), "{path}: not one tag");
                let statuses = &operation.responses.responses;
                assert!(
                    statuses.contains_key("4XX") && statuses.contains_key("5XX"),
                    "{path}: no error responses"
                );
                assert!(
                    statuses.keys().any(|status| status.starts_with('2')),
                    "{path}: no successful response"
                );
            }
        }
        assert!(count > 0, "there are no operations");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut open = vec![&document];
        let mut count = 0;
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(fields) => {
                    if let Some(serde_json::Value::String(reference)) = fields.get("$ref") {
                        count += 1;
                        let pointer = reference.strip_prefix('#').expect("references are local");
                        assert!(document.pointer(pointer).is_some(), "`{reference}` leads nowhere");
                    }
                    open.extend(fields.values());
                }
                serde_json::Value::Array(values) => open.extend(values),
                _ => {}
            }
        }
        assert!(count > 0, "there are no references");
    }
}

//! Refuses a query string or a body that the route does not take. If it were ignored, a guard in the wrong place, such as
//! `expected_position` in the body of a DELETE, would guard nothing.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use crate::api::error::ErrorCode;
use crate::http::error::{ApiError, ApiResult};

/// What each operation takes, as the OpenAPI document describes it.
pub(in crate::http) struct Accepted(HashMap<String, HashMap<Method, Inputs>>);

/// Which inputs an operation has, apart from its path and headers.
#[derive(Clone, Copy)]
struct Inputs {
    query: bool,
    body: bool,
}

impl Accepted {
    pub(in crate::http) fn by(document: &OpenApi) -> Arc<Self> {
        let paths = document.paths.paths.iter();
        Arc::new(Self(paths.map(|(path, item)| (path.clone(), inputs_of(item))).collect()))
    }

    /// Refuses a request that has what its operation does not take.
    pub(super) fn check(&self, request: &Request) -> ApiResult<()> {
        self.inputs(request).map_or(Ok(()), |inputs| check(inputs, request))
    }

    /// What the request's operation takes; `None` if the route does not exist or does not accept the method.
    fn inputs(&self, request: &Request) -> Option<Inputs> {
        let route = request.extensions().get::<MatchedPath>()?;
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.0.get(route.as_str())?.get(method).copied()
    }
}

/// The layer of routes that do not stand behind [`enter`](super::enter), which checks this too.
pub(in crate::http) async fn accept(
    State(accepted): State<Arc<Accepted>>,
    request: Request,
    next: Next,
) -> Response {
    match accepted.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn inputs_of(item: &PathItem) -> HashMap<Method, Inputs> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    let present =
        operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    present.map(|(method, operation)| (method, Inputs::of(operation))).collect()
}

impl Inputs {
    fn of(operation: &Operation) -> Self {
        let in_query = |parameter: &RefOr<Parameter>| match parameter {
            RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Query),
            RefOr::Ref(_) => false,
        };
        Self {
            query: operation.parameters.iter().flatten().any(in_query),
            body: operation.request_body.is_some(),
        }
    }
}

fn check(inputs: Inputs, request: &Request) -> ApiResult<()> {
    if !inputs.query {
        refuse_query(request)?;
    }
    if !inputs.body && !is_empty(request) {
        let method = request.method();
        let instead = if inputs.query { "its options go into the query string" } else { "it has no options" };
        let message = format!("this {method} has a body; {method} takes no body on this route: {instead}");
        return Err(ApiError::new(ErrorCode::InvalidValue, message));
    }
    Ok(())
}

/// Whether the request is known to have no body; one of unknown length counts as a body.
fn is_empty(request: &Request) -> bool {
    request.body().size_hint().exact() == Some(0)
}

/// Refuses a query string, for a request whose options go into its body.
pub(in crate::http) fn refuse_query(request: &Request) -> ApiResult<()> {
    let query = request.uri().query().unwrap_or_default();
    let Some(name) = query.split(['&', '=']).find(|part| !part.is_empty()) else { return Ok(()) };
    let instead =
        if request.method() == Method::POST { "its options go into the body" } else { "it has no options" };
    let message =
        format!("`{name}` is given in the query string, which this request does not take: {instead}");
    Err(ApiError::new(ErrorCode::UnknownField, message).at(name))
}

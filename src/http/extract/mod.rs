//! What a handler asks of a request: its body, its query string, the parameters in its path, the use cases.

mod accept;
mod body;
mod memory;
mod path;
mod query;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

pub use accept::accepts;
pub(super) use accept::quality;
pub(super) use body::check_origin_of_text;
pub use body::{Binary, Body};
pub use memory::BodyMemory;
pub use path::Path;
pub use query::Query;

use super::app::App;
use super::error::{ApiError, ApiResult};
use crate::keys::Pass;
use crate::service::{Asked, Service};

/// The use cases for this request, on behalf of its key. Fails with 503 until the models are loaded.
pub struct UseCases(pub Arc<Service>);

impl FromRequestParts<Arc<App>> for UseCases {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        use_cases(app, &parts.extensions).map(Self)
    }
}

/// The use cases for the request that has these extensions, on behalf of its key.
fn use_cases(app: &App, extensions: &Extensions) -> ApiResult<Arc<Service>> {
    let service = on_behalf_of(app, extensions.get())?;
    Ok(match extensions.get::<Arc<Asked>>() {
        Some(asked) => service.asked(asked.clone()),
        None => service,
    })
}

/// The use cases on behalf of a key, if there is one.
pub(super) fn on_behalf_of(app: &App, pass: Option<&Pass>) -> ApiResult<Arc<Service>> {
    let service = app.service()?;
    Ok(match pass {
        Some(pass) => Arc::new(service.on_behalf_of(pass.clone())),
        None => service.clone(),
    })
}

#[cfg(test)]
mod tests;

//! What a handler asks of a request: its body, its query, its path, its session, the use cases.
//!
//! Request types refuse what they do not know (`#[serde(deny_unknown_fields)]`), and every field that may be left out is
//! an `Option`: so `null` is the same as absent, and a default is chosen where the request becomes a use case's
//! input. `#[serde(default)]` on a plain type would refuse `null`.

mod accept;
mod body;
mod object;
mod path;
mod query;
mod reading;
mod session;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

pub use accept::accepts;
pub use body::Body;
pub use object::{object, objects};
pub use path::Path;
pub use query::Query;
pub use session::Session;

use super::app::App;
use super::error::ApiError;
use crate::service::Service;

/// The use cases. Only a service that has loaded its models can be taken.
pub struct UseCases(pub Arc<Service>);

impl FromRequestParts<Arc<App>> for UseCases {
    type Rejection = ApiError;

    async fn from_request_parts(_parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        app.service().cloned().map(Self)
    }
}

#[cfg(test)]
mod tests;

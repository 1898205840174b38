//! The query string of a request.

use std::error::Error;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::api::complaint::refused;
use crate::http::app::App;
use crate::http::error::{ApiError, ApiResult};

/// The query string read as `T`. Fails with 422, naming the parameter.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> ApiResult<Self> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(explain(&rejection)),
        }
    }
}

fn explain(rejection: &QueryRejection) -> ApiError {
    match rejection.source().and_then(complaint) {
        Some(complaint) => refused(&complaint.path().to_string(), &complaint.inner().to_string()).into(),
        None => refused(".", &rejection.body_text()).into(),
    }
}

type Complaint = serde_path_to_error::Error<serde::de::value::Error>;

/// The complaint with its path, which axum wraps and shows as text only.
fn complaint<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Complaint> {
    error.downcast_ref().or_else(|| complaint(error.source()?))
}

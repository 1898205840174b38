//! The session that a request's path names.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Path;
use crate::http::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::service::SessionId;

/// The path's `{id}`. Fails with 422 where that can be no session's.
pub struct Session(pub SessionId);

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let Path(id) = Path::<String>::from_request_parts(parts, app).await?;
        Ok(Self(SessionId::parse(&id)?))
    }
}

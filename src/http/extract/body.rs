//! The JSON body of a request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::complaint::{complaint, refused};
use crate::api::error::ErrorCode;
use crate::config::Bytes as ByteCount;
use crate::http::app::App;
use crate::http::error::{ApiError, ApiResult};

/// The body read as `T`; an empty one is `{}`.
///
/// Fails with 415 for a type other than JSON, 413 over `--max-body`, 504 if the body does not arrive within
/// `--request-timeout`, 400 for what is not JSON and 422, naming the field, for what `T` does not accept.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        check_type(request.headers())?;
        let limit = app.config.http.request_timeout;
        let bytes = timeout(limit, Bytes::from_request(request, app)).await.map_err(|_| {
            let limit = humantime::format_duration(limit);
            let message = format!("the whole body did not arrive within {limit} (`--request-timeout`)");
            ApiError::new(ErrorCode::Timeout, message)
        })?;
        let bytes = bytes.map_err(|rejection| unreadable(&rejection, app.config.http.max_body))?;
        parse(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

/// A web page can send a form to any origin without asking first, but not JSON. So a browser, which names its `Origin`, must
/// declare JSON, while `curl -d` need not.
fn check_type(headers: &HeaderMap) -> ApiResult<()> {
    let found = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("unreadable"));
    let media_type =
        found.map(|found| found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let from_browser = headers.contains_key(ORIGIN);
    match media_type.as_deref() {
        Some("application/json") => Ok(()),
        None | Some("application/x-www-form-urlencoded") if !from_browser => Ok(()),
        _ => {
            let found = found.unwrap_or("absent");
            let message = format!("`content-type` is `{found}`; it must be `application/json`");
            Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
        }
    }
}

fn unreadable(rejection: &BytesRejection, limit: ByteCount) -> ApiError {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            let message = format!("the body is too large; the maximum is {limit} (`--max-body`)");
            ApiError::new(ErrorCode::BodyTooLarge, message)
        }
        _ => ApiError::new(ErrorCode::InvalidJson, "the connection was closed before the end of the body"),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| classify(&error.path().to_string(), &error.into_inner()))?;
    reader.end().map_err(|error| classify(".", &error))?;
    Ok(value)
}

fn classify(path: &str, error: &serde_json::Error) -> ApiError {
    match complaint(error) {
        Some(complaint) => refused(path, &complaint).into(),
        None => ApiError::new(ErrorCode::InvalidJson, format!("the body is not JSON: {error}")),
    }
}

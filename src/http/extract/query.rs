//! The query string of a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::api::complaint::refused;
use crate::api::error::ErrorCode;
use crate::http::app::App;
use crate::http::error::{ApiError, ApiResult, caused_by};

/// The query string read as `T`. Fails with 400 if it is not UTF-8, and with 422, naming the parameter, for what `T` does not accept.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> ApiResult<Self> {
        check_utf8(parts.uri.query().unwrap_or_default())?;
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(explain(&rejection)),
        }
    }
}

/// axum reads bytes that are not UTF-8 as U+FFFD, which would be a text that the client has not sent.
fn check_utf8(query: &str) -> ApiResult<()> {
    for parameter in query.split('&') {
        if String::from_utf8(decoded(parameter)).is_err() {
            let message = format!("`{parameter}` in the query string is not UTF-8 when it is decoded");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    }
    Ok(())
}

/// `text` with the byte that each `%xx` stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(hexadecimal);
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u8::from_str_radix(digits, 16).ok()
}

fn explain(rejection: &QueryRejection) -> ApiError {
    match caused_by::<Complaint>(rejection) {
        Some(complaint) => refused(&complaint.path().to_string(), &complaint.inner().to_string()).into(),
        None => refused(".", &rejection.body_text()).into(),
    }
}

type Complaint = serde_path_to_error::Error<serde::de::value::Error>;

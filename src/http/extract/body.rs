//! The JSON body of a request.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::complaint::{complaint, refused};
use crate::api::error::ErrorCode;
use crate::api::memory::read_within;
use crate::config::Bytes as ByteCount;
use crate::http::app::App;
use crate::http::arrival;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::BodyMemory;
use crate::service::Service;

/// The body read as `T`; an empty one is `{}`.
///
/// Fails with 415 for a type other than JSON, 413 over `--max-body`, 413 or 429 over what there is of memory, 408 if the body does not arrive within
/// `--request-timeout`, 400 for what is not JSON and 422, naming the field, for what `T` does not accept.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        check_type(request.headers(), "application/json")?;
        let memory = memory_of(&request);
        let bytes = read(request, app, &memory).await?;
        // Some editors and shells begin a file with a byte order mark.
        let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let value = read_within(memory.clone(), || parse(if json.is_empty() { b"{}" } else { json }));
        memory.parsed(bytes.len());
        match memory.refusal(app.service()?) {
            Some(refusal) => Err(refusal),
            None => value.map(Self),
        }
    }
}

/// A body of bytes, `application/octet-stream`. Fails as [`Body`] does, except for what that says of JSON.
pub struct Binary(pub Vec<u8>);

impl FromRequest<Arc<App>> for Binary {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        check_type(request.headers(), "application/octet-stream")?;
        let memory = memory_of(&request);
        read(request, app, &memory).await.map(Self)
    }
}

/// The memory of the body of `request`.
fn memory_of(request: &Request) -> Arc<BodyMemory> {
    request.extensions().get().cloned().unwrap_or_default()
}

/// The whole body, within `--max-body` and `--request-timeout`. Its memory is taken as it arrives: who announces a large body and sends
/// nothing takes none.
async fn read(request: Request, app: &Arc<App>, memory: &BodyMemory) -> ApiResult<Vec<u8>> {
    let max = app.config.http.max_body;
    // Refused before the first read, which would invite a client that waits for `100 Continue` to send.
    let announced = request.body().size_hint().lower();
    if announced > max.0 as u64 {
        return Err(too_large(max));
    }
    let service = app.service()?;
    BodyMemory::check_announced(announced, service)?;
    let limit = app.config.http.request_timeout;
    let collecting = Collecting { memory, service, max };
    timeout(limit, collecting.collect(request)).await.map_err(|_| {
        let limit = humantime::format_duration(limit);
        let message = format!("the whole body did not arrive within {limit} (`--request-timeout`)");
        ApiError::new(ErrorCode::RequestTimeout, message)
    })?
}

/// What bounds a body that is put together from pieces.
struct Collecting<'a> {
    memory: &'a BodyMemory,
    service: &'a Service,
    /// Applies to what comes out of a compressed body.
    max: ByteCount,
}

impl Collecting<'_> {
    async fn collect(self, request: Request) -> ApiResult<Vec<u8>> {
        let Self { memory, service, max } = self;
        let mut pieces = request.into_body().into_data_stream();
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece: Bytes = piece.map_err(|error| arrival::failure(&error))?;
            if piece.len() > max.0 - whole.len() {
                return Err(too_large(max));
            }
            memory.take_for_body(piece.len(), service)?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A web page can send a form to any origin without asking first, but neither JSON nor bytes. So a browser, which names its `Origin`, must
/// declare the type that is `expected`, while `curl -d` need not.
fn check_type(headers: &HeaderMap, expected: &str) -> ApiResult<()> {
    let found = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("unreadable"));
    let media_type =
        found.map(|found| found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let from_browser = headers.contains_key(ORIGIN);
    match media_type.as_deref() {
        Some(found) if found == expected => Ok(()),
        None | Some("application/x-www-form-urlencoded") if !from_browser => Ok(()),
        _ => {
            let found = found.unwrap_or("absent");
            let message = format!("`content-type` is `{found}`; it must be `{expected}`");
            Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
        }
    }
}

/// A page can send a text to any origin without asking first, too, and work is work: the page's origin must be listed.
pub(in crate::http) fn check_origin_of_text(headers: &HeaderMap, allowed: &[String]) -> ApiResult<()> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let is_allowed = |allowed: &String| allowed == "*" || origin.as_bytes() == allowed.as_bytes();
    if allowed.iter().any(is_allowed) {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let message = format!(
        "`content-type` is `text/plain` and `origin` is `{origin}`; from a web page, it must be `application/json`, unless `--cors-origins` lists the page's origin"
    );
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
}

fn too_large(max: ByteCount) -> ApiError {
    let message = format!("the body is too large; the maximum is {max} (`--max-body`)");
    ApiError::new(ErrorCode::BodyTooLarge, message)
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

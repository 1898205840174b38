//! `/v1/completions` in the dialect of OpenAI, and the tokenizer's routes of evaluation harnesses.

use std::convert::identity;

use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::{self, once};

use super::document::QueryOf;
use super::error::{ApiError, ApiResult, status_of_openai};
use super::extract::{Body, Query, UseCases};
use super::held::hold;
use super::json::Json;
use super::sessions::SESSION_ID;
use super::sse;
use crate::api::openai::{
    Completion, CompletionEvent, CompletionRequest, DetokenizePromptRequest, DetokenizedPrompt, Lenient,
    TokenizePromptRequest, TokenizedPrompt, TokenizerInfo, TokenizerQuery,
};
use crate::service::Service;

/// Which fields of the request were ignored.
const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");

/// Gives an answer the status that clients of this dialect expect, whatever refused the request.
pub(super) async fn in_dialect(mut response: Response) -> Response {
    *response.status_mut() = status_of_openai(response.status());
    response
}

/// Complete prompts, like OpenAI
///
/// Continues one or several prompts, or with `session_id` a session. Requests and answers have the form of OpenAI's completions, so that
/// existing clients work; `/v1/generate` is the server's own form of the same.
///
/// A stream has `data` lines only, and ends with `data: [DONE]`, also after a failure in the middle, which is sent as
/// `data: {"error": ...}`. Invalid requests are rejected with 400. Fields that would
/// change the text and are not supported, such as `suffix`, `tools` and `response_format`, are refused; other unknown fields are
/// ignored and named in the header `x-ignored-fields`.
#[utoipa::path(post, path = "/v1/completions", operation_id = "createCompletion", tag = "openai",
    request_body = CompletionRequest,
    responses((status = 200, description = "The completions, or a stream of events",
        headers(("x-ignored-fields" = String, description = "The unknown fields of the request, which were ignored")),
        content((Completion = "application/json"), (CompletionEvent = "text/event-stream")))))]
pub(super) async fn complete(
    UseCases(service): UseCases,
    Body(Lenient { request, ignored }): Body<Lenient<CompletionRequest>>,
) -> ApiResult<Response> {
    let mut response = completed(&service, request).await?;
    if !ignored.is_empty() {
        response.headers_mut().insert(IGNORED_FIELDS, listed(&ignored));
    }
    Ok(response)
}

async fn completed(service: &Service, request: CompletionRequest) -> ApiResult<Response> {
    let session = request.session_id.clone();
    let failed = if session.is_some() { ApiError::of_write(request.expected) } else { identity };
    let answer = async {
        let streams = request.stream;
        let mut completing = service.completions(request).await?;
        let rooms = completing.take_rooms();
        let response = if streams {
            let events = stream::unfold(completing.events().await?, async |mut events| {
                let event = events.next().await?;
                Some((sse::Event::Data(event), events))
            });
            sse::answer(
                events.chain(once(async { sse::Event::Done })),
                service.config().http.stream_keep_alive,
            )
        } else {
            Json(completing.whole().await?).into_response()
        };
        Ok(hold(response, rooms))
    };
    let mut response = answer.await.map_err(failed)?;
    if let Some(id) = session.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    Ok(response)
}

/// Names in one header. What a header cannot hold, and the comma between names, is written as `%xx`.
fn listed(names: &[String]) -> HeaderValue {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"%,".contains(&byte);
    let escaped = |name: &String| -> String {
        name.bytes()
            .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let names: Vec<String> = names.iter().map(escaped).collect();
    HeaderValue::from_str(&names.join(", ")).expect("bug: names are escaped")
}

/// Describe a tokenizer
///
/// What `lm-evaluation-harness` asks of a server whose tokenizer it uses.
#[utoipa::path(get, path = "/tokenizer_info", operation_id = "getTokenizerInfo", tag = "openai",
    params(QueryOf<TokenizerQuery>),
    responses((status = 200, description = "The tokenizer", body = TokenizerInfo)))]
pub(super) async fn tokenizer_info(
    UseCases(service): UseCases,
    Query(query): Query<TokenizerQuery>,
) -> ApiResult<Json<TokenizerInfo>> {
    Ok(Json(service.tokenizer_info(query.model.as_deref())?))
}

/// Tokenize a prompt with special tokens
///
/// As `/v1/tokenize`, but the names of special tokens in the text stand for these tokens.
#[utoipa::path(post, path = "/tokenize", operation_id = "tokenizePrompt", tag = "openai",
    params(QueryOf<TokenizerQuery>), request_body = TokenizePromptRequest,
    responses((status = 200, description = "The tokens of the text", body = TokenizedPrompt)))]
pub(super) async fn tokenize(
    UseCases(service): UseCases,
    Query(query): Query<TokenizerQuery>,
    Body(mut request): Body<TokenizePromptRequest>,
) -> ApiResult<Json<TokenizedPrompt>> {
    request.model = query.model.or(request.model);
    Ok(Json(service.tokenize_prompt(request).await?))
}

/// Detokenize a prompt with special tokens
///
/// The inverse of `/tokenize`.
#[utoipa::path(post, path = "/detokenize", operation_id = "detokenizePrompt", tag = "openai",
    params(QueryOf<TokenizerQuery>), request_body = DetokenizePromptRequest,
    responses((status = 200, description = "The text of the tokens", body = DetokenizedPrompt)))]
pub(super) async fn detokenize(
    UseCases(service): UseCases,
    Query(query): Query<TokenizerQuery>,
    Body(mut request): Body<DetokenizePromptRequest>,
) -> ApiResult<Json<DetokenizedPrompt>> {
    request.model = query.model.or(request.model);
    Ok(Json(service.detokenize_prompt(request).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_fields_are_listed_in_ascii() {
        let names = ["user", "a, b", "é\n", "100%"].map(str::to_owned);
        assert_eq!(listed(&names), "user, a%2C%20b, %C3%A9%0A, 100%25");
    }
}

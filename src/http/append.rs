//! `/v1/sessions/{id}/append`: a session reads on.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ApiResult};
use super::extract::{Body, Session, UseCases, object};
use super::question::{Distribution, Question};
use super::wire::ScoredToken;
use crate::service::{AppendRequest, AppendResponse, Input, ReadingFailure, Scored};

/// What a session is to read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the sea", "next": {"top_k": 3}}))]
pub(super) struct AppendBody {
    /// The session's, if it is given.
    model: Option<String>,
    /// Read; either this or `tokens`, and not empty.
    text: Option<String>,
    /// Read, as ids.
    tokens: Option<Vec<u32>>,
    /// Where the session must stand, else 412.
    expected_position: Option<u64>,
    /// Whether the logprob of each token is asked for, which costs the output layer for each; false if absent.
    token_logprobs: Option<bool>,
    /// What is asked of the next token.
    #[serde(default, deserialize_with = "object")]
    next: Option<Question>,
}

/// What a session has read.
#[derive(Serialize, ToSchema)]
pub(super) struct AppendAnswer {
    /// Where the session stands.
    position: u64,
    /// Tokens read.
    token_count: usize,
    /// Words outside the vocabulary.
    unknown_count: usize,
    /// Of all tokens, one after the other; natural.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprob: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<ScoredToken>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Distribution>,
}

/// Let a session read on
///
/// When it fails on the way (a timeout, say), tokens that were read stay read: the header `x-session-position` says
/// where the session stands.
#[utoipa::path(post, path = "/v1/sessions/{id}/append", operation_id = "append", tag = "sessions",
    params(("id" = String, Path, description = "The session")), request_body = AppendBody,
    responses((status = 200, body = AppendAnswer)))]
pub(super) async fn append(
    UseCases(service): UseCases,
    Session(id): Session,
    Body(body): Body<AppendBody>,
) -> ApiResult<Json<AppendAnswer>> {
    let AppendBody { model, text, tokens, expected_position, token_logprobs, next } = body;
    let request = AppendRequest {
        id,
        model,
        input: Input::new(text, tokens)?,
        expected_position,
        scored: if token_logprobs == Some(true) { Scored::Yes } else { Scored::No },
        next: next.map(|mut next| next.query()),
    };
    let answer = service.append(request).await.map_err(|failure| refusal(failure, expected_position))?;
    Ok(Json(answer.into()))
}

fn refusal(failure: ReadingFailure, expected_position: Option<u64>) -> ApiError {
    let error = ApiError::from(failure.error).standing_at(failure.position);
    if expected_position.is_some() { error } else { error.of_unguarded_write() }
}

impl From<AppendResponse> for AppendAnswer {
    fn from(response: AppendResponse) -> Self {
        let AppendResponse { position, token_count, unknown_count, logprob, tokens, next } = response;
        Self {
            position,
            token_count,
            unknown_count,
            logprob,
            token_logprobs: tokens.map(|tokens| tokens.into_iter().map(ScoredToken::from).collect()),
            next: next.map(Into::into),
        }
    }
}

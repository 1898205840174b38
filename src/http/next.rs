//! `/v1/next`: what comes next, and how likely.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ApiResult, ErrorBody};
use super::extract::{Body, Query, Session, UseCases, accepts, objects};
use super::question::{Distribution, Question, asking};
use crate::error::{Error, Result};
use crate::service::{Input, NextRequest, NextResponse, Service, SessionId, Source, Vector};

asking! {
    /// One question, or many in `requests`.
    #[schema(example = json!({"text": "the old man and the", "top_k": 5, "candidates": ["sea", "ship"]}))]
    NextBody {
        /// The default model, if absent.
        model: String,
        /// Read first.
        text: String,
        /// Read first, as ids.
        tokens: Vec<u32>,
        /// Many questions in one call, and nothing beside them.
        #[serde(default, deserialize_with = "objects")]
        requests: Vec<NextEntry>,
    }
}

asking! {
    /// One of many questions.
    NextEntry {
        /// The session from which it is asked, if any; the session is not moved.
        session: String,
        /// The default model, if absent.
        model: String,
        /// Read first.
        text: String,
        /// Read first, as ids.
        tokens: Vec<u32>,
    }
}

/// The distribution over the next token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NextAnswer {
    model: String,
    /// Tokens read since the model's start.
    position: u64,
    /// Words of the input outside the vocabulary.
    unknown_count: usize,
    #[serde(flatten)]
    next: Distribution,
}

/// The answer to one question, or to many.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum NextReply {
    One(Box<NextAnswer>),
    Many(NextBatch),
}

/// The answers to many questions.
#[derive(Serialize, ToSchema)]
pub(super) struct NextBatch {
    /// In the order asked.
    responses: Vec<NextResult>,
}

/// The answer to one of many questions, or what is wrong with it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum NextResult {
    Answer(Box<NextAnswer>),
    Failure(ErrorBody),
}

/// What comes next, after a text
///
/// With `accept: application/octet-stream` the answer is the logprobs of the whole vocabulary: little-endian `f32`
/// by id, with the headers `x-position`, `x-vocab-size` and `x-unknown-count`. With `requests` the answer is
/// `{"responses": [...]}`: each is an answer, or the error that a call of its own would have met.
#[utoipa::path(post, path = "/v1/next", operation_id = "next", tag = "next", request_body = NextBody,
    responses((status = 200, content((NextReply = "application/json"), (String = "application/octet-stream")))))]
pub(super) async fn next(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Body(mut body): Body<NextBody>,
) -> ApiResult<Response> {
    if let Some(requests) = body.requests.take() {
        if body != NextBody::default() {
            let message = "`requests` is given beside other fields, expected it alone";
            return Err(Error::invalid("requests", message).into());
        }
        return Ok(Json(NextReply::Many(batch(&service, requests).await?)).into_response());
    }
    let query = body.query();
    let NextBody { model, text, tokens, .. } = body;
    let request = NextRequest { source: Source::Model(model), input: Input::new(text, tokens)?, query };
    answer(&service, request, Form::of(&headers)).await
}

/// A question in an address.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NextParams {
    /// The default model, if absent.
    model: Option<String>,
    /// Read first.
    #[param(example = "the old man and the")]
    text: Option<String>,
    /// Length of the list; 10 if absent.
    top_k: Option<usize>,
    /// Whether the list shows the unknown token and the end of text; true if absent.
    special: Option<bool>,
    /// Whether the logprobs of the whole vocabulary are asked for.
    full: Option<bool>,
}

/// What comes next, after a text in the address
///
/// For a browser and for a first try; the same as the POST.
#[utoipa::path(get, path = "/v1/next", operation_id = "next_of_address", tag = "next", params(NextParams),
    responses((status = 200, content((NextAnswer = "application/json"), (String = "application/octet-stream")))))]
pub(super) async fn next_of_address(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Query(NextParams { model, text, top_k, special, full }): Query<NextParams>,
) -> ApiResult<Response> {
    let query = Question { top_k, special, full, ..Default::default() }.query();
    let request = NextRequest { source: Source::Model(model), input: Input::new(text, None)?, query };
    answer(&service, request, Form::of(&headers)).await
}

asking! {
    /// A question to a session.
    #[schema(example = json!({"text": "and", "top_k": 5}))]
    SessionNextBody {
        /// The session's, if it is given.
        model: String,
        /// Read ahead, on a copy.
        text: String,
        /// Read ahead, as ids.
        tokens: Vec<u32>,
    }
}

/// What comes next in a session
///
/// The session is not moved: `text` and `tokens` are read ahead on a copy. A session that is busy answers as it stood
/// before. With `accept: application/octet-stream` as in `/v1/next`.
#[utoipa::path(post, path = "/v1/sessions/{id}/next", operation_id = "session_next", tag = "next",
    params(("id" = String, Path, description = "The session")), request_body = SessionNextBody,
    responses((status = 200, content((NextAnswer = "application/json"), (String = "application/octet-stream")))))]
pub(super) async fn session_next(
    UseCases(service): UseCases,
    Session(id): Session,
    headers: HeaderMap,
    Body(mut body): Body<SessionNextBody>,
) -> ApiResult<Response> {
    let query = body.query();
    let SessionNextBody { model, text, tokens, .. } = body;
    let request =
        NextRequest { source: Source::Session { id, model }, input: Input::new(text, tokens)?, query };
    answer(&service, request, Form::of(&headers)).await
}

async fn answer(service: &Service, mut request: NextRequest, form: Form) -> ApiResult<Response> {
    if form == Form::Vector {
        request.query.vector = Vector::Include;
    }
    let response = service.next(request).await?;
    Ok(match form {
        Form::Json => Json(NextReply::One(Box::new(response.into()))).into_response(),
        Form::Vector => vector(response),
    })
}

async fn batch(service: &Service, entries: Vec<NextEntry>) -> ApiResult<NextBatch> {
    let requests = entries.into_iter().map(NextEntry::request).collect();
    let answers = service.next_each(requests).await?.into_iter().enumerate();
    let responses = answers.map(|(index, answer)| match answer {
        Ok(response) => NextResult::Answer(Box::new(response.into())),
        Err(error) => NextResult::Failure(ApiError::from(error).within(&format!("requests[{index}]")).body()),
    });
    Ok(NextBatch { responses: responses.collect() })
}

impl NextEntry {
    fn request(mut self) -> Result<NextRequest> {
        let query = self.query();
        let Self { session, model, text, tokens, .. } = self;
        let source = match session {
            Some(id) => {
                let id = SessionId::parse(&id).map_err(|error| error.at("session"))?;
                Source::Session { id, model }
            }
            None => Source::Model(model),
        };
        Ok(NextRequest { source, input: Input::new(text, tokens)?, query })
    }
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// The logprobs of the whole vocabulary, as numbers.
    Vector,
}

const OCTETS: &str = "application/octet-stream";

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        if accepts(headers, OCTETS) { Self::Vector } else { Self::Json }
    }
}

fn vector(response: NextResponse) -> Response {
    let NextResponse { vocab_size, position, unknown_count, next, .. } = response;
    let logprobs = next.logprobs.unwrap_or_default();
    let bytes: Vec<u8> = logprobs.into_iter().flat_map(|logprob| (logprob as f32).to_le_bytes()).collect();
    let headers = [
        (CONTENT_TYPE, OCTETS.to_owned()),
        (HeaderName::from_static("x-position"), position.to_string()),
        (HeaderName::from_static("x-vocab-size"), vocab_size.to_string()),
        (HeaderName::from_static("x-unknown-count"), unknown_count.to_string()),
    ];
    (headers, bytes).into_response()
}

impl From<NextResponse> for NextAnswer {
    fn from(response: NextResponse) -> Self {
        let NextResponse { model, position, unknown_count, next, .. } = response;
        Self { model: model.to_string(), position, unknown_count, next: next.into() }
    }
}

//! Scoring: how likely texts are.

mod result;
mod text;
mod text_or_ids;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::result::Scored;
use self::text_or_ids::TextOrIds;
use super::app::App;
use super::error::{ApiError, ApiResult, Code};
use super::extract::{Body, Query, Session, UseCases};
use crate::service::{
    AddEos, Carry, Input, ScoreRequest, Service, SessionId, Source, TextScorer, Texts, TokenLogprobs,
};

/// Texts to score.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"context": "the old", "texts": ["man and the sea", "sea and the man"]}))]
pub(super) struct ScoreBody {
    /// The model; the default one when absent.
    model: Option<String>,
    /// Read before every text, not scored.
    context: Option<String>,
    /// The texts, or the ids of their tokens. Exactly one of `texts`, `text` and `tokens`.
    texts: Option<Vec<TextOrIds>>,
    /// One text.
    text: Option<String>,
    /// One text as token ids.
    tokens: Option<Vec<u32>>,
    /// Whether the end-of-text token is scored after each text. Default false.
    add_eos: Option<bool>,
    /// Whether each token is listed with its logprob. Default false.
    token_logprobs: Option<bool>,
    /// Whether each text but the first starts at the end of the one before, and not after the context. Default false.
    carry_state: Option<bool>,
}

/// Continuations of a session to score.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"continuations": ["and the sea", "and his boat"]}))]
pub(super) struct ContinuationsBody {
    /// The session's model, or nothing.
    model: Option<String>,
    /// Each from where the session stands, as a text or as token ids.
    continuations: Vec<TextOrIds>,
    /// Whether the end-of-text token is scored after each. Default false.
    add_eos: Option<bool>,
    /// Whether each token is listed with its logprob. Default false.
    token_logprobs: Option<bool>,
}

/// The options of a text that is the body itself.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TextOptions {
    /// For a body of plain text: the model; the default one when absent.
    model: Option<String>,
    /// For a body of plain text: whether the end-of-text token is scored after it. Default false.
    add_eos: Option<bool>,
    /// For a body of plain text: whether each token is listed with its logprob. Default false.
    token_logprobs: Option<bool>,
}

/// How likely texts are
///
/// With `content-type: text/plain` the body is one text of any length: it is read and scored in pieces, so that neither the
/// limit of bodies nor memory binds it (with `token_logprobs`, the limit of texts does). Its options stand in the query.
#[utoipa::path(post, path = "/v1/score", tag = "scoring", params(TextOptions),
    request_body(content((ScoreBody = "application/json"), (String = "text/plain"))),
    responses((status = 200, body = Scored)))]
pub(super) async fn score(
    State(app): State<Arc<App>>,
    UseCases(service): UseCases,
    request: Request,
) -> ApiResult<Json<Scored>> {
    if is_plain_text(&request) {
        return score_text(&app, &service, request).await;
    }
    let Body(body) = Body::<ScoreBody>::from_request(request, &app).await?;
    Ok(Json(service.score(body.into_request()?).await?.into()))
}

/// How likely a session's continuations are
///
/// Each is scored from where the session stands. The session does not move.
#[utoipa::path(post, path = "/v1/sessions/{id}/score", operation_id = "session_score", tag = "scoring",
    params(("id" = String, Path, description = "The session")), request_body = ContinuationsBody, responses((status = 200, body = Scored)))]
pub(super) async fn session_score(
    UseCases(service): UseCases,
    Session(id): Session,
    Body(body): Body<ContinuationsBody>,
) -> ApiResult<Json<Scored>> {
    Ok(Json(service.score(body.into_request(id)).await?.into()))
}

fn is_plain_text(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/plain")
}

async fn score_text(app: &Arc<App>, service: &Arc<Service>, request: Request) -> ApiResult<Json<Scored>> {
    let (mut parts, body) = request.into_parts();
    let Query(options) = Query::<TextOptions>::from_request_parts(&mut parts, app).await?;
    let list = token_logprobs(options.token_logprobs);
    let scorer = TextScorer::new(service, options.model.as_deref(), (add_eos(options.add_eos), list))?;
    let (model, result) = text::score_body(&app.config, scorer, (body, list)).await?;
    Ok(Json(Scored::one(&model, result)))
}

impl ScoreBody {
    fn into_request(self) -> ApiResult<ScoreRequest> {
        let texts = match (self.texts, self.text, self.tokens) {
            (Some(texts), None, None) => several("texts", texts),
            (None, text, tokens) if text.is_some() || tokens.is_some() => {
                Texts::One(Input::new(text, tokens)?)
            }
            (None, ..) => {
                let message = "there is no text, expected one of `texts`, `text` and `tokens`";
                return Err(ApiError::new(Code::EmptyInput, message).at("texts"));
            }
            (Some(_), ..) => {
                let message = "`texts` is given beside `text` or `tokens`, expected one of them";
                return Err(ApiError::new(Code::InvalidValue, message).at("texts"));
            }
        };
        Ok(ScoreRequest {
            source: Source::Model(self.model),
            context: self.context.map_or(Input::Empty, Input::Text),
            texts,
            add_eos: add_eos(self.add_eos),
            token_logprobs: token_logprobs(self.token_logprobs),
            carry: if self.carry_state == Some(true) { Carry::Yes } else { Carry::No },
        })
    }
}

impl ContinuationsBody {
    fn into_request(self, id: SessionId) -> ScoreRequest {
        ScoreRequest {
            source: Source::Session { id, model: self.model },
            context: Input::Empty,
            texts: several("continuations", self.continuations),
            add_eos: add_eos(self.add_eos),
            token_logprobs: token_logprobs(self.token_logprobs),
            carry: Carry::No,
        }
    }
}

fn several(name: &'static str, texts: Vec<TextOrIds>) -> Texts {
    Texts::Several { name, inputs: texts.into_iter().map(Input::from).collect() }
}

fn add_eos(asked: Option<bool>) -> AddEos {
    if asked == Some(true) { AddEos::Yes } else { AddEos::No }
}

fn token_logprobs(asked: Option<bool>) -> TokenLogprobs {
    if asked == Some(true) { TokenLogprobs::Include } else { TokenLogprobs::Omit }
}

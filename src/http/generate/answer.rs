//! A generation in one piece, and what it shares with a stream.

use serde::Serialize;
use utoipa::ToSchema;

use super::request::Tokens;
use crate::error::Error;
use crate::http::error::{ApiError, ApiResult};
use crate::http::wire::Token;
use crate::service::{Finish, GeneratedToken, Generating, SessionId, Step, TokenText};

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Generated {
    model: String,
    /// The seed, given or made up.
    seed: u64,
    choices: Vec<Choice>,
    usage: Usage,
    /// Words of the input outside the vocabulary.
    unknown_count: usize,
    /// The session that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionAt>,
}

/// One continuation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Choice {
    index: usize,
    /// What to append to the input: it ends before an end of text and before a stop string.
    text: String,
    /// All tokens drawn, those that ended the text included.
    tokens: Vec<u32>,
    token_count: usize,
    finish_reason: FinishReason,
    /// `ln P(tokens)`.
    logprob: f64,
    /// The tokens and their logprobs, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<DrawnToken>>,
}

/// A token that was drawn. Logprobs are the model's own, whatever the filters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DrawnToken {
    #[serde(flatten)]
    token: Token,
    /// `ln P(token)`.
    logprob: f64,
    /// The most likely tokens, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_logprobs: Vec<Alternative>,
}

/// A token that could have been drawn.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alternative {
    #[serde(flatten)]
    token: Token,
    /// `ln P(token)`.
    logprob: f64,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FinishReason {
    /// As many tokens as were allowed.
    Length,
    /// A stop string.
    Stop,
    /// The end-of-text token.
    Eos,
    /// Its time was up, or its reader too slow.
    Timeout,
    /// The client went away.
    Cancelled,
    /// The service stops.
    Shutdown,
}

/// Tokens that were read and drawn.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

/// A session and where it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionAt {
    id: String,
    position: u64,
}

impl Generated {
    /// The whole of `generating`.
    ///
    /// # Errors
    /// When it fails: what it gave before is in its session, if it moves one.
    pub(crate) async fn collect(mut generating: Generating, list: Tokens) -> ApiResult<Self> {
        let (mut text, mut tokens, mut listed) = (String::new(), Vec::new(), Vec::new());
        loop {
            match generating.next().await {
                Some(Step::Token(token)) => {
                    text.push_str(&token.shown);
                    tokens.push(token.token.id);
                    if list == Tokens::Listed {
                        listed.push(DrawnToken::own(token));
                    }
                }
                Some(Step::Done(finished)) => {
                    text.push_str(&finished.text);
                    let token_logprobs = (list == Tokens::Listed).then_some(listed);
                    return Ok(Self {
                        model: generating.model.to_string(),
                        seed: generating.seed,
                        usage: Usage::new(generating.prompt_tokens, finished.token_count),
                        unknown_count: generating.unknown_count,
                        session: SessionAt::new(generating.session.as_ref(), finished.position),
                        choices: vec![Choice {
                            index: 0,
                            text,
                            tokens,
                            token_count: finished.token_count,
                            finish_reason: finished.finish.into(),
                            logprob: finished.logprob,
                            token_logprobs,
                        }],
                    });
                }
                Some(Step::Failed { error, position }) => return Err(failed(error, position)),
                None => return Err(unfinished()),
            }
        }
    }
}

impl DrawnToken {
    /// With the text that the token adds.
    fn own(token: GeneratedToken) -> Self {
        let GeneratedToken { token, logprob, alternatives, .. } = token;
        let top_logprobs = alternatives.into_iter().map(Alternative::from).collect();
        Self { token: token.into(), logprob, top_logprobs }
    }

    /// With the text that the token brings to light.
    pub(super) fn shown(token: GeneratedToken) -> Self {
        let shown = token.shown.clone();
        let own = Self::own(token);
        Self { token: Token { text: shown, ..own.token }, ..own }
    }
}

impl From<(TokenText, f64)> for Alternative {
    fn from((token, logprob): (TokenText, f64)) -> Self {
        Self { token: token.into(), logprob }
    }
}

impl Usage {
    pub(super) fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

impl SessionAt {
    pub(super) fn new(id: Option<&SessionId>, position: Option<u64>) -> Option<Self> {
        id.zip(position).map(|(id, position)| Self { id: id.to_string(), position })
    }
}

impl From<Finish> for FinishReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Length => Self::Length,
            Finish::Stop => Self::Stop,
            Finish::Eos => Self::Eos,
            Finish::Timeout => Self::Timeout,
            Finish::Cancelled => Self::Cancelled,
            Finish::Shutdown => Self::Shutdown,
        }
    }
}

/// The failure of a generation whose session, if it moved one, stands at `position`.
pub(super) fn failed(error: Error, position: Option<u64>) -> ApiError {
    ApiError::from(error).standing_at(position)
}

/// What a client hears of a generation that broke off without a last word.
pub(super) fn unfinished() -> ApiError {
    Error::internal("a bug in the server: a generation ended without a word").into()
}

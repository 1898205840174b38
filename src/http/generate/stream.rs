//! A generation as a stream of events: `start`, a `token` each, and `done` or `error`.

use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{DrawnToken, FinishReason, SessionAt, Usage, failed, unfinished};
use crate::http::error::{ApiError, ApiResult, ErrorDetail};
use crate::service::{Finished, GeneratedToken, Generating, SessionId, Step};

/// The data of an event, whose name stands beside it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Event {
    /// `start`: what is known before the first token.
    Start(Start),
    /// `token`: a token was drawn.
    Token(TokenEvent),
    /// `done`: the last event of a stream that went well.
    Done(Done),
    /// `error`: the last event of a stream that failed. The tokens sent before are in the session.
    Error(Failed),
}

/// What is known before the first token.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Start {
    model: String,
    /// The seed, given or made up.
    seed: u64,
    prompt_tokens: usize,
    /// Words of the input outside the vocabulary.
    unknown_count: usize,
    /// The session that moves, and where it stands before the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionAt>,
}

/// A token that was drawn.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TokenEvent {
    /// The index of the choice that goes on with it.
    choice: usize,
    /// Its place among the choice's tokens.
    index: usize,
    /// Its `text` is what it brings to light: whole characters, none that could begin a stop string.
    #[serde(flatten)]
    token: DrawnToken,
}

/// The end of a stream that went well.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Done {
    choices: Vec<Ended>,
    usage: Usage,
    /// The session that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionAt>,
}

/// How a choice ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Ended {
    index: usize,
    /// The text that was held back till now.
    text: String,
    finish_reason: FinishReason,
    token_count: usize,
    /// `ln P(tokens)`.
    logprob: f64,
}

/// The end of a stream that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Failed {
    error: ErrorDetail,
    /// The session, and where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionAt>,
}

/// The events of `generating`, whose first step has been taken. They own it: dropping them cancels it.
pub(super) fn events(
    generating: Generating,
    first: Step,
) -> impl Stream<Item = (&'static str, Event)> + Send + 'static {
    let start = Start::new(&generating);
    let frame = Frame { prompt_tokens: generating.prompt_tokens, session: generating.session.clone() };
    let rest = stream::unfold(generating, async |mut generating| {
        let step = generating.next().await?;
        Some((step, generating))
    });
    let steps = stream::once(std::future::ready(first)).chain(rest).map(move |step| frame.event(step));
    stream::once(std::future::ready(("start", Event::Start(start)))).chain(steps)
}

/// The first step of `generating`, which decides the status.
///
/// # Errors
/// When it is a failure: no stream begins.
pub(super) async fn first_step(generating: &mut Generating) -> ApiResult<Step> {
    match generating.next().await {
        Some(Step::Failed { error, position }) => Err(failed(error, position)),
        Some(step) => Ok(step),
        None => Err(unfinished()),
    }
}

/// What every event of a stream may need.
struct Frame {
    prompt_tokens: usize,
    session: Option<SessionId>,
}

impl Frame {
    fn event(&self, step: Step) -> (&'static str, Event) {
        match step {
            Step::Token(token) => ("token", Event::Token(TokenEvent::new(token))),
            Step::Done(finished) => ("done", Event::Done(self.done(finished))),
            Step::Failed { error, position } => {
                let session = SessionAt::new(self.session.as_ref(), position);
                ("error", Event::Error(Failed { error: ApiError::from(error).body().error, session }))
            }
        }
    }

    fn done(&self, finished: Finished) -> Done {
        let Finished { finish, text, token_count, logprob, position } = finished;
        Done {
            choices: vec![Ended { index: 0, text, finish_reason: finish.into(), token_count, logprob }],
            usage: Usage::new(self.prompt_tokens, token_count),
            session: SessionAt::new(self.session.as_ref(), position),
        }
    }
}

impl Start {
    fn new(generating: &Generating) -> Self {
        Self {
            model: generating.model.to_string(),
            seed: generating.seed,
            prompt_tokens: generating.prompt_tokens,
            unknown_count: generating.unknown_count,
            session: SessionAt::new(generating.session.as_ref(), Some(generating.position)),
        }
    }
}

impl TokenEvent {
    fn new(token: GeneratedToken) -> Self {
        Self { choice: 0, index: token.index, token: DrawnToken::shown(token) }
    }
}

//! A generation as a stream of events: `start`, one `token` for each token, and last `done` or `error`. The tokens of several choices
//! are mixed as they come; those of a beam search come one choice after the other, once the search is over.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::ErrorDetail;
use super::generate::{DrawnToken, FinishReason, PromptToken, SessionPosition, Usage};

/// The data of an event. The event's name is sent beside it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum StreamEvent {
    /// `start`: what is known before the first token.
    Start(StreamStart),
    /// `token`: a token was drawn.
    Token(StreamToken),
    /// `done`: the last event of a stream that succeeded.
    Done(StreamDone),
    /// `error`: the last event of a stream that failed. The tokens sent before are in the session.
    Error(StreamError),
}

impl StreamEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Token(_) => "token",
            Self::Done(_) => "done",
            Self::Error(_) => "error",
        }
    }
}

/// What is known before the first token.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamStart {
    /// The model.
    pub model: String,
    /// The seed of the draws, given or chosen.
    pub seed: u64,
    /// Tokens of the input.
    pub prompt_tokens: usize,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The input as text, if the request asked for `echo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The tokens of the input, if the request asked for `echo` and `token_logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<PromptToken>>,
    /// The session that moves, and where it stands before the first token drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

/// A token that was drawn.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamToken {
    /// The index of the choice that the token belongs to.
    pub choice: usize,
    /// The token's index in the choice.
    pub index: usize,
    /// The token. Its `text` is the text that can be shown now: whole characters, and none that could begin a stop string.
    #[serde(flatten)]
    pub token: DrawnToken,
}

/// The end of a stream that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamDone {
    /// How each choice ended.
    pub choices: Vec<EndedChoice>,
    /// The number of tokens read and drawn.
    pub usage: Usage,
    /// The session that moved, and where it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
    /// The state after the continuation, as in an answer in one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// How a choice ended.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EndedChoice {
    /// The index of the choice.
    pub index: usize,
    /// The text that was held back until now.
    pub text: String,
    /// Why the text ended.
    pub finish_reason: FinishReason,
    /// The number of tokens drawn.
    pub token_count: usize,
    /// The natural logarithm of the joint probability of the tokens.
    pub logprob: f64,
    /// The session that this choice became, with `fork`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

/// The end of a stream that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamError {
    /// What went wrong.
    pub error: ErrorDetail,
    /// The session, and where it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

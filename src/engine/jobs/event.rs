//! What a job that continues a text sends.

use std::sync::Arc;

use crate::engine::Ending;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::session::Snapshot;

/// What a continuation sends. The last event is `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerationEvent {
    /// The prompt was scored. Sent once, before the first token, if it was asked for.
    Prompt(Vec<ReadToken>),
    /// A token was drawn.
    Token(TokenEvent),
    /// The continuation is over, and its session is free.
    Done(Finished),
    /// The continuation failed. Its session holds the tokens that were sent before, and stands at `position`.
    Failed {
        /// What went wrong.
        error: Error,
        /// Where the session stands, if there is one.
        position: Option<u64>,
    },
}

/// The most likely tokens at a place, and their logprobs.
pub type Alternatives = Arc<[(TokenId, f64)]>;

/// A token of the prompt. Logprobs are natural logarithms, from before the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadToken {
    /// `ln P(token)`.
    pub logprob: f64,
    /// As many as were asked for.
    pub alternatives: Alternatives,
}

/// A token that was drawn. Logprobs are natural logarithms, from before the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEvent {
    /// The index of the choice that it belongs to.
    pub choice: usize,
    /// Its index among the tokens of the choice.
    pub index: usize,
    /// The token.
    pub token: TokenId,
    /// The text that can be shown after it: whole characters, and none that could begin a stop string.
    pub text: String,
    /// `ln P(token)`.
    pub logprob: f64,
    /// As many as were asked for.
    pub alternatives: Alternatives,
}

/// How a continuation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// How each choice ended.
    pub choices: Vec<FinishedChoice>,
    /// Where the session stands, if there is one.
    pub position: Option<u64>,
}

/// How a choice ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedChoice {
    /// Why.
    pub finish: Finish,
    /// Its tokens, if they could not be sent before the end.
    pub unsent: Vec<TokenEvent>,
    /// The text that was held back.
    pub text: String,
    /// Number of tokens.
    pub token_count: usize,
    /// Their joint logprob.
    pub logprob: f64,
    /// Where it ended, if that was asked for and is known.
    pub snapshot: Option<Snapshot>,
}

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The maximum number of tokens.
    Length,
    /// A stop string.
    Stop,
    /// The end-of-text token.
    Eos,
    /// Its time was up.
    Timeout,
    /// The client went away.
    Cancelled,
    /// The service stops.
    Shutdown,
}

impl Finish {
    /// Why a choice of `token_count` tokens ended that did not end by itself.
    ///
    /// # Errors
    /// If its job failed, or ended before the first token.
    pub(super) fn by(ending: &Ending, token_count: usize) -> Result<Self> {
        match ending {
            Ending::TimedOut if token_count > 0 => Ok(Finish::Timeout),
            Ending::Shutdown if token_count > 0 => Ok(Finish::Shutdown),
            Ending::Cancelled => Ok(Finish::Cancelled),
            ending => {
                let without_reason = || Error::internal("internal error: a text ended without a reason");
                Err(ending.clone().into_error().unwrap_or_else(without_reason))
            }
        }
    }
}

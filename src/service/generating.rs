//! A generation under way: in one piece, or as events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::failure::{WriteFailure, detail};
use super::tokens::token;
use crate::api::generate::{
    Alternative, Choice, DrawnToken, FinishReason, GenerateResponse, SessionPosition, Usage,
};
use crate::api::state::Carried;
use crate::api::stream::{EndedChoice, StreamDone, StreamError, StreamEvent, StreamStart, StreamToken};
use crate::api::tokens::Token;
use crate::catalog::Served;
use crate::clock::Clock;
use crate::engine::Reader;
use crate::engine::jobs::{Finish, Finished, GenerationEvent, TokenEvent};
use crate::error::Error;
use crate::telemetry::Metrics;
use crate::text::Tail;

/// A generation under way. Dropping it cancels it.
pub struct Generating {
    pub(super) start: StreamStart,
    /// Whether an answer in one piece lists its tokens.
    pub(super) lists_tokens: bool,
    /// Whether the answer returns the state.
    pub(super) carried: Carried,
    pub(super) served: Arc<Served>,
    pub(super) reader: Reader<GenerationEvent>,
    pub(super) tail: Tail,
    pub(super) pace: Pace,
}

/// One step of a generation.
enum Step {
    Token(Drawn),
    Done(Ended),
    /// The tokens drawn before are in the session, if it moves one.
    Failed(WriteFailure),
}

/// The end of a generation.
struct Ended {
    finished: Finished,
    /// The state after it, as the answer returns it.
    state: Option<String>,
}

/// A token that was drawn.
struct Drawn {
    index: usize,
    /// With the text that the token adds.
    token: DrawnToken,
    /// The text that can be shown now. What could begin a stop string is held back until a later token.
    shown: String,
}

impl Generating {
    /// The whole generation.
    ///
    /// # Errors
    /// When it fails: what was drawn before is in the session, if it moves one.
    pub async fn whole(mut self) -> Result<GenerateResponse, WriteFailure> {
        let mut text = String::new();
        let mut tokens = Vec::new();
        let mut listed = Vec::new();
        let Ended { finished, state } = loop {
            match self.step().await {
                Step::Token(drawn) => {
                    text.push_str(&drawn.shown);
                    tokens.push(drawn.token.token.id);
                    if self.lists_tokens {
                        listed.push(drawn.token);
                    }
                }
                Step::Done(ended) => break ended,
                Step::Failed(failure) => return Err(failure),
            }
        };
        text.push_str(&finished.text);
        Ok(GenerateResponse {
            usage: self.usage(&finished),
            session: self.session_at(finished.position),
            state,
            model: self.start.model,
            seed: self.start.seed,
            unknown_count: self.start.unknown_count,
            choices: vec![Choice {
                index: 0,
                text,
                tokens,
                token_count: finished.token_count,
                finish_reason: finish_reason(finished.finish),
                logprob: finished.logprob,
                token_logprobs: self.lists_tokens.then_some(listed),
            }],
        })
    }

    /// The generation as events, once its first step has succeeded.
    ///
    /// # Errors
    /// When the first step fails: then there is no stream.
    pub async fn events(mut self) -> Result<Events, WriteFailure> {
        let first = match self.step().await {
            Step::Failed(failure) => return Err(failure),
            first => first,
        };
        let ahead = VecDeque::from([StreamEvent::Start(self.start.clone()), self.event(first)]);
        Ok(Events { generating: self, ahead, is_over: false })
    }

    async fn step(&mut self) -> Step {
        match self.reader.next().await {
            Some(GenerationEvent::Token(event)) => Step::Token(self.drawn(event)),
            Some(GenerationEvent::Done(finished)) => {
                match self.carried.returned(&self.served, finished.snapshot.as_ref()) {
                    Ok(state) => Step::Done(Ended { finished, state }),
                    Err(error) => Step::Failed(WriteFailure { error, position: finished.position }),
                }
            }
            Some(GenerationEvent::Failed { error, position }) => {
                Step::Failed(WriteFailure { error, position })
            }
            None => {
                Step::Failed(Error::internal("internal error: a generation ended without a result").into())
            }
        }
    }

    fn drawn(&mut self, event: TokenEvent) -> Drawn {
        self.pace.token();
        let seen = |id| token(&self.served, &self.tail, id);
        let alternatives = event.alternatives.iter();
        let token = DrawnToken {
            token: seen(event.token),
            logprob: event.logprob,
            top_logprobs: alternatives
                .map(|&(id, logprob)| Alternative { token: seen(id), logprob })
                .collect(),
        };
        self.tail.extend(&[event.token]);
        Drawn { index: event.index, token, shown: event.text }
    }

    fn event(&self, step: Step) -> StreamEvent {
        match step {
            Step::Token(Drawn { index, token, shown }) => {
                let token = DrawnToken { token: Token { text: shown, ..token.token }, ..token };
                StreamEvent::Token(StreamToken { choice: 0, index, token })
            }
            Step::Done(Ended { finished, state }) => StreamEvent::Done(StreamDone {
                usage: self.usage(&finished),
                state,
                session: self.session_at(finished.position),
                choices: vec![EndedChoice {
                    index: 0,
                    text: finished.text,
                    finish_reason: finish_reason(finished.finish),
                    token_count: finished.token_count,
                    logprob: finished.logprob,
                }],
            }),
            Step::Failed(WriteFailure { error, position }) => {
                StreamEvent::Error(StreamError { error: detail(error), session: self.session_at(position) })
            }
        }
    }

    fn usage(&self, finished: &Finished) -> Usage {
        let prompt_tokens = self.start.prompt_tokens;
        let completion_tokens = finished.token_count;
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }

    /// The session that it moves, at `position`.
    fn session_at(&self, position: Option<u64>) -> Option<SessionPosition> {
        let session = self.start.session.as_ref()?;
        position.map(|position| SessionPosition { id: session.id.clone(), position })
    }
}

/// The events of a generation. Dropping them cancels it.
pub struct Events {
    generating: Generating,
    /// What was read before the stream began.
    ahead: VecDeque<StreamEvent>,
    is_over: bool,
}

impl Events {
    /// The next event; `None` after the last, which is `Done` or `Error`.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        if self.is_over {
            return None;
        }
        let event = match self.ahead.pop_front() {
            Some(event) => event,
            None => {
                let step = self.generating.step().await;
                self.generating.event(step)
            }
        };
        self.is_over = matches!(event, StreamEvent::Done(_) | StreamEvent::Error(_));
        Some(event)
    }
}

fn finish_reason(finish: Finish) -> FinishReason {
    match finish {
        Finish::Length => FinishReason::Length,
        Finish::Stop => FinishReason::Stop,
        Finish::Eos => FinishReason::Eos,
        Finish::Timeout => FinishReason::Timeout,
        Finish::Cancelled => FinishReason::Cancelled,
        Finish::Shutdown => FinishReason::Shutdown,
    }
}

/// How fast tokens come, for the metrics.
pub(super) struct Pace {
    metrics: Arc<Metrics>,
    clock: Clock,
    /// When the request arrived, then when the last token came.
    last: Instant,
    tokens: usize,
}

impl Pace {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Clock, begun: Instant) -> Self {
        Self { metrics, clock, last: begun, tokens: 0 }
    }

    fn token(&mut self) {
        let now = self.clock.now();
        let elapsed = now.saturating_duration_since(self.last);
        match self.tokens {
            0 => self.metrics.time_to_first_token(elapsed),
            _ => self.metrics.time_per_output_token(elapsed),
        }
        self.last = now;
        self.tokens += 1;
    }
}

//! A generation under way: in one piece, or as events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::echo::Echo;
use super::forking::Forking;
use super::pace::Pace;
use crate::api::generate::{
    Alternative, Choice, DrawnToken, FinishReason, GenerateResponse, SessionPosition, Usage,
};
use crate::api::state::Carried;
use crate::api::stream::{EndedChoice, StreamDone, StreamError, StreamEvent, StreamStart, StreamToken};
use crate::api::tokens::Token;
use crate::catalog::Served;
use crate::engine::Reader;
use crate::engine::jobs::{Finish, Finished, FinishedChoice, GenerationEvent, TokenEvent};
use crate::error::{Error, Result};
use crate::service::asked::StoreTimer;
use crate::service::caller::Caller;
use crate::service::failure::{WriteFailure, detail};
use crate::service::room::Room;
use crate::service::storing::Settling;
use crate::service::tokens::token;
use crate::session::{SessionId, Sessions};
use crate::text::Tail;

/// A generation under way. Dropping it cancels it.
pub struct Generating {
    pub(super) start: StreamStart,
    /// The number of initial tokens that were left out at the beginning of the input.
    pub(super) left_out: usize,
    /// Whether an answer in one piece lists its tokens.
    pub(super) lists_tokens: bool,
    /// Whether the answer returns the state.
    pub(super) carried: Carried,
    pub(super) served: Arc<Served>,
    pub(super) reader: Reader<GenerationEvent>,
    /// The end of the text of each choice.
    pub(super) tails: Vec<Tail>,
    pub(super) pace: Pace,
    /// The input, if its tokens are to be listed.
    pub(super) echo: Option<Echo>,
    /// Makes sessions of the choices, if that was asked for.
    pub(super) forking: Option<Forking>,
    /// Steps that are known and were not taken yet.
    pub(super) ahead: VecDeque<Step>,
    /// What waits for the store, if answers do.
    pub(super) settling: Option<Held>,
    pub(super) room: Option<Room>,
    /// Whoever asked for it.
    pub(super) caller: Caller,
}

/// Tokens that are not shown before they are stored. The state after a token is known when the next one is drawn, so the last is held
/// until the next step.
pub(super) struct Held {
    pub(super) settling: Settling,
    pub(super) timer: StoreTimer,
    pub(super) steps: VecDeque<Step>,
    /// The session that moves, if one does, among those of the caller.
    pub(super) moving: Option<(Sessions, SessionId)>,
}

/// One step of a generation.
pub(in crate::service) enum Step {
    Token(Drawn),
    Done(StreamDone),
    /// The tokens drawn before are in the session, if it moves one.
    Failed(WriteFailure),
}

/// A token that was drawn.
pub(in crate::service) struct Drawn {
    pub(in crate::service) choice: usize,
    index: usize,
    /// With the text that the token adds.
    pub(in crate::service) token: DrawnToken,
    /// The text that can be shown now. What could begin a stop string is held back until a later token.
    pub(in crate::service) shown: String,
}

/// What an answer in one piece has of a choice before its end.
#[derive(Clone, Default)]
struct Collected {
    text: String,
    tokens: Vec<u32>,
    listed: Vec<DrawnToken>,
}

impl Generating {
    /// The room for the answer, to be held until it has been sent.
    pub fn take_room(&mut self) -> Option<Room> {
        self.room.take()
    }

    /// The whole generation.
    ///
    /// # Errors
    /// When it fails: what was drawn before is in the session, if it moves one.
    pub async fn whole(mut self) -> Result<GenerateResponse, WriteFailure> {
        let mut collected = vec![Collected::default(); self.tails.len()];
        let done = loop {
            match self.step().await {
                Step::Token(drawn) => {
                    let choice = &mut collected[drawn.choice];
                    choice.text.push_str(&drawn.shown);
                    choice.tokens.push(drawn.token.token.id);
                    if self.lists_tokens {
                        choice.listed.push(drawn.token);
                    }
                }
                Step::Done(done) => break done,
                Step::Failed(failure) => return Err(failure),
            }
        };
        let StreamStart { model, seed, unknown_count, text, prompt_logprobs, .. } = self.start;
        let prompt = text.unwrap_or_default();
        let choice = |(ended, collected): (EndedChoice, Collected)| Choice {
            index: ended.index,
            text: prompt.clone() + &collected.text + &ended.text,
            tokens: collected.tokens,
            token_count: ended.token_count,
            finish_reason: ended.finish_reason,
            logprob: ended.logprob,
            token_logprobs: self.lists_tokens.then_some(collected.listed),
            session: ended.session,
        };
        let choices = done.choices.into_iter().zip(collected).map(choice).collect();
        let StreamDone { usage, session, state, .. } = done;
        Ok(GenerateResponse { model, seed, choices, usage, unknown_count, prompt_logprobs, session, state })
    }

    /// Takes the first step, so that what fails before a stream begins is known. [`Self::step`] returns the step.
    ///
    /// # Errors
    /// When the first step fails: then there is no stream.
    pub(in crate::service) async fn begin(&mut self) -> Result<(), WriteFailure> {
        match self.step().await {
            Step::Failed(failure) => Err(failure),
            first => {
                self.ahead.push_front(first);
                Ok(())
            }
        }
    }

    /// What is known before the first token, once the first step has been taken.
    pub(in crate::service) fn start(&self) -> &StreamStart {
        &self.start
    }

    /// The texts of the initial tokens that were left out at the beginning of the input, because they were read before.
    pub(in crate::service) fn left_out(&self) -> Vec<String> {
        let mut decoder = self.served.tokenizer.decoder(&Tail::default());
        let tokens = &self.served.initial_tokens[..self.left_out];
        tokens.iter().map(|&token| decoder.push(token)).collect()
    }

    /// The generation as events, once its first step has succeeded.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn events(mut self) -> Result<Events, WriteFailure> {
        self.begin().await?;
        let start = Some(self.start.clone());
        Ok(Events { generating: self, start, is_over: false })
    }

    pub(in crate::service) async fn step(&mut self) -> Step {
        loop {
            // A key that is revoked gets nothing more. The session keeps what was read.
            if let Err(error) = self.caller.check() {
                return Step::Failed(error.into());
            }
            if let Some(step) = self.ahead.pop_front() {
                if matches!(step, Step::Done(_)) {
                    // From the last event on, the request is not worked on any more.
                    self.caller = Caller::default();
                }
                return step;
            }
            let event = self.reader.next().await;
            self.take(event);
            if self.settling.is_some() {
                // One write for all that is there.
                while let Some(event) = self.reader.try_next() {
                    self.take(Some(event));
                }
                self.settle().await;
            }
        }
    }

    /// Adds the steps of an event.
    fn take(&mut self, event: Option<GenerationEvent>) {
        match event {
            Some(GenerationEvent::Prompt(scores)) => {
                let echo = self.echo.as_ref();
                self.start.prompt_logprobs = echo.map(|echo| echo.tokens(&self.served, scores));
            }
            Some(GenerationEvent::Token(event)) => {
                self.pace.token(event.choice);
                let drawn = self.drawn(event);
                self.ahead.push_back(Step::Token(drawn));
            }
            Some(GenerationEvent::Done(finished)) => self.end(finished),
            Some(GenerationEvent::Failed { error, position }) => {
                self.ahead.push_back(Step::Failed(WriteFailure { error, position }));
            }
            None => {
                let error = Error::internal("internal error: a generation ended without a result");
                self.ahead.push_back(Step::Failed(error.into()));
            }
        }
    }

    /// Waits until the steps but the last are stored, and the last one too if it is the end.
    async fn settle(&mut self) {
        let Some(Held { settling, timer, steps, moving }) = &mut self.settling else { return };
        let timed = timer.begin();
        settling.settle().await;
        drop(timed);
        let lost = moving.as_ref().and_then(|(sessions, id)| sessions.lost_write(id));
        if let Some(error) = lost {
            // Another server wrote first, so these tokens are in no session.
            steps.clear();
            self.ahead = VecDeque::from([Step::Failed(error.into())]);
            return;
        }
        steps.append(&mut self.ahead);
        let last = steps.pop_back_if(|step| matches!(step, Step::Token(_)));
        self.ahead.append(steps);
        steps.extend(last);
    }

    /// Creates the sessions, and then shows the tokens that were not sent before the end.
    fn end(&mut self, mut finished: Finished) {
        let state = match self.state_after(&finished.choices[0]) {
            Ok(state) => state,
            Err(error) => return self.ahead.push_back(Step::Failed(error.into())),
        };
        let sessions = match &self.forking {
            Some(forking) => forking.create(&finished.choices),
            None => Ok(vec![None; finished.choices.len()]),
        };
        let sessions = match sessions {
            Ok(sessions) => sessions,
            Err(error) => return self.ahead.push_back(Step::Failed(error.into())),
        };
        for choice in &mut finished.choices {
            let unsent = std::mem::take(&mut choice.unsent);
            if unsent.is_empty() {
                continue;
            }
            self.pace.first();
            self.pace.count(&self.served.name, unsent.len());
            for event in unsent {
                let drawn = self.drawn(event);
                self.ahead.push_back(Step::Token(drawn));
            }
        }
        let done = StreamDone { state, ..self.done(finished, sessions) };
        self.ahead.push_back(Step::Done(done));
    }

    /// The state that the answer returns: none after a choice that did not end by itself, whose last token may not have been read.
    fn state_after(&self, choice: &FinishedChoice) -> Result<Option<String>> {
        let is_whole = matches!(choice.finish, Finish::Length | Finish::Stop | Finish::Eos);
        self.carried.returned(&self.served, choice.snapshot.as_ref().filter(|_| is_whole))
    }

    /// All of the end but the state.
    fn done(&self, finished: Finished, sessions: Vec<Option<SessionPosition>>) -> StreamDone {
        let Finished { choices, position } = finished;
        let completion_tokens = choices.iter().map(|choice| choice.token_count).sum();
        let prompt_tokens = self.start.prompt_tokens;
        let total_tokens = prompt_tokens + completion_tokens;
        let ended =
            choices.into_iter().zip(sessions).enumerate().map(|(index, (choice, session))| EndedChoice {
                index,
                text: choice.text,
                finish_reason: finish_reason(choice.finish),
                token_count: choice.token_count,
                logprob: choice.logprob,
                session,
            });
        StreamDone {
            choices: ended.collect(),
            usage: Usage { prompt_tokens, completion_tokens, total_tokens },
            session: self.session_at(position),
            state: None,
        }
    }

    fn drawn(&mut self, event: TokenEvent) -> Drawn {
        let tail = &mut self.tails[event.choice];
        let seen = |id| token(&self.served, tail, id);
        let alternatives = event.alternatives.iter();
        let token = DrawnToken {
            token: seen(event.token),
            logprob: event.logprob,
            top_logprobs: alternatives
                .map(|&(id, logprob)| Alternative { token: seen(id), logprob })
                .collect(),
        };
        tail.extend(&[event.token]);
        Drawn { choice: event.choice, index: event.index, token, shown: event.text }
    }

    fn event(&self, step: Step) -> StreamEvent {
        match step {
            Step::Token(Drawn { choice, index, token, shown }) => {
                let token = DrawnToken { token: Token { text: shown, ..token.token }, ..token };
                StreamEvent::Token(StreamToken { choice, index, token })
            }
            Step::Done(done) => StreamEvent::Done(done),
            Step::Failed(failure) => StreamEvent::Error(self.failed(failure)),
        }
    }

    /// A failure after the first step.
    pub(in crate::service) fn failed(&self, WriteFailure { error, position }: WriteFailure) -> StreamError {
        StreamError { error: detail(error), session: self.session_at(position) }
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
    /// The first event, unless it was returned.
    start: Option<StreamStart>,
    is_over: bool,
}

impl Events {
    /// The next event; `None` after the last, which is `Done` or `Error`.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        if self.is_over {
            return None;
        }
        let event = match self.start.take() {
            Some(start) => StreamEvent::Start(start),
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

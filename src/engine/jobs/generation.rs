//! The job that generates text: it draws a token, sends it, reads it, and repeats.

use std::sync::Arc;

use crate::engine::{At, Draws, Ending, Feed, Flow, Job, Outlet, Reader, RowPlan, Rows, Tag, outlet};
use crate::error::{Error, Result};
use crate::lm::{Distribution, Logits, TokenId};
use crate::sampling::{Filters, Sampler};
use crate::session::Snapshot;
use crate::text::{Decoder, Joint, Passed, StopStrings};

/// What to generate, and when to stop.
pub struct GenerationPlan {
    /// Read before the first draw.
    pub prompt: Arc<[TokenId]>,
    /// How the text ends with it.
    pub joint: Joint,
    /// How a token is drawn.
    pub sampler: Sampler,
    /// The filters that are applied before each draw.
    pub filters: Filters,
    /// The position of the first token drawn, counted from the start of the model.
    pub position: u64,
    /// Most tokens drawn. At 0 the prompt is read and nothing is drawn.
    pub tokens_max: usize,
    /// The token that ends the text, if one does.
    pub eos: Option<TokenId>,
    /// The strings that end the text; none is empty.
    pub stops: Vec<String>,
    /// Turns tokens into text. It has seen the prompt.
    pub decoder: Decoder,
    /// Whether the last token drawn is read too, as a session requires, which holds every token drawn.
    pub reads_last_token: bool,
    /// Whether the state after the last token is reported.
    pub returns_state: bool,
    /// Number of alternatives reported with each token.
    pub alternatives: usize,
    /// Events that may wait for a slow reader.
    pub events_max: usize,
}

/// What a generation sends. The last event is `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerationEvent {
    /// A token was drawn.
    Token(TokenEvent),
    /// The generation is over, and its session is free.
    Done(Finished),
    /// The generation failed. Its session holds the tokens that were sent before, and stands at `position`.
    Failed {
        /// What went wrong.
        error: Error,
        /// Where the session stands, if there is one.
        position: Option<u64>,
    },
}

/// A token that was drawn. Logprobs are natural logarithms, from before the filters.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEvent {
    /// Its index among the tokens drawn.
    pub index: usize,
    /// The token.
    pub token: TokenId,
    /// The text that can be shown after it: whole characters, and none that could begin a stop string.
    pub text: String,
    /// `ln P(token)`.
    pub logprob: f64,
    /// The most likely tokens and their logprobs.
    pub alternatives: Vec<(TokenId, f64)>,
}

/// How a generation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Why.
    pub finish: Finish,
    /// The text that was held back.
    pub text: String,
    /// Tokens drawn.
    pub token_count: usize,
    /// Their joint logprob.
    pub logprob: f64,
    /// Where the session stands, if there is one.
    pub position: Option<u64>,
    /// The state after the last token, if it was to be reported and that token was read.
    pub snapshot: Option<Snapshot>,
}

/// Why a generation ended.
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

/// The job: one row.
pub struct Generation {
    plan: GenerationPlan,
    stops: StopStrings,
    outlet: Outlet<GenerationEvent>,
    /// The token drawn in this turn.
    drawn: Option<TokenEvent>,
    token_count: usize,
    logprob: f64,
    finish: Option<Finish>,
    snapshot: Option<Snapshot>,
}

const ROW: Tag = 0;

impl Generation {
    /// The job, the plan of its row, and where its events will come out.
    pub fn new(mut plan: GenerationPlan) -> (Self, Vec<RowPlan>, Reader<GenerationEvent>) {
        let (outlet, reader) = outlet(plan.events_max);
        let draws = plan.tokens_max > 0;
        let logits = if draws { Logits::Last } else { Logits::None };
        let rows = vec![RowPlan { tag: ROW, tokens: plan.prompt.clone(), joint: plan.joint, logits }];
        let stops = StopStrings::new(std::mem::take(&mut plan.stops));
        let finish = if draws { None } else { Some(Finish::Length) };
        let job =
            Self { plan, stops, outlet, drawn: None, token_count: 0, logprob: 0.0, finish, snapshot: None };
        (job, rows, reader)
    }

    fn draw(&mut self, logits: &mut [f32]) -> Result<TokenEvent> {
        let alternatives = self.alternatives(logits);
        let position = self.plan.position + self.token_count as u64;
        let drawn = self.plan.sampler.draw(&self.plan.filters, logits, position)?;
        let text = self.show(drawn.token);
        let index = self.token_count;
        self.token_count += 1;
        self.logprob += drawn.logprob;
        if self.finish.is_none() && self.token_count >= self.plan.tokens_max {
            self.finish = Some(Finish::Length);
        }
        Ok(TokenEvent { index, token: drawn.token, text, logprob: drawn.logprob, alternatives })
    }

    fn alternatives(&self, logits: &[f32]) -> Vec<(TokenId, f64)> {
        if self.plan.alternatives == 0 {
            return Vec::new();
        }
        let model = Distribution::new(logits);
        model.top_k(self.plan.alternatives).into_iter().map(|token| (token, model.logprob(token))).collect()
    }

    /// The text that can be shown after `token`. Sets `finish` if the token ends the text.
    fn show(&mut self, token: TokenId) -> String {
        if self.plan.eos == Some(token) {
            self.finish = Some(Finish::Eos);
            return String::new();
        }
        match self.stops.push(&self.plan.decoder.push(token)) {
            Passed::Text(text) => text,
            Passed::Stopped(text) => {
                self.finish = Some(Finish::Stop);
                text
            }
        }
    }
}

impl Job for Generation {
    fn look(&mut self, _row: Tag, _at: At, logits: &mut [f32]) -> Result<()> {
        self.drawn = Some(self.draw(logits)?);
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        // Without a draw the row has read the last token.
        let next = self.drawn.take().and_then(|event| {
            let token = event.token;
            self.outlet.send(GenerationEvent::Token(event));
            match self.finish {
                None => Some(Feed { from: ROW, token, logits: Logits::Last }),
                Some(_) if self.plan.reads_last_token => {
                    Some(Feed { from: ROW, token, logits: Logits::None })
                }
                Some(_) => None,
            }
        });
        match next {
            Some(feed) => rows.feed(ROW, feed),
            None => {
                self.snapshot = self.plan.returns_state.then(|| rows.snapshot(ROW).clone());
                rows.finish(ROW);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, position: Option<u64>) {
        let Self { plan, stops, outlet, token_count, logprob, finish, snapshot, .. } = *self;
        outlet.close(match resolve(finish, ending, token_count) {
            Ok(finish) => {
                let text = if finish == Finish::Stop { String::new() } else { rest(plan.decoder, stops) };
                GenerationEvent::Done(Finished { finish, text, token_count, logprob, position, snapshot })
            }
            Err(error) => GenerationEvent::Failed { error, position },
        });
    }

    fn flow(&self) -> Flow {
        self.outlet.flow()
    }

    fn draws(&self) -> Draws {
        Draws { drawn: self.token_count, left: self.plan.tokens_max - self.token_count }
    }
}

/// Why the generation ended; an error if it failed, or ended before the first token.
fn resolve(finish: Option<Finish>, ending: Ending, token_count: usize) -> Result<Finish> {
    match (finish, ending) {
        (_, Ending::Failed(error)) => Err(error),
        (Some(finish), _) => Ok(finish),
        (None, Ending::TimedOut) if token_count > 0 => Ok(Finish::Timeout),
        (None, Ending::Shutdown) if token_count > 0 => Ok(Finish::Shutdown),
        (None, Ending::Cancelled) => Ok(Finish::Cancelled),
        (None, ending) => {
            Err(ending.into_error().unwrap_or_else(|| Error::internal("a generation ended without a reason")))
        }
    }
}

/// The text that was held back until the end. What the decoder still holds may complete a stop string.
fn rest(decoder: Decoder, mut stops: StopStrings) -> String {
    match stops.push(&decoder.finish()) {
        Passed::Text(text) => text + &stops.finish(),
        Passed::Stopped(text) => text,
    }
}

//! Completions as a stream of events: chunks of the choices as they come, whatever their prompt.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use futures_util::stream::{BoxStream, SelectAll, StreamExt, unfold};

use super::completing::{Completing, Head, Part, add, usage_of};
use super::listing::Listing;
use crate::api::generate::Usage;
use crate::api::openai::{CompletionChoice, CompletionEvent};
use crate::api::stream::{StreamDone, StreamError};
use crate::service::failure::WriteFailure;
use crate::service::generate::{Drawn, Generating, Step};

/// The events of completions. Dropping them cancels the completions.
pub struct CompletionEvents {
    head: Head,
    n: usize,
    lists_tokens: bool,
    /// What is read and drawn so far, if a last chunk is to say it.
    usage: Option<Usage>,
    steps: SelectAll<BoxStream<'static, Taken>>,
    /// The tokens of each choice.
    listings: Vec<Listing>,
    /// Events that are known and were not returned yet.
    ahead: VecDeque<CompletionEvent>,
    is_over: bool,
}

/// A step of the generation for one prompt.
struct Taken {
    prompt: usize,
    step: Result<Step, StreamError>,
}

impl CompletionEvents {
    /// Takes the first step of each generation.
    ///
    /// # Errors
    /// When one fails.
    pub(super) async fn begin(completing: Completing) -> Result<Self, WriteFailure> {
        let Completing { head, parts, n, lists_tokens, includes_usage } = completing;
        let usage = includes_usage.then(|| usage_of(&parts));
        let parts = try_join_all(parts.into_iter().map(async |mut part: Part| {
            part.generating.begin().await?;
            Ok::<_, WriteFailure>(part)
        }));
        let mut events = Self {
            head,
            n,
            lists_tokens,
            usage,
            steps: SelectAll::new(),
            listings: Vec::new(),
            ahead: VecDeque::new(),
            is_over: false,
        };
        for (prompt, part) in parts.await?.into_iter().enumerate() {
            events.echo(&part);
            events.steps.push(steps_of(prompt, part.generating));
        }
        Ok(events)
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<CompletionEvent> {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            match self.steps.next().await {
                Some(Taken { prompt, step: Ok(Step::Token(drawn)) }) => self.token(prompt, &drawn),
                Some(Taken { prompt, step: Ok(Step::Done(done)) }) => self.done(prompt, done),
                Some(Taken { step: Ok(Step::Failed(_)), .. }) => {
                    unreachable!("bug: `steps_of` describes a failure")
                }
                Some(Taken { step: Err(failure), .. }) => self.fail(failure),
                None => self.end(),
            }
        }
    }

    /// Each choice begins with the prompt, if that is echoed.
    fn echo(&mut self, part: &Part) {
        let start = part.generating.start();
        let echoed = part.echoed();
        let listing = echoed.listing(start.prompt_logprobs.as_deref().unwrap_or_default());
        for _ in 0..self.n {
            let index = self.listings.len();
            self.listings.push(listing.clone());
            if start.text.is_some() {
                self.chunk(index, echoed.text.clone());
            }
        }
    }

    fn token(&mut self, prompt: usize, drawn: &Drawn) {
        let index = prompt * self.n + drawn.choice;
        self.listings[index].drawn(&drawn.token);
        self.chunk(index, drawn.shown.clone());
    }

    /// A chunk with the text that a choice goes on with, and its tokens that were not listed yet.
    fn chunk(&mut self, index: usize, text: String) {
        let listed = self.listings[index].take();
        let logprobs = self.lists_tokens.then_some(listed);
        let choice = CompletionChoice { index, text, logprobs, finish_reason: None, stop_reason: None };
        self.ahead.push_back(CompletionEvent::Chunk(self.head.chunk(vec![choice])));
    }

    fn done(&mut self, prompt: usize, done: StreamDone) {
        if let Some(usage) = &mut self.usage {
            add(usage, done.usage);
        }
        for ended in done.choices {
            let choice = CompletionChoice {
                index: prompt * self.n + ended.index,
                text: ended.text,
                logprobs: None,
                finish_reason: Some(ended.finish_reason.into()),
                stop_reason: Some(ended.finish_reason),
            };
            let mut chunk = self.head.chunk(vec![choice]);
            chunk.session.clone_from(&done.session);
            self.ahead.push_back(CompletionEvent::Chunk(chunk));
        }
    }

    fn fail(&mut self, failure: StreamError) {
        self.steps.clear();
        self.is_over = true;
        self.ahead.push_back(CompletionEvent::Failed(failure));
    }

    fn end(&mut self) {
        self.is_over = true;
        if let Some(usage) = self.usage {
            let mut chunk = self.head.chunk(Vec::new());
            chunk.usage = Some(usage);
            self.ahead.push_back(CompletionEvent::Chunk(chunk));
        }
    }
}

/// The steps of a generation; the last is its end or a failure.
fn steps_of(prompt: usize, generating: Generating) -> BoxStream<'static, Taken> {
    let steps = unfold(Some(generating), move |generating| async move {
        let mut generating = generating?;
        let step = match generating.step().await {
            Step::Failed(failure) => Err(generating.failed(failure)),
            step => Ok(step),
        };
        let goes_on = matches!(step, Ok(Step::Token(_)));
        Some((Taken { prompt, step }, goes_on.then_some(generating)))
    });
    steps.boxed()
}

//! Completions under way: in one piece, or as events.

use futures_util::future::try_join_all;

use super::events::CompletionEvents;
use super::listing::Listing;
use crate::api::generate::{Choice, GenerateResponse, PromptToken, Usage};
use crate::api::openai::{Completion, CompletionChoice, CompletionChunk};
use crate::service::failure::WriteFailure;
use crate::service::generate::Generating;
use crate::service::room::Room;

/// Completions under way. Dropping them cancels them.
pub struct Completing {
    pub(super) head: Head,
    /// At least one: that of each prompt.
    pub(super) parts: Vec<Part>,
    /// The number of choices for each prompt.
    pub(super) n: usize,
    pub(super) lists_tokens: bool,
    /// Whether a stream ends with what was read and drawn.
    pub(super) includes_usage: bool,
}

/// What every chunk says.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) seed: u64,
}

/// The completions of one prompt.
pub(super) struct Part {
    pub(super) generating: Generating,
    /// The texts of the initial tokens with which the prompt began.
    pub(super) initial: Vec<String>,
}

/// What each choice for a prompt begins with; empty without `echo`.
pub(super) struct Echoed {
    pub(super) text: String,
    initial: Vec<String>,
}

impl Head {
    const OBJECT: &'static str = "text_completion";

    pub(super) fn chunk(&self, choices: Vec<CompletionChoice>) -> CompletionChunk {
        let Self { id, created, model, seed } = self.clone();
        CompletionChunk {
            id,
            object: Self::OBJECT,
            created,
            model,
            choices,
            usage: None,
            seed,
            session: None,
        }
    }
}

impl Part {
    pub(super) fn echoed(&self) -> Echoed {
        match &self.generating.start().text {
            Some(text) => Echoed { text: self.initial.concat() + text, initial: self.initial.clone() },
            None => Echoed { text: String::new(), initial: Vec::new() },
        }
    }
}

impl Echoed {
    /// The tokens of the prompt.
    pub(super) fn listing(&self, tokens: &[PromptToken]) -> Listing {
        Listing::of_prompt(&self.initial, tokens, self.text.chars().count())
    }
}

impl Completing {
    /// The room for the answers, to be held until they have been sent.
    pub fn take_rooms(&mut self) -> Vec<Room> {
        self.parts.iter_mut().filter_map(|part| part.generating.take_room()).collect()
    }

    /// All completions.
    ///
    /// # Errors
    /// When one fails: what was drawn before is in the session, if one moves.
    pub async fn whole(self) -> Result<Completion, WriteFailure> {
        let Self { head, parts, n, lists_tokens, .. } = self;
        let mut usage = usage_of(&parts);
        let echoed: Vec<Echoed> = parts.iter().map(Part::echoed).collect();
        // All at once: a generation that nobody reads is set aside.
        let answers = try_join_all(parts.into_iter().map(|part| part.generating.whole())).await?;
        let mut choices = Vec::with_capacity(answers.len() * n);
        let mut session = None;
        for (prompt, (answer, echoed)) in answers.into_iter().zip(echoed).enumerate() {
            add(&mut usage, answer.usage);
            session = session.or(answer.session.clone());
            let mut each = choices_of(answer, &echoed);
            for choice in &mut each {
                choice.index += prompt * n;
                choice.logprobs = choice.logprobs.take().filter(|_| lists_tokens);
            }
            choices.append(&mut each);
        }
        let Head { id, created, model, seed } = head;
        Ok(Completion { id, object: Head::OBJECT, created, model, choices, usage, seed, session })
    }

    /// The completions as events, once the first step of each has succeeded.
    ///
    /// # Errors
    /// When a first step fails: then there is no stream.
    pub async fn events(self) -> Result<CompletionEvents, WriteFailure> {
        CompletionEvents::begin(self).await
    }
}

/// What has been read before the generations: the initial tokens that prompts began with.
pub(super) fn usage_of(parts: &[Part]) -> Usage {
    let read = parts.iter().map(|part| part.initial.len()).sum();
    Usage { prompt_tokens: read, completion_tokens: 0, total_tokens: read }
}

/// Adds what was read and drawn for one prompt.
pub(super) fn add(usage: &mut Usage, more: Usage) {
    usage.prompt_tokens += more.prompt_tokens;
    usage.completion_tokens += more.completion_tokens;
    usage.total_tokens += more.total_tokens;
}

/// The choices for one prompt, numbered from 0, with their tokens.
fn choices_of(answer: GenerateResponse, echoed: &Echoed) -> Vec<CompletionChoice> {
    let prompt = echoed.listing(&answer.prompt_logprobs.unwrap_or_default());
    let initial = echoed.initial.concat();
    let each = answer.choices.into_iter().map(|choice| {
        let Choice { index, text, token_logprobs, finish_reason, .. } = choice;
        let mut listing = prompt.clone();
        token_logprobs.iter().flatten().for_each(|token| listing.drawn(token));
        CompletionChoice {
            index,
            text: initial.clone() + &text,
            logprobs: Some(listing.take()),
            finish_reason: Some(finish_reason.into()),
            stop_reason: Some(finish_reason),
        }
    });
    each.collect()
}

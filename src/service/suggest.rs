//! Use case: a half-typed word is completed.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::Service;
use super::bounds::Bound;
use super::input::{Prepared, Use};
use super::target::{Target, check_context};
use super::work::Work;
use crate::api::suggest::{Suggest, SuggestRequest, SuggestResponse, Suggestion, Suggestions};
use crate::catalog::Served;
use crate::engine::Start;
use crate::engine::jobs::{Completed, Completing, Completion, CompletionPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Snapshot;
use crate::text::Case;

/// What is asked for, checked.
#[derive(Clone, Debug)]
pub(super) struct Typing {
    prefix: String,
    case: Case,
    words_max: usize,
    phrase_len: usize,
}

/// Where a word begins.
struct Place<'a> {
    served: &'a Arc<Served>,
    start: Snapshot,
    read: Prepared,
}

impl Service {
    /// Completes a half-typed word after a text.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue; a timeout.
    pub async fn suggest(&self, request: SuggestRequest) -> Result<SuggestResponse> {
        let target = self.model_target(request.prompt.model.as_deref())?;
        self.suggest_at(target, request).await
    }

    /// Completes a half-typed word in the session `id`, which does not move.
    ///
    /// # Errors
    /// As [`Self::suggest`]; a session that does not exist.
    pub async fn session_suggest(&self, id: &str, request: SuggestRequest) -> Result<SuggestResponse> {
        let session = self.session_target(id, request.prompt.model.as_deref())?;
        self.suggest_at(Target::Session(session), request).await
    }

    async fn suggest_at(&self, target: Target, request: SuggestRequest) -> Result<SuggestResponse> {
        let SuggestRequest { mut prompt, mut suggest } = request;
        let served = target.served();
        if let (Some(text), None) = (&mut prompt.text, &suggest.prefix) {
            let half = served.tokenizer.half_typed(text);
            suggest.prefix = Some(half.typed.to_owned());
            text.truncate(half.finished.len());
        }
        let read = self.prepare_prompt(served, prompt, Use::Read).await?;
        target.check_context(read.tokens.len())?;
        let typing = self.check_suggest(suggest, "")?;
        let start = self.open(&target)?;
        let position = start.position + read.tokens.len() as u64;
        check_context(served, position)?;
        let unknown_count = read.unknown_count;
        let suggested = self.suggestions(Place { served, start, read }, &typing).await?;
        Ok(SuggestResponse { model: served.name.to_string(), position, unknown_count, suggested })
    }

    /// Checks what is asked for; `path` is its path in the request, with a final dot.
    pub(super) fn check_suggest(&self, suggest: Suggest, path: &str) -> Result<Typing> {
        let limits = &self.config.limits;
        let at = |name: &str| format!("{path}{name}");
        let Suggest { prefix, top_k, ignore_case, next_words } = suggest;
        let prefix = prefix.unwrap_or_default();
        let length_max = limits.max_prefix_length;
        if prefix.len() > length_max.0 {
            let param = at("prefix");
            let found = prefix.len();
            let message =
                format!("`{param}` has {found} bytes; the maximum is {length_max} (`--max-prefix-length`)");
            return Err(Error::new(ErrorKind::TextTooLong, message).at(param));
        }
        Bound { param: &at("top_k"), max: limits.max_suggestions, option: "--max-suggestions" }
            .number_above_0(top_k)?;
        Bound { param: &at("next_words"), max: limits.max_next_words, option: "--max-next-words" }
            .number_above_0(next_words)?;
        let case = if ignore_case { Case::Ignored } else { Case::Kept };
        Ok(Typing { prefix, case, words_max: top_k, phrase_len: next_words })
    }

    /// Suggestions for a word that begins at `snapshot`.
    pub(super) async fn suggestions_after(
        &self,
        served: &Arc<Served>,
        snapshot: Snapshot,
        typing: &Typing,
    ) -> Result<Suggestions> {
        self.suggestions(Place { served, start: snapshot, read: Prepared::default() }, typing).await
    }

    async fn suggestions(&self, place: Place<'_>, typing: &Typing) -> Result<Suggestions> {
        let served = place.served;
        let Completed { words, snapshot } = self.complete(place, typing).await?;
        let start =
            snapshot.ok_or_else(|| Error::internal("internal error: a completion led to no state"))?;
        let start = Place { served, start, read: Prepared::default() };
        let phrases = words.into_iter().map(|word| self.phrase(&start, word, typing));
        let phrases = try_join_all(phrases).await?;
        Ok(Suggestions { suggestions: phrases.into_iter().map(Phrase::suggestion).collect() })
    }

    /// A word that follows `start`, and the most likely next words.
    async fn phrase(&self, start: &Place<'_>, word: Completion, typing: &Typing) -> Result<Phrase> {
        let mut phrase = Phrase::new(word);
        let next = Typing { prefix: String::new(), words_max: 1, phrase_len: 1, ..typing.clone() };
        for _ in 1..typing.phrase_len {
            let read = Prepared::of_tokens(phrase.tokens.as_slice().into());
            let place = Place { served: start.served, start: start.start.clone(), read };
            let Some(word) = self.complete(place, &next).await?.words.pop() else { break };
            phrase.push(word);
        }
        Ok(phrase)
    }

    /// The most likely words that begin with what was typed.
    async fn complete(&self, place: Place<'_>, typing: &Typing) -> Result<Completed> {
        let Place { served, start, read } = place;
        let tail = read.tail_after(&start.tail);
        let (job, plans, mut reader) = Completing::new(CompletionPlan {
            tokens: read.tokens.clone(),
            joint: tail.joint,
            beginning: served.tokenizer.beginning(&tail, &typing.prefix, typing.case),
            tokenizer: served.tokenizer.clone(),
            words_max: typing.words_max,
            steps_max: self.config.limits.suggest_steps,
        });
        let start = Start::Copy(Snapshot { history: None, ..start });
        let work = Work { served: served.clone(), start, job: Box::new(job), plans, reader, timeout: None };
        reader = self.submit(work)?;
        reader
            .next()
            .await
            .unwrap_or_else(|| Err(Error::internal("internal error: a completion ended without a result")))
    }
}

/// A suggestion that grows word by word.
struct Phrase {
    text: String,
    append: String,
    tokens: Vec<u32>,
    /// The joint logprob of the tokens.
    logprob: f64,
    /// The logprob that the last word ends after them.
    end_logprob: f64,
}

impl Phrase {
    fn new(first: Completion) -> Self {
        let Completion { word, tokens, logprob, end_logprob } = first;
        Self { text: word.text, append: word.append, tokens, logprob, end_logprob }
    }

    fn push(&mut self, next: Completion) {
        self.text += &next.word.append;
        self.append += &next.word.append;
        self.tokens.extend(next.tokens);
        self.logprob += next.logprob;
        self.end_logprob = next.end_logprob;
    }

    fn suggestion(self) -> Suggestion {
        let Self { text, append, tokens, logprob, end_logprob } = self;
        let logprob = logprob + end_logprob;
        Suggestion { text, append, tokens, prob: libm::exp(logprob), logprob }
    }
}

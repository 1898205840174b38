//! Use case: a half-typed word is completed.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::Service;
use super::bounds::Bound;
use super::failure::WriteFailure;
use super::input::{Prepared, Use};
use super::target::{SessionTarget, Target, check_context};
use super::work::Work;
use crate::api::suggest::{ExtraWord, Suggest, SuggestRequest, SuggestResponse, Suggestion, Suggestions};
use crate::catalog::Served;
use crate::config::Bytes;
use crate::engine::Start;
use crate::engine::jobs::{Completed, Completing, Completion, CompletionPlan, ReadingFailure};
use crate::error::{Error, Result};
use crate::session::Snapshot;
use crate::text::{Case, CompletedWord, ExtraWords, WeightedWord};

/// What is asked for, checked.
#[derive(Clone, Debug)]
pub(super) struct Typing {
    prefix: String,
    case: Case,
    words_max: usize,
    phrase_len: usize,
    /// `None` if the request has none.
    extra_words: Option<Arc<ExtraWords>>,
}

impl Typing {
    /// Single words that begin with `prefix`, which is typed with the white space before it.
    pub(super) fn of_words(prefix: &str, words_max: usize) -> Self {
        Self { prefix: prefix.to_owned(), case: Case::Ignored, words_max, phrase_len: 1, extra_words: None }
    }

    /// The same, with the extra words of a session unless the request has its own.
    pub(super) fn in_session(self, session: &SessionTarget) -> Self {
        Self { extra_words: self.extra_words.or_else(|| session.extra_words.clone()), ..self }
    }
}

/// What was suggested.
pub(super) struct Suggested {
    pub(super) suggestions: Suggestions,
    /// Where the half-typed word begins.
    pub(super) after_text: Snapshot,
    /// Where the session stands, if the text before the word was read into one.
    pub(super) position: Option<u64>,
}

/// Where a word begins: after `read`, which is read from `start`.
pub(super) struct WordPlace<'a> {
    pub(super) served: &'a Arc<Served>,
    pub(super) start: Start,
    pub(super) read: Prepared,
}

impl<'a> WordPlace<'a> {
    /// At `snapshot`, without the past of its session.
    pub(super) fn at(served: &'a Arc<Served>, snapshot: Snapshot) -> Self {
        let start = Start::Copy(Snapshot { history: None, ..snapshot });
        Self { served, start, read: Prepared::default() }
    }
}

impl Service {
    /// Completes a half-typed word after a text.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue; a timeout.
    pub async fn suggest(&self, request: SuggestRequest) -> Result<SuggestResponse> {
        let target = self.start_target(request.prompt.model.as_deref(), &request.carried).await?;
        self.suggest_at(target, request).await
    }

    /// Completes a half-typed word in the session `id`, which does not move.
    ///
    /// # Errors
    /// As [`Self::suggest`]; a session that does not exist.
    pub async fn session_suggest(&self, id: &str, request: SuggestRequest) -> Result<SuggestResponse> {
        request.carried.check_in_session(id)?;
        let session = self.session_target(id, request.prompt.model.as_deref())?;
        self.suggest_at(Target::Session(session), request).await
    }

    async fn suggest_at(&self, target: Target, request: SuggestRequest) -> Result<SuggestResponse> {
        let SuggestRequest { mut prompt, mut suggest, carried } = request;
        let served = target.served();
        if let (Some(text), None) = (&mut prompt.text, &suggest.prefix) {
            let half = served.tokenizer.half_typed(text);
            suggest.prefix = Some(half.typed.to_owned());
            text.truncate(half.finished.len());
        }
        let read = self.prepare_prompt(served, prompt, Use::Read).await?;
        target.check_context(read.tokens.len())?;
        let typing = self.check_suggest(served, suggest, "")?;
        let typing = match &target {
            Target::Session(session) => typing.in_session(session),
            Target::Model(_) | Target::Given { .. } => typing,
        };
        let start = self.open(&target)?;
        let position = start.position + read.tokens.len() as u64;
        check_context(served, position)?;
        let unknown_count = read.unknown_count;
        let place = WordPlace { read, ..WordPlace::at(served, start) };
        let Suggested { suggestions, after_text, .. } =
            self.suggestions(place, &typing).await.map_err(|failure| failure.error)?;
        Ok(SuggestResponse {
            model: served.name.to_string(),
            position,
            unknown_count,
            suggested: suggestions,
            state: carried.returned(served, Some(&after_text))?,
        })
    }

    /// Checks what is asked for; `path` is its path in the request, with a final dot.
    pub(super) fn check_suggest(&self, served: &Served, suggest: Suggest, path: &str) -> Result<Typing> {
        let limits = &self.config.limits;
        let at = |name: &str| format!("{path}{name}");
        let Suggest { prefix, top_k, ignore_case, next_words, extra_words } = suggest;
        let prefix = prefix.unwrap_or_default();
        self.check_word_len(&prefix, &at("prefix"))?;
        Bound { param: &at("top_k"), max: limits.max_suggestions, option: "--max-suggestions" }
            .number_above_0(top_k)?;
        Bound { param: &at("next_words"), max: limits.max_next_words, option: "--max-next-words" }
            .number_above_0(next_words)?;
        let case = if ignore_case { Case::Ignored } else { Case::Kept };
        let extra_words = self.extra_words(served, extra_words, &at("extra_words"))?;
        Ok(Typing { prefix, case, words_max: top_k, phrase_len: next_words, extra_words })
    }

    /// Checks words that the model does not know; `path` is their path in the request. `None` if there are none.
    pub(super) fn extra_words(
        &self,
        served: &Served,
        words: Vec<ExtraWord>,
        path: &str,
    ) -> Result<Option<Arc<ExtraWords>>> {
        if words.is_empty() {
            return Ok(None);
        }
        let limits = &self.config.limits;
        Bound { param: path, max: limits.max_extra_words, option: "--max-extra-words" }
            .entries(words.len())?;
        let tokenizer = &served.tokenizer;
        if tokenizer.unk().is_none() || !tokenizer.completions().words_are_tokens() {
            let message = format!(
                "`{path}` is given, but the tokens of model `{}` are not words, or none of them stands for unknown words",
                served.name
            );
            return Err(Error::invalid(path, message));
        }
        for (index, word) in words.iter().enumerate() {
            check_extra_word(word, limits.max_prefix_length).map_err(|error| {
                let field = error.param.clone().unwrap_or_default();
                error.at(format!("{path}[{index}].{field}"))
            })?;
        }
        let weighted = words.into_iter().map(|ExtraWord { text, weight }| WeightedWord { text, weight });
        Ok(Some(Arc::new(ExtraWords::new(tokenizer, &weighted.collect::<Vec<_>>()))))
    }

    /// Suggestions for a word that begins at `place`.
    ///
    /// # Errors
    /// A full queue; a timeout. What was read into a session before the failure stays read.
    pub(super) async fn suggestions(
        &self,
        place: WordPlace<'_>,
        typing: &Typing,
    ) -> Result<Suggested, WriteFailure> {
        let served = place.served;
        let Completed { words, snapshot, position } = self.complete(place, typing).await?;
        let moved = |error| WriteFailure { error, position };
        let led_nowhere = || moved(Error::internal("internal error: a completion led to no state"));
        let after_text = snapshot.ok_or_else(led_nowhere)?;
        let phrases = words
            .into_iter()
            .map(|word| self.phrase(WordPlace::at(served, after_text.clone()), word, typing));
        let phrases = try_join_all(phrases).await.map_err(moved)?;
        let suggestions = phrases.into_iter().map(Phrase::suggestion).collect();
        Ok(Suggested { suggestions: Suggestions { suggestions }, after_text, position })
    }

    /// A word that begins at `place`, and the most likely next words.
    async fn phrase(&self, place: WordPlace<'_>, word: Completion, typing: &Typing) -> Result<Phrase> {
        let mut phrase = Phrase::new(word);
        let next = Typing {
            prefix: String::new(),
            words_max: 1,
            phrase_len: 1,
            extra_words: None,
            ..typing.clone()
        };
        for _ in 1..typing.phrase_len {
            let read = Prepared::of_tokens(phrase.tokens.as_slice().into());
            let place = WordPlace { read, ..WordPlace::at(place.served, place.start.snapshot().clone()) };
            let mut completed = self.complete(place, &next).await.map_err(|failure| failure.error)?;
            let Some(word) = completed.words.pop() else { break };
            phrase.push(word);
        }
        Ok(phrase)
    }

    /// The most likely words that begin with what was typed.
    async fn complete(&self, place: WordPlace<'_>, typing: &Typing) -> Result<Completed, WriteFailure> {
        let WordPlace { served, start, read } = place;
        let tail = read.tail_after(&start.snapshot().tail);
        let plan = CompletionPlan {
            tokens: read.tokens.clone(),
            joint: tail.joint,
            beginning: served.tokenizer.beginning(&tail, &typing.prefix, typing.case),
            tokenizer: served.tokenizer.clone(),
            extra_words: typing.extra_words.clone().unwrap_or_default(),
            words_max: typing.words_max,
            steps_max: self.config.limits.suggest_steps,
        };
        let rows = plan.rows_max();
        let (job, plans, reader) = Completing::new(plan);
        let work = Work {
            served: served.clone(),
            start,
            job: Box::new(job),
            plans,
            reader,
            timeout: None,
            rows,
            held: None,
        };
        let completed = self.submit(work)?.next().await.unwrap_or_else(|| {
            let error = Error::internal("internal error: a completion ended without a result");
            Err(ReadingFailure { error, position: None })
        });
        Ok(completed?)
    }
}

/// Checks a word that the model does not know. An error names the word's field.
fn check_extra_word(word: &ExtraWord, length_max: Bytes) -> Result<()> {
    let ExtraWord { text, weight } = word;
    if text.is_empty() || text.contains(char::is_whitespace) {
        let message = format!("`text` is {text:?}; a word without white space is required");
        return Err(Error::invalid("text", message));
    }
    if text.len() > length_max.0 {
        let found = text.len();
        let message =
            format!("`text` has {found} bytes; the maximum is {length_max} (`--max-prefix-length`)");
        return Err(Error::invalid("text", message));
    }
    if !weight.is_finite() || *weight <= 0.0 {
        return Err(Error::invalid("weight", format!("`weight` is {weight}; it must be above 0")));
    }
    Ok(())
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
    /// Whether the first word is an extra word.
    unknown: bool,
}

impl Phrase {
    fn new(first: Completion) -> Self {
        let Completion { word, tokens, logprob, end_logprob, is_extra } = first;
        let CompletedWord { text, append } = word;
        Self { text, append, tokens, logprob, end_logprob, unknown: is_extra }
    }

    fn push(&mut self, next: Completion) {
        self.text += &next.word.append;
        self.append += &next.word.append;
        self.tokens.extend(next.tokens);
        self.logprob += next.logprob;
        self.end_logprob = next.end_logprob;
    }

    fn suggestion(self) -> Suggestion {
        let Self { text, append, tokens, logprob, end_logprob, unknown } = self;
        let logprob = logprob + end_logprob;
        Suggestion { text, append, tokens, prob: libm::exp(logprob), logprob, unknown }
    }
}

//! Use case: how likely texts are.

use std::sync::Arc;

use super::input::{Prepared, check_not_empty};
use super::tokens::input_tokens;
use super::{Input, InputToken, Service, Source};
use crate::catalog::Served;
use crate::engine::Start;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Tail, TokenId};
use crate::session::Snapshot;

/// How likely is each of `texts`, after `context` was read at `source`?
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRequest {
    /// Where to start. A session is not moved.
    pub source: Source,
    /// Read, not scored.
    pub context: Input,
    /// Scored, each from where the context leads; at least one, none empty.
    pub texts: Texts,
    /// Whether each text ends with the end-of-text token.
    pub add_eos: AddEos,
    /// Whether each token's logprob is asked for.
    pub token_logprobs: TokenLogprobs,
    /// Where each text starts.
    pub carry: Carry,
}

/// What is scored, as the request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Texts {
    /// One text: `text` or `tokens`.
    One(Input),
    /// Several.
    Several {
        /// The name of their list: `texts` or `continuations`.
        name: &'static str,
        /// Each of them.
        inputs: Vec<Input>,
    },
}

/// Whether each text ends with the end-of-text token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddEos {
    /// As it was given.
    #[default]
    No,
    /// With one more token, which is scored.
    Yes,
}

/// Whether each token's logprob is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenLogprobs {
    /// Sums only.
    #[default]
    Omit,
    /// One for each token.
    Include,
}

/// Where each text starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// From where the context leads.
    #[default]
    No,
    /// From the end of the text before.
    Yes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreResponse {
    /// The model's name.
    pub model: Arc<str>,
    /// In the order of the texts.
    pub results: Vec<ScoreResult>,
    /// All texts together.
    pub total: ScoreResult,
}

/// How likely a text is, by its counts and its logprob: all other figures follow from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreResult {
    /// Tokens, an added end of text included.
    pub token_count: usize,
    /// Tokens that were scored: all but a first one that nothing precedes.
    pub scored_count: usize,
    /// Words outside the vocabulary.
    pub unknown_count: usize,
    /// Runs of non-white-space in the scored part.
    pub word_count: usize,
    /// Unicode scalars in the scored part.
    pub char_count: usize,
    /// Bytes of the scored part, UTF-8.
    pub byte_count: usize,
    /// Of all scored tokens; nats.
    pub logprob: f64,
    /// Each token and its logprob, if that was asked for.
    pub tokens: Option<Vec<ScoredToken>>,
}

/// A token of a scored text.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub token: InputToken,
    /// `ln P(token)`; `None` where nothing precedes it.
    pub logprob: Option<f64>,
}

impl ScoreResult {
    /// `exp(-logprob / scored_count)`; `None` when nothing was scored, or when no number is large enough.
    pub fn perplexity(&self) -> Option<f64> {
        self.per(self.scored_count).and_then(exp)
    }

    /// `exp(-logprob / word_count)`, `None` as above: a single word of many tokens can be that unlikely.
    pub fn word_perplexity(&self) -> Option<f64> {
        self.per(self.word_count).and_then(exp)
    }

    /// Bits for each scored token.
    pub fn bits_per_token(&self) -> Option<f64> {
        self.per(self.scored_count).map(to_bits)
    }

    /// Bits for each character of the scored part.
    pub fn bits_per_char(&self) -> Option<f64> {
        self.per(self.char_count).map(to_bits)
    }

    /// Bits for each byte of the scored part.
    pub fn bits_per_byte(&self) -> Option<f64> {
        self.per(self.byte_count).map(to_bits)
    }

    /// The logprob to base 10, as ARPA tools count.
    pub fn logprob_base10(&self) -> f64 {
        self.logprob / std::f64::consts::LN_10
    }

    /// Nats for each of `count`.
    fn per(&self, count: usize) -> Option<f64> {
        // Subtracted from 0: a text that is certain has 0 bits, not -0.
        (self.scored_count > 0 && count > 0).then(|| (0.0 - self.logprob) / count as f64)
    }

    /// Adds the counts and the logprob of another text.
    pub fn add(&mut self, other: &Self) {
        self.token_count += other.token_count;
        self.scored_count += other.scored_count;
        self.unknown_count += other.unknown_count;
        self.word_count += other.word_count;
        self.char_count += other.char_count;
        self.byte_count += other.byte_count;
        self.logprob += other.logprob;
    }

    /// Adds the logprobs of the next tokens.
    pub(super) fn add_logprobs(&mut self, logprobs: &[Option<f64>]) {
        self.token_count += logprobs.len();
        for logprob in logprobs.iter().flatten() {
            self.scored_count += 1;
            self.logprob += logprob;
        }
    }
}

fn exp(nats: f64) -> Option<f64> {
    Some(libm::exp(nats)).filter(|value| value.is_finite())
}

fn to_bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

impl Service {
    /// Scores texts.
    ///
    /// # Errors
    /// Whatever is wrong with the request, a full queue, a timeout.
    pub async fn score(&self, request: ScoreRequest) -> Result<ScoreResponse> {
        self.check_count(&request.texts)?;
        let (served, start) = self.open(&request.source)?;
        let context = self.prepare_at(served, request.context, "context").await?;
        let eos = eos_to_add(served, request.add_eos)?;
        let texts = self.prepare_texts(served, request.texts, eos).await?;
        let manner = Manner { eos, carry: request.carry, each: request.token_logprobs };
        self.score_prepared((served, start), (&context, &texts), &manner).await
    }

    fn check_count(&self, texts: &Texts) -> Result<()> {
        let texts_max = self.limits.max_texts;
        match texts {
            Texts::Several { name, inputs } if !(1..=texts_max).contains(&inputs.len()) => {
                let found = inputs.len();
                let message =
                    format!("`{name}` has {found} entries, expected 1 to {texts_max} (`--max-texts`)");
                let kind = if found == 0 { ErrorKind::EmptyInput } else { ErrorKind::InvalidValue };
                Err(Error::new(kind, message).at(*name))
            }
            _ => Ok(()),
        }
    }

    async fn prepare_texts(
        &self,
        served: &Arc<Served>,
        texts: Texts,
        eos: Option<TokenId>,
    ) -> Result<Vec<Prepared>> {
        let (name, inputs) = match texts {
            Texts::One(input) => (None, vec![input]),
            Texts::Several { name, inputs } => (Some(name), inputs),
        };
        let tokens_max = self.limits.max_prompt_tokens;
        let mut prepared = Vec::with_capacity(inputs.len());
        let mut tokens = 0;
        for (index, input) in inputs.into_iter().enumerate() {
            let path = match name {
                Some(name) => format!("{name}[{index}]"),
                None => input.name().to_owned(),
            };
            let text = self.prepare_at(served, input, &path).await?;
            if eos.is_none() {
                check_not_empty(&text).map_err(|error| error.at(&path))?;
            }
            tokens += text.tokens.len();
            if tokens > tokens_max {
                let message = format!(
                    "the texts have more than {tokens_max} tokens together, expected at most so many (`--max-prompt-tokens`)"
                );
                return Err(Error::new(ErrorKind::TextTooLong, message).at(name.unwrap_or("text")));
            }
            prepared.push(text);
        }
        Ok(prepared)
    }

    async fn score_prepared(
        &self,
        (served, start): (&Arc<Served>, Snapshot),
        (context, texts): (&Prepared, &[Prepared]),
        manner: &Manner,
    ) -> Result<ScoreResponse> {
        let each: Vec<Vec<TokenId>> =
            texts.iter().map(|text| text.tokens.iter().copied().chain(manner.eos).collect()).collect();
        let branches = match manner.carry {
            Carry::No => each.iter().map(|tokens| tokens.as_slice().into()).collect(),
            Carry::Yes => vec![each.concat().into()],
        };
        let tail = context.tail_after(&start.tail);
        let preceded = start.position > 0 || !context.is_empty() || !served.initial_tokens.is_empty();
        let plan =
            ReadingPlan { tokens: context.tokens.clone(), joint: tail.joint, branches, ..Default::default() };
        let result = self.read(served, Start::Copy(start), plan).await.map_err(|failure| failure.error)?;
        let mut logprobs = result.branches.into_iter().flatten();
        let mut tail_now = tail.clone();
        let results = texts.iter().zip(&each).enumerate().map(|(index, (text, tokens))| {
            let first = preceded || (manner.carry == Carry::Yes && index > 0);
            let own: Vec<Option<f64>> = logprobs
                .by_ref()
                .take(tokens.len())
                .enumerate()
                .map(|(at, logprob)| Some(logprob).filter(|_| at > 0 || first))
                .collect();
            let result = result_of(served, &tail_now, (text, manner), &own);
            if manner.carry == Carry::Yes {
                tail_now = text.tail_after(&tail_now);
                tail_now.extend(manner.eos.as_slice());
            }
            result
        });
        let results: Vec<ScoreResult> = results.collect();
        let mut total = ScoreResult::default();
        results.iter().for_each(|result| total.add(result));
        Ok(ScoreResponse { model: served.name.clone(), results, total })
    }
}

/// How texts are scored.
struct Manner {
    eos: Option<TokenId>,
    carry: Carry,
    each: TokenLogprobs,
}

/// The token that ends each text.
pub(super) fn eos_to_add(served: &Served, add: AddEos) -> Result<Option<TokenId>> {
    match (add, served.tokenizer.eos()) {
        (AddEos::No, _) => Ok(None),
        (AddEos::Yes, Some(eos)) => Ok(Some(eos)),
        (AddEos::Yes, None) => {
            let message =
                format!("model `{}` has no end-of-text token, expected `add_eos` to be false", served.name);
            Err(Error::invalid("add_eos", message))
        }
    }
}

fn result_of(
    served: &Served,
    tail: &Tail,
    (text, manner): (&Prepared, &Manner),
    logprobs: &[Option<f64>],
) -> ScoreResult {
    let mut result = ScoreResult { unknown_count: text.unknown_count, ..Default::default() };
    result.add_logprobs(logprobs);
    let mut counter = TextCounter::default();
    counter.count(&scored_part(served, text, logprobs));
    counter.write(&mut result);
    if manner.each == TokenLogprobs::Include {
        let mut tokens = scored_tokens(served, tail, text, logprobs);
        if let (Some(eos), Some(&logprob)) = (manner.eos, logprobs.last()) {
            let tail = text.tail_after(tail);
            let token = input_tokens(served, &tail, &[eos], None).remove(0);
            tokens.push(ScoredToken { token, logprob });
        }
        result.tokens = Some(tokens);
    }
    result
}

/// The text of the tokens that were scored.
pub(super) fn scored_part<'a>(
    served: &Served,
    text: &'a Prepared,
    logprobs: &[Option<f64>],
) -> std::borrow::Cow<'a, str> {
    let skipped = usize::from(!text.is_empty() && logprobs.first() == Some(&None));
    match &text.text {
        Some((text, encoding)) => {
            let chars = if skipped == 0 { 0 } else { encoding.spans[0].end };
            let start = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
            text[start..].into()
        }
        None => served.tokenizer.decode(&text.tokens[skipped..]).into(),
    }
}

/// What a client sees of the tokens of an input, read at `tail`, and their logprobs.
pub(super) fn scored_tokens(
    served: &Served,
    tail: &Tail,
    input: &Prepared,
    logprobs: &[Option<f64>],
) -> Vec<ScoredToken> {
    let encoding = input.text.as_ref().map(|(_, encoding)| encoding);
    let tokens = input_tokens(served, tail, &input.tokens, encoding);
    tokens.into_iter().zip(logprobs).map(|(token, &logprob)| ScoredToken { token, logprob }).collect()
}

/// Counts words, characters and bytes of a text that may come in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct TextCounter {
    words: usize,
    chars: usize,
    bytes: usize,
    inside: Inside,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Inside {
    #[default]
    Space,
    Word,
}

impl TextCounter {
    pub(super) fn count(&mut self, piece: &str) {
        self.bytes += piece.len();
        for character in piece.chars() {
            self.chars += 1;
            let now = if character.is_whitespace() { Inside::Space } else { Inside::Word };
            self.words += usize::from(now == Inside::Word && self.inside == Inside::Space);
            self.inside = now;
        }
    }

    pub(super) fn write(&self, result: &mut ScoreResult) {
        (result.word_count, result.char_count, result.byte_count) = (self.words, self.chars, self.bytes);
    }
}

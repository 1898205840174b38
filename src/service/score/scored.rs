//! A text whose tokens have log-probabilities: which of them count, and the part of the text that they stand for.

use std::borrow::Cow;
use std::ops::Range;

use crate::api::tokens::ScoredToken;
use crate::api::unknown::Unknown;
use crate::catalog::Served;
use crate::lm::TokenId;
use crate::service::input::{Prepared, SourceText};
use crate::service::tokens::input_tokens;
use crate::text::Tail;

/// Where a text is read, and by a model with which tokenizer.
pub(in crate::service) struct Place<'a> {
    pub(in crate::service) served: &'a Served,
    pub(in crate::service) tail: Tail,
    /// Whether a token precedes the first that is read here.
    pub(in crate::service) is_preceded: bool,
}

impl Place<'_> {
    /// Moves past a text.
    pub(in crate::service) fn pass(&mut self, text: &Prepared, eos: Option<TokenId>) {
        self.tail = text.tail_after(&self.tail);
        self.tail.extend(eos.as_slice());
        self.is_preceded |= !text.is_empty() || eos.is_some();
    }
}

/// A text and the log-probabilities of its tokens, including an added end-of-text token.
pub(in crate::service) struct ScoredText<'a> {
    text: &'a Prepared,
    /// `None` for a token that is not scored.
    pub(in crate::service) logprobs: Vec<Option<f64>>,
    /// Whether a token precedes the first one.
    is_preceded: bool,
}

impl<'a> ScoredText<'a> {
    /// The text that was read at `place`, and the model's log-probabilities.
    pub(in crate::service) fn new(
        place: &Place<'_>,
        text: &'a Prepared,
        logprobs: Vec<f64>,
        unknown: Unknown,
    ) -> Self {
        let is_preceded = place.is_preceded;
        let unk = place.served.tokenizer.unk();
        let is_unknown = |index: usize| unk.is_some() && text.tokens.get(index).copied() == unk;
        let each = logprobs.into_iter().enumerate().map(|(index, logprob)| {
            let counted = if is_unknown(index) { of_unknown(unknown, logprob) } else { Some(logprob) };
            counted.filter(|_| index > 0 || is_preceded)
        });
        Self { text, logprobs: each.collect(), is_preceded }
    }

    /// The number of unknown tokens in the text, scored or not.
    pub(in crate::service) fn unknown_count(&self) -> usize {
        self.text.unknown_count
    }

    /// The tail after the text.
    pub(in crate::service) fn tail_after(&self, tail: &Tail) -> Tail {
        self.text.tail_after(tail)
    }

    /// The text of the tokens that were scored.
    pub(in crate::service) fn part(&self, served: &Served) -> Cow<'a, str> {
        match &self.text.source {
            Some(source) => self.part_of(source),
            None => {
                let each = self.text.tokens.iter().zip(&self.logprobs);
                let scored: Vec<TokenId> =
                    each.filter(|(_, logprob)| logprob.is_some()).map(|(&token, _)| token).collect();
                served.tokenizer.decode(&scored).into()
            }
        }
    }

    /// `source` without what stands for tokens that were not scored.
    fn part_of(&self, source: &'a SourceText) -> Cow<'a, str> {
        let skipped: Vec<Range<usize>> = self.unscored().map(|index| self.span(source, index)).collect();
        if skipped.is_empty() {
            return source.text.as_str().into();
        }
        let mut skipped = skipped.into_iter().peekable();
        let kept = source.text.chars().enumerate().filter(|(at, _)| {
            while skipped.next_if(|span| span.end <= *at).is_some() {}
            skipped.peek().is_none_or(|span| *at < span.start)
        });
        kept.map(|(_, character)| character).collect::<String>().into()
    }

    /// The indices of the text's tokens that were not scored.
    fn unscored(&self) -> impl Iterator<Item = usize> {
        let own = self.logprobs.iter().take(self.text.tokens.len()).enumerate();
        own.filter(|(_, logprob)| logprob.is_none()).map(|(index, _)| index)
    }

    /// The characters that a token stands for. What lies before the first token of all belongs to it.
    fn span(&self, source: &SourceText, index: usize) -> Range<usize> {
        let span = &source.encoding.spans[index];
        if index == 0 && !self.is_preceded { 0..span.end } else { span.clone() }
    }

    /// What a client sees of the text's tokens.
    pub(in crate::service) fn tokens(&self, place: &Place<'_>) -> Vec<ScoredToken> {
        let tokens = input_tokens(place.served, &place.tail, self.text).into_iter();
        tokens.zip(&self.logprobs).map(|(token, &logprob)| ScoredToken { token, logprob }).collect()
    }
}

/// What an unknown token with the log-probability `logprob` counts; `None` if it is not scored.
pub(in crate::service) fn of_unknown(unknown: Unknown, logprob: f64) -> Option<f64> {
    match unknown {
        Unknown::Include => Some(logprob),
        Unknown::Exclude => None,
        Unknown::Add(shift) => Some(logprob + shift),
        Unknown::Set(logprob) => Some(logprob),
    }
}

//! Encodes a text with the parts of a `tokenizer.json` one by one, each in memory that is asked for before it runs.
//!
//! The rules of a file may make a text longer. The worst case of all of them together is hundreds of times what an ordinary file, with a normal
//! form of Unicode and a character map, makes of any real text. So a rule is bounded alone, by what the rules before it have made of this text, and
//! the model by what all of them have made of it.

use std::cell::RefCell;

use serde::Serialize;
use tokenizers::{
    Encoding, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential,
    OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Tokenizer,
};

use super::super::memory::Memory;
use super::bounds::{Growth, growth};
use crate::error::{Error, Result};

/// The memory that a rule takes while it runs, for each byte of the text before it and after it, at most. `benches/encoding.py` measures it.
const RULE_BYTES: usize = 40;

/// The memory that a part of a text takes into which it is split, at most: parts of one byte, such as punctuation marks, take the most.
const PART_BYTES: usize = 320;

/// The memory that a possible token takes, with the text that it is found in, at most: the most is measured where every byte is a token.
const TOKEN_BYTES: usize = 320;

/// A text that is measured is normalised in pieces of so many bytes.
const PIECE_BYTES: usize = 4096;

/// The most bytes of the characters around an end of a piece of which a rule may make something else because they are apart: a character map
/// looks at up to five bytes at once.
const BORDER_BYTES: usize = 10;

/// How much longer each rule of a file may make a text.
pub(super) struct Steps {
    normalizers: Vec<Growth>,
    splitters: Vec<Growth>,
    /// Whether each character is one byte of the text, and at most one token: texts are written as bytes at the end.
    characters_are_bytes: bool,
}

/// The tokens of a text.
pub(super) struct Encoded {
    /// `None` if the crate has failed.
    pub(super) encoding: Option<Encoding>,
    /// The memory that was taken and is still in use.
    pub(super) bytes: usize,
}

/// A rule of the crate.
trait Rule: Serialize + Sized {
    /// The rules that it consists of, if it is a sequence.
    fn sequence(&self) -> Option<&[Self]>;
}

impl Rule for NormalizerWrapper {
    fn sequence(&self) -> Option<&[Self]> {
        let Self::Sequence(rules) = self else { return None };
        Some(rules.as_ref())
    }
}

impl Rule for PreTokenizerWrapper {
    fn sequence(&self) -> Option<&[Self]> {
        let Self::Sequence(rules) = self else { return None };
        Some(rules.as_ref())
    }
}

/// The rules in the order in which they run.
fn flat<R: Rule>(rule: Option<&R>) -> Vec<&R> {
    match rule.map(|rule| (rule, rule.sequence())) {
        None => Vec::new(),
        Some((rule, None)) => vec![rule],
        Some((_, Some(rules))) => rules.iter().flat_map(|rule| flat(Some(rule))).collect(),
    }
}

/// How much longer each rule may make a text. The crate writes each as it has understood it.
fn growths<R: Rule>(rules: &[&R]) -> Result<Vec<Growth>, String> {
    let of = |rule: &&R| {
        let written = serde_json::to_value(rule).map_err(|error| error.to_string())?;
        growth(&written)
    };
    rules.iter().map(of).collect()
}

impl Steps {
    /// Those of `tokenizer`.
    ///
    /// # Errors
    /// If the crate cannot write a rule that it has read.
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self, String> {
        let normalizers = growths(&flat(tokenizer.get_normalizer()))?;
        let splitters = growths(&flat(tokenizer.get_pre_tokenizer()))?;
        let last = normalizers.iter().chain(&splitters).rfind(|growth| !growth.is_none());
        // With fallback, a character of two bytes may be two tokens.
        let is_plain_bpe = matches!(tokenizer.get_model(), ModelWrapper::BPE(model) if !model.byte_fallback);
        let characters_are_bytes = is_plain_bpe && last.is_some_and(|growth| growth.is_byte_level());
        Ok(Self { normalizers, splitters, characters_are_bytes })
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// As [`Memory::take`].
    pub(super) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        memory: &mut dyn Memory,
    ) -> Result<Encoded> {
        let normalizing = self.normalizing(tokenizer, Gauge::of(text, memory)?);
        // The crate splits the text at the tokens that were added to its vocabulary, and then at those that a normalised text has.
        let parts = tokenizer.get_added_vocabulary().extract_and_normalize(Some(&normalizing), text);
        let mut gauge = normalizing.finish()?;
        let encoding = self.tokens(tokenizer, parts, &mut gauge)?;
        Ok(Encoded { encoding, bytes: gauge.taken })
    }

    /// `text` as the file normalises it, in memory that is given back.
    ///
    /// # Errors
    /// As [`Memory::take`].
    pub(super) fn normalised(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        memory: &mut dyn Memory,
    ) -> Result<String> {
        let normalizing = self.normalizing(tokenizer, Gauge::of(text, memory)?);
        let mut normalized = NormalizedString::from(text);
        // It cannot fail: whatever stops it is known when it finishes.
        let _ = normalizing.normalize(&mut normalized);
        let gauge = normalizing.finish()?;
        gauge.memory.give_back(gauge.taken);
        Ok(normalized.get().to_owned())
    }

    fn normalizing<'a, 'm>(&self, tokenizer: &'a Tokenizer, gauge: Gauge<'m>) -> Normalizing<'a, 'm> {
        let rules = flat(tokenizer.get_normalizer()).into_iter().zip(self.normalizers.iter().copied());
        Normalizing { rules: rules.collect(), gauge: RefCell::new(gauge) }
    }

    fn tokens(
        &self,
        tokenizer: &Tokenizer,
        mut parts: PreTokenizedString,
        gauge: &mut Gauge<'_>,
    ) -> Result<Option<Encoding>> {
        for (rule, growth) in flat(tokenizer.get_pre_tokenizer()).into_iter().zip(&self.splitters) {
            gauge.hold_for_splitting(&Sizes::of(&parts), *growth)?;
            if rule.pre_tokenize(&mut parts).is_err() {
                return Ok(None);
            }
        }
        let sizes = Sizes::of(&parts);
        gauge.hold_for_tokens(if self.characters_are_bytes { sizes.chars } else { sizes.bytes }, &sizes)?;
        let model = tokenizer.get_model();
        let tokenized = parts.tokenize(|part| model.tokenize(part.get()));
        Ok(tokenized.and_then(|()| parts.into_encoding(None, 0, OffsetType::Byte)).ok())
    }
}

/// The rules that normalise, for the crate as one.
struct Normalizing<'a, 'm> {
    rules: Vec<(&'a NormalizerWrapper, Growth)>,
    gauge: RefCell<Gauge<'m>>,
}

impl<'m> Normalizing<'_, 'm> {
    /// The memory that was taken.
    ///
    /// # Errors
    /// As [`Memory::take`]: the crate has gone on with a text that is not normalised, as it does if a rule fails.
    fn finish(self) -> Result<Gauge<'m>> {
        let mut gauge = self.gauge.into_inner();
        gauge.refused.take().map_or(Ok(gauge), Err)
    }
}

impl Normalizer for Normalizing<'_, '_> {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let mut gauge = self.gauge.borrow_mut();
        for (rule, growth) in &self.rules {
            let before = text.get().len();
            gauge.hold_for_rule(before, most(rule, *growth, text.get()));
            if gauge.refused.is_some() {
                break;
            }
            rule.normalize(text)?;
            gauge.len = gauge.len - before + text.get().len();
        }
        Ok(())
    }
}

/// The most bytes that `rule` makes of `text`.
fn most(rule: &NormalizerWrapper, growth: Growth, text: &str) -> usize {
    let most = growth.most(text.len(), 1);
    if text.len() <= PIECE_BYTES || !growth.is_of_rare_characters() {
        return most;
    }
    let mut measured = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        let mut normalized = NormalizedString::from(piece);
        measured += match rule.normalize(&mut normalized) {
            Ok(()) => normalized.get().len(),
            Err(_) => growth.most(piece.len(), 1),
        };
        measured += growth.most(BORDER_BYTES, 1);
        rest = after;
    }
    measured.min(most)
}

/// What a text was split into.
struct Sizes {
    parts: usize,
    /// Of all parts together.
    bytes: usize,
    chars: usize,
}

impl Sizes {
    /// Those of a text that is not split.
    fn whole(text: &str) -> Self {
        Self { parts: 1, bytes: text.len(), chars: text.chars().count() }
    }

    fn of(parts: &PreTokenizedString) -> Self {
        let parts = parts.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        let texts = || parts.iter().map(|(text, ..)| *text);
        Self {
            parts: parts.len(),
            bytes: texts().map(str::len).sum(),
            chars: texts().map(|text| text.chars().count()).sum(),
        }
    }
}

/// The memory of an encoding, which only grows until it is done.
struct Gauge<'m> {
    memory: &'m mut dyn Memory,
    /// Bytes that were taken.
    taken: usize,
    /// Bytes of the text, as far as it is normalised.
    len: usize,
    /// Why there is no more.
    refused: Option<Error>,
}

impl<'m> Gauge<'m> {
    /// Takes what it needs to split `text` at added tokens.
    fn of(text: &str, memory: &'m mut dyn Memory) -> Result<Self> {
        let mut gauge = Self { memory, taken: 0, len: text.len(), refused: None };
        gauge.hold_for_splitting(&Sizes::whole(text), Growth::NONE)?;
        Ok(gauge)
    }

    /// Takes what a rule needs that makes at most `most` bytes of `len` bytes of the text.
    fn hold_for_rule(&mut self, len: usize, most: usize) {
        let after = (self.len - len).saturating_add(most);
        let held = self.hold(self.len.saturating_add(after).saturating_mul(RULE_BYTES));
        self.refused = held.err().or(self.refused.take());
    }

    /// Takes what a rule needs that splits the parts of a text, after they have grown so. Each character may become a part, and so may what is put before
    /// a part.
    fn hold_for_splitting(&mut self, text: &Sizes, growth: Growth) -> Result<()> {
        let Sizes { parts, bytes, chars } = *text;
        let texts = bytes.saturating_add(growth.most(bytes, parts)).saturating_mul(RULE_BYTES);
        self.hold(texts.saturating_add(chars.saturating_add(parts).saturating_mul(PART_BYTES)))
    }

    /// Takes what the model needs that finds at most so many tokens in the parts of a text.
    fn hold_for_tokens(&mut self, tokens: usize, text: &Sizes) -> Result<()> {
        let of_tokens = tokens.saturating_mul(TOKEN_BYTES);
        self.hold(of_tokens.saturating_add(text.parts.saturating_mul(PART_BYTES)))
    }

    /// Takes what is missing of `bytes`.
    fn hold(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.saturating_sub(self.taken);
        self.memory.take(missing)?;
        self.taken += missing;
        Ok(())
    }
}

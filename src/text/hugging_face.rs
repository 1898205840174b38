//! A Hugging Face `tokenizer.json`, through the `tokenizers` crate.
//!
//! Decoding token by token is ours where tokens are bytes: the crate gives U+FFFD for a character that is not complete yet.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;
use std::panic::catch_unwind;

use serde::Deserialize;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::{NormalizedString, Normalizer};

use super::decoder::Piece;
use super::encoding::Draft;
use super::split;
use super::utf8::{incomplete_len, whole_chars};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::lm::{Joint, TokenId};

/// The tokenizer of a `tokenizer.json`.
pub(super) struct HuggingFace {
    inner: tokenizers::Tokenizer,
    coding: Coding,
    /// The tokens that are marked special: they add nothing to a text.
    special: HashSet<TokenId>,
    unk: Option<TokenId>,
    /// The characters that some entry has, where others may be dropped: neither an unknown token nor bytes stand for them.
    known: Option<HashSet<char>>,
    /// Whether decoding from the start of a text gives a space that encoding had added.
    begins_with_space: bool,
    drops_white_space: bool,
}

/// What is read of the file beside the crate: the unknown token that its model names, by its entry or by its number.
#[derive(Deserialize)]
struct Head {
    model: HeadOfModel,
}

#[derive(Deserialize)]
struct HeadOfModel {
    unk_token: Option<String>,
    unk_id: Option<TokenId>,
}

/// What the entries stand for.
enum Coding {
    /// Each entry for bytes: these, by id.
    ByteLevel(Vec<Box<[u8]>>),
    /// An entry of the form `<0xE2>` for a byte, all others for text.
    ByteFallback,
    /// Text, as the file's decoder puts it together.
    Text,
}

impl HuggingFace {
    /// As much of the past as decoding looks back at: the token before, or those that a character has begun in.
    pub(super) const CONTEXT: usize = 8;

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// `Load` for what the crate cannot read.
    pub(super) fn parse(file: &[u8]) -> Result<(Self, Vocabulary)> {
        let refused = |error: &dyn Display| Error::load(format!("not a Hugging Face tokenizer: {error}"));
        let head: Head = serde_json::from_slice(file).map_err(|error| refused(&error))?;
        // The crate panics on some of what is JSON and yet no tokenizer.
        let read = catch_unwind(|| tokenizers::Tokenizer::from_bytes(file));
        let read = read.map_err(|_| refused(&"some part has fields that it should not have"))?;
        let mut inner = read.map_err(|error| refused(&error))?;
        make_plain(&mut inner).map_err(|error| refused(&error))?;
        let vocabulary = Vocabulary::sparse(inner.get_vocab(true));
        if vocabulary.len() == 0 {
            return Err(refused(&"its vocabulary is empty"));
        }
        let coding = Coding::of(inner.get_decoder(), &vocabulary);
        let added = inner.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        let unk = match head.model.unk_token {
            Some(entry) => vocabulary.id_of(&entry),
            None => head.model.unk_id,
        };
        let (begins_with_space, drops_white_space) = probe(&inner);
        let may_lose = unk.is_none() && !matches!(coding, Coding::ByteLevel(_));
        let known = may_lose.then(|| vocabulary.entries().flat_map(str::chars).collect());
        let scheme = Self { inner, coding, special, unk, known, begins_with_space, drops_white_space };
        Ok((scheme, vocabulary))
    }

    /// The file's own unknown token.
    pub(super) fn unk(&self) -> Option<TokenId> {
        self.unk
    }

    pub(super) fn is_special(&self, token: TokenId) -> bool {
        self.special.contains(&token)
    }

    /// Whether white space at the end of a text is in no token.
    pub(super) fn drops_white_space(&self) -> bool {
        self.drops_white_space
    }

    /// Puts the tokens of `text[line]` into `draft`.
    ///
    /// # Errors
    /// `UnknownToken` for what the model has neither a token nor an unknown token for: the crate drops it, or gives up.
    pub(super) fn encode(&self, text: &str, line: Range<usize>, draft: &mut Draft<'_>) -> Result<()> {
        let Ok(encoding) = self.inner.encode(&text[line.clone()], false) else {
            return Err(draft.unknown_word(self.unreadable(text, line)));
        };
        if let Some(lost) = self.first_lost(text, line.clone()) {
            return Err(draft.unknown_word(lost));
        }
        for (&token, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            draft.token(token, line.start + start..line.start + end);
        }
        Ok(())
    }

    /// The first character of `text[line]` that the model drops for want of an unknown token.
    ///
    /// The places of the tokens do not tell: those after a dropped character are off.
    fn first_lost(&self, text: &str, line: Range<usize>) -> Option<Range<usize>> {
        let Some(known) = &self.known else { return None };
        let mut kept = HashSet::new();
        let is_lost =
            |c: char| !c.is_whitespace() && !known.contains(&c) && kept.insert(c) && self.is_lost(c);
        let at = line.start + text[line].find(is_lost)?;
        Some(at..text.ceil_char_boundary(at + 1))
    }

    /// Whether writing `c` twice changes the normalized text and yet not the tokens.
    fn is_lost(&self, c: char) -> bool {
        let (once, twice) = (c.to_string(), format!("{c}{c}"));
        let ids =
            |text: &str| self.inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec()).ok();
        ids(&once) == ids(&twice) && self.normalized(&once) != self.normalized(&twice)
    }

    fn normalized(&self, text: &str) -> Option<String> {
        let mut normalized = NormalizedString::from(text);
        let done = self.inner.get_normalizer().map_or(Ok(()), |rule| rule.normalize(&mut normalized));
        done.ok().map(|()| normalized.get().to_owned())
    }

    /// The first word of `text[line]` that cannot be encoded alone.
    fn unreadable(&self, text: &str, line: Range<usize>) -> Range<usize> {
        let is_unreadable = |at: &Range<usize>| self.inner.encode(&text[at.clone()], false).is_err();
        let mut words =
            split::whitespace(&text[line.clone()]).map(|at| line.start + at.start..line.start + at.end);
        words.find(is_unreadable).unwrap_or(line.clone())
    }

    /// What `token` adds to a line of which `past` are the last tokens that show, [`Self::CONTEXT`] of them at most.
    pub(super) fn piece(&self, past: &[TokenId], joint: Joint, token: TokenId) -> Piece {
        let mut bytes = self.begun(past);
        let own = self.bytes(token);
        let text = match &own {
            Some(own) => {
                bytes.extend_from_slice(own);
                whole_chars(&bytes)
            }
            None => String::from_utf8_lossy(&bytes).into_owned() + &self.added_text(past, token),
        };
        let implied = if past.is_empty() {
            self.begins_with_space
        } else {
            self.drops_white_space && joint == Joint::Open
        };
        let text = match text.strip_prefix(' ') {
            Some(rest) if implied => rest.to_owned(),
            _ => text,
        };
        Piece { text, bytes: own.filter(|own| std::str::from_utf8(own).is_err()) }
    }

    /// The character at the end of `past` that is not complete yet, made into text.
    pub(super) fn held_back(&self, past: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.begun(past)).into_owned()
    }

    /// The bytes of the character at the end of `past` that is not complete yet.
    fn begun(&self, past: &[TokenId]) -> Vec<u8> {
        let mut last = Vec::new();
        for own in past.iter().rev().map_while(|&token| self.bytes(token)) {
            last.splice(..0, own);
            if last.len() >= 3 {
                break;
            }
        }
        last.split_off(last.len() - incomplete_len(&last))
    }

    /// The bytes that `token` stands for, where tokens stand for bytes.
    fn bytes(&self, token: TokenId) -> Option<Vec<u8>> {
        match &self.coding {
            Coding::ByteLevel(bytes) => {
                Some(bytes.get(token as usize).map_or(Vec::new(), |own| own.to_vec()))
            }
            Coding::ByteFallback => fallback_byte(&self.inner.id_to_token(token)?).map(|byte| vec![byte]),
            Coding::Text => None,
        }
    }

    /// What a token of text adds: the decoder's text with it, less that without it.
    fn added_text(&self, past: &[TokenId], token: TokenId) -> String {
        let mut context: Vec<TokenId> = past.iter().map(|&token| self.stand_in(token)).collect();
        let decode = |tokens: &[TokenId]| self.inner.decode(tokens, false).unwrap_or_default();
        let before = decode(&context);
        context.push(token);
        let after = decode(&context);
        let same =
            before.chars().zip(after.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        after[same..].to_owned()
    }

    /// A run of byte tokens that is no whole text decodes to U+FFFD for each, even for those before: as context, every byte is an `a`.
    fn stand_in(&self, token: TokenId) -> TokenId {
        if self.bytes(token).is_none() {
            return token;
        }
        self.inner.token_to_id("<0x61>").unwrap_or(token)
    }
}

impl Coding {
    fn of(decoder: Option<&DecoderWrapper>, vocabulary: &Vocabulary) -> Self {
        let steps = match decoder {
            Some(DecoderWrapper::Sequence(sequence)) => sequence.get_decoders(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        match steps {
            [DecoderWrapper::ByteLevel(_)] => {
                let bytes = (0..vocabulary.len()).map(|id| byte_level_bytes(vocabulary.entry(id as TokenId)));
                Coding::ByteLevel(bytes.collect())
            }
            steps if steps.iter().any(|step| matches!(step, DecoderWrapper::ByteFallback(_))) => {
                Coding::ByteFallback
            }
            _ => Coding::Text,
        }
    }
}

/// The bytes of a byte-level entry (Radford et al. 2019): each byte is a visible character. An entry with any other character is
/// an added token, in plain text.
fn byte_level_bytes(entry: &str) -> Box<[u8]> {
    let bytes: Option<Vec<u8>> = entry.chars().map(byte_of_char).collect();
    bytes.unwrap_or_else(|| entry.as_bytes().to_vec()).into()
}

/// Visible bytes of Latin-1 are themselves; the others follow from U+0100 on, in order.
fn byte_of_char(c: char) -> Option<u8> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => Some(code as u8).filter(visible),
        code => (0..=0xff).filter(|byte| !visible(byte)).nth(code as usize - 0x100),
    }
}

/// The byte of an entry like `<0xE2>`.
fn fallback_byte(entry: &str) -> Option<u8> {
    let digits = entry.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// Nothing may be added that the text does not hold, cut off, or left to chance.
fn make_plain(inner: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
    inner.with_truncation(None)?;
    inner.with_padding(None);
    inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
    if let ModelWrapper::BPE(model) = inner.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        inner.with_model(model);
    }
    Ok(())
}

/// Whether decoding the tokens of a text gives a space before it, and whether white space after it is dropped.
fn probe(inner: &tokenizers::Tokenizer) -> (bool, bool) {
    let ids = |text: &str| inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec()).ok();
    let Some(plain) = ids("a") else { return (false, true) };
    let begins_with_space = inner.decode(&plain, false).is_ok_and(|text| text.starts_with(' '));
    (begins_with_space, ids("a ") == Some(plain))
}

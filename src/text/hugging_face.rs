//! A Hugging Face `tokenizer.json`, read and run by the `tokenizers` crate.
//!
//! Where tokens are bytes, decoding token by token is our own, because the crate gives U+FFFD for a character that is not complete
//! yet.

mod bounds;
mod steps;

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::ops::Range;
use std::panic::catch_unwind;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;

use super::decoder::Piece;
use super::encoding::EncodingBuilder;
use super::escape::escape_invisible;
use super::memory::Memory;
use super::split;
use super::tail::Joint;
use super::utf8::{incomplete_len, whole_chars};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use bounds::check_rules;
use steps::{Encoded, Steps};

pub(super) use bounds::GROWTH_MAX;

/// The tokenizer of a `tokenizer.json`.
pub(super) struct HuggingFace {
    inner: tokenizers::Tokenizer,
    steps: Steps,
    format: EntryFormat,
    /// The tokens that the file marks as special: they add no text.
    special: HashSet<TokenId>,
    unk: Option<TokenId>,
    /// The characters that occur in some entry; `None` if every character has a token, be it the unknown token or a token for
    /// each of its bytes. Otherwise the crate may drop a character that is not in this set.
    known_chars: Option<HashSet<char>>,
    white_space: WhiteSpace,
}

/// How the tokenizer treats white space at the ends of a text.
struct WhiteSpace {
    /// Whether decoding from the start of a text gives a space that encoding has added.
    begins_with_space: bool,
    /// Whether white space at the end of a text is in no token.
    drops_trailing: bool,
}

/// What is read of the file before the crate reads it: the unknown token of its model, by entry or by id, which the crate does not
/// expose, and the rules that it may not survive.
#[derive(Deserialize)]
struct Head {
    model: UnknownTokenOfModel,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct UnknownTokenOfModel {
    unk_token: Option<String>,
    unk_id: Option<TokenId>,
}

/// What the vocabulary's entries stand for.
enum EntryFormat {
    /// Each entry stands for bytes. These are the bytes by id.
    ByteLevel(Vec<Box<[u8]>>),
    /// An entry of the form `<0xE2>` stands for a byte, any other for text.
    ByteFallback,
    /// Each entry stands for text, which the file's decoder joins.
    Text,
}

impl HuggingFace {
    /// The number of earlier tokens that decoding looks at: the token before, or those that an incomplete character has begun in.
    pub(super) const CONTEXT_MAX: usize = 8;

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// `Load` if the crate cannot read the file or its vocabulary is empty.
    pub(super) fn parse(file: &[u8]) -> Result<(Self, Vocabulary)> {
        let refused = |error: &dyn Display| Error::load(format!("not a Hugging Face tokenizer: {error}"));
        let head: Head = serde_json::from_slice(file).map_err(|error| refused(&error))?;
        let Head { model, normalizer, pre_tokenizer, decoder } = head;
        for (key, rules) in
            [("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("decoder", decoder)]
        {
            check_rules(key, &rules).map_err(|why| refused(&why))?;
        }
        // The crate panics on some files that are JSON but not tokenizers.
        let read = catch_unwind(|| tokenizers::Tokenizer::from_bytes(file));
        let read = read.map_err(|_| refused(&"one of its parts has unexpected fields"))?;
        let mut inner = read.map_err(|error| refused(&error))?;
        disable_extras(&mut inner).map_err(|error| refused(&error))?;
        let entries = inner.get_vocab(true);
        check_ids(&entries, file.len()).map_err(|why| refused(&why))?;
        let vocabulary = Vocabulary::sparse(entries);
        if vocabulary.len() == 0 {
            return Err(refused(&"its vocabulary is empty"));
        }
        let format = EntryFormat::new(inner.get_decoder(), &vocabulary);
        let added = inner.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        let unk = match model.unk_token {
            Some(entry) => vocabulary.id_of(&entry),
            None => model.unk_id,
        };
        let may_drop_chars = unk.is_none() && !matches!(format, EntryFormat::ByteLevel(_));
        let known_chars = may_drop_chars.then(|| vocabulary.entries().flat_map(str::chars).collect());
        let white_space = WhiteSpace::probe(&inner);
        let steps = Steps::new(&inner).map_err(|why| refused(&why))?;
        Ok((Self { inner, steps, format, special, unk, known_chars, white_space }, vocabulary))
    }

    /// The file's own unknown token.
    pub(super) fn unk(&self) -> Option<TokenId> {
        self.unk
    }

    /// Whether the file marks `token` as special.
    pub(super) fn is_special(&self, token: TokenId) -> bool {
        self.special.contains(&token)
    }

    /// Whether white space at the end of a text is in no token.
    pub(super) fn drops_white_space(&self) -> bool {
        self.white_space.drops_trailing
    }

    /// Adds the tokens of `text[line]` to `builder`.
    ///
    /// # Errors
    /// `UnknownToken` for a part of the text that has no token, if the model has no unknown token either. The crate itself drops
    /// such a part or fails. As [`Memory::take`].
    pub(super) fn encode(
        &self,
        text: &str,
        line: Range<usize>,
        builder: &mut EncodingBuilder<'_>,
    ) -> Result<()> {
        let Encoded { encoding, bytes } =
            self.steps.encode(&self.inner, &text[line.clone()], builder.memory())?;
        let Some(encoding) = encoding else {
            builder.memory().give_back(bytes);
            let refused = self.first_refused_word(text, line, builder.memory())?;
            return Err(builder.unknown_word(refused));
        };
        if let Some(dropped) = self.first_dropped_char(text, line.clone(), builder.memory())? {
            return Err(builder.unknown_word(dropped));
        }
        for (&token, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            builder.token(token, line.start + start..line.start + end)?;
        }
        drop(encoding);
        builder.memory().give_back(bytes);
        Ok(())
    }

    /// The first character of `text[line]` that the model drops because it has no unknown token.
    ///
    /// The offsets that the crate gives do not show it: those after a dropped character are wrong.
    fn first_dropped_char(
        &self,
        text: &str,
        line: Range<usize>,
        memory: &mut dyn Memory,
    ) -> Result<Option<Range<usize>>> {
        let Some(known) = &self.known_chars else { return Ok(None) };
        let mut checked = HashSet::new();
        for (at, c) in text[line.clone()].char_indices() {
            let is_new = !c.is_whitespace() && !known.contains(&c) && checked.insert(c);
            if is_new && self.drops_char(c, memory)? {
                let start = line.start + at;
                return Ok(Some(start..start + c.len_utf8()));
            }
        }
        Ok(None)
    }

    /// Whether the model drops `c`: a second `c` then changes the normalised text, but not the tokens.
    fn drops_char(&self, c: char, memory: &mut dyn Memory) -> Result<bool> {
        let once = c.to_string();
        let twice = once.repeat(2);
        Ok(self.ids(&once, memory)? == self.ids(&twice, memory)?
            && self.steps.normalised(&self.inner, &once, memory)?
                != self.steps.normalised(&self.inner, &twice, memory)?)
    }

    /// The ids of a short text; `None` if the crate fails.
    fn ids(&self, text: &str, memory: &mut dyn Memory) -> Result<Option<Vec<TokenId>>> {
        let Encoded { encoding, bytes } = self.steps.encode(&self.inner, text, memory)?;
        memory.give_back(bytes);
        Ok(encoding.map(|encoding| encoding.get_ids().to_vec()))
    }

    /// The first word of `text[line]` that the crate fails to encode alone.
    fn first_refused_word(
        &self,
        text: &str,
        line: Range<usize>,
        memory: &mut dyn Memory,
    ) -> Result<Range<usize>> {
        for at in split::whitespace(&text[line.clone()]) {
            let word = line.start + at.start..line.start + at.end;
            if self.ids(&text[word.clone()], memory)?.is_none() {
                return Ok(word);
            }
        }
        Ok(line)
    }

    /// The text that `token` adds to a line. `past` are the line's last tokens that add text, at most [`Self::CONTEXT_MAX`].
    pub(super) fn piece(&self, past: &[TokenId], joint: Joint, token: TokenId) -> Piece {
        let mut bytes = self.incomplete_bytes(past);
        let own = self.bytes(token);
        let text = match &own {
            Some(own) => {
                bytes.extend_from_slice(own);
                whole_chars(&bytes)
            }
            None => String::from_utf8_lossy(&bytes).into_owned() + &self.added_text(past, token),
        };
        let text = match text.strip_prefix(' ') {
            Some(rest) if self.space_is_implied(past, joint) => rest.to_owned(),
            _ => text,
        };
        Piece { text, bytes: own.filter(|own| std::str::from_utf8(own).is_err()) }
    }

    /// Whether a space at the beginning of the next token's text is not shown.
    pub(super) fn space_is_implied(&self, past: &[TokenId], joint: Joint) -> bool {
        if past.is_empty() {
            self.white_space.begins_with_space
        } else {
            self.white_space.drops_trailing && joint == Joint::Open
        }
    }

    /// The text of an incomplete character at the end of `past`: U+FFFD, or nothing if there is none.
    pub(super) fn held_back(&self, past: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.incomplete_bytes(past)).into_owned()
    }

    /// The bytes of an incomplete character at the end of `past`.
    fn incomplete_bytes(&self, past: &[TokenId]) -> Vec<u8> {
        let mut last = Vec::new();
        for own in past.iter().rev().map_while(|&token| self.bytes(token)) {
            last.splice(..0, own);
            if last.len() >= 3 {
                break;
            }
        }
        last.split_off(last.len() - incomplete_len(&last))
    }

    /// The bytes that `token` stands for; `None` if it stands for text.
    fn bytes(&self, token: TokenId) -> Option<Vec<u8>> {
        match &self.format {
            EntryFormat::ByteLevel(bytes) => {
                Some(bytes.get(token as usize).map_or(Vec::new(), |own| own.to_vec()))
            }
            EntryFormat::ByteFallback => {
                fallback_byte(&self.inner.id_to_token(token)?).map(|byte| vec![byte])
            }
            EntryFormat::Text => None,
        }
    }

    /// The text that a token adds which stands for text: what the decoder gives with it, without what it gives without it.
    fn added_text(&self, past: &[TokenId], token: TokenId) -> String {
        let mut context: Vec<TokenId> = past.iter().map(|&token| self.context_token(token)).collect();
        let decode = |tokens: &[TokenId]| self.inner.decode(tokens, false).unwrap_or_default();
        let before = decode(&context);
        context.push(token);
        let after = decode(&context);
        let same =
            before.chars().zip(after.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        after[same..].to_owned()
    }

    /// The token that replaces `token` in the context given to the decoder: for a byte, the token of the byte `a`. The decoder turns
    /// a run of byte tokens that is not valid UTF-8 into U+FFFD for every byte of the run, the earlier ones included.
    fn context_token(&self, token: TokenId) -> TokenId {
        if self.bytes(token).is_none() {
            return token;
        }
        self.inner.token_to_id("<0x61>").unwrap_or(token)
    }
}

impl WhiteSpace {
    /// Finds out by encoding and decoding a short text.
    fn probe(inner: &tokenizers::Tokenizer) -> Self {
        let ids = |text: &str| inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec()).ok();
        match ids("a") {
            None => Self { begins_with_space: false, drops_trailing: true },
            Some(plain) => Self {
                begins_with_space: inner.decode(&plain, false).is_ok_and(|text| text.starts_with(' ')),
                drops_trailing: ids("a ") == Some(plain),
            },
        }
    }
}

impl EntryFormat {
    fn new(decoder: Option<&DecoderWrapper>, vocabulary: &Vocabulary) -> Self {
        let steps = match decoder {
            Some(DecoderWrapper::Sequence(sequence)) => sequence.get_decoders(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        match steps {
            [DecoderWrapper::ByteLevel(_)] => {
                let bytes = (0..vocabulary.len()).map(|id| byte_level_bytes(vocabulary.entry(id as TokenId)));
                EntryFormat::ByteLevel(bytes.collect())
            }
            steps if steps.iter().any(|step| matches!(step, DecoderWrapper::ByteFallback(_))) => {
                EntryFormat::ByteFallback
            }
            _ => EntryFormat::Text,
        }
    }
}

/// Refuses ids that a file of `bytes` bytes has no room for: each entry of a dense vocabulary takes more than one byte.
fn check_ids(entries: &HashMap<String, TokenId>, bytes: usize) -> Result<(), String> {
    match entries.iter().max_by_key(|&(_, id)| id) {
        Some((entry, &id)) if id as usize >= bytes => Err(format!(
            "the entry `{}` has the id {id}; the maximum in a file of {bytes} bytes is {}",
            escape_invisible(entry),
            bytes - 1
        )),
        _ => Ok(()),
    }
}

/// The bytes of a byte-level entry, in which each byte is written as a visible character (Radford et al. 2019). An entry with any
/// other character is an added token, which is plain text.
fn byte_level_bytes(entry: &str) -> Box<[u8]> {
    let bytes: Option<Vec<u8>> = entry.chars().map(byte_of_char).collect();
    bytes.unwrap_or_else(|| entry.as_bytes().to_vec()).into()
}

/// The byte that `c` stands for: the visible characters of Latin-1 stand for themselves; the other bytes are written, in order, as
/// the characters from U+0100 on.
fn byte_of_char(c: char) -> Option<u8> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => Some(code as u8).filter(visible),
        code => (0..=0xff).filter(|byte| !visible(byte)).nth(code as usize - 0x100),
    }
}

/// The byte that an entry such as `<0xE2>` stands for.
fn fallback_byte(entry: &str) -> Option<u8> {
    let digits = entry.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// Turns off whatever adds tokens that the text does not contain, truncates it, or makes its tokens random.
fn disable_extras(inner: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
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

//! The tokenizer: a vocabulary, a way of splitting texts, and the rules that are applied before splitting.

use std::ops::Range;
use std::sync::OnceLock;

use super::completion::Completions;
use super::encoding::{EncodingBuilder, Wanted};
use super::escape::escape_invisible;
use super::hugging_face::HuggingFace;
use super::memory::{Memory, Unbounded};
use super::rules::Rules;
use super::split::{self, Part, Pattern};
use super::tail::Joint;
use super::vocabulary::Vocabulary;
use super::{Encoding, TokenizerKind, TokenizerSpec};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lm::TokenId;

/// Turns text into tokens and back. It is immutable and shared by everything that uses a model.
pub struct Tokenizer {
    scheme: Scheme,
    rules: Rules,
    vocabulary: Vocabulary,
    unk: Option<TokenId>,
    eos: Option<TokenId>,
    newline: Option<TokenId>,
    sha256: String,
    completions: OnceLock<Completions>,
}

/// How a text is split: the kind of tokenizer, with the data that the kind needs.
pub(super) enum Scheme {
    Whitespace,
    Word(Pattern),
    Char,
    HuggingFace(Box<HuggingFace>),
}

impl Tokenizer {
    /// The tokenizer that `spec` specifies. `file` holds the bytes of a `vocab.txt`, or of a `tokenizer.json` for
    /// [`TokenizerKind::HuggingFace`].
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load), naming the line or the key at fault, what was found and what was expected.
    pub fn new(spec: &TokenizerSpec, file: &[u8]) -> Result<Self> {
        if spec.pattern.is_some() && spec.kind != TokenizerKind::Word {
            let kind = spec.kind.name();
            return Err(Error::load(format!(
                "`pattern` is set although `kind` is `{kind}`; it is accepted only with `word`"
            )));
        }
        let (scheme, vocabulary, own_unk) = match spec.kind {
            TokenizerKind::Whitespace => (Scheme::Whitespace, Vocabulary::parse(file)?, None),
            TokenizerKind::Char => (Scheme::Char, Vocabulary::parse(file)?, None),
            TokenizerKind::Word => {
                let pattern = Pattern::new(spec.pattern.as_deref())?
                    .with_literal(spec.unk.as_deref().unwrap_or_default());
                (Scheme::Word(pattern), Vocabulary::parse(file)?, None)
            }
            TokenizerKind::HuggingFace => {
                let (scheme, vocabulary) = HuggingFace::parse(file)?;
                let own_unk = scheme.unk();
                (Scheme::HuggingFace(Box::new(scheme)), vocabulary, own_unk)
            }
        };
        let literal = match &scheme {
            Scheme::Word(pattern) => pattern.literal(),
            _ => None,
        };
        let rules = Rules::new(spec, literal)?;
        let special = |key: &str, entry: &Option<String>| match entry {
            None => Ok(None),
            Some(entry) => vocabulary.id_of(entry).map(Some).ok_or_else(|| {
                Error::load(format!(
                    "`{key}` is `{}`, which is not in the vocabulary",
                    escape_invisible(entry)
                ))
            }),
        };
        let unk = special("unk", &spec.unk)?.or(own_unk);
        let eos = special("eos", &spec.eos)?;
        let newline = special("newline", &spec.newline)?;
        let sha256 = sha256(spec, &scheme, file);
        let completions = OnceLock::new();
        Ok(Self { scheme, rules, vocabulary, unk, eos, newline, sha256, completions })
    }

    /// How texts are split.
    pub fn kind(&self) -> TokenizerKind {
        match self.scheme {
            Scheme::Whitespace => TokenizerKind::Whitespace,
            Scheme::Word(_) => TokenizerKind::Word,
            Scheme::Char => TokenizerKind::Char,
            Scheme::HuggingFace(_) => TokenizerKind::HuggingFace,
        }
    }

    /// The number of entries. All ids are less than it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token of words that are not in the vocabulary: the one the manifest names, or else that of the `tokenizer.json`.
    pub fn unk(&self) -> Option<TokenId> {
        self.unk
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// The token of a line end, if line ends are tokens.
    pub fn newline(&self) -> Option<TokenId> {
        self.newline
    }

    /// The SHA-256 of the file and the rules, in hexadecimal. Perplexities are comparable only if it is equal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The entry of `token`; empty if it has none.
    pub fn entry(&self, token: TokenId) -> &str {
        self.vocabulary.entry(token)
    }

    /// The token whose entry is `entry`.
    pub fn id_of(&self, entry: &str) -> Option<TokenId> {
        self.vocabulary.id_of(entry)
    }

    /// The tokens of `text`. No token is added that the text does not contain.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownToken`](crate::error::ErrorKind::UnknownToken), with the word and its offset in characters, if a word is not
    /// in the vocabulary and there is no unknown token.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        self.encode_wanted(text, Wanted::ALL)
    }

    /// As [`Self::encode`], but only what is wanted.
    ///
    /// # Errors
    /// As [`Self::encode`]; `TextTooLong` if the text has too many tokens.
    pub fn encode_wanted(&self, text: &str, wanted: Wanted) -> Result<Encoding> {
        self.encode_within(text, wanted, &mut Unbounded)
    }

    /// As [`Self::encode_wanted`], in memory that is asked for before it is allocated: [`Encoding::bytes`] of it is still in use
    /// afterwards.
    ///
    /// # Errors
    /// As [`Self::encode_wanted`] and [`Memory::take`].
    pub fn encode_within(&self, text: &str, wanted: Wanted, memory: &mut dyn Memory) -> Result<Encoding> {
        let rewritten = self.rules.apply_within(text, memory)?;
        let mut builder = EncodingBuilder::new(self, &rewritten, wanted, memory);
        let mut start = 0;
        if let Some(newline) = self.newline {
            for (at, end) in rewritten.text().match_indices('\n') {
                self.encode_line(rewritten.text(), start..at, &mut builder)?;
                start = at + end.len();
                builder.token(newline, at..start)?;
            }
        }
        self.encode_line(rewritten.text(), start..rewritten.text().len(), &mut builder)?;
        let joint = if text.is_empty() { Joint::Open } else { self.joint(rewritten.text()) };
        Ok(builder.finish(joint, text.chars().count()))
    }

    fn encode_line(&self, text: &str, line: Range<usize>, builder: &mut EncodingBuilder<'_>) -> Result<()> {
        let shift = |range: Range<usize>| line.start + range.start..line.start + range.end;
        let line_text = &text[line.clone()];
        match &self.scheme {
            Scheme::Whitespace => {
                split::whitespace(line_text).try_for_each(|range| builder.word(shift(range)))
            }
            Scheme::Char => split::chars(line_text).try_for_each(|range| builder.word(shift(range))),
            Scheme::Word(pattern) => pattern.split(line_text).try_for_each(|part| match part {
                Part::Word(range) => builder.word(shift(range)),
                Part::Unmatched(range) => builder.unknown(shift(range)),
            }),
            Scheme::HuggingFace(scheme) => scheme.encode(text, line, builder),
        }
    }

    /// How a normalised text ends: open if it ends in white space that is in no token.
    fn joint(&self, text: &str) -> Joint {
        let dropped = match &self.scheme {
            Scheme::Whitespace | Scheme::Word(_) => true,
            Scheme::Char => false,
            Scheme::HuggingFace(scheme) => scheme.drops_white_space(),
        };
        if dropped && text.ends_with(char::is_whitespace) { Joint::Open } else { Joint::Closed }
    }

    /// Whether `token` adds nothing to a text.
    pub(super) fn adds_no_text(&self, token: TokenId) -> bool {
        let special_in_file = matches!(&self.scheme, Scheme::HuggingFace(scheme) if scheme.is_special(token));
        Some(token) != self.newline && (Some(token) == self.eos || special_in_file && Some(token) != self.unk)
    }

    /// What the tokens add to a half-typed word. The first call builds it, which takes milliseconds, or longer for a large
    /// `tokenizer.json`.
    pub fn completions(&self) -> &Completions {
        self.completions.get_or_init(|| Completions::new(self))
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The digest of everything that determines the ids of a text.
fn sha256(spec: &TokenizerSpec, scheme: &Scheme, file: &[u8]) -> String {
    let mut digest = Digest::default();
    let pattern = match scheme {
        Scheme::Word(pattern) => Some(pattern.as_str()),
        _ => None,
    };
    digest.field(spec.kind.name().as_bytes());
    for entry in [spec.unk.as_deref(), spec.eos.as_deref(), spec.newline.as_deref(), pattern] {
        digest.field(if entry.is_some() { b"some" } else { b"none" });
        digest.field(entry.unwrap_or_default().as_bytes());
    }
    digest.field(if spec.lowercase { b"lowercase" } else { b"" });
    let mut replace: Vec<_> = spec.replace.iter().collect();
    replace.sort();
    digest.field(&(replace.len() as u64).to_le_bytes());
    for (key, value) in replace {
        digest.field(key.as_bytes());
        digest.field(value.as_bytes());
    }
    digest.field(file);
    digest.finish()
}

//! The tokenizer: one vocabulary, one way of splitting, and the rules applied before it.

use std::ops::Range;

use super::encoding::Draft;
use super::hugging_face::HuggingFace;
use super::rules::Rules;
use super::split::{self, Part, Pattern};
use super::visible::visible;
use super::vocabulary::Vocabulary;
use super::{Encoding, Kind, TokenizerSpec};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lm::{Joint, TokenId};

/// Text to tokens and back. Immutable, and shared by everything that uses a model.
pub struct Tokenizer {
    scheme: Scheme,
    rules: Rules,
    vocabulary: Vocabulary,
    unk: Option<TokenId>,
    eos: Option<TokenId>,
    newline: Option<TokenId>,
    sha256: String,
}

/// How a text is split, with what each kind needs for it.
pub(super) enum Scheme {
    Whitespace,
    Word(Pattern),
    Char,
    HuggingFace(Box<HuggingFace>),
}

impl Tokenizer {
    /// A tokenizer of the rules `spec` over `file`: the bytes of a `vocab.txt`, or of a `tokenizer.json` for [`Kind::HuggingFace`].
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) naming the line or the key at fault, what was found and what was expected.
    pub fn new(spec: &TokenizerSpec, file: &[u8]) -> Result<Self> {
        if spec.pattern.is_some() && spec.kind != Kind::Word {
            let kind = spec.kind.name();
            return Err(Error::load(format!(
                "`pattern` is there, but `kind` is `{kind}`; expected it with `word` only"
            )));
        }
        let rules = Rules::new(spec)?;
        let (scheme, vocabulary, own_unk) = match spec.kind {
            Kind::Whitespace => (Scheme::Whitespace, Vocabulary::parse(file)?, None),
            Kind::Char => (Scheme::Char, Vocabulary::parse(file)?, None),
            Kind::Word => {
                (Scheme::Word(Pattern::new(spec.pattern.as_deref())?), Vocabulary::parse(file)?, None)
            }
            Kind::HuggingFace => {
                let (scheme, vocabulary) = HuggingFace::parse(file)?;
                let own_unk = scheme.unk();
                (Scheme::HuggingFace(Box::new(scheme)), vocabulary, own_unk)
            }
        };
        let special = |key: &str, entry: &Option<String>| match entry {
            None => Ok(None),
            Some(entry) => vocabulary.id_of(entry).map(Some).ok_or_else(|| {
                Error::load(format!("`{key}` is `{}`, which the vocabulary does not have", visible(entry)))
            }),
        };
        let unk = special("unk", &spec.unk)?.or(own_unk);
        let (eos, newline) = (special("eos", &spec.eos)?, special("newline", &spec.newline)?);
        let sha256 = sha256(spec, &scheme, file);
        Ok(Self { scheme, rules, vocabulary, unk, eos, newline, sha256 })
    }

    /// How texts are split.
    pub fn kind(&self) -> Kind {
        match self.scheme {
            Scheme::Whitespace => Kind::Whitespace,
            Scheme::Word(_) => Kind::Word,
            Scheme::Char => Kind::Char,
            Scheme::HuggingFace(_) => Kind::HuggingFace,
        }
    }

    /// Number of entries; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token of words outside the vocabulary: the manifest's, or else that of the `tokenizer.json`.
    pub fn unk(&self) -> Option<TokenId> {
        self.unk
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// The token of a line end, where line ends have one of their own.
    pub fn newline(&self) -> Option<TokenId> {
        self.newline
    }

    /// SHA-256 over the file and the rules, in hexadecimal: perplexities compare only where it is equal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The vocabulary's entry; empty for an id without one.
    pub fn entry(&self, token: TokenId) -> &str {
        self.vocabulary.entry(token)
    }

    /// The token whose entry is `entry`.
    pub fn id_of(&self, entry: &str) -> Option<TokenId> {
        self.vocabulary.id_of(entry)
    }

    /// `text` as tokens. Nothing is added that the text does not hold.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownToken`](crate::error::ErrorKind::UnknownToken) with the word and its place in characters, when a word is
    /// outside the vocabulary and there is no unknown token.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        let rewritten = self.rules.apply(text);
        let mut draft = Draft::new(self, &rewritten);
        let mut start = 0;
        if let Some(newline) = self.newline {
            for (at, end) in rewritten.text().match_indices('\n') {
                self.encode_line(rewritten.text(), start..at, &mut draft)?;
                start = at + end.len();
                draft.token(newline, at..start);
            }
        }
        self.encode_line(rewritten.text(), start..rewritten.text().len(), &mut draft)?;
        let joint = if text.is_empty() { Joint::Open } else { self.joint(rewritten.text()) };
        Ok(draft.finish(joint, text.chars().count()))
    }

    fn encode_line(&self, text: &str, line: Range<usize>, draft: &mut Draft<'_>) -> Result<()> {
        let shift = |range: Range<usize>| line.start + range.start..line.start + range.end;
        let piece = &text[line.clone()];
        match &self.scheme {
            Scheme::Whitespace => split::whitespace(piece).try_for_each(|range| draft.word(shift(range))),
            Scheme::Char => split::chars(piece).try_for_each(|range| draft.word(shift(range))),
            Scheme::Word(pattern) => pattern.split(piece).try_for_each(|part| match part {
                Part::Word(range) => draft.word(shift(range)),
                Part::Unmatched(range) => draft.unknown(shift(range)),
            }),
            Scheme::HuggingFace(scheme) => scheme.encode(text, line, draft),
        }
    }

    /// How a rewritten text ends: open where white space at its end is in no token.
    fn joint(&self, text: &str) -> Joint {
        let dropped = match &self.scheme {
            Scheme::Whitespace | Scheme::Word(_) => true,
            Scheme::Char => false,
            Scheme::HuggingFace(scheme) => scheme.drops_white_space(),
        };
        if dropped && text.ends_with(char::is_whitespace) { Joint::Open } else { Joint::Closed }
    }

    /// Whether `token` adds nothing to a text.
    pub(super) fn is_silent(&self, token: TokenId) -> bool {
        let of_scheme = matches!(&self.scheme, Scheme::HuggingFace(scheme) if scheme.is_special(token));
        Some(token) != self.newline && (Some(token) == self.eos || of_scheme && Some(token) != self.unk)
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The digest over all that decides the ids of a text.
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

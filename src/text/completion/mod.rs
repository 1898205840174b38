//! How words are completed: what each token adds to a half-typed word, found by an index over the vocabulary.
//!
//! Where each token is a word, the completions of a prefix are a range of the sorted vocabulary. Otherwise a word is put together
//! from tokens: [`Progress`] says how far it has come, and which tokens continue or end it. Nothing here knows a model.

mod beginning;
mod extra;
mod index;
mod progress;

pub use beginning::{Beginning, CompletedWord, HalfTyped};
pub use extra::{ExtraWords, WeightedWord};
use index::PrefixIndex;
pub use progress::{Case, Progress, Typed};

use super::decoder::Piece;
use super::tail::Tail;
use super::tokenizer::{Scheme, Tokenizer};
use crate::lm::TokenId;

/// What the tokens of a vocabulary add to a half-typed word. Built once for each tokenizer.
pub struct Completions {
    /// Whether each token is a whole word.
    words_are_tokens: bool,
    /// The tokens whose text can be shown, by their text.
    index: PrefixIndex,
    /// The tokens that begin a word after white space or, if they are words, at any place.
    starts: Vec<TokenId>,
    /// The tokens that are a space.
    blank: Vec<TokenId>,
    /// The tokens that are a space and the start of a word after it.
    spaced: Vec<TokenId>,
    /// The tokens that continue a word.
    inner: Vec<TokenId>,
    /// The tokens before which a word ends.
    ends: Vec<TokenId>,
}

/// What a token does to a word that is put together from tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It consists of characters of a word.
    Inner,
    /// It begins with a space; the start of a word, or nothing, follows.
    Spaced,
    /// It begins with any other character that is in no word, or it ends a line or the text.
    End,
    /// It is in no word that is suggested: the unknown token, a part of a character, or one in which a word ends.
    Unusable,
}

impl Completions {
    /// The tokens of `tokenizer`.
    pub(super) fn new(tokenizer: &Tokenizer) -> Self {
        let texts = Texts::new(tokenizer);
        let words_are_tokens = matches!(tokenizer.scheme(), Scheme::Whitespace | Scheme::Word(_));
        let mut all = Self {
            words_are_tokens,
            index: PrefixIndex::default(),
            starts: Vec::new(),
            blank: Vec::new(),
            spaced: Vec::new(),
            inner: Vec::new(),
            ends: Vec::new(),
        };
        let mut shown = Vec::new();
        for token in 0..tokenizer.vocab_size() as TokenId {
            let text = texts.of(token);
            if words_are_tokens {
                all.add_word(token, text.as_deref().unwrap_or_default());
            } else {
                all.add_part(token, text.as_deref());
            }
            shown.extend(text.filter(|text| !text.is_empty()).map(|text| (text.into(), token)));
        }
        all.index = PrefixIndex::new(shown);
        all
    }

    fn add_word(&mut self, token: TokenId, text: &str) {
        if text.starts_with(char::is_alphanumeric) {
            self.starts.push(token);
        }
    }

    fn add_part(&mut self, token: TokenId, text: Option<&str>) {
        match role(text) {
            Role::Inner => {
                self.inner.push(token);
                if text.is_some_and(|text| text.starts_with(char::is_alphanumeric)) {
                    self.starts.push(token);
                }
            }
            Role::Spaced => {
                let spaced = if text == Some(" ") { &mut self.blank } else { &mut self.spaced };
                spaced.push(token);
                self.ends.push(token);
            }
            Role::End => self.ends.push(token),
            Role::Unusable => {}
        }
    }

    /// Whether each token is a whole word.
    pub fn words_are_tokens(&self) -> bool {
        self.words_are_tokens
    }

    /// The words that begin with what was typed, if each token is a word. Without a typed character, those that begin with a letter
    /// or a digit.
    pub fn words(&self, typed: &Typed) -> &[TokenId] {
        match typed.text() {
            "" => &self.starts,
            text => self.index.beginning_with(text, typed.case()),
        }
    }

    /// The tokens before which a word ends, by rising id.
    pub fn ends(&self) -> &[TokenId] {
        &self.ends
    }
}

/// What `text`, the text of a token, does to a word; `None` if the token has none that can be shown.
fn role(text: Option<&str>) -> Role {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Role::Unusable };
    match text.chars().next() {
        Some(' ') if is_start(&text[1..]) => Role::Spaced,
        Some(first) if !is_inner(first) => Role::End,
        _ if text.chars().all(is_inner) => Role::Inner,
        _ => Role::Unusable,
    }
}

/// Whether `text` may follow white space: nothing, or characters of a word, the first of which may begin one.
fn is_start(text: &str) -> bool {
    text.chars().all(is_inner) && text.chars().next().is_none_or(char::is_alphanumeric)
}

/// Whether `c` may be in a word: a letter with its marks, a digit, or an apostrophe.
fn is_inner(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '’' | '\u{300}'..='\u{36f}')
}

/// The texts that tokens add in the middle of a line.
struct Texts<'a> {
    tokenizer: &'a Tokenizer,
    tail: Tail,
}

impl<'a> Texts<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        let letter = tokenizer.encode("a").ok().and_then(|encoding| encoding.tokens.first().copied());
        let tail = Tail::new(letter.as_slice(), super::Joint::Closed);
        Self { tokenizer, tail }
    }

    /// The text of `token`; `None` for the unknown token, and for a token that contains a part of a character. The end of a text counts
    /// as a line end.
    fn of(&self, token: TokenId) -> Option<String> {
        let tokenizer = self.tokenizer;
        if Some(token) == tokenizer.unk() {
            return None;
        }
        if Some(token) == tokenizer.newline() || tokenizer.adds_no_text(token) {
            return Some("\n".to_owned());
        }
        match tokenizer.scheme() {
            Scheme::HuggingFace(_) => {
                let Piece { text, bytes } = tokenizer.piece(&self.tail, token);
                bytes.is_none().then_some(text)
            }
            Scheme::Whitespace | Scheme::Word(_) | Scheme::Char => Some(tokenizer.entry(token).to_owned()),
        }
    }
}

//! What tokens and words look like in JSON, the same on every route.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::service::{Input, InputToken, TokenId, TokenText, Word};

/// A token.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct TokenObject {
    /// Its id.
    pub(super) id: TokenId,
    /// The vocabulary's entry.
    pub(super) token: String,
    /// What it adds to the text.
    pub(super) text: String,
    /// Its bytes, where they are not whole characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Vec<u8>>,
}

impl From<TokenText> for TokenObject {
    fn from(token: TokenText) -> Self {
        let TokenText { id, entry, text, bytes } = token;
        Self { id, token: entry, text, bytes }
    }
}

/// A token and how likely the model holds it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct TokenLogprob {
    #[serde(flatten)]
    token: TokenObject,
    /// `ln P(token)`.
    logprob: f64,
}

impl From<(TokenText, f64)> for TokenLogprob {
    fn from((token, logprob): (TokenText, f64)) -> Self {
        Self { token: token.into(), logprob }
    }
}

/// A token of a text that the client sent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct InputTokenObject {
    #[serde(flatten)]
    token: TokenObject,
    /// The first character of the text that it stands for; absent where an id was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<usize>,
    /// The character after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<usize>,
    /// Whether it stands for a word outside the vocabulary.
    unknown: bool,
}

impl From<InputToken> for InputTokenObject {
    fn from(token: InputToken) -> Self {
        let InputToken { token, span, unknown } = token;
        let (start, end) = span.map(|span| (span.start, span.end)).unzip();
        Self { token: token.into(), start, end, unknown }
    }
}

/// A word, or a token's id.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(untagged, expecting = "found neither a word nor a token id, expected one of them")]
pub(super) enum WordOrId {
    /// A word that is one token.
    Word(String),
    /// A token's id.
    Id(TokenId),
}

impl From<WordOrId> for Word {
    fn from(word: WordOrId) -> Self {
        match word {
            WordOrId::Word(text) => Self::Text(text),
            WordOrId::Id(id) => Self::Token(id),
        }
    }
}

/// A text, or the ids of its tokens.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[serde(untagged)]
pub(super) enum TextOrIds {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<TokenId>),
}

impl From<TextOrIds> for Input {
    fn from(text: TextOrIds) -> Self {
        match text {
            TextOrIds::Text(text) => Self::Text(text),
            TextOrIds::Ids(ids) => Self::Tokens(ids),
        }
    }
}

// Written out, because serde's untagged enums keep a list whole before they try it, at many times its size, and then do not
// say which of its entries is wrong.
impl<'de> Deserialize<'de> for TextOrIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = TextOrIds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrIds, E> {
                Ok(TextOrIds::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TextOrIds, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(TextOrIds::Ids)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

//! Types of JSON that several routes share: tokens and words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::{self, TokenText};

/// A token, as every answer shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": 512, "token": "sea", "text": " sea"}))]
pub(super) struct Token {
    pub(super) id: u32,
    /// The vocabulary's entry.
    pub(super) token: String,
    /// What it adds to the text.
    pub(super) text: String,
    /// Its bytes, where they are only a part of a character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Vec<u8>>,
}

/// A token of a request's input.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InputToken {
    #[serde(flatten)]
    pub(super) token: Token,
    /// The first of the text's characters that it stands for; absent when it was sent as an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<usize>,
    /// The character after the last that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<usize>,
    /// Whether it stands for a word outside the vocabulary.
    pub(super) unknown: bool,
}

/// A token of a request's input, and how likely it was.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ScoredToken {
    #[serde(flatten)]
    pub(super) token: InputToken,
    /// Natural; null where nothing precedes the token.
    pub(super) logprob: Option<f64>,
}

/// A word, or a token's id.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(untagged, expecting = "expected a word or a token's id, which is a whole number")]
pub(super) enum Word {
    Text(String),
    Token(u32),
}

/// A logprob as JSON has it: null for what cannot happen, which has probability 0.
pub(super) fn finite(logprob: f64) -> Option<f64> {
    logprob.is_finite().then_some(logprob)
}

impl From<TokenText> for Token {
    fn from(token: TokenText) -> Self {
        let TokenText { id, entry, text, bytes } = token;
        Self { id, token: entry, text, bytes }
    }
}

impl From<service::InputToken> for InputToken {
    fn from(input: service::InputToken) -> Self {
        let service::InputToken { token, span, unknown } = input;
        let (start, end) = span.map(|span| (span.start, span.end)).unzip();
        Self { token: token.into(), start, end, unknown }
    }
}

impl From<service::ScoredToken> for ScoredToken {
    fn from(scored: service::ScoredToken) -> Self {
        Self { token: scored.token.into(), logprob: scored.logprob }
    }
}

impl From<Word> for service::Word {
    fn from(word: Word) -> Self {
        match word {
            Word::Text(text) => Self::Text(text),
            Word::Token(token) => Self::Token(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn a_word_is_a_text_or_an_id_and_anything_else_is_refused_in_plain_words() {
        assert_eq!(from_str::<Word>("\"sea\"").unwrap(), Word::Text("sea".into()));
        assert_eq!(from_str::<Word>("7").unwrap(), Word::Token(7));
        for wrong in ["-1", "1.5", "true", "null", "4294967296", "[7]"] {
            let message = from_str::<Word>(wrong).unwrap_err().to_string();
            assert!(message.starts_with("expected a word or a token's id"), "{wrong}: {message}");
        }
    }

    #[test]
    fn what_does_not_apply_is_left_out_but_a_logprob_is_null() {
        let token = TokenText { id: 3, entry: "sea".into(), text: " sea".into(), bytes: None };
        let token = service::InputToken { token, span: None, unknown: false };
        let scored = service::ScoredToken { token, logprob: None };
        let expected = json!({"id": 3, "token": "sea", "text": " sea", "unknown": false, "logprob": null});
        assert_eq!(to_value(ScoredToken::from(scored)).unwrap(), expected);
    }
}

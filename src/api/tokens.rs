//! Tokens as answers show them, and the requests that turn texts into tokens and back.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"id": 512, "token": "sea", "text": " sea"}))]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// The token's entry in the vocabulary.
    pub token: String,
    /// The text that the token adds to the text before it.
    pub text: String,
    /// The token's bytes, if they are not whole characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
}

/// A token of the request's input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The offset, in characters, of the token's first character in the text. Absent if the input was token ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// The offset, in characters, of the end of the token in the text. Absent if the input was token ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// Whether the token stands for a word that is not in the vocabulary.
    pub unknown: bool,
}

/// A token of the request's input with its log-probability.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScoredToken {
    /// The token.
    #[serde(flatten)]
    pub token: InputToken,
    /// The natural logarithm of the token's probability; null if that is 0, which a model can say of tokens that it rules out, or if
    /// the token is not scored: if nothing precedes it, or if it is unknown and excluded.
    pub logprob: Option<f64>,
}

/// A text to split into tokens.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and the sea"}))]
pub struct TokenizeRequest {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// The text.
    /// Limit: `--max-text`.
    pub text: String,
    /// Whether the tokens are also listed with their texts and their places in the input. If so, the text may have at most
    /// `--max-pieces` tokens.
    pub pieces: bool,
}

fields!(TokenizeRequest { model, text, pieces });

impl Default for TokenizeRequest {
    fn default() -> Self {
        Self { model: None, text: String::new(), pieces: true }
    }
}

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TokenizeResponse {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// The same tokens with their texts and their places in the input, unless `pieces` was false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Vec<InputToken>>,
    /// The number of words that are not in the vocabulary.
    pub unknown_count: usize,
}

/// Tokens to join into a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"tokens": [2, 8, 9]}))]
pub struct DetokenizeRequest {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// The token ids.
    /// Limit: `--max-prompt-tokens`.
    pub tokens: Vec<u32>,
}

fields!(DetokenizeRequest { model, tokens });

/// The text of the tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DetokenizeResponse {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn what_does_not_apply_is_left_out_but_a_logprob_is_null() {
        let token = Token { id: 3, token: "sea".into(), text: " sea".into(), bytes: None };
        let token = InputToken { token, start: None, end: None, unknown: false };
        let expected = json!({"id": 3, "token": "sea", "text": " sea", "unknown": false, "logprob": null});
        assert_eq!(to_value(ScoredToken { token, logprob: None }).unwrap(), expected);
    }
}

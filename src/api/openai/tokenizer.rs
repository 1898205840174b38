//! The tokenizer of a model, as evaluation harnesses ask for it. Unlike in [`crate::api::tokens`], special tokens stand in a text by
//! their names.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::fields;

/// Which model's tokenizer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerQuery {
    /// The model. If absent, the default model.
    pub model: Option<String>,
}

fields!(TokenizerQuery { model });

/// The tokenizer of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenizerInfo {
    /// The model.
    pub model: String,
    /// How texts are split: `whitespace`, `word`, `char` or `huggingface`.
    pub tokenizer_kind: &'static str,
    /// The SHA-256 of the tokenizer, in hexadecimal.
    pub tokenizer_sha256: String,
    /// The number of tokens.
    pub vocab_size: usize,
    /// The token that the model reads first, if there is exactly one.
    pub bos_token: Option<String>,
    /// The token that ends a text.
    pub eos_token: Option<String>,
    /// The token of words that are not in the vocabulary.
    pub unk_token: Option<String>,
    /// Always null: texts need not be of equal length.
    pub pad_token: Option<String>,
    /// Always null: the models continue texts and hold no conversations.
    pub chat_template: Option<String>,
}

/// A text to split into tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"prompt": "the old man<eos>"}))]
pub struct TokenizePromptRequest {
    /// The text. The names of the model's special tokens stand for these tokens.
    /// Limit: `--max-text`.
    pub prompt: String,
    /// Whether the model's initial tokens are put before those of the text.
    pub add_special_tokens: bool,
    /// The model, if the query string does not name it.
    pub model: Option<String>,
}

fields!(TokenizePromptRequest { prompt, add_special_tokens, model });

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenizedPrompt {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// Their number.
    pub count: usize,
}

/// Tokens to join into a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"tokens": [2, 8, 9]}))]
pub struct DetokenizePromptRequest {
    /// The token ids.
    /// Limit: `--max-prompt-tokens`.
    pub tokens: Vec<u32>,
    /// The model, if the query string does not name it.
    pub model: Option<String>,
}

fields!(DetokenizePromptRequest { tokens, model });

/// The text of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DetokenizedPrompt {
    /// The text. A special token that adds nothing to a text stands in it by its name.
    pub prompt: String,
}

//! Suggestions: whole words for a half-typed one, after a text or in a session.

use std::ops::Not;

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::prompt::Prompt;
use super::state::Carried;

/// A half-typed word to complete, after a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and the s", "top_k": 3}))]
pub struct SuggestRequest {
    /// What precedes the word. If there is no `prefix`, the unfinished last word of `text` is the prefix.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// What is asked for.
    #[serde(flatten)]
    pub suggest: Suggest,
    /// A state to start from.
    #[serde(flatten)]
    pub carried: Carried,
}

fields!(SuggestRequest {} + prompt: Prompt + suggest: Suggest + carried: Carried);

/// A half-typed word to complete, and how many words to suggest.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"prefix": "s", "top_k": 3}))]
pub struct Suggest {
    /// What is typed of the word, and the white space before it that was not read. It is never read by a session.
    /// Limit: `--max-prefix-length`.
    pub prefix: Option<String>,
    /// The number of suggestions.
    /// Limit: `--max-suggestions`.
    #[schema(minimum = 1)]
    pub top_k: usize,
    /// Whether the case of the prefix is ignored.
    pub ignore_case: bool,
    /// The number of words of each suggestion: the completed word, and the most likely words after it.
    /// Limit: `--max-next-words`.
    #[schema(minimum = 1)]
    pub next_words: usize,
    /// Words that are suggested although the model does not know them. In a session, they take the place of the session's own. Words of the vocabulary
    /// are left out: they keep their own probability.
    /// Limit: `--max-extra-words`.
    pub extra_words: Vec<ExtraWord>,
}

fields!(Suggest { prefix, top_k, ignore_case, next_words, extra_words });

/// A word that the model does not know. All of them share the probability of the unknown token.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "Zaphod", "weight": 2}))]
pub struct ExtraWord {
    /// The word, without white space.
    pub text: String,
    /// The word's share, in relation to the other words.
    #[schema(exclusive_minimum = 0)]
    pub weight: f64,
}

fields!(ExtraWord { text, weight });

impl Default for ExtraWord {
    fn default() -> Self {
        Self { text: String::new(), weight: 1.0 }
    }
}

impl Default for Suggest {
    fn default() -> Self {
        Self { prefix: None, top_k: 3, ignore_case: true, next_words: 1, extra_words: Vec::new() }
    }
}

/// Suggestions for a half-typed word.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SuggestResponse {
    /// The model.
    pub model: String,
    /// The number of tokens read since the model's start, without the half-typed word.
    pub position: u64,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The suggestions.
    #[serde(flatten)]
    pub suggested: Suggestions,
    /// The state after what was read, without the half-typed word, for the field `state` of another request; if the request has asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Suggestions, those with the most likely first word first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Suggestions {
    /// The suggestions; fewer than `top_k` if fewer words begin with the prefix.
    pub suggestions: Vec<Suggestion>,
}

/// A word, or several words.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"text": "sea", "append": "ea", "tokens": [211], "prob": 0.03, "logprob": -3.5}))]
pub struct Suggestion {
    /// The whole word or words.
    pub text: String,
    /// What is to be appended to what was typed. A session that accepts the suggestion appends `prefix` and `append`.
    pub append: String,
    /// The ids of the tokens, from the first token after what was read.
    pub tokens: Vec<u32>,
    /// The probability of the words after what was read: that of their tokens, and where words consist of several tokens, of the last word
    /// ending there.
    pub prob: f64,
    /// The natural logarithm of `prob`.
    pub logprob: f64,
    /// Whether the first word is one of the extra words; absent if not.
    #[serde(skip_serializing_if = "Not::not")]
    #[schema(required = false)]
    pub unknown: bool,
}

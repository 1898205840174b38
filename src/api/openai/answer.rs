//! Completions, in one answer or in chunks.

use serde::ser::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::generate::{Alternative, FinishReason, SessionPosition, Usage};
use crate::api::stream::StreamError;

/// Completions of one or several prompts.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct Completion {
    /// A random id.
    pub id: String,
    /// Always `text_completion`.
    pub object: &'static str,
    /// When the request was accepted, in seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// The completions. That of prompt p and choice i has the index `p * n + i`.
    pub choices: Vec<CompletionChoice>,
    /// The number of tokens read and drawn.
    pub usage: Usage,
    /// The seed of the draws, given or chosen.
    pub seed: u64,
    /// The session that moved, and where it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

/// A part of the completions in a stream.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct CompletionChunk {
    /// A random id, the same in all chunks.
    pub id: String,
    /// Always `text_completion`.
    pub object: &'static str,
    /// When the request was accepted, in seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// The choice to which text is added; none in the last chunk with `usage`.
    pub choices: Vec<CompletionChoice>,
    /// The number of tokens read and drawn, in the last chunk if `include_usage` asks for it; otherwise null.
    pub usage: Option<Usage>,
    /// The seed of the draws, given or chosen.
    pub seed: u64,
    /// The session that moved, and where it stands now, in the chunk that ends the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPosition>,
}

/// The data of an event of the stream. After the last, the data is `[DONE]`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
#[serde(untagged)]
pub enum CompletionEvent {
    /// A part of the completions.
    Chunk(CompletionChunk),
    /// The end of a stream that failed.
    Failed(StreamError),
}

/// A completion, or a part of one.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct CompletionChoice {
    /// Which completion it is: that of prompt p and choice i has the index `p * n + i`.
    pub index: usize,
    /// The text to append to the prompt or, in a stream, to the text before; with `echo`, it begins with the prompt.
    pub text: String,
    /// The tokens with their log-probabilities, if the request asks for them; otherwise null.
    pub logprobs: Option<CompletionLogprobs>,
    /// Why the text ended; null in a stream until it has ended.
    pub finish_reason: Option<CompletionFinish>,
    /// Why the text ended, in more detail; null in a stream until it has ended.
    pub stop_reason: Option<FinishReason>,
}

/// Why a completion ended, in the terms of OpenAI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompletionFinish {
    /// A stop string was reached, or the end-of-text token was drawn.
    Stop,
    /// `max_tokens` tokens were drawn, or the time was up.
    Length,
}

impl From<FinishReason> for CompletionFinish {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop | FinishReason::Eos => Self::Stop,
            FinishReason::Length
            | FinishReason::Timeout
            | FinishReason::Cancelled
            | FinishReason::Shutdown => Self::Length,
        }
    }
}

/// Tokens with their log-probabilities: with `echo` those of the prompt, then all tokens drawn, including those that ended the text. All lists
/// have an entry for each token.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// The text that each token adds to the text before it.
    pub tokens: Vec<String>,
    /// The natural logarithm of each token's probability by the model, whatever the filters; null if nothing precedes the token.
    pub token_logprobs: Vec<Option<f64>>,
    /// The log-probabilities of the most likely tokens at each place, and of the token itself, by their texts; null if nothing precedes
    /// the token. Tokens with equal texts have one entry: that of the token itself, or else of the most likely one.
    #[schema(value_type = Vec<Option<std::collections::BTreeMap<String, f64>>>)]
    pub top_logprobs: Vec<Option<TopLogprobs>>,
    /// Where each token begins in `text`, in characters. In a stream, `text` means all text of the choice so far.
    pub text_offset: Vec<usize>,
}

/// The log-probabilities of tokens by their texts, the most likely first. No text occurs twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopLogprobs(Vec<(String, f64)>);

impl TopLogprobs {
    /// The `alternatives`, and the token of the text itself.
    pub fn new(alternatives: &[Alternative], text: &str, logprob: f64) -> Self {
        let mut entries: Vec<(String, f64)> = Vec::with_capacity(alternatives.len() + 1);
        let all = alternatives.iter().map(|one| (one.token.text.as_str(), one.logprob));
        for (found, of_found) in all.chain([(text, logprob)]) {
            if entries.iter().all(|(known, _)| known != found) {
                entries.push((found.to_owned(), if found == text { logprob } else { of_found }));
            }
        }
        Self(entries)
    }
}

impl Serialize for TopLogprobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::to_string;

    use super::*;
    use crate::api::tokens::Token;

    #[test]
    fn equal_texts_have_one_entry_and_the_token_of_the_text_goes_first() {
        let alternative = |id, text: &str, logprob| {
            let token = Token { id, token: text.into(), text: text.into(), bytes: None };
            Alternative { token, logprob }
        };
        let alternatives = [alternative(1, " a", -0.5), alternative(2, "", -1.0), alternative(3, "", -2.0)];
        let top = |text: &str, logprob| to_string(&TopLogprobs::new(&alternatives, text, logprob)).unwrap();
        assert_eq!(top(" z", -7.25), r#"{" a":-0.5,"":-1.0," z":-7.25}"#);
        assert_eq!(top("", -2.0), r#"{" a":-0.5,"":-2.0}"#);
        assert_eq!(to_string(&TopLogprobs::new(&[], "x", -3.0)).unwrap(), r#"{"x":-3.0}"#);
    }
}

//! What a generation is asked for.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::error::{ApiError, ApiResult, Code};
use crate::http::extract::accepts;
use crate::http::wire::Word;
use crate::service::{self, Commit, GenerateRequest, Input, SamplingSpec, SessionId, Source, Unknown};

/// A generation: where it starts, how tokens are drawn, when it ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the old man", "max_tokens": 20, "temperature": 0.8, "seed": 7}))]
pub(in crate::http) struct GenerateBody {
    /// The model; the default one when absent. On a session it must be the session's.
    model: Option<String>,
    /// Read first. At most one of `text` and `tokens`.
    text: Option<String>,
    /// Read first, as token ids.
    tokens: Option<Vec<u32>>,
    /// Tokens drawn at most. Default 64.
    max_tokens: Option<usize>,
    /// Whether the answer is a stream of server-sent events; when absent, the header `accept` decides.
    stream: Option<bool>,
    /// Makes the draws repeatable, 0 to 2^53 - 1; made up, and returned, when absent.
    seed: Option<u64>,
    /// Divides the logits; 0 always takes the most likely token. Default 1.
    temperature: Option<f64>,
    /// Draw among so many of the most likely tokens.
    top_k: Option<usize>,
    /// Draw among the fewest most likely tokens that together have this probability.
    top_p: Option<f64>,
    /// Draw among tokens at least this likely, as a share of the probability of the most likely one.
    min_p: Option<f64>,
    /// Words and token ids that are never drawn.
    banned: Option<Vec<Word>>,
    /// Whether the unknown token may be drawn. Default false.
    allow_unknown: Option<bool>,
    /// Strings that end the text, which ends before them.
    stop: Option<Vec<String>>,
    /// Whether the end-of-text token ends the text. Default true, unless it is the newline.
    stop_at_eos: Option<bool>,
    /// Whether an answer in one piece lists its tokens with their logprobs. A stream always gives them.
    token_logprobs: Option<bool>,
    /// The most likely tokens listed with each token; asks for `token_logprobs` too. Default 0.
    top_logprobs: Option<usize>,
    /// Ends the generation after so many milliseconds; at most the server's `--request-timeout`, which is the default.
    timeout_ms: Option<u64>,
    /// On a session only: whether it moves. Default true.
    commit: Option<bool>,
    /// On a session only: where it must stand.
    expected_position: Option<u64>,
}

/// How the answer is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In one piece, as JSON.
    Whole,
    /// Token by token, as server-sent events.
    Stream,
}

/// Whether an answer in one piece lists its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// With their logprobs.
    Listed,
    /// By their ids alone.
    Ids,
}

impl GenerateBody {
    pub(super) fn delivery(&self, headers: &HeaderMap) -> Delivery {
        let asked = || accepts(headers, "text/event-stream");
        if self.stream.unwrap_or_else(asked) { Delivery::Stream } else { Delivery::Whole }
    }

    pub(super) fn token_list(&self) -> Tokens {
        let listed = self.token_logprobs == Some(true) || self.top_logprobs.is_some_and(|count| count > 0);
        if listed { Tokens::Listed } else { Tokens::Ids }
    }

    /// Whether sending the request again could move a session twice.
    pub(super) fn is_unguarded_write(&self) -> bool {
        self.commit != Some(false) && self.expected_position.is_none()
    }

    /// The request from the start of a model.
    ///
    /// # Errors
    /// What only a session takes, and what no request takes.
    pub(super) fn at_start(self) -> ApiResult<GenerateRequest> {
        let of_sessions =
            [("commit", self.commit.is_some()), ("expected_position", self.expected_position.is_some())];
        if let Some((field, _)) = of_sessions.into_iter().find(|(_, given)| *given) {
            let message = format!("unknown field `{field}`: only the generation of a session takes it");
            return Err(ApiError::new(Code::UnknownField, message).at(field));
        }
        let source = Source::Model(self.model.clone());
        self.at(source)
    }

    /// The request on the session `id`.
    ///
    /// # Errors
    /// What no request takes.
    pub(super) fn on_session(self, id: SessionId) -> ApiResult<GenerateRequest> {
        let source = Source::Session { id, model: self.model.clone() };
        self.at(source)
    }

    fn at(self, source: Source) -> ApiResult<GenerateRequest> {
        let defaults = SamplingSpec::default();
        Ok(GenerateRequest {
            source,
            input: Input::new(self.text, self.tokens)?,
            tokens_max: self.max_tokens.unwrap_or(GenerateRequest::TOKENS_MAX),
            sampling: SamplingSpec {
                temperature: self.temperature.unwrap_or(defaults.temperature),
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                banned: self.banned.unwrap_or_default().into_iter().map(service::Word::from).collect(),
                unknown: if self.allow_unknown == Some(true) { Unknown::Allowed } else { Unknown::RuledOut },
            },
            seed: self.seed,
            stops: self.stop.unwrap_or_default(),
            stop_at_eos: self.stop_at_eos,
            commit: if self.commit == Some(false) { Commit::Leave } else { Commit::Move },
            expected_position: self.expected_position,
            alternatives: self.top_logprobs.unwrap_or_default(),
            timeout: self.timeout_ms.map(Duration::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn request(body: Value) -> GenerateRequest {
        from_value::<GenerateBody>(body).unwrap().at_start().unwrap()
    }

    #[test]
    fn what_is_absent_or_null_is_the_default_of_the_contract() {
        let request_of_nothing = request(json!({}));
        let expected = GenerateRequest {
            source: Source::Model(None),
            input: Input::Empty,
            tokens_max: 64,
            sampling: SamplingSpec::default(),
            seed: None,
            stops: Vec::new(),
            stop_at_eos: None,
            commit: Commit::Move,
            expected_position: None,
            alternatives: 0,
            timeout: None,
        };
        assert_eq!(request_of_nothing, expected);
        let nulls =
            ["model", "text", "max_tokens", "stream", "stop", "banned", "allow_unknown", "timeout_ms"];
        let nulls: Value = nulls.into_iter().map(|field| (field.to_owned(), Value::Null)).collect();
        assert_eq!(request(nulls), expected);
    }

    #[test]
    fn a_write_is_guarded_by_a_position_or_is_none() {
        let unguarded = |body: Value| from_value::<GenerateBody>(body).unwrap().is_unguarded_write();
        assert!(unguarded(json!({})) && unguarded(json!({"commit": true})));
        assert!(!unguarded(json!({"commit": false})) && !unguarded(json!({"expected_position": 0})));
    }

    #[test]
    fn the_body_decides_on_a_stream_and_else_the_header() {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/event-stream"))]);
        let delivery = |body: Value| from_value::<GenerateBody>(body).unwrap().delivery(&headers);
        assert_eq!(delivery(json!({})), Delivery::Stream);
        assert_eq!(delivery(json!({"stream": false})), Delivery::Whole);
    }
}

//! How likely texts are, as an answer.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::wire::ScoredToken;
use crate::service::{ScoreResponse, ScoreResult};

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scored {
    model: String,
    /// In the order of the texts.
    results: Vec<Scores>,
    /// All texts together.
    total: Scores,
}

/// How likely a text is. Ratios are null where nothing was scored, or no number is large enough.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scores {
    /// Tokens, an added end of text included.
    token_count: usize,
    /// Tokens that were scored: all but a first one that nothing precedes.
    scored_count: usize,
    /// Words outside the vocabulary.
    unknown_count: usize,
    /// Runs of non-white-space in the scored part.
    word_count: usize,
    /// Unicode scalars in the scored part.
    char_count: usize,
    /// Bytes of the scored part in UTF-8.
    byte_count: usize,
    /// The sum over the scored tokens; natural.
    logprob: f64,
    logprob_base10: f64,
    /// `exp(-logprob / scored_count)`. Compares only between equal tokenizers.
    perplexity: Option<f64>,
    /// `exp(-logprob / word_count)`.
    word_perplexity: Option<f64>,
    bits_per_token: Option<f64>,
    /// Compares between any tokenizers.
    bits_per_char: Option<f64>,
    bits_per_byte: Option<f64>,
    /// The tokens and their logprobs, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_logprobs: Option<Vec<ScoredToken>>,
}

impl Scored {
    /// The answer for one text.
    pub(crate) fn one(model: &str, result: ScoreResult) -> Self {
        let total = ScoreResult { tokens: None, ..result.clone() };
        Self { model: model.to_owned(), results: vec![result.into()], total: total.into() }
    }
}

impl From<ScoreResponse> for Scored {
    fn from(response: ScoreResponse) -> Self {
        Self {
            model: response.model.to_string(),
            results: response.results.into_iter().map(Scores::from).collect(),
            total: response.total.into(),
        }
    }
}

impl From<ScoreResult> for Scores {
    fn from(result: ScoreResult) -> Self {
        Self {
            token_count: result.token_count,
            scored_count: result.scored_count,
            unknown_count: result.unknown_count,
            word_count: result.word_count,
            char_count: result.char_count,
            byte_count: result.byte_count,
            logprob: result.logprob,
            logprob_base10: result.logprob_base10(),
            perplexity: result.perplexity(),
            word_perplexity: result.word_perplexity(),
            bits_per_token: result.bits_per_token(),
            bits_per_char: result.bits_per_char(),
            bits_per_byte: result.bits_per_byte(),
            token_logprobs: result.tokens.map(|tokens| tokens.into_iter().map(ScoredToken::from).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn what_is_not_scored_has_a_sum_of_0_and_no_ratios() {
        let result = ScoreResult { token_count: 1, unknown_count: 1, ..ScoreResult::default() };
        let counts = json!({"token_count": 1, "scored_count": 0, "unknown_count": 1, "word_count": 0, "char_count": 0,
            "byte_count": 0, "logprob": 0.0, "logprob_base10": 0.0, "perplexity": null, "word_perplexity": null,
            "bits_per_token": null, "bits_per_char": null, "bits_per_byte": null});
        let expected = json!({"model": "m", "results": [counts], "total": counts});
        assert_eq!(to_value(Scored::one("m", result)).unwrap(), expected);
    }

    #[test]
    fn a_certain_text_has_perplexity_1_and_no_bits() {
        let counts = ScoreResult { token_count: 2, scored_count: 2, word_count: 1, ..ScoreResult::default() };
        let scores = to_value(Scores::from(counts)).unwrap();
        assert_eq!((&scores["perplexity"], &scores["bits_per_char"]), (&json!(1.0), &json!(null)));
        assert_eq!(scores["bits_per_token"].to_string(), "0.0", "without a sign");
    }
}

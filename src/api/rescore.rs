//! Rescoring: the hypotheses of a recogniser, ranked again with a language model.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};

use super::choice::choices;
use super::error::{ErrorCode, ErrorDetail};
use super::fields;
use super::independent::Independent;
use super::mixture::{MixturePart, MixtureText};
use super::prompt::TextOrIds;
use super::unknown::Unknown;

/// Utterances to rescore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"utterances": [{"id": "utt-1", "hypotheses": [
    {"text": "the old man and the see", "score": -41.2}, {"text": "the old man and the sea", "score": -41.5}]}],
    "lm_weight": 0.7}))]
pub struct RescoreRequest {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// Several models in place of one, whose probabilities are interpolated linearly. Not beside `model`.
    /// Limit: `--max-mixture`.
    #[schema(min_items = 1)]
    pub mixture: Option<Vec<MixturePart>>,
    /// The utterances.
    /// Limit: `--max-utterances`.
    #[schema(required, min_items = 1)]
    pub utterances: Option<Vec<Utterance>>,
    /// How they are rescored.
    #[serde(flatten)]
    pub rescoring: Rescoring,
}

fields!(RescoreRequest { model, mixture, utterances } + rescoring: Rescoring);

/// The options for a body of one utterance a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RescoreQuery {
    /// The model of an NDJSON body. If absent, the default model.
    pub model: Option<String>,
    /// Several models in place of one.
    #[schema(schema_with = MixtureText::described)]
    pub mixture: Option<MixtureText>,
    /// How an NDJSON body is rescored.
    #[serde(flatten)]
    pub rescoring: Rescoring,
}

fields!(RescoreQuery { model, mixture } + rescoring: Rescoring);

/// How hypotheses are rescored: `total = score + lm_weight * lm_logprob + old_lm_weight * lm_score + word_penalty * words`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rescoring {
    /// The weight of the language model.
    #[schema(minimum = -1e6, maximum = 1e6)]
    pub lm_weight: f64,
    /// The weight of `lm_score`. If `score` contains `lm_score`, a negative weight takes it out.
    #[schema(minimum = -1e6, maximum = 1e6)]
    pub old_lm_weight: f64,
    /// What is added for each word. A negative number prefers short hypotheses.
    #[schema(minimum = -1e6, maximum = 1e6)]
    pub word_penalty: f64,
    /// The model's share where a hypothesis has `word_probs`.
    #[schema(minimum = 0, maximum = 1)]
    pub lambda: f64,
    /// The base of every logarithm in the request and in the answer.
    #[schema(schema_with = LogBase::described)]
    pub log_base: LogBase,
    /// What is done with unknown words.
    #[schema(schema_with = Unknown::described_in_log_base)]
    pub unknown: Unknown,
    /// Whether the end-of-text token is scored after each hypothesis. If absent, it is if the model has one.
    #[schema(default = true)]
    pub add_eos: Option<bool>,
    /// Where an utterance starts: at the model's start (`none`), or where the best hypothesis of the utterance before has led (`best`).
    #[schema(schema_with = Carry::described)]
    pub carry: Carry,
}

fields!(Rescoring { lm_weight, old_lm_weight, word_penalty, lambda, log_base, unknown, add_eos, carry });

impl Rescoring {
    /// The largest magnitude of a weight.
    pub const WEIGHT_MAX: f64 = 1e6;
}

impl Default for Rescoring {
    fn default() -> Self {
        Self {
            lm_weight: 0.5,
            old_lm_weight: 0.0,
            word_penalty: 0.0,
            lambda: 0.5,
            log_base: LogBase::E,
            unknown: Unknown::Include,
            add_eos: None,
            carry: Carry::None,
        }
    }
}

/// The base of logarithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum LogBase {
    /// Natural logarithms.
    #[default]
    #[serde(rename = "e")]
    E,
    /// Logarithms to base 10, as in ARPA files.
    #[serde(rename = "10")]
    Ten,
}

choices!(LogBase { "e" => E, "10" => Ten } expecting "`e` and 10");

impl LogBase {
    fn described() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["e", "10"]));
        let number = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([10]));
        OneOfBuilder::new()
            .item(text)
            .item(number)
            .description(Some("The base of every logarithm in the request and in the answer: `e` or 10"))
            .default(Some("e".into()))
            .into()
    }
}

/// Where an utterance starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carry {
    /// At the model's start.
    #[default]
    None,
    /// Where the best hypothesis of the utterance before has led.
    Best,
}

impl Carry {
    fn described() -> RefOr<Schema> {
        let description = "Where an utterance starts: at the model's start (`none`), or where the best hypothesis of the utterance \
            before has led (`best`)";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["none", "best"]))
            .description(Some(description))
            .default(Some("none".into()))
            .into()
    }
}

choices!(Carry { "none" => None, "best" => Best } expecting "`none` and `best`");

/// What was said, as a recogniser understood it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"id": "utt-1", "hypotheses": [{"text": "the old man and the sea", "score": -41.5}]}))]
pub struct Utterance {
    /// A name of at most 1024 bytes, which the answer repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub id: Option<String>,
    /// A text that is read before every hypothesis and is not scored, or the ids of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<TextOrIds>,
    /// The hypotheses.
    /// Limit: `--max-hypotheses`.
    #[schema(required, min_items = 1)]
    pub hypotheses: Vec<Hypothesis>,
}

fields!(Utterance { id, context, hypotheses });

impl Utterance {
    /// The longest `id`, in bytes.
    pub const ID_BYTES_MAX: usize = 1024;

    /// The utterance on a line of NDJSON.
    ///
    /// # Errors
    /// What is wrong with it. `param` is a path within the utterance.
    pub fn from_line(line: &[u8]) -> Result<Self, ErrorDetail> {
        let read = serde_json::from_slice::<Independent<Self>>(line);
        let not_json =
            |error| ErrorDetail::new(ErrorCode::InvalidJson, format!("the line is not JSON: {error}"));
        read.map_err(not_json)?.into_result()
    }
}

/// What may have been said. Exactly one of `text` and `tokens` is required; both may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hypothesis {
    /// The text.
    /// Limit: `--max-text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The ids of the tokens.
    /// Limit: `--max-prompt-tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<u32>>,
    /// What the recogniser thinks of it, without its language model if `lm_score` is given beside.
    #[schema(minimum = -1e12, maximum = 1e12)]
    pub score: f64,
    /// What the recogniser's language model thinks of it.
    #[schema(minimum = -1e12, maximum = 1e12)]
    pub lm_score: f64,
    /// The probability that another language model gives to each word (each token of `tokens`), and then to the end of the text if it
    /// is scored. The model's probability of each word is interpolated with it by `lambda`; an unknown word has this probability alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_probs: Option<Vec<f64>>,
}

fields!(Hypothesis { text, tokens, score, lm_score, word_probs });

impl Hypothesis {
    /// The largest magnitude of a score.
    pub const SCORE_MAX: f64 = 1e12;
}

/// The utterances with their hypotheses ranked.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RescoreResponse {
    /// The model; the names of a mixture are joined by `+`.
    pub model: String,
    /// One result for each utterance, in the order of the request.
    pub results: Vec<RescoredUtterance>,
}

/// The hypotheses of an utterance, the best first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RescoredUtterance {
    /// The utterance's name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The hypotheses by falling `total`; those of equal `total` in the order of the request.
    pub hypotheses: Vec<RescoredHypothesis>,
}

/// A hypothesis with its new scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct RescoredHypothesis {
    /// The hypothesis' index in the request, from 0.
    pub index: usize,
    /// Its rank, from 1.
    pub rank: usize,
    /// The logarithm of its probability, to the base `log_base`; null for probability 0.
    #[schema(value_type = Option<f64>, required)]
    pub lm_logprob: f64,
    /// `score + lm_weight * lm_logprob + old_lm_weight * lm_score + word_penalty * words`. Null for probability 0, which comes last,
    /// whatever the sign of `lm_weight`. With an `lm_weight` of 0 the model does not count, and a total is a number.
    #[schema(value_type = Option<f64>, required)]
    pub total: f64,
    /// The number of its words that are not in the vocabulary.
    pub unknown_count: usize,
}

/// The answer to a line: the utterance's hypotheses ranked, or why they are not.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum RescoredLine {
    /// The hypotheses.
    Answer(RescoredUtterance),
    /// The failure of this line alone.
    Failure(FailedLine),
}

/// A line that was not rescored.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FailedLine {
    /// The utterance's name, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it. `param` is a path within the utterance.
    pub error: ErrorDetail,
}

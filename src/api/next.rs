//! What comes next, and how likely: after a text, in a session, or for many of either in one call.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorBody, ErrorDetail};
use super::fields;
use super::independent::Independent;
use super::json_text::JsonText;
use super::mixture::MixturePart;
use super::prompt::{Prompt, Word};
use super::question::{Distribution, Question, Shown};
use super::sampling::Sampling;
use super::state::Carried;

/// A question from a model's start, or many questions in `requests`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and the", "top_k": 5, "candidates": ["sea", "ship"]}))]
pub struct NextRequest {
    /// Several models in place of one, whose probabilities are interpolated linearly. Not beside `model` or `sampling`.
    /// Limit: `--max-mixture`.
    #[schema(min_items = 1)]
    pub mixture: Option<Vec<MixturePart>>,
    /// What is read first, and what is asked.
    #[serde(flatten)]
    pub next: SessionNextRequest,
    /// Many questions in one call. No other field may be set beside it. A question that is wrong fails alone.
    /// Limit: `--max-requests`.
    #[schema(value_type = Option<Vec<NextEntry>>)]
    pub requests: Option<Vec<Independent<NextEntry>>>,
}

fields!(NextRequest { mixture, requests } + next: SessionNextRequest);

/// One of many questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NextEntry {
    /// The session to ask, which does not move. If absent, the question starts from the model's start.
    pub session: Option<String>,
    /// Several models in place of one, whose probabilities are interpolated linearly. Not beside `session`, `model` or `sampling`.
    /// Limit: `--max-mixture`.
    #[schema(min_items = 1)]
    pub mixture: Option<Vec<MixturePart>>,
    /// What is read first, and what is asked.
    #[serde(flatten)]
    pub next: SessionNextRequest,
}

fields!(NextEntry { session, mixture } + next: SessionNextRequest);

/// A question to a session. The prompt is read ahead on a copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "and", "top_k": 5}))]
pub struct SessionNextRequest {
    /// What is read first.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// What is asked.
    #[serde(flatten)]
    pub question: Question,
    /// A state to start from.
    #[serde(flatten)]
    pub carried: Carried,
}

fields!(SessionNextRequest {} + prompt: Prompt + question: Question + carried: Carried);

/// A question in a query string.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NextQuery {
    /// The model. If absent, the default model.
    pub model: Option<String>,
    /// The text to read.
    /// Limit: `--max-text`.
    #[schema(example = "the old man and the")]
    pub text: Option<String>,
    /// Continuations whose probability is asked for, as a JSON list of words, texts and token ids.
    /// Limit: `--max-candidates`.
    #[schema(value_type = Option<Vec<Word>>, example = json!(["sea", "ship"]))]
    pub candidates: Option<JsonText<Vec<Word>>>,
    /// Show the distribution that remains after these filters, a JSON object, instead of the model's own.
    #[schema(value_type = Option<Sampling>)]
    pub sampling: Option<JsonText<Sampling>>,
    /// How much of the distribution is shown.
    #[serde(flatten)]
    pub shown: Shown,
}

fields!(NextQuery { model, text, candidates, sampling } + shown: Shown);

impl TryFrom<NextQuery> for NextRequest {
    type Error = ErrorDetail;

    fn try_from(query: NextQuery) -> Result<Self, ErrorDetail> {
        let NextQuery { model, text, candidates, sampling, shown } = query;
        let candidates = candidates.map(|list| list.read("candidates")).transpose()?;
        let sampling = sampling.map(|filters| filters.read("sampling")).transpose()?;
        let prompt = Prompt { model, text, tokens: None };
        let question = Question { shown, candidates: candidates.unwrap_or_default(), sampling };
        let next = SessionNextRequest { prompt, question, carried: Carried::default() };
        Ok(Self { mixture: None, next, requests: None })
    }
}

/// The distribution over the next token.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NextResponse {
    /// The model.
    pub model: String,
    /// The number of tokens read since the model's start.
    pub position: u64,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The distribution.
    #[serde(flatten)]
    pub next: Distribution,
    /// The state after what was read, for the field `state` of another request; if the request has asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The answer to one question, or the answers to many.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NextReply {
    /// One answer.
    One(Box<NextResponse>),
    /// Many answers.
    Many(NextBatch),
}

/// The answers to many questions.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NextBatch {
    /// One result for each question, in the order of the request.
    pub responses: Vec<NextResult>,
}

/// The answer to one of many questions, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum NextResult {
    /// The answer.
    Answer(Box<NextResponse>),
    /// The error that a call of its own would have returned.
    Failure(ErrorBody),
}

//! How a session goes back.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields;
use super::question::{Distribution, Question};
use super::sessions::Expectation;
use super::suggest::{Suggest, Suggestions};

/// Where a session goes back to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"position": 4, "next": {"top_k": 3}}))]
pub struct RewindRequest {
    /// The position at which the session is to stand. Required. It must not be ahead of the session, nor more than the session's `rewind_tokens`
    /// behind it.
    pub position: Option<u64>,
    /// Where the session must stand before.
    #[serde(flatten)]
    pub expected: Expectation,
    /// A question about the token after that position.
    pub next: Option<Question>,
    /// A half-typed word after that position, to complete.
    pub suggest: Option<Suggest>,
}

fields!(RewindRequest { position, next, suggest } + expected: Expectation);

/// A session that has gone back.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RewindResponse {
    /// The position at which the session stands now.
    pub position: u64,
    /// The distribution over the next token, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Distribution>,
    /// The suggestions, if the request asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggest: Option<Suggestions>,
}

//! Sessions: created, listed, looked at, copied, reset and deleted. [`super::append`] has how one reads on,
//! [`super::rewind`] how one goes back.

use serde::Serialize;
use utoipa::ToSchema;

use super::cache::Cache;
use super::fields;
use super::prompt::Prompt;
use super::question::{Distribution, Question};
use super::suggest::ExtraWord;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Session {
    /// The session's id.
    pub id: String,
    /// The session's model.
    pub model: String,
    /// The number of tokens read since the model's start.
    pub position: u64,
    /// The size of the session's state, without bookkeeping.
    pub state_bytes: usize,
    /// When the session was created (RFC 3339).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the session was last read or written. Looking at it does not count.
    #[schema(format = DateTime)]
    pub last_used_at: String,
    /// When the session expires unless it is used.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Whether a write is running.
    pub busy: bool,
}

/// A session to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and", "next": {"top_k": 3}}))]
pub struct CreateSessionRequest {
    /// The session's id. If absent, the header `x-session-id` or else a random id.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$"
    )]
    pub id: Option<String>,
    /// What the session reads first.
    #[serde(flatten)]
    pub prompt: Prompt,
    /// How long the session lives.
    #[serde(flatten)]
    pub lifetime: Lifetime,
    /// Whether the session replaces an idle session with the same id.
    pub replace: bool,
    /// The number of tokens that the session can go back. What it keeps for this counts in its memory.
    /// Limit: `--rewind-max`.
    pub rewind_tokens: usize,
    /// Words that are suggested in the session although the model does not know them. They count in its memory.
    /// Limit: `--max-extra-words`.
    pub extra_words: Vec<ExtraWord>,
    /// The state from which the session starts instead of the model's start, in base64: that of another session, or what `return_state` returned.
    pub state: Option<String>,
    /// A cache, which the session keeps for good: it is mixed into all probabilities, and forked and rewound with the session. It counts in its memory. If absent, that of `state`, if
    /// there is one.
    pub cache: Option<Cache>,
    /// A question about the session's next token.
    pub next: Option<Question>,
}

fields!(CreateSessionRequest { id, replace, rewind_tokens, extra_words, state, cache, next } + prompt: Prompt + lifetime: Lifetime);

/// How long a session lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetime {
    /// The time to live after the session's last use. If absent, the maximum.
    /// Limit: `--session-ttl`.
    #[schema(exclusive_minimum = 0)]
    pub ttl_seconds: Option<f64>,
}

fields!(Lifetime { ttl_seconds });

/// The longest id of a session, in characters. The ids `.` and `..` are not accepted, because clients remove them from a path.
pub const SESSION_ID_LENGTH_MAX: usize = 128;

/// A session that was created.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CreatedSession {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// The number of words in the input that are not in the vocabulary.
    pub unknown_count: usize,
    /// The distribution over the session's next token, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Distribution>,
}

/// A page of the list of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListSessionsQuery {
    /// The maximum number of sessions to return. If absent, 100, or the maximum if that is smaller.
    /// Limit: `--sessions-page-max`.
    #[schema(minimum = 1)]
    pub limit: Option<usize>,
    /// The last id of the page before. It need not exist any more.
    pub after: Option<String>,
    /// Lists only the sessions of this model.
    pub model: Option<String>,
}

fields!(ListSessionsQuery { limit, after, model });

impl ListSessionsQuery {
    /// The `limit` of a request that gives none.
    pub const LIMIT_DEFAULT: usize = 100;
}

/// Sessions, in an order that the server chooses. A session that exists while all pages are read is listed exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionList {
    /// Always `list`.
    pub object: &'static str,
    /// The sessions.
    pub data: Vec<Session>,
    /// Whether there are more sessions after these.
    pub has_more: bool,
    /// The `after` of the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<String>,
}

/// What a write expects of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// The position at which the session must stand. Otherwise the answer is 412.
    pub expected_position: Option<u64>,
}

fields!(Expectation { expected_position });

/// A copy of a session to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"id": "what-if"}))]
pub struct ForkRequest {
    /// The id of the copy. If absent, a random id.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$"
    )]
    pub id: Option<String>,
    /// How long the copy lives; if absent, as long as the session that is copied.
    #[serde(flatten)]
    pub lifetime: Lifetime,
}

fields!(ForkRequest { id } + lifetime: Lifetime);

//! A session as a store keeps it: all that is needed to let it live on in another process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{SessionId, Snapshot};
use crate::text::ExtraWords;

/// A session, with times that mean the same in every process.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its name.
    pub id: SessionId,
    /// The name of its model.
    pub model: Arc<str>,
    /// Where it stands. It has no history.
    pub snapshot: Snapshot,
    /// How many tokens it may go back, once it has read them.
    pub rewind_tokens: usize,
    /// How long it lives after its last use.
    pub ttl: Duration,
    /// Words that are suggested in it although its model does not know them.
    pub extra_words: Option<Arc<ExtraWords>>,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was last used, up to an eighth of its time to live before it really was.
    pub last_used_at: SystemTime,
}

/// A session of a store that cannot live on, because its weights are not here.
#[derive(Clone, Debug)]
pub struct Unusable {
    /// Its name.
    pub id: SessionId,
    /// Why, for its clients.
    pub why: String,
    /// When it would have expired.
    pub expires_at: SystemTime,
}

//! A session as a store keeps it: all that is needed to let it live on in another process.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Name, SessionId, Sessions, Snapshot};
use crate::error::Result;
use crate::text::ExtraWords;

/// The name of a session in every process: its id, and its owner by name.
///
/// As text it is `owner/id`, or `id` if the session is anyone's. Ids have no `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredName {
    /// The name of its owner; `None` if it is anyone's.
    pub owner: Option<Arc<str>>,
    /// Its name among the sessions of the owner.
    pub id: SessionId,
}

/// A session, with times that mean the same in every process.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its name.
    pub name: StoredName,
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
    pub name: StoredName,
    /// Why, for its clients.
    pub why: String,
    /// When it would have expired.
    pub expires_at: SystemTime,
}

impl StoredName {
    /// The name that was written as `text`.
    ///
    /// # Errors
    /// `InvalidValue` if what should be the id cannot be one.
    pub fn parse(text: &str) -> Result<Self> {
        let (owner, id) = match text.split_once('/') {
            Some((owner, id)) => (Some(owner.into()), id),
            None => (None, text),
        };
        Ok(Self { owner, id: SessionId::parse(id)? })
    }
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{owner}/{}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// What a store asks of the sessions of all owners.
impl Sessions {
    /// The session for a store, with the effect of a write that is running as far as it is known; `None` if it does not exist. This is
    /// no use of the session.
    pub fn record(&self, name: &Name) -> Option<Record> {
        self.lock_whole().record(name, self.now(), self.time())
    }

    /// The name of a session in every process, whether it exists or not.
    pub fn stored_name(&self, name: &Name) -> StoredName {
        self.lock_whole().stored_name(name)
    }

    /// At most `limit` of the sessions after `after`, owner by owner, each as in [`Self::list`].
    pub fn names(&self, after: Option<&Name>, limit: usize) -> Vec<Name> {
        let now = self.now();
        self.lock_whole().names(after, now).take(limit).collect()
    }

    /// Whether a store is to keep an entry of this name: that of a session, or of one that cannot live on.
    pub fn holds(&self, name: &StoredName) -> bool {
        self.lock_whole().holds(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_name_is_read_as_it_was_written() {
        for text in ["s", "alice/s", "a.b-c_1/x:y"] {
            assert_eq!(StoredName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "/", "alice/", "alice/s/t", "a b"] {
            assert!(StoredName::parse(text).is_err(), "{text:?}");
        }
    }
}

//! What the table of sessions may hold.

use std::time::Duration;

/// The bounds of a [`Sessions`](super::Sessions) table.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Most sessions at once.
    pub sessions_max: usize,
    /// Most bytes of all sessions together: states, ids, bookkeeping.
    pub bytes_max: usize,
    /// How long a session lives after its last use, unless it was created with a time to live of its own.
    pub ttl: Duration,
    /// What happens when there is no room.
    pub evict: Evict,
    /// How long the table remembers why a session ended.
    pub gone_ttl: Duration,
    /// Most ended sessions remembered; the oldest are forgotten first.
    pub gone_max: usize,
    /// Most tokens that a session of a store may go back; whoever creates a session has a bound of their own.
    pub rewind_max: usize,
    /// The bounds of what one owner has.
    pub each_owner: OwnerLimits,
}

#[cfg(test)]
impl SessionLimits {
    /// More than a test fills, which sets what it is about.
    pub(crate) fn roomy(ttl: Duration) -> Self {
        Self {
            sessions_max: 100,
            bytes_max: usize::MAX,
            ttl,
            evict: Evict::Lru,
            gone_ttl: ttl,
            gone_max: 100,
            rewind_max: usize::MAX,
            each_owner: OwnerLimits::default(),
        }
    }
}

/// What one owner may have; without a bound where it is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerLimits {
    /// Most sessions at once.
    pub sessions_max: Option<usize>,
    /// Most bytes of all sessions together.
    pub bytes_max: Option<usize>,
}

/// What happens when there is no room for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evict {
    /// The least recently used idle session ends.
    Lru,
    /// The new session is refused.
    None,
}

//! A store that several servers share: sessions by key, each with the version of its last write and, while somebody writes, a claim.
//!
//! Everything that happens to a key is a [`Call`], which is atomic, and safe to make again when its reply was lost. A write is refused if
//! another server has written since the version that it rests on, or claims the session: the version is what fences off a server that was
//! away. A key expires with its session. What was deleted leaves a mark for a time, so that a server that was away does not bring it back.

use std::fmt;
use std::time::Duration;

use crate::error::Result;

/// Sessions that several servers share.
pub trait SharedStore: Send {
    /// Makes the calls in their order, and returns the reply of each. After an error each of them may have been made or not. No calls at
    /// all ask whether the store is there.
    ///
    /// # Errors
    /// `Internal`, with what the store was doing.
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Reply>>;
}

/// A server that shares a store. No two have the same number, also one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica(pub u64);

/// What a server wrote with one call. No two writes have the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Who wrote it.
    pub replica: Replica,
    /// The number of the write among those of the server.
    pub number: u64,
}

/// What a server asks of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The key.
    pub key: String,
    /// The server that asks.
    pub by: Replica,
    /// The stored version that its copy rests on; `None` without a copy, or if that was never stored.
    pub known: Option<Version>,
    /// What it asks.
    pub action: Action,
}

/// What is asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Whether the copy is as new as what is stored: `Done`, `Newer`, `Absent` or `Deleted`.
    Look,
    /// The exclusive right to write, for a time: as `Look`, with the claim, or `Busy`. What is absent or deleted is not claimed unless
    /// `reserve` says so; then the reply is `Done`.
    Claim {
        /// How long the claim lasts if it is not renewed.
        hold: Duration,
        /// Whether to claim a key that holds nothing.
        reserve: Reserve,
    },
    /// A write: `Done`, `Refused` or `Deleted`.
    Put {
        /// The version that it gets.
        version: Version,
        /// Where the session stands.
        position: u64,
        /// The session.
        bytes: Vec<u8>,
        /// How long it lives from now.
        ttl: Duration,
        /// How long the claim lasts from now; zero gives it back.
        hold: Duration,
    },
    /// Lets a session live longer, and keeps the claim or gives it back: `Done`, `Refused`, `Absent` or `Deleted`.
    Touch {
        /// How long it lives from now, if that is longer than it would.
        ttl: Duration,
        /// How long the claim lasts from now; zero gives it back.
        hold: Duration,
    },
    /// A deletion: `Done`, `Refused` or `Deleted`.
    Remove {
        /// The version of the mark that stays.
        version: Version,
        /// How long the mark stays.
        ttl: Duration,
    },
}

/// Whether a claim is for a key that holds no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// It is not.
    No,
    /// For one that holds nothing: the copy is to be written there.
    Absent,
    /// Also for one whose session was deleted: another is to be created.
    Deleted,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done; nothing newer is stored.
    Done,
    /// This is stored, and newer than the copy.
    Newer(Stored),
    /// Another server claims the session.
    Busy,
    /// The key holds nothing.
    Absent,
    /// The session was deleted.
    Deleted,
    /// Another server has written since, or claims the session.
    Refused {
        /// Where the stored session stands.
        position: u64,
    },
}

/// A session of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version of its last write.
    pub version: Version,
    /// Where it stands.
    pub position: u64,
    /// How long it lives from now, if nobody uses it.
    pub ttl: Duration,
    /// The session.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.replica, self.number)
    }
}

impl Version {
    /// The version that was written as `text`; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (replica, number) = text.split_once('-')?;
        let replica = Replica(u64::from_str_radix(replica, 16).ok()?);
        Some(Self { replica, number: number.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written() {
        for (replica, number) in [(0, 0), (7, 1), (u64::MAX, u64::MAX)] {
            let version = Version { replica: Replica(replica), number };
            assert_eq!(Version::parse(&version.to_string()), Some(version));
            assert_eq!(version.replica.to_string().len(), 16, "a prefix tells servers apart");
        }
        for text in ["", "7", "-1", "x-1", "7-", "7--1"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }
}

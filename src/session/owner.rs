//! To whom sessions belong.

use super::SessionId;

/// An owner of sessions. What one owner has does not exist for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u16);

/// A session's name in the table: an id is a name among the sessions of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) owner: Owner,
    pub(super) id: SessionId,
}

impl Owner {
    /// Whoever asks, where nobody has to say who they are.
    pub const ANYONE: Self = Self(0);

    /// The owner with this number above 0, which the caller gives to one owner only.
    pub fn numbered(number: u16) -> Self {
        assert!(number > 0, "bug: 0 is the number of anyone");
        Self(number)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

//! The name of a session.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::memory::shared_block;
use crate::error::{Error, Result};

/// 1 to 128 characters of `[A-Za-z0-9._:-]`, but not `.` or `..`: clients remove these from a path (RFC 3986, section 5.2.4), so
/// that the session could not be reached.
///
/// Ids of up to [`Self::INLINE_MAX`] characters are stored in place, because an allocation of their own would cost a session in a
/// large table as much as its other bookkeeping. Longer ids are shared.
#[derive(Clone)]
pub struct SessionId(Text);

#[derive(Clone)]
enum Text {
    Short { len: u8, ascii: [u8; SessionId::INLINE_MAX] },
    Long(Arc<str>),
}

impl SessionId {
    /// The longest id, in characters.
    pub const LEN_MAX: usize = 128;

    /// The longest id that needs no allocation, in characters: random ids have 36.
    pub(super) const INLINE_MAX: usize = 38;

    /// Checks `id`.
    ///
    /// # Errors
    /// `InvalidValue` when it is empty, too long, holds another character, or is `.` or `..`.
    pub fn parse(id: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if let Some(found) = id.chars().find(|&c| !allowed(c)) {
            return Err(Error::invalid(
                "id",
                format!("the session id contains {found:?}; only letters, digits and `._:-` are accepted"),
            ));
        }
        if id.is_empty() || id.len() > Self::LEN_MAX {
            let found = id.len();
            return Err(Error::invalid(
                "id",
                format!("the session id has {found} characters; 1 to {} are accepted", Self::LEN_MAX),
            ));
        }
        if matches!(id, "." | "..") {
            let message =
                format!("the session id is `{id}`, which clients remove from a path; another id is required");
            return Err(Error::invalid("id", message));
        }
        Ok(Self::of(id))
    }

    /// A new id that nobody can guess.
    pub fn random() -> Self {
        Self::of(&uuid::Uuid::new_v4().to_string())
    }

    /// The id `text`, which was checked.
    fn of(text: &str) -> Self {
        if text.len() > Self::INLINE_MAX {
            return Self(Text::Long(text.into()));
        }
        let mut ascii = [0; Self::INLINE_MAX];
        ascii[..text.len()].copy_from_slice(text.as_bytes());
        Self(Text::Short { len: text.len() as u8, ascii })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short { len, ascii } => {
                std::str::from_utf8(&ascii[..usize::from(*len)]).expect("bug: an id is ASCII")
            }
            Text::Long(text) => text,
        }
    }

    /// Bytes of memory beyond its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Text::Short { .. } => 0,
            Text::Long(text) => shared_block(text.len()),
        }
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SessionId {}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_contract_allows_and_nothing_else() {
        for good in ["a", "A.z_:0-9", "...", ".a", &"x".repeat(38), &"x".repeat(39), &"x".repeat(128)] {
            assert_eq!(SessionId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", &"x".repeat(129), "a b", "a/b", "ä", "a\n", ".", ".."] {
            assert!(SessionId::parse(bad).is_err(), "{bad:?}");
        }
    }
    #[test]
    fn equal_texts_are_equal_ids_in_place_or_not() {
        assert_eq!(size_of::<SessionId>(), 40);
        for len in [1, 38, 39, 128] {
            let id = SessionId::parse(&"x".repeat(len)).unwrap();
            let longer = SessionId::parse(&("x".repeat(len - 1) + "y")).unwrap();
            assert_eq!(id, id.clone());
            assert!(id < longer);
            assert_eq!(id.heap_bytes() == 0, len <= SessionId::INLINE_MAX);
        }
    }
}

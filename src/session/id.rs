//! The name of a session.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// 1 to 128 characters of `[A-Za-z0-9._:-]`, but not `.` or `..`: clients remove these from a path (RFC 3986, section 5.2.4), so
/// that the session could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The longest id, in characters.
    pub const LEN_MAX: usize = 128;

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
        Ok(Self(id.into()))
    }

    /// A new id that nobody can guess.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_contract_allows_and_nothing_else() {
        for good in ["a", "A.z_:0-9", "...", ".a", &"x".repeat(128)] {
            assert_eq!(SessionId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", &"x".repeat(129), "a b", "a/b", "ä", "a\n", ".", ".."] {
            assert!(SessionId::parse(bad).is_err(), "{bad:?}");
        }
    }
}

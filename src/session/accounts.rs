//! What each owner has in the table.

use super::owner::Owner;
use super::{Account, OwnerLimits};
use crate::error::{Error, ErrorKind};

/// The accounts, by the number of the owner. Those beyond the end are empty.
#[derive(Debug, Default)]
pub(super) struct Accounts(Vec<Account>);

/// How a session changes an account: bytes that come and bytes that go.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    /// The bytes of a session that comes.
    pub(super) new: usize,
    /// The bytes of the session that it replaces.
    pub(super) replaced: Option<usize>,
}

impl Accounts {
    pub(super) fn of(&self, owner: Owner) -> Account {
        self.0.get(owner.index()).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, owner: Owner, bytes: usize) {
        let account = self.of_mut(owner);
        account.sessions += 1;
        account.bytes += bytes;
    }

    pub(super) fn remove(&mut self, owner: Owner, bytes: usize) {
        let account = self.of_mut(owner);
        account.sessions -= 1;
        account.bytes -= bytes;
    }

    /// A session that took `before` bytes takes `after`.
    pub(super) fn resize(&mut self, owner: Owner, before: usize, after: usize) {
        let account = self.of_mut(owner);
        account.bytes = account.bytes - before + after;
    }

    /// Checks what one owner may have, after `change`.
    ///
    /// # Errors
    /// `RateLimited`, which names the limit.
    pub(super) fn check(&self, owner: Owner, limits: OwnerLimits, change: Change) -> Result<(), Error> {
        let Account { sessions, bytes } = self.of(owner);
        let bytes = bytes - change.replaced.unwrap_or_default();
        // One in the place of another is not one more.
        let is_one_more = change.replaced.is_none();
        let refused = |message: String, limit: usize| {
            Err(Error::new(ErrorKind::RateLimited, message).over(limit as u64))
        };
        match (limits.sessions_max, limits.bytes_max) {
            (Some(max), _) if is_one_more && sessions >= max => refused(
                format!("the key has {sessions} sessions; the maximum is {max} (`--key-sessions-max`)"),
                max,
            ),
            (_, Some(max)) if bytes.saturating_add(change.new) > max => {
                let new = change.new;
                refused(
                    format!(
                        "the sessions of the key take {bytes} bytes, and this one {new} more; the maximum is {max} bytes (`--key-sessions-bytes-max`)"
                    ),
                    max,
                )
            }
            _ => Ok(()),
        }
    }

    fn of_mut(&mut self, owner: Owner) -> &mut Account {
        if self.0.len() <= owner.index() {
            self.0.resize(owner.index() + 1, Account::default());
        }
        &mut self.0[owner.index()]
    }
}

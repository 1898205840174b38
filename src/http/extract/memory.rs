//! The memory of a request's body: of its bytes as they arrive, and of what they are parsed into.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::memory::Meter;
use crate::budget::{Exceeded, Holder, Permit, Purpose};
use crate::http::error::{ApiError, ApiResult};
use crate::service::Service;

/// What is taken for each byte of a body: for itself, for its place in the texts of the request, and for the copy that the parser makes
/// of a text with escapes. Lists are counted apart, as they grow.
const BYTES_EACH: usize = 3;

/// The memory of one request's body, and of the lists that it is parsed into.
#[derive(Debug, Default)]
pub struct BodyMemory {
    holder: Holder,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    permit: Option<Permit>,
    /// Why a list got no memory, which serde cannot pass on.
    exceeded: Option<Exceeded>,
}

impl BodyMemory {
    /// An account of `holder`, of which nothing is taken.
    pub fn of(holder: Holder) -> Arc<Self> {
        Arc::new(Self { holder, account: Mutex::default() })
    }

    /// Checks that there would be memory for a body of at least `bytes`, of which none has arrived.
    ///
    /// # Errors
    /// As [`Self::take_for_body`].
    pub fn check_announced(bytes: u64, service: &Service) -> ApiResult<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(BYTES_EACH);
        Ok(service.budget().check(bytes).map_err(|exceeded| service.over_memory(exceeded))?)
    }

    /// Takes the memory of `bytes` more of the body.
    ///
    /// # Errors
    /// 413 for more than there is for all requests, 429 if others have taken it.
    pub fn take_for_body(&self, bytes: usize, service: &Service) -> ApiResult<()> {
        let mut account = self.account();
        let bytes = bytes.saturating_mul(BYTES_EACH);
        match &mut account.permit {
            Some(permit) => permit.grow(bytes).map_err(|exceeded| service.over_memory(exceeded))?,
            None => {
                let taken = service.budget().take(&self.holder, Purpose::Bodies, bytes);
                account.permit = Some(taken.map_err(|exceeded| service.over_memory(exceeded))?);
            }
        }
        Ok(())
    }

    /// Gives back the memory of `bytes` of the body, which have been parsed. That of its texts is still taken.
    pub fn parsed(&self, bytes: usize) {
        if let Some(permit) = &mut self.account().permit {
            permit.shrink(bytes.saturating_mul(BYTES_EACH - 1));
        }
    }

    /// Why a list of the request got no memory, if one did not. A part that is read on its own would otherwise answer for it.
    pub fn refusal(&self, service: &Service) -> Option<ApiError> {
        self.account().exceeded.map(|exceeded| service.over_memory(exceeded).into())
    }

    /// Gives back all.
    pub fn give_back(&self) {
        self.account().permit = None;
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for BodyMemory {
    fn take(&self, bytes: usize) -> bool {
        let mut account = self.account();
        let grown = account.permit.as_mut().map_or(Ok(()), |permit| permit.grow(bytes));
        account.exceeded = account.exceeded.or(grown.err());
        grown.is_ok()
    }
}

//! The time of arrival of a request and its accounts of memory: of its body until it is answered, and of its answer until that has been sent.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;

use crate::http::extract::BodyMemory;
use crate::service::Asked;

/// Of one request.
pub(super) struct Accounts {
    _asked: Arc<Asked>,
    body: Arc<BodyMemory>,
}

impl Accounts {
    /// Gives them to `request`, which arrived at `arrived`.
    pub(super) fn open(request: &mut Request, arrived: Instant) -> Self {
        let (asked, body) = (Asked::at(arrived), BodyMemory::new());
        request.extensions_mut().insert(asked.clone());
        request.extensions_mut().insert(body.clone());
        Self { _asked: asked, body }
    }

    /// The request has been answered: whatever is left of it belongs to a job now, which has memory of its own.
    pub(super) fn answered(&self) {
        self.body.give_back();
    }
}

//! The accounts of a request: of the memory of its body until it is answered, of that of its answer until that has been sent, and of its time.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;

use crate::clock::Clock;
use crate::http::extract::BodyMemory;
use crate::service::{Asked, Timings};

/// Of one request.
pub(super) struct Accounts {
    asked: Arc<Asked>,
    body: Arc<BodyMemory>,
}

impl Accounts {
    /// Gives them to `request`, which arrived at `arrived`.
    pub(super) fn open(request: &mut Request, arrived: Instant) -> Self {
        let asked = Asked::at(arrived);
        let body = BodyMemory::of(asked.holder().clone());
        request.extensions_mut().insert(asked.clone());
        request.extensions_mut().insert(body.clone());
        Self { asked, body }
    }

    /// The request has been answered: whatever is left of it belongs to a job now, which has memory of its own.
    pub(super) fn answered(&self) {
        self.body.give_back();
    }

    /// Where the time of the request went so far.
    pub(super) fn timings(&self, clock: &Clock) -> Timings {
        self.asked.timings(clock)
    }
}

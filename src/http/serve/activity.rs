//! What a connection is doing, as its socket, its requests and the table of seats know it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::seats::Seat;

/// Shared by the parts of one connection.
pub(super) struct Activity {
    seat: Seat,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// The requests that have begun.
    requests: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request has come whole.
    Waiting,
    /// A request is being answered.
    Answering,
    /// The answer is whole, and may not have been sent yet.
    Flushing,
}

impl Activity {
    /// A connection that waits for its first request.
    pub(super) fn new(seat: Seat) -> Arc<Self> {
        Arc::new(Self { seat, state: Mutex::new(State { phase: Phase::Waiting, requests: 0 }) })
    }

    /// A request has come. It is being answered until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        let mut state = self.state();
        state.phase = Phase::Answering;
        state.requests += 1;
        drop(state);
        self.seat.work();
        Answering(self.clone())
    }

    /// Everything that was written has been sent.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.phase == Phase::Flushing {
            state.phase = Phase::Waiting;
            drop(state);
            self.seat.wait();
        }
    }

    /// The number of requests before the one that is waited for, if one is.
    pub(super) fn awaited(&self) -> Option<u64> {
        let state = self.state();
        (state.phase == Phase::Waiting).then_some(state.requests)
    }

    /// The seat of the connection.
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, until this is dropped with the answer's body.
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().phase = Phase::Flushing;
    }
}

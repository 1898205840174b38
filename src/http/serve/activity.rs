//! What a connection is doing, as its socket, its requests and the table of seats know it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::seats::Seat;

/// Shared by the parts of one connection.
pub(super) struct Activity {
    seat: Seat,
    state: Mutex<State>,
    /// Whether the body of the last request has not been read to its end.
    is_unread: AtomicBool,
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
        let state = Mutex::new(State { phase: Phase::Waiting, requests: 0 });
        Arc::new(Self { seat, state, is_unread: AtomicBool::new(false) })
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

    /// The body of a request, whose end is noted when it is read.
    pub(super) fn watch(self: &Arc<Self>, body: Incoming) -> Watched {
        self.is_unread.store(!body.is_end_stream(), Ordering::Relaxed);
        Watched { body, activity: self.clone() }
    }

    /// Whether the client may still be sending the body of the last request.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
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

/// The body of a request.
pub(super) struct Watched {
    body: Incoming,
    activity: Arc<Activity>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.activity.is_unread.store(false, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

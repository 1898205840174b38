//! What the use cases know of the one request that they answer: when it came, what it holds until it is answered, and where its time went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Service;
use super::room::Room;
use crate::budget::Holder;
use crate::clock::{Clock, Phase};
use crate::engine::{self, Stopwatch, Timed};
use crate::error::{Error, ErrorKind};

/// One request. Its rooms are free again when this is dropped, with the last of its answer.
#[derive(Debug)]
pub struct Asked {
    arrived: Instant,
    holder: Holder,
    rooms: Mutex<Vec<Room>>,
    /// Of its jobs.
    stopwatch: Arc<Stopwatch>,
    /// Time in which it waited for the store of sessions.
    store: Mutex<Phase>,
}

/// Where the time of a request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// What its jobs took. The times of the queue and of the engine are together at most that of the request.
    pub work: engine::Timings,
    /// Time in which it waited for the store of sessions. The engine may have run meanwhile.
    pub store: Phase,
}

impl Asked {
    /// A request whose headers arrived at `arrived`.
    pub fn at(arrived: Instant) -> Arc<Self> {
        Arc::new(Self {
            arrived,
            holder: Holder::default(),
            rooms: Mutex::default(),
            stopwatch: Arc::default(),
            store: Mutex::default(),
        })
    }

    /// Who takes memory for it.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Where its time went so far.
    pub fn timings(&self, clock: &Clock) -> Timings {
        Timings { work: self.stopwatch.read(clock), store: *locked(&self.store) }
    }
}

/// Times how long the request waits for the store of sessions.
#[derive(Clone)]
pub(super) struct StoreTimer {
    asked: Option<Arc<Asked>>,
    clock: Clock,
}

/// A wait for the store, which is timed until this is dropped.
pub(super) struct StoreWait<'a> {
    timer: &'a StoreTimer,
    begun: Instant,
}

impl StoreTimer {
    /// Begins a wait. No other may be under way for the same request.
    pub(super) fn begin(&self) -> StoreWait<'_> {
        StoreWait { timer: self, begun: self.clock.now() }
    }
}

impl Drop for StoreWait<'_> {
    fn drop(&mut self) {
        let Self { timer: StoreTimer { asked, clock }, begun } = self;
        if let Some(asked) = asked {
            locked(&asked.store).add(*begun, clock.now());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of a request whose time is up.
pub(super) fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the request was not finished within its time (`--request-timeout`)")
}

impl Service {
    /// The use cases for one request, whose deadline begins with its arrival, however long its body and its tokens take.
    pub fn asked(&self, asked: Arc<Asked>) -> Arc<Self> {
        let arrived = Some(asked.arrived);
        Arc::new(Self { asked: Some(asked), arrived, ..self.clone() })
    }

    /// The same for a body that is worked on as it arrives, of any length: each piece of work has the time of a request.
    pub fn piecewise(&self) -> Arc<Self> {
        Arc::new(Self { arrived: None, ..self.clone() })
    }

    /// When the time of the request began; now if each piece of work has a time of its own.
    pub(super) fn began(&self) -> Instant {
        self.arrived.unwrap_or_else(|| self.clock.now())
    }

    /// Who takes memory for the request, or for each piece of work alone if it is done as the body arrives.
    pub(super) fn holder(&self) -> Holder {
        let asked = self.asked.as_ref().filter(|_| self.arrived.is_some());
        asked.map(|asked| asked.holder.clone()).unwrap_or_default()
    }

    /// What is left of the time of the request.
    pub(super) fn time_left(&self) -> Duration {
        let end = self.began() + self.config.http.request_timeout;
        end.saturating_duration_since(self.clock.now())
    }

    /// Holds `room` until the answer has been sent. Where nobody sends it, as on the command line, it is given back at once.
    pub(super) fn keep(&self, room: Room) {
        if let Some(asked) = &self.asked {
            locked(&asked.rooms).push(room);
        }
    }

    /// What times how long the request waits for the store.
    pub(super) fn store_timer(&self) -> StoreTimer {
        StoreTimer { asked: self.asked.clone(), clock: self.clock.clone() }
    }

    /// Times a job of the request.
    pub(super) fn timed(&self) -> Option<Timed> {
        let asked = self.asked.as_ref()?;
        Some(Timed::start(&asked.stopwatch, &self.clock))
    }
}

//! What the use cases know of the one request that they answer: when it came, and what it holds until it is answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Service;
use super::room::Room;
use crate::error::{Error, ErrorKind};

/// One request. Its rooms are free again when this is dropped, with the last of its answer.
#[derive(Debug)]
pub struct Asked {
    arrived: Instant,
    rooms: Mutex<Vec<Room>>,
}

impl Asked {
    /// A request whose headers arrived at `arrived`.
    pub fn at(arrived: Instant) -> Arc<Self> {
        Arc::new(Self { arrived, rooms: Mutex::default() })
    }
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

    /// What is left of the time of the request.
    pub(super) fn time_left(&self) -> Duration {
        let end = self.began() + self.config.http.request_timeout;
        end.saturating_duration_since(self.clock.now())
    }

    /// Holds `room` until the answer has been sent. Where nobody sends it, as on the command line, it is given back at once.
    pub(super) fn keep(&self, room: Room) {
        if let Some(asked) = &self.asked {
            asked.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
        }
    }
}

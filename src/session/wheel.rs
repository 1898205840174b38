//! When sessions expire: a timer wheel (Varghese and Lauck 1987), in which setting a timer and finding those that are due is O(1).
//!
//! The longest time to live is one turn of the wheel. Sessions in the same slot are in the order in which they were set, which is that
//! of their expiry if all have the same time to live. Otherwise a session may be found up to one slot late, 1/4094 of the
//! longest time to live, which delays the release of its memory and nothing else: whether a session still exists is decided by its own time.

use std::time::Duration;

use super::lists::{Lists, Position};
use super::moment::{Moment, nanos};

/// Slots of the wheel.
const SLOTS: u64 = 4096;

/// The timers of idle sessions.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Lists,
    /// Nanoseconds of a slot.
    tick: u64,
    /// The first tick whose slot may not be empty.
    due: u64,
}

impl Wheel {
    /// A wheel for times to live of up to `ttl_max`, from `now` on. Longer ones are found early, and must be set again.
    pub(super) fn new(ttl_max: Duration, now: Moment) -> Self {
        let tick = nanos(ttl_max).div_ceil(SLOTS - 2).max(1);
        Self { slots: Lists::new(SLOTS as usize), tick, due: now.nanos() / tick }
    }

    /// Adds a position at the end of the array, without a timer.
    pub(super) fn add(&mut self) {
        self.slots.add();
    }

    /// Sets the timer of a position, which has none.
    pub(super) fn set(&mut self, position: Position, expires: Moment) {
        let tick = (expires.nanos() / self.tick).clamp(self.due, self.due + SLOTS - 1);
        self.slots.push_back((tick % SLOTS) as usize, position);
    }

    /// Removes the timer of a position, if it has one.
    pub(super) fn clear(&mut self, position: Position) {
        self.slots.unlink(position);
    }

    /// Removes a position. The last one of the array takes its number.
    pub(super) fn swap_remove(&mut self, position: Position) {
        self.slots.swap_remove(position);
    }

    /// The first position whose timer may be due.
    pub(super) fn first_due(&mut self, now: Moment) -> Option<Position> {
        let mut empty = 0;
        loop {
            let first = self.slots.first((self.due % SLOTS) as usize);
            if first.is_some() || self.due >= now.nanos() / self.tick {
                return first;
            }
            empty += 1;
            // After a whole turn, all slots are empty.
            self.due = if empty == SLOTS { now.nanos() / self.tick } else { self.due + 1 };
        }
    }

    /// Whether the slot of `now` has not been reached: then what [`Self::first_due`] finds and has not expired was set too early.
    pub(super) fn is_behind(&self, now: Moment) -> bool {
        self.due < now.nanos() / self.tick
    }
}

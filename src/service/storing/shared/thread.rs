//! The thread of a shared store: it answers requests at once, and writes when the changes have waited for their time.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::{Ask, Replica};
use crate::service::storing::writer::{RETRY_FIRST, RETRY_MAX, Step};
use crate::session::Heed;

/// Most questions that are sent to the store together.
const ASKS_MAX: usize = 256;

/// Answers and writes until nothing more will come, and then writes what is left and gives claims back.
pub(in crate::service::storing) fn run(mut replica: Replica, asks: &Receiver<Ask>, flush: Duration) {
    let renewal = replica.terms.hold / 3;
    let mut renew_at = Instant::now() + renewal;
    let mut write_at = None;
    let mut retry = RETRY_FIRST;
    replica.step();
    loop {
        if write_at.is_none() && (replica.is_failing() || replica.changes.count() > 0) {
            write_at = Some(Instant::now() + if replica.is_failing() { retry } else { flush });
        }
        let heed = if write_at.is_none() { Heed::Changes } else { Heed::CallsOnly };
        let next = write_at.map_or(renew_at, |at| renew_at.min(at));
        let is_open = replica.changes.attend(heed, next.saturating_duration_since(Instant::now()));
        answer(&mut replica, asks);
        if !is_open {
            break;
        }
        let now = Instant::now();
        if renew_at <= now {
            replica.renew();
            renew_at = now + renewal;
            // Also what waits longer than a claim lasts.
            write_at = Some(now);
        }
        if write_at.is_some_and(|at| at <= now) {
            write_at = None;
            retry = match write_all(&mut replica, asks) {
                Step::Failed => (retry * 2).min(RETRY_MAX),
                Step::Idle | Step::Wrote => RETRY_FIRST,
            };
        }
    }
    // What is claimed and not written any more is given back.
    replica.renew();
    write_all(&mut replica, asks);
    let left = replica.changes.count();
    if left > 0 {
        tracing::error!(sessions = left, "the session store has failed, and the last changes are lost");
    }
}

/// Writes until everything is stored, or the store fails. Requests do not wait for that.
fn write_all(replica: &mut Replica, asks: &Receiver<Ask>) -> Step {
    loop {
        match replica.step() {
            Step::Wrote => answer(replica, asks),
            last => return last,
        }
    }
}

fn answer(replica: &mut Replica, asks: &Receiver<Ask>) {
    loop {
        let some: Vec<Ask> = asks.try_iter().take(ASKS_MAX).collect();
        if some.is_empty() {
            return;
        }
        replica.answer(some);
    }
}

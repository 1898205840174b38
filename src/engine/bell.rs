//! What wakes an engine: news, which it finds without a lock while it works, and a bell for when it sleeps.
//!
//! The engine says that it falls asleep and then looks for news once more; whoever brings news leaves it and then looks whether the
//! engine sleeps. All four steps stand in one total order (`SeqCst`), so one of the two sees the other, and no news is slept
//! through. Only who finds the engine asleep takes the lock, and so waits until it really waits.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::clock::Clock;

/// The bell of one engine.
#[derive(Default)]
pub(super) struct Bell {
    /// What nobody has taken yet.
    news: AtomicU8,
    asleep: AtomicBool,
    lock: Mutex<()>,
    signal: Condvar,
}

/// What has happened since the engine looked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News(u8);

impl News {
    /// A job was handed in.
    pub(super) const JOB: Self = Self(1);
    /// The reader of a parked job has made room.
    pub(super) const ROOM: Self = Self(2);
    /// The reader of a job that is not over has gone.
    pub(super) const GONE: Self = Self(4);
    /// No more jobs come, and all that are there end.
    pub(super) const SHUT: Self = Self(8);

    /// Whether any of `these` is among it.
    pub(super) fn tell_of(self, these: &[Self]) -> bool {
        these.iter().any(|one| self.0 & one.0 != 0)
    }
}

impl Bell {
    /// Leaves news, and wakes the engine if it sleeps.
    pub(super) fn ring(&self, news: News) {
        self.news.fetch_or(news.0, SeqCst);
        if self.asleep.load(SeqCst) {
            // Held for a moment: an engine that has looked for news in vain holds it until it waits for the signal.
            drop(self.lock());
            self.signal.notify_one();
        }
    }

    /// Takes the news. No lock.
    pub(super) fn take(&self) -> News {
        // Most turns find none, and a load leaves the cache line where it is.
        match self.news.load(SeqCst) {
            0 => News(0),
            _ => News(self.news.swap(0, SeqCst)),
        }
    }

    /// Sleeps until there is news, or until `until` by `clock`.
    pub(super) fn wait(&self, until: Option<Instant>, clock: &Clock) {
        let mut guard = self.lock();
        self.asleep.store(true, SeqCst);
        while self.news.load(SeqCst) == 0 {
            let Some(until) = until else {
                guard = self.signal.wait(guard).expect("bug: a panic under the lock of a bell");
                continue;
            };
            let left = until.saturating_duration_since(clock.now());
            if left.is_zero() {
                break;
            }
            guard = self.signal.wait_timeout(guard, left).expect("bug: a panic under the lock of a bell").0;
        }
        self.asleep.store(false, SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().expect("bug: a panic under the lock of a bell")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread::{spawn, yield_now};
    use std::time::Duration;

    use super::*;

    /// A sleeper that misses a ring sleeps for ever: then this says so instead of hanging.
    const PATIENCE: Duration = Duration::from_secs(60);
    const ROUNDS: usize = 200_000;

    /// One thread rings, the other sleeps until it is rung for, and answers; so each ring races with a falling asleep.
    #[test]
    fn no_ring_is_slept_through() {
        let there = Arc::new(Bell::default());
        let back = Arc::new(Bell::default());
        let (done, finished) = sync_channel(1);
        let (their_there, their_back) = (there.clone(), back.clone());
        let sleeper = spawn(move || {
            for _ in 0..ROUNDS {
                sleep_until_rung(&their_there);
                their_back.ring(News::ROOM);
            }
        });
        let ringer = spawn(move || {
            for round in 0..ROUNDS {
                // Sooner or later than the other falls asleep.
                (0..round % 64).for_each(|_| std::hint::spin_loop());
                there.ring(News::JOB);
                sleep_until_rung(&back);
            }
            let _ = done.send(());
        });
        finished.recv_timeout(PATIENCE).expect("a ring was slept through");
        ringer.join().unwrap();
        sleeper.join().unwrap();
    }

    fn sleep_until_rung(bell: &Bell) {
        let clock = Clock::system();
        while !bell.take().tell_of(&[News::JOB, News::ROOM]) {
            bell.wait(None, &clock);
        }
    }

    #[test]
    fn many_ringers_leave_all_that_they_tell() {
        let bell = Arc::new(Bell::default());
        let kinds = [News::JOB, News::ROOM, News::GONE, News::SHUT];
        let ringers: Vec<_> = kinds
            .into_iter()
            .map(|news| {
                let bell = bell.clone();
                spawn(move || {
                    yield_now();
                    bell.ring(news);
                })
            })
            .collect();
        let mut told = Vec::new();
        while told.len() < kinds.len() {
            bell.wait(None, &Clock::system());
            let news = bell.take();
            told.extend(kinds.into_iter().filter(|kind| news.tell_of(&[*kind])));
        }
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
        assert!(kinds.into_iter().all(|kind| told.contains(&kind)), "{told:?}");
        assert!(!bell.take().tell_of(&kinds));
    }

    #[test]
    fn a_sleep_ends_at_its_time_by_the_clock_that_is_passed_in() {
        let clock = Clock::manual();
        let until = clock.now() + Duration::from_secs(3600);
        clock.advance(Duration::from_secs(3600));
        // By the machine's clock this would take an hour.
        Bell::default().wait(Some(until), &clock);
    }
}

//! How an engine hears of news: without a lock while it works, and by a signal while it sleeps.
//!
//! An engine that is about to sleep first sets `asleep` and then checks for news. A thread that brings news first stores it and
//! then checks `asleep`. All four operations are `SeqCst`, so at least one of the two sees what the other has done, and no news is
//! missed. Only a thread that finds the engine asleep takes the lock, so that its signal comes after the engine has begun to wait.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// How often a thread that spins looks for news before it looks at the time.
const LOOKS: usize = 16;

/// The bell of one engine.
#[derive(Default)]
pub(super) struct Bell {
    /// News that the engine has not taken yet.
    news: AtomicU8,
    asleep: AtomicBool,
    lock: Mutex<()>,
    signal: Condvar,
}

/// What has happened since the engine last asked: a set of the constants below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News(u8);

impl News {
    /// A job has come in.
    pub(super) const JOB: Self = Self(1);
    /// The reader of a parked job has made room.
    pub(super) const ROOM: Self = Self(2);
    /// The reader of a job that is not over has been dropped.
    pub(super) const GONE: Self = Self(4);
    /// No more jobs are accepted, and all existing ones end.
    pub(super) const SHUT: Self = Self(8);

    /// Whether it contains any of `these`.
    pub(super) fn tell_of(self, these: &[Self]) -> bool {
        these.iter().any(|one| self.0 & one.0 != 0)
    }
}

impl Bell {
    /// Stores news, and wakes the engine if it sleeps.
    pub(super) fn ring(&self, news: News) {
        self.news.fetch_or(news.0, SeqCst);
        if self.asleep.load(SeqCst) {
            // An engine that has found no news holds the lock until it waits, so the signal cannot come too early.
            drop(self.lock());
            self.signal.notify_one();
        }
    }

    /// Takes the news, without a lock.
    pub(super) fn take(&self) -> News {
        // Most turns find none, and a load does not claim the cache line.
        match self.news.load(SeqCst) {
            0 => News(0),
            _ => News(self.news.swap(0, SeqCst)),
        }
    }

    /// Looks for news for at most `time` without sleeping; whether there is some. A thread that sleeps is woken in tens of microseconds, which
    /// is longer than the step of a small model takes.
    pub(super) fn spin(&self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if self.news.load(SeqCst) != 0 {
                    return true;
                }
                std::hint::spin_loop();
            }
            if begun.elapsed() >= time {
                return false;
            }
        }
    }

    /// Sleeps until there is news, or until `clock` shows `until`.
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
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread::{spawn, yield_now};

    /// A sleeper that misses a ring sleeps for ever; the test then fails instead of hanging.
    const PATIENCE: Duration = Duration::from_secs(60);
    const ROUNDS: usize = 200_000;

    /// Two threads wake each other in turn, so that every ring races with a thread that is about to sleep.
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
                // Sometimes before the other thread sleeps, sometimes after.
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
    fn a_spin_ends_with_news_or_when_its_time_is_up() {
        let bell = Arc::new(Bell::default());
        assert!(!bell.spin(Duration::ZERO));
        let ringer = bell.clone();
        let ringer = spawn(move || ringer.ring(News::GONE));
        assert!(bell.spin(PATIENCE));
        ringer.join().unwrap();
        assert!(bell.take().tell_of(&[News::GONE]), "a spin takes nothing");
        assert!(!bell.spin(Duration::from_micros(1)));
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
        // The machine's clock has not moved by an hour.
        Bell::default().wait(Some(until), &clock);
    }
}

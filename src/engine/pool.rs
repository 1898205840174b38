//! The threads of the engines. A job is given to the engine with the least to do.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Engine, EngineLimits, Inbox, InboxLimits, Observer, Reader, Submission};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// The engines of a process, one thread each.
pub struct Pool {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
}

/// How engines are started.
pub struct Setup {
    /// Number of engines, each on a thread.
    pub threads: usize,
    /// How much may wait in front of each.
    pub inbox_limits: InboxLimits,
    /// What a turn of each may hold.
    pub limits: EngineLimits,
    /// The source of time.
    pub clock: Clock,
    /// Receives the figures of every batch.
    pub observer: Arc<dyn Observer>,
}

/// The figures of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Jobs admitted and not ended.
    pub running: usize,
    /// Jobs that wait for an engine.
    pub waiting: usize,
}

impl Pool {
    /// Starts the engines.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn start(setup: Setup) -> Result<Self> {
        let Setup { threads, inbox_limits, limits, clock, observer } = setup;
        let mut pool = Self { inboxes: Vec::new(), threads: Vec::new() };
        for index in 0..threads {
            let inbox = Arc::new(Inbox::new(inbox_limits));
            let engine = Engine::new(inbox.clone(), limits.clone(), clock.clone(), observer.clone());
            let thread =
                std::thread::Builder::new().name(format!("engine-{index}")).spawn(move || engine.work());
            let thread = thread.map_err(|error| {
                Error::new(ErrorKind::Internal, format!("no thread for an engine: {error}"))
            })?;
            pool.inboxes.push(inbox);
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Gives a job to the engine with the least to do, and returns its `reader`, bound to that engine.
    ///
    /// # Errors
    /// `StateMismatch` if other weights computed the state that the job starts from, `QueueFull` if no engine has room, `Draining` after
    /// [`Self::shut`]. The job is dropped, and its session is free again.
    pub fn submit<T>(&self, submission: Submission, reader: Reader<T>) -> Result<Reader<T>> {
        submission.start.snapshot().check_made_by(&submission.identity)?;
        let mut inboxes: Vec<&Arc<Inbox>> = self.inboxes.iter().collect();
        inboxes.sort_by_key(|inbox| inbox.load());
        let mut submission = submission;
        for inbox in inboxes {
            match inbox.push(submission) {
                Ok(()) => return Ok(reader.telling(inbox.clone())),
                Err(refused) => submission = *refused,
            }
        }
        if self.inboxes.iter().all(|inbox| inbox.is_shut()) {
            return Err(Error::new(ErrorKind::Draining, "the service is stopping and takes no new work"));
        }
        let stats = self.stats();
        let message = format!("the queue is full: {} jobs wait and {} run", stats.waiting, stats.running);
        Err(Error::new(ErrorKind::QueueFull, message))
    }

    /// The figures of a pool.
    pub fn stats(&self) -> PoolStats {
        let waiting = self.inboxes.iter().map(|inbox| inbox.waiting()).sum();
        let load: usize = self.inboxes.iter().map(|inbox| inbox.load()).sum();
        PoolStats { waiting, running: load.saturating_sub(waiting) }
    }

    /// Ends every job, waiting ones included, and accepts no more. Does not wait for the jobs to end.
    pub fn shut(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.shut());
    }
}

impl Drop for Pool {
    /// Ends every job, and waits until the last one has freed its session.
    fn drop(&mut self) {
        self.shut();
        for thread in self.threads.drain(..) {
            // A panic of an engine was reported when it happened, and nothing is left to save here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Start;
    use crate::engine::jobs::{Reading, ReadingPlan};
    use crate::lm::Model;
    use crate::lm::fake::Fake;
    use crate::session::{Evict, NewSession, OnExisting, SessionId, SessionLimits, Sessions, Snapshot};
    use crate::text::Tail;

    fn pool() -> Pool {
        let limits = EngineLimits {
            rows_max: 4,
            state_bytes_max: 1 << 20,
            turn_steps: 2,
            turn_steps_idle: 8,
            idle_after: Duration::ZERO,
            logits_bytes_max: 1 << 20,
            parked_max: 4,
            stall_timeout: Duration::from_secs(5),
        };
        let setup = Setup {
            threads: 1,
            inbox_limits: InboxLimits { jobs_max: 4, bytes_max: 1 << 20 },
            limits,
            clock: Clock::manual(),
            observer: Arc::new(()),
        };
        Pool::start(setup).unwrap()
    }

    fn session(sessions: &Arc<Sessions>, model: &Fake) -> SessionId {
        let snapshot = Snapshot {
            state: model.zero_state(),
            identity: "old".into(),
            position: 0,
            tail: Tail::default(),
            history: None,
        };
        let new = NewSession {
            id: None,
            model: "model".into(),
            snapshot,
            ttl: None,
            extra_words: None,
            on_existing: OnExisting::Refuse,
        };
        sessions.create(new).unwrap().id
    }

    #[test]
    fn a_session_of_other_weights_is_refused_and_free_again() {
        let limits = SessionLimits {
            sessions_max: 1,
            bytes_max: 1 << 20,
            ttl: Duration::from_secs(60),
            evict: Evict::None,
            gone_ttl: Duration::from_secs(60),
            gone_max: 1,
        };
        let sessions = Sessions::new(limits, Clock::manual());
        let model = Arc::new(Fake::new(20));
        let id = session(&sessions, &model);
        let plan = ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() };
        let (job, plans, reader) = Reading::new(plan);
        let submission = Submission {
            name: "model".into(),
            identity: "new".into(),
            model,
            start: Start::Session(sessions.lease(&id, None).unwrap()),
            plans,
            job: Box::new(job),
            deadline: None,
        };
        let refused = pool().submit(submission, reader).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::StateMismatch);
        assert!(!sessions.info(&id).unwrap().busy);
    }
}

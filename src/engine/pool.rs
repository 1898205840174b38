//! The threads of the engines. A job is given to the engine with the least to do.
//!
//! Models that run with tract have an engine of their own: their turns can be long, and no other model waits for them.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Engine, EngineLimits, Inbox, InboxLimits, Observer, Reader, Refusal, Submission};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::Backend;

/// The engines of a process, one thread each.
pub struct Pool {
    native: Vec<Arc<Inbox>>,
    /// Of models that run with tract.
    tract: Vec<Arc<Inbox>>,
    /// Joined once.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How engines are started.
pub struct Setup {
    /// Number of engines of native models, each on a thread.
    pub threads: usize,
    /// Whether there are models that run with tract, which takes one more thread.
    pub runs_tract: bool,
    /// How long an engine with nothing to do looks for work before it sleeps.
    pub spin: Duration,
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
        let mut pool = Self { native: Vec::new(), tract: Vec::new(), threads: Mutex::default() };
        for index in 0..setup.threads {
            let inbox = pool.spawn(&setup, format!("engine-{index}"))?;
            pool.native.push(inbox);
        }
        if setup.runs_tract {
            let inbox = pool.spawn(&setup, "engine-tract".to_owned())?;
            pool.tract.push(inbox);
        }
        Ok(pool)
    }

    fn spawn(&mut self, setup: &Setup, name: String) -> Result<Arc<Inbox>> {
        let &Setup { spin, inbox_limits, ref limits, ref clock, ref observer, .. } = setup;
        let inbox = Arc::new(Inbox::new(inbox_limits));
        let engine = Engine::new(inbox.clone(), limits.clone(), clock.clone(), observer.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || engine.work(spin));
        let thread = thread
            .map_err(|error| Error::new(ErrorKind::Internal, format!("no thread for an engine: {error}")))?;
        self.threads.get_mut().expect(POISONED).push(thread);
        Ok(inbox)
    }

    /// Gives a job to the engine with the least to do, and returns its `reader`, bound to that engine.
    ///
    /// # Errors
    /// `StateMismatch` if other weights computed the state that the job starts from, `QueueFull` if no engine has room, `Overloaded` if none
    /// could probably finish the job in its time, `Draining` after [`Self::shut`]. The job is dropped, and its session is free again.
    pub fn submit<T>(&self, submission: Submission, reader: Reader<T>) -> Result<Reader<T>> {
        submission.start.snapshot().check_made_by(&submission.identity)?;
        let engines = match submission.model.info().backend {
            Backend::Tract if !self.tract.is_empty() => &self.tract,
            Backend::Tract | Backend::Native => &self.native,
        };
        let mut inboxes: Vec<&Arc<Inbox>> = engines.iter().collect();
        inboxes.sort_by_key(|inbox| inbox.load());
        let mut submission = submission;
        let mut refusal = Refusal::Shut;
        for inbox in inboxes {
            match inbox.push(submission) {
                Ok(()) => return Ok(reader.telling(inbox.clone())),
                Err(refused) => {
                    submission = *refused.submission;
                    refusal = refusal.or(refused.why);
                }
            }
        }
        Err(self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let PoolStats { running, waiting } = self.stats();
        let jobs = format!("{waiting} jobs wait and {running} run");
        match refusal {
            Refusal::Shut => Error::new(ErrorKind::Draining, "the service is stopping and takes no new work"),
            Refusal::Full => {
                let message = format!("the queue is full: {jobs} (`--queue-max`, `--queue-bytes-max`)");
                Error::new(ErrorKind::QueueFull, message)
            }
            Refusal::Overloaded(excess) => {
                let seconds = excess.as_secs_f64();
                let message = format!(
                    "the server has too much to do to finish this request in time: {jobs}; try again in {seconds:.1} s (`--queue-wait`, `timeout_ms`)"
                );
                Error::new(ErrorKind::Overloaded, message).retry_after(excess)
            }
        }
    }

    fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.native.iter().chain(&self.tract)
    }

    /// The figures of a pool.
    pub fn stats(&self) -> PoolStats {
        let waiting = self.inboxes().map(|inbox| inbox.waiting()).sum();
        let load: usize = self.inboxes().map(|inbox| inbox.load()).sum();
        PoolStats { waiting, running: load.saturating_sub(waiting) }
    }

    /// Ends every job, waiting ones included, and accepts no more. Does not wait for the jobs to end.
    pub fn shut(&self) {
        self.inboxes().for_each(|inbox| inbox.shut());
    }

    /// Ends every job, and waits until the last one has freed its session.
    pub fn finish(&self) {
        self.shut();
        for thread in self.threads.lock().expect(POISONED).drain(..) {
            // A panic of an engine was reported when it happened, and nothing is left to save here.
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.finish();
    }
}

const POISONED: &str = "bug: a panic while threads were joined";

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::engine::Start;
    use crate::engine::jobs::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
    use crate::lm::Model;
    use crate::lm::fake::Fake;
    use crate::session::{NewSession, OnExisting, SessionId, SessionLimits, Sessions, Snapshot};

    fn pool() -> Pool {
        let limits = EngineLimits {
            rows_max: 4,
            state_bytes_max: 1 << 20,
            turn_steps: 2.0,
            turn_steps_idle: 8.0,
            idle_after: Duration::ZERO,
            turn_time: Duration::from_secs(1),
            place_wait: Duration::from_secs(1),
            running_max: 16,
            logits_bytes_max: 1 << 20,
            parked_max: 4,
            stall_timeout: Duration::from_secs(5),
        };
        let setup = Setup {
            threads: 1,
            runs_tract: true,
            spin: Duration::ZERO,
            inbox_limits: InboxLimits {
                jobs_max: 4,
                bytes_max: 1 << 20,
                wait_max: Duration::from_secs(1),
                rows_max: limits.rows_max,
                state_bytes_max: limits.state_bytes_max,
                turn_steps: limits.turn_steps,
            },
            limits,
            clock: Clock::manual(),
            observer: Arc::new(()),
        };
        Pool::start(setup).unwrap()
    }

    fn session(sessions: &Sessions, model: &Fake) -> SessionId {
        let snapshot = Snapshot::at_start(model.start_state(), "old".into());
        let new = NewSession {
            id: None,
            model: "model".into(),
            vocab_size: 26,
            snapshot,
            ttl: None,
            extra_words: None,
            on_existing: OnExisting::Refuse,
        };
        sessions.create(new).unwrap().id
    }

    /// How long a test waits for what must happen at once.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A job that reads one token.
    pub(in crate::engine) fn next(
        model: Fake,
    ) -> (Submission, Reader<Result<ReadingResult, ReadingFailure>>) {
        let (job, plans, reader) =
            Reading::new(ReadingPlan { tokens: Arc::from([1]), ..ReadingPlan::default() });
        let snapshot = Snapshot::at_start(model.start_state(), "weights".into());
        let submission = Submission {
            name: model.info().backend.name().into(),
            identity: "weights".into(),
            model: Arc::new(model),
            start: Start::Copy(snapshot),
            plans,
            job: Box::new(job),
            arrived: Clock::manual().now(),
            deadline: None,
            held: Vec::new(),
            timed: None,
        };
        (submission, reader)
    }

    #[tokio::test]
    async fn a_tract_model_in_a_long_turn_keeps_no_native_model_waiting() {
        let pool = pool();
        let (entered, has_entered) = mpsc::sync_channel(1);
        let (leave, may_leave) = mpsc::sync_channel::<()>(1);
        let may_leave = Mutex::new(may_leave);
        let slow = Fake::new(20).computed_by(Backend::Tract).before_run(move |_| {
            entered.send(()).unwrap();
            may_leave.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        });
        let (submission, reader) = next(slow);
        let mut slow = pool.submit(submission, reader).unwrap();
        has_entered.recv_timeout(PATIENCE).unwrap();
        let (submission, reader) = next(Fake::new(20));
        let mut native = pool.submit(submission, reader).unwrap();
        let answer = tokio::time::timeout(PATIENCE, native.next()).await;
        assert!(answer.unwrap().unwrap().is_ok());
        assert!(slow.try_next().is_none());
        leave.send(()).unwrap();
        assert!(slow.next().await.unwrap().is_ok());
    }

    #[test]
    fn a_session_of_other_weights_is_refused_and_free_again() {
        let sessions = Sessions::new(SessionLimits::roomy(PATIENCE), Clock::manual());
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
            arrived: Clock::manual().now(),
            deadline: None,
            held: Vec::new(),
            timed: None,
        };
        let refused = pool().submit(submission, reader).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::StateMismatch);
        assert!(!sessions.info(&id).unwrap().busy);
    }
}

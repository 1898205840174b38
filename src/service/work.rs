//! How a checked request becomes a job of the engine, and the job's result comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Service;
use super::refusal::counted;
use crate::budget::Permit;
use crate::catalog::Served;
use crate::engine::jobs::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
use crate::engine::{Job, Kept, Reader, RowPlan, Start, Submission};
use crate::error::{Error, Result};
use crate::session::Snapshot;

/// A job for the engine.
pub(super) struct Work<T> {
    pub(super) served: Arc<Served>,
    pub(super) start: Start,
    pub(super) job: Box<dyn Job>,
    /// What the job's first rows read.
    pub(super) plans: Vec<RowPlan>,
    /// Where the job's results come out.
    pub(super) reader: Reader<T>,
    /// The time allowed; the server's own if absent.
    pub(super) timeout: Option<Duration>,
    /// Most rows at once.
    pub(super) rows: usize,
    /// The memory of the tokens, unless whoever waits for the job holds it.
    pub(super) held: Option<Arc<Permit>>,
}

impl Service {
    /// Hands a job to the engine.
    ///
    /// # Errors
    /// A full queue; too much to do for the time allowed; too little memory; a server that is shutting down; a key that was revoked, or whose requests are
    /// as many as may be worked on.
    pub(super) fn submit<T>(&self, work: Work<T>) -> Result<Reader<T>> {
        let deadline = self.began() + work.timeout.unwrap_or(self.config.http.request_timeout);
        self.submit_until(work, Some(deadline))
    }

    /// The same for a job that may take any time if there is no deadline. It is never refused because there is too much to do.
    ///
    /// # Errors
    /// A full queue; too little memory; a server that is shutting down; a key, as above.
    pub(super) fn submit_until<T>(&self, work: Work<T>, deadline: Option<Instant>) -> Result<Reader<T>> {
        self.begin_job()?;
        let own = self.take_for_job(&work)?;
        let own: Kept = Arc::new(own);
        let given = work.held.map(|held| held as Kept);
        let held = given.into_iter().chain([own]).chain(work.served.held.clone()).collect();
        let submission = Submission {
            name: work.served.name.clone(),
            identity: work.served.identity.clone(),
            model: work.served.model.clone(),
            start: work.start,
            plans: work.plans,
            job: work.job,
            arrived: self.clock.now(),
            deadline,
            held,
            timed: self.timed(),
        };
        counted(&self.metrics, self.pool.submit(submission, work.reader))
    }

    /// Runs a reading to its end.
    pub(super) async fn read(
        &self,
        served: &Arc<Served>,
        start: Start,
        plan: ReadingPlan,
    ) -> Result<ReadingResult, ReadingFailure> {
        let rows = 1 + plan.branches.len() + plan.next.as_ref().map_or(0, |next| next.candidates.len());
        let (job, plans, reader) = Reading::new(plan);
        let job = Box::new(job);
        let work =
            Work { served: served.clone(), start, job, plans, reader, timeout: None, rows, held: None };
        let failed = |error| ReadingFailure { error, position: None };
        let mut reader = self.submit(work).map_err(failed)?;
        reader.next().await.unwrap_or_else(|| {
            Err(failed(Error::internal("internal error: a reading ended without a result")))
        })
    }

    /// Runs a reading that moves no session.
    pub(super) async fn read_copy(
        &self,
        served: &Arc<Served>,
        snapshot: Snapshot,
        plan: ReadingPlan,
    ) -> Result<ReadingResult> {
        self.read(served, Start::Copy(snapshot), plan).await.map_err(|failure| failure.error)
    }
}

/// Where a reading led.
pub(super) fn end_of(result: &mut ReadingResult) -> Result<Snapshot> {
    result.snapshot.take().ok_or_else(|| Error::internal("internal error: a reading led to no state"))
}

//! Work that is done beside the engines: each piece on a thread of its own, few at once, and few that wait for their turn.
//!
//! It shares the processor with the engines as any thread does, so it never holds up a turn for longer than the system's time slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::Service;
use super::asked::late;
use crate::config::EngineOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::Rejected;

/// The room for such work.
pub(super) struct Beside {
    /// Limits what runs and waits.
    places: Arc<Semaphore>,
    /// Limits what runs.
    threads: Arc<Semaphore>,
    waiting_max: usize,
}

/// Whether nobody waits for the work any more.
#[derive(Clone, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

/// Sets [`Abandoned`] when the request that waits for the work is dropped.
struct Waiting(Abandoned);

impl Beside {
    pub(super) fn new(options: &EngineOptions) -> Self {
        let threads = options.analysis_threads;
        let waiting_max = options.analysis_queue_max;
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { places: permits(threads.saturating_add(waiting_max)), threads: permits(threads), waiting_max }
    }
}

impl Abandoned {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Service {
    /// Does `work` on a thread beside the engines. It should look at [`Abandoned`] now and then.
    ///
    /// # Errors
    /// `QueueFull` if too many wait; `Timeout`; `RateLimited` and `Unauthorized` as [`Service::begin_job`]; whatever the work returns.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Abandoned) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.begin_job()?;
        let done = tokio::time::timeout(self.time_left(), self.beside.run(work)).await;
        let done = done.unwrap_or_else(|_| Err(late()));
        done.inspect_err(|error| {
            if error.kind == ErrorKind::QueueFull {
                self.metrics.rejected(Rejected::QueueFull);
            }
        })
    }
}

impl Beside {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Abandoned) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let max = self.waiting_max;
            let message =
                format!("{max} analyses are waiting, which is the maximum (`--analysis-queue-max`)");
            Error::new(ErrorKind::QueueFull, message)
        })?;
        let thread = self.threads.clone().acquire_owned().await.expect("bug: the semaphore is never closed");
        let abandoned = Abandoned::default();
        let _waiting = Waiting(abandoned.clone());
        let running = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, even if nobody waits for it any more.
            let _held = (place, thread);
            work(abandoned)
        });
        running.await.unwrap_or_else(|_| Err(Error::internal("internal error: an analysis panicked")))
    }
}

/// The error of work that nobody waits for. Nobody sees it.
pub(super) fn abandoned() -> Error {
    Error::new(ErrorKind::Cancelled, "the client went away")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn few_run_few_wait_and_the_rest_is_refused() {
        let mut options = Config::default().engine;
        options.analysis_threads = 1;
        options.analysis_queue_max = 1;
        let beside = Arc::new(Beside::new(&options));
        let (go, gate) = mpsc::sync_channel(1);
        let first = beside.clone();
        let (begun, started) = tokio::sync::oneshot::channel();
        let first = tokio::spawn(async move {
            let work = move |_| {
                begun.send(()).expect("the test waits");
                gate.recv().expect("the test opens the gate");
                Ok(1)
            };
            first.run(work).await
        });
        started.await.unwrap();
        let waits = beside.run(|_| Ok(2));
        let mut waits = Box::pin(waits);
        assert!((&mut waits).now_or_never().is_none(), "it waits for the thread");
        let refused = beside.run(|_| Ok(3)).await.expect_err("a third has no place");
        assert_eq!(refused.kind, ErrorKind::QueueFull);
        assert!(refused.message.contains("--analysis-queue-max"));
        go.send(()).unwrap();
        assert_eq!((first.await.unwrap(), waits.await), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn work_is_told_when_nobody_waits_for_it_any_more() {
        let beside = Arc::new(Beside::new(&Config::default().engine));
        let (begun, started) = tokio::sync::oneshot::channel();
        let (done, ended) = tokio::sync::oneshot::channel();
        let own = beside.clone();
        let request = tokio::spawn(async move {
            let work = move |abandoned: Abandoned| {
                begun.send(()).expect("the test waits");
                while !abandoned.is_set() {
                    std::thread::yield_now();
                }
                done.send(()).expect("the test waits");
                Ok(())
            };
            own.run(work).await
        });
        started.await.unwrap();
        request.abort();
        ended.await.unwrap();
        assert_eq!(beside.run(|_| Ok(7)).await, Ok(7), "its place is free again");
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let beside = Beside::new(&Config::default().engine);
        let failed = beside.run::<()>(|_| panic!("a bug")).await.expect_err("it panicked");
        assert_eq!(failed.kind, ErrorKind::Internal);
    }
}

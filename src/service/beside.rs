//! Work that is done beside the engines: each piece on a thread of its own, few at once, and few that wait for their turn.
//!
//! It shares the processor with the engines as any thread does, so it never holds up a turn for longer than the system's time slice.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Service;
use super::asked::late;
use super::threads::{Abandoned, Threads};
use crate::config::EngineOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::Rejected;

/// The room for such work.
pub(super) struct Beside {
    /// Limits what runs and waits.
    places: Arc<Semaphore>,
    /// Does what runs.
    threads: Threads,
    waiting_max: usize,
}

impl Beside {
    pub(super) fn new(options: &EngineOptions) -> Self {
        let threads = options.analysis_threads;
        let waiting_max = options.analysis_queue_max;
        let places = threads.saturating_add(waiting_max).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            threads: Threads::new(threads, "an analysis"),
            waiting_max,
        }
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
        let placed = move |abandoned| {
            // Held until the thread is free, even if nobody waits for it any more.
            let _place = place;
            work(abandoned)
        };
        self.threads.run(placed).await
    }
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
}

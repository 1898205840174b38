//! Work on threads of its own, so that it holds up no other request: a few pieces at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};

/// The threads for one kind of work.
pub(super) struct Threads {
    /// Limits what runs at once.
    free: Arc<Semaphore>,
    /// What each does, for the error of one that panics.
    what: &'static str,
}

/// Whether nobody waits for the work any more.
#[derive(Clone, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

/// Sets [`Abandoned`] when whoever waits for the work is dropped.
struct Waiting(Abandoned);

impl Abandoned {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Refuses to continue with work that nobody waits for.
    ///
    /// # Errors
    /// [`abandoned`].
    pub(super) fn check(&self) -> Result<()> {
        if self.is_set() { Err(abandoned()) } else { Ok(()) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Threads {
    /// At most `count` threads.
    pub(super) fn new(count: usize, what: &'static str) -> Self {
        Self { free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), what }
    }

    /// Does `work` when a thread is free.
    ///
    /// # Errors
    /// `Internal` if it panics; whatever it returns.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Abandoned) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let thread = self.free.clone().acquire_owned().await.expect("bug: the semaphore is never closed");
        let abandoned = Abandoned::default();
        let _waiting = Waiting(abandoned.clone());
        let running = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, even if nobody waits for it any more.
            let _held = thread;
            work(abandoned)
        });
        running
            .await
            .unwrap_or_else(|_| Err(Error::internal(format!("internal error: {} panicked", self.what))))
    }
}

/// The error of work that nobody waits for. Nobody sees it.
pub(super) fn abandoned() -> Error {
    Error::new(ErrorKind::Cancelled, "the client went away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_and_keeps_its_thread_until_it_ends() {
        let threads = Arc::new(Threads::new(1, "a piece of work"));
        let (begun, started) = tokio::sync::oneshot::channel();
        let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let own = threads.clone();
        let request = tokio::spawn(async move {
            let work = move |abandoned: Abandoned| {
                begun.send(()).expect("the test waits");
                gate.recv().expect("the test opens the gate");
                while !abandoned.is_set() {
                    std::thread::yield_now();
                }
                abandoned.check()
            };
            own.run(work).await
        });
        started.await.unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(threads.free.available_permits(), 0, "it runs");
        go.send(()).unwrap();
        assert_eq!(threads.run(|_| Ok(7)).await, Ok(7), "its thread is free again");
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let threads = Threads::new(1, "a piece of work");
        let failed = threads.run::<()>(|_| panic!("a bug")).await.expect_err("it panicked");
        assert_eq!(failed, Error::internal("internal error: a piece of work panicked"));
    }
}

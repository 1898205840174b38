//! A test that waits for what does not happen fails, rather than never ending.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::timeout;

/// How long a test waits for what should happen immediately, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What `awaited` gives.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
#[track_caller]
pub(crate) fn in_time<T>(awaited: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match timeout(PATIENCE, awaited).await {
            Ok(given) => given,
            Err(_) => panic!("what is awaited at {place} has not happened in {PATIENCE:?}"),
        }
    }
}

/// Waits until `reached` returns true, for events of which no message tells the test.
#[track_caller]
pub(crate) fn until(reached: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    in_time(async move {
        while !reached().await {
            yield_now().await;
        }
    })
}

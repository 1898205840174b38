//! Sessions that survive the server: after an orderly end, after `kill -9`, and in the store that servers share.

mod contract;
mod keys;
mod kill;
mod restart;
mod shared;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::harness::client::Answer;

/// The file of a state, whose metadata are in no order.
fn state_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (len, rest) = answer.body.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    json!({"header": serde_json::from_slice::<Value>(header).unwrap(), "data": data})
}

/// How long a test waits for what should happen immediately.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `reached` returns true.
async fn until(reached: impl AsyncFn() -> bool) {
    let reached = async {
        while !reached().await {
            yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap();
}

//! Sessions that survive the server: after an orderly end, after `kill -9`, and in the store that servers share.

mod contract;
mod keys;
mod kill;
mod restart;
mod shared;
#[cfg(feature = "redis-tls")]
mod tls;

use serde_json::{Value, json};

use crate::harness::client::{Answer, metric};
use crate::harness::patience::until;
use crate::harness::server::Server;

/// Waits until a server has stored everything.
async fn stored(server: &Server) {
    until(async || metric(server.address, "rnnlm_store_queue").await == 0.0).await;
}

/// The file of a state, whose metadata are in no order.
fn state_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (len, rest) = answer.body.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    json!({"header": serde_json::from_slice::<Value>(header).unwrap(), "data": data})
}

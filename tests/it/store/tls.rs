//! A Redis behind TLS, whose certificate the program checks.

use std::path::Path;

use serde_json::json;

use crate::harness::certificate::Certificate;
use crate::harness::client::{Request, metric};
use crate::harness::models::write_words;
use crate::harness::program::{Serving, is_installed, program};
use crate::harness::redis::Redis;
use crate::harness::skip;

/// A server over `redis` that trusts the certificates of a file.
fn serve(model: &Path, redis: &Redis, trusted: &Path) -> Serving {
    let mut command = program();
    command.env("SSL_CERT_FILE", trusted).args(["serve", "--store-flush", "0s", "--models"]).arg(model);
    Serving::start(command.args(["--session-store", redis.url()]))
}

#[tokio::test]
async fn a_session_goes_through_tls_to_a_redis_that_is_trusted_and_to_no_other() {
    if !is_installed("openssl") {
        return skip("openssl was not found");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let model = path("words");
    write_words(&model);
    let trusted = Certificate::new(&path("trusted"), "localhost");
    let other = Certificate::new(&path("other"), "localhost");
    let Some(redis) = Redis::start_behind_tls(&trusted) else { return };

    let mut server = serve(&model, &redis, &trusted.certificate);
    let new = Request::new("POST", "/v1/sessions").json(&json!({"id": "s", "text": "the old"}));
    let position = new.open(server.address).await.whole().await.expect(201)["position"].clone();
    server.kill();

    let distrustful = serve(&model, &redis, &other.certificate);
    let get = || Request::new("GET", "/v1/sessions/s");
    get().open(distrustful.address).await.whole().await.refused(404, "session_not_found");
    assert!(metric(distrustful.address, "rnnlm_store_errors_total").await > 0.0);

    let next = serve(&model, &redis, &trusted.certificate);
    let found = get().open(next.address).await.whole().await.expect(200);
    assert_eq!(found["position"], position);
}

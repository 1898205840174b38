//! Probes, metrics, request ids, and the document of all routes.

use crate::client::Request;
use crate::harness::Server;

#[tokio::test]
async fn probes_answer_and_ids_are_echoed() {
    let server = Server::start().await;
    for target in ["/livez", "/readyz", "/health"] {
        assert_eq!(server.get(target).await.expect(200)["status"], "ok");
    }
    let answer = server.send(Request::new("GET", "/livez").header("x-request-id", "req-7")).await;
    assert_eq!(answer.header("x-request-id"), "req-7");
    assert_ne!(server.get("/livez").await.header("x-request-id"), "");
}

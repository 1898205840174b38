//! Clients that close their side of the connection before they are answered.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::gate::{Gate, gated};
use crate::harness::client::Answer;
use crate::harness::server::{Server, Setup};

/// A server that answers for so long after its client has closed its side, and a gate before every run.
async fn patient_for(timeout: Duration) -> (Server, Gate) {
    let (model, gate) = gated();
    let mut setup = Setup::over(vec![model]);
    setup.config.http.half_close_timeout = timeout;
    (setup.start().await, gate)
}

/// Sends a question and closes the side that has sent it.
async fn ask_and_close(server: &Server) -> TcpStream {
    let body = json!({"text": "b", "top_k": 1}).to_string();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("POST /v1/next HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_is_answered() {
    let (server, mut gate) = patient_for(Duration::from_secs(3600)).await;
    let stream = ask_and_close(&server).await;
    gate.entered().await;
    let _runs = gate.open();
    let answer = Answer::read(stream).await.expect(200);
    assert_eq!(answer["distribution"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_that_closed_its_side_too_long_ago_is_taken_to_be_gone() {
    let (server, mut gate) = patient_for(Duration::ZERO).await;
    let _stream = ask_and_close(&server).await;
    gate.entered().await;
    // The job is cancelled although the run that it waits for has not ended.
    server.until(|| server.app.open() == 0).await;
    let _runs = gate.open();
    server.until_jobs(0).await;
}

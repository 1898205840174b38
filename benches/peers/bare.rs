//! The least that a service of the same kind could do: axum reads the JSON of a request and writes the JSON of an answer, which are
//! those of `POST /v1/next`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "tokens")]
    _tokens: Vec<u32>,
    #[serde(rename = "top_k")]
    _top_k: usize,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    model: String,
    position: u64,
    unknown_count: u64,
    distribution: Vec<Token>,
    candidates: Vec<Token>,
    entropy: f64,
    top_mass: f64,
    logsumexp: f64,
    view: String,
}

#[derive(Deserialize, Serialize)]
struct Token {
    id: u32,
    token: String,
    text: String,
    prob: f64,
    logprob: f64,
    rank: u64,
}

/// Serves the answer in the file `answer` on a free port until stdin is closed.
pub(crate) fn serve(answer: &Path) {
    let answer = std::fs::read(answer).expect("a file with the answer");
    let answer: Answer = serde_json::from_slice(&answer).expect("the answer of a next-token request");
    let runtime = Runtime::new().expect("threads");
    let app = Router::new().route("/v1/next", post(next)).with_state(Arc::new(answer));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async { axum::serve(listener, app).await });
    // The end of its input ends the process, and with it the threads.
    let _ = std::io::stdin().read(&mut [0]);
    runtime.shutdown_background();
}

async fn next(State(answer): State<Arc<Answer>>, Json(_request): Json<Request>) -> Response {
    Json(&*answer).into_response()
}

//! Generation as a stream of events: its contents, and how it ends.

use std::time::Duration;

use rnnlm_server::config::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::events::{Event, Events, text, tokens};
use super::gate::gated;
use super::generate::{keys, session, standing};
use crate::harness::client::Request;
use crate::harness::models::{letters, scripted};
use crate::harness::server::{Server, Setup};

const GENERATE: &str = "/v1/generate";

fn request(target: &str, mut body: Value) -> Request {
    body["stream"] = json!(true);
    Request::new("POST", target).json(&body)
}

async fn stream(server: &Server, target: &str, body: Value) -> Events {
    Events::new(server.open(request(target, body)).await)
}

#[tokio::test]
async fn events_have_the_documented_fields() {
    let server = Server::start().await;
    let path = session(&server, "the old").await;
    let body = json!({"text": "man zebra", "max_tokens": 3, "seed": 7, "top_logprobs": 1});
    let events = stream(&server, &format!("{path}/generate"), body).await;
    let id = path.rsplit('/').next().unwrap();
    assert_eq!((events.header("cache-control"), events.header("x-accel-buffering")), ("no-cache", "no"));
    assert_eq!(events.header("x-session-id"), id);
    let events = events.rest().await;
    assert!(events.iter().map(|event| event.id).eq(0..5), "the ids number the events");
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["start", "token", "token", "token", "done"]);
    assert_eq!(
        events[0].data,
        json!({"model": "words", "seed": 7, "prompt_tokens": 2, "unknown_count": 1, "session": {"id": id, "position": 4}})
    );
    for (index, token) in events[1..4].iter().enumerate() {
        let token = &token.data;
        assert_eq!(keys(token), ["choice", "id", "index", "logprob", "text", "token", "top_logprobs"]);
        assert_eq!((&token["choice"], &token["index"]), (&json!(0), &json!(index)));
    }
    let done = &events[4].data;
    assert_eq!(keys(done), ["choices", "session", "usage"]);
    assert_eq!(keys(&done["choices"][0]), ["finish_reason", "index", "logprob", "text", "token_count"]);
    assert_eq!(done["usage"], json!({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}));
    assert_eq!(done["session"], json!({"id": id, "position": 7}));
    assert_eq!(standing(&server, &path), (7, false));
}

#[tokio::test]
async fn a_stream_has_the_text_of_the_answer_without_a_stream() {
    let server = Setup::over(vec![letters()]).start().await;
    let free = json!({"text": "ab", "max_tokens": 80, "seed": 9});
    let whole = server.post(GENERATE, free.clone()).await.expect(200)["choices"][0]["text"].clone();
    let whole = whole.as_str().unwrap();
    // A stop string that occurs, one of which only the first character occurs at the end, and none.
    let occurs: String = whole.chars().skip(30).take(2).collect();
    let begins: String = whole.chars().rev().take(1).chain("#".chars()).collect();
    for stop in [json!([occurs]), json!([begins]), Value::Null] {
        let mut body = free.clone();
        body["stop"] = stop.clone();
        let answer = server.post(GENERATE, body.clone()).await.expect(200);
        let choice = &answer["choices"][0];
        let events = stream(&server, GENERATE, body).await.rest().await;
        let done = &events.last().unwrap().data;
        assert_eq!(choice["text"], json!(text(&events)), "{stop}");
        assert_eq!(choice["tokens"], json!(tokens(&events)), "{stop}");
        assert_eq!(
            (&choice["logprob"], &choice["finish_reason"]),
            (&done["choices"][0]["logprob"], &done["choices"][0]["finish_reason"])
        );
        let held_back = done["choices"][0]["text"].as_str().unwrap().chars().count();
        assert_eq!(
            held_back,
            usize::from(stop == json!([begins])),
            "text that may begin a stop string is held back: {stop}"
        );
    }
}

#[tokio::test]
async fn the_header_accept_asks_for_a_stream_unless_the_body_decides() {
    let server = Server::start().await;
    for (accept, body, content_type) in [
        ("text/event-stream", json!({}), "text/event-stream"),
        ("application/json;q=0.9, Text/Event-Stream", json!({}), "text/event-stream"),
        ("application/json, Text/Event-Stream;q=0.9", json!({}), "application/json"),
        ("text/event-stream", json!({"stream": false}), "application/json"),
        ("application/json", json!({"stream": true}), "text/event-stream"),
        ("*/*", json!({}), "application/json"),
    ] {
        let request = Request::new("POST", GENERATE).json(&body).header("accept", accept);
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{accept} {body}");
    }
}

#[tokio::test]
async fn each_of_two_hundred_concurrent_streams_has_the_text_that_it_has_alone() {
    const STREAMS: u64 = 200;
    let server = Server::start().await;
    let body = |seed: u64| json!({"text": "the old man and the sea", "max_tokens": 24, "seed": seed});
    let mut alone = Vec::new();
    for seed in 0..STREAMS {
        alone.push(server.post(GENERATE, body(seed)).await.expect(200)["choices"][0]["text"].clone());
    }
    let mut together = JoinSet::new();
    for seed in 0..STREAMS {
        let address = server.address;
        let request = request(GENERATE, body(seed));
        together.spawn(async move { (seed, Events::new(request.open(address).await).rest().await) });
    }
    while let Some(ended) = together.join_next().await {
        let (seed, events) = ended.unwrap();
        assert_eq!(alone[seed as usize], json!(text(&events)), "seed {seed}");
    }
}

#[tokio::test]
async fn a_closed_connection_ends_the_job_and_its_session_keeps_the_tokens_that_were_sent() {
    let (model, mut gate) = gated();
    let mut setup = Setup::over(vec![model]);
    // The prompt is read in one run.
    setup.config.engine.turn_steps = setup.config.engine.turn_steps_idle;
    let server = setup.start().await;
    let (path, _) = tokio::join!(session(&server, ""), gate.let_through());
    let target = format!("{path}/generate");
    let opening = stream(&server, &target, json!({"text": "b c d", "max_tokens": 1000, "seed": 1}));
    let drawing = async {
        let mut read = 0;
        for _ in 0..4 {
            read += gate.let_through().await[0];
        }
        read
    };
    let (mut events, read) = tokio::join!(opening, drawing);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = events.next().await.unwrap();
        seen.extend((event.name == "token").then_some(event));
    }
    // The fifth run waits at the gate when the client goes.
    let read = read + gate.entered().await[0];
    assert_eq!(read, 3 + 4, "the runs have read the prompt and the tokens that the client has seen");
    drop(events);
    server.until_idle().await;
    let mut after = gate.open();
    server.until(|| !standing(&server, &path).1).await;
    let mut later = Vec::new();
    while let Ok(run) = after.try_recv() {
        later.push(run);
    }
    assert_eq!(later, [[1]], "the run in progress drew one more token, which is read but not continued");
    let position = 3 + 4 + 1;
    assert_eq!(standing(&server, &path), (position, false));

    // The session continues as a generation that was not interrupted would.
    let continued = server
        .post(&target, json!({"max_tokens": 5, "seed": 1, "expected_position": position}))
        .await
        .expect(200);
    let whole =
        server.post(GENERATE, json!({"text": "b c d", "max_tokens": 10, "seed": 1})).await.expect(200);
    let whole = whole["choices"][0]["tokens"].as_array().unwrap();
    assert_eq!(json!(whole[..4]), json!(tokens(&seen)));
    assert_eq!(continued["choices"][0]["tokens"], json!(whole[5..]));
}

#[tokio::test]
async fn a_connection_closed_before_the_first_token_ends_the_job() {
    let (model, mut gate) = gated();
    let mut setup = Setup::over(vec![model]);
    setup.config.engine.turn_steps = 1.0;
    setup.config.engine.turn_steps_idle = 1.0;
    let server = setup.start().await;
    let (path, _) = tokio::join!(session(&server, ""), gate.let_through());
    for stream in [false, true] {
        let request = Request::new("POST", format!("{path}/generate"))
            .json(&json!({"text": "b c d e", "stream": stream}));
        tokio::select! {
            _ = server.open(request) => panic!("the gate is closed"),
            read = gate.entered() => assert_eq!(read, [1]),
        }
        server.until_idle().await;
        gate.pass();
        server.until(|| !standing(&server, &path).1).await;
    }
    assert_eq!(standing(&server, &path), (2, false), "the run in progress has ended and no other has begun");
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_parked_and_releases_its_session() {
    let mut setup = Setup::over(vec![scripted(|fake| fake)]);
    setup.config.engine.stall_timeout = Duration::from_millis(100);
    setup.config.limits.max_tokens = 1_000_000;
    let server = setup.start().await;
    let path = session(&server, "").await;
    let body = json!({"max_tokens": 1_000_000, "top_logprobs": 26});
    let unread = stream(&server, &format!("{path}/generate"), body).await;
    server.until(|| !standing(&server, &path).1).await;
    let (position, _) = standing(&server, &path);
    let events = unread.rest().await;
    let done = &events.last().unwrap().data;
    assert_eq!(done["choices"][0]["finish_reason"], "timeout");
    assert_eq!(
        (done["session"]["position"].as_u64(), tokens(&events).len() as u64),
        (Some(position), position)
    );
    assert!(position < 1_000_000, "the job was parked before its end");
}

#[tokio::test]
async fn a_slow_reader_delays_no_other_request_and_misses_no_event() {
    let mut setup = Setup::over(vec![scripted(|fake| fake)]);
    setup.config.engine.stream_buffer = 2;
    let server = setup.start().await;
    let body = json!({"max_tokens": 4000, "top_logprobs": 26, "seed": 1});
    let slow = stream(&server, GENERATE, body.clone()).await;
    let quick = server.post(GENERATE, json!({"max_tokens": 4000, "seed": 1})).await.expect(200);
    assert_eq!(quick["choices"][0]["tokens"], json!(tokens(&slow.rest().await)));
}

/// A server whose model fails in the middle of a text.
pub(super) struct Failing {
    pub(super) server: Server,
    /// The tokens that are drawn before the failure.
    pub(super) drawn: Vec<u64>,
}

impl Failing {
    /// The model gives NaN after the first token that `body` draws which is new and is not the initial token.
    pub(super) async fn during(body: &Value) -> Self {
        let sound = Setup::over(vec![scripted(|fake| fake)]).start().await;
        let drawn = sound.post(GENERATE, body.clone()).await.expect(200)["choices"][0]["tokens"].clone();
        let mut drawn: Vec<u64> = serde_json::from_value(drawn).unwrap();
        let is_new = |at: &usize| drawn[*at] != 0 && !drawn[..*at].contains(&drawn[*at]);
        let at = (2..drawn.len()).find(is_new).unwrap();
        drawn.truncate(at + 1);
        let server = Setup::over(vec![scripted(|fake| fake.nan_on(drawn[at] as u32))]).start().await;
        Self { server, drawn }
    }
}

#[tokio::test]
async fn a_failure_during_a_stream_is_an_event_with_the_position_of_the_session() {
    let body = json!({"max_tokens": 30, "seed": 4});
    let Failing { server, drawn } = Failing::during(&body).await;
    let at = drawn.len() - 1;
    let path = session(&server, "").await;
    let events = stream(&server, &format!("{path}/generate"), body).await.rest().await;
    assert_eq!(tokens(&events), drawn);
    let Event { name, data, .. } = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["code"]), ("error", &json!("internal")));
    assert_eq!(data["session"], json!({"id": path.rsplit('/').next().unwrap(), "position": at}));
    assert_eq!(standing(&server, &path), (at as u64, false));
}

#[tokio::test]
async fn a_full_queue_is_429_also_for_a_stream() {
    let (model, mut gate) = gated();
    let mut setup = Setup::over(vec![model]);
    setup.config.engine.queue_max = 1;
    let server = setup.start().await;
    let body = json!({"max_tokens": 1});
    let one = tokio::spawn(request(GENERATE, body.clone()).open(server.address));
    gate.entered().await;
    let two = tokio::spawn(request(GENERATE, body.clone()).open(server.address));
    server.until_jobs(2).await;
    let refused = server.send(request(GENERATE, body)).await;
    refused.refused(429, "queue_full");
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("1", "true"));
    drop(gate);
    for answered in [one.await.unwrap(), two.await.unwrap()] {
        assert_eq!(Events::new(answered).rest().await.last().unwrap().name, "done");
    }
}

#[tokio::test]
async fn a_shutdown_ends_open_streams_with_a_last_event() {
    let (model, mut gate) = gated();
    let mut setup = Setup::over(vec![model]);
    setup.config.http.shutdown_grace = Duration::ZERO;
    setup.config.limits.max_tokens = 100_000_000;
    setup.config.limits.max_answer = Bytes(1 << 40);
    setup.config.http.answers_max_bytes = Bytes(1 << 40);
    setup.config.memory_max = Bytes(1 << 42);
    // Otherwise the second one, which could not end in time beside the first, would be refused.
    setup.config.http.request_timeout = Duration::from_secs(1 << 30);
    let server = setup.start().await;
    let (path, _) = tokio::join!(session(&server, ""), gate.let_through());
    let target = format!("{path}/generate");
    let opening = stream(&server, &target, json!({"max_tokens": 100_000_000}));
    let (streamed, _) = tokio::join!(opening, gate.let_through());
    let whole = Request::new("POST", GENERATE).json(&json!({"max_tokens": 100_000_000}));
    let whole = tokio::spawn(whole.open(server.address));
    server.until_jobs(2).await;
    server.stop().await;
    let _runs = gate.open();
    let events = streamed.rest().await;
    let done = &events.last().unwrap().data;
    assert_eq!(done["choices"][0]["finish_reason"], "shutdown");
    assert_eq!(done["session"]["position"], json!(tokens(&events).len()));
    assert_eq!(standing(&server, &path), (tokens(&events).len() as u64, false));
    let whole = whole.await.unwrap().whole().await;
    match whole.status {
        200 => assert_eq!(whole.json()["choices"][0]["finish_reason"], "shutdown"),
        // The job had not drawn a token yet.
        _ => drop(whole.refused(503, "draining")),
    }
    server.stopped().await;
}

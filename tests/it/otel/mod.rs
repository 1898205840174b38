//! Traces as a collector receives them.

mod collector;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rnnlm_server::config::{Config, SessionStore};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::harness::client::Request;
use crate::harness::server::{Server, Setup};
use collector::{Collector, Span};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that sends to `collector` the traces that are sampled, but none of its own.
async fn server(collector: &str, change: impl FnOnce(&mut Config)) -> Server {
    let configured = |config: &mut Config| {
        config.observing.otlp_endpoint = Some(format!("http://{collector}"));
        config.observing.otlp_ratio = 0.0;
        change(config);
    };
    Setup::configured(configured).start().await
}

/// Waits until `count` requests to `route` were reported, and sends what is left of their traces.
async fn flush(server: &Server, route: &str, count: usize) {
    let line = format!("rnnlm_http_request_duration_seconds_count{{route=\"{route}\"}} {count}");
    server.until(|| server.app.metrics.render().contains(&line)).await;
    let app = server.app.clone();
    spawn_blocking(move || app.traces.close()).await.unwrap();
}

fn traced(target: &str, flags: &str) -> Request {
    Request::new("POST", target)
        .header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"))
        .header("tracestate", "rojo=1")
}

#[tokio::test]
async fn a_request_is_a_span_with_its_queue_its_engine_and_its_store_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let server = server(&collector.address, |config| {
        config.sessions.session_store = SessionStore::File(folder.path().to_owned());
        config.sessions.store_flush = Duration::ZERO;
        config.observing.otlp_service_name = "words".to_owned();
    })
    .await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    let append = "/v1/sessions/s/append";
    let body = json!({"text": "the sea"});
    let answer = server.send(traced(append, "01").json(&body)).await;
    answer.expect(200);
    let unsampled = server.send(traced(append, "00").json(&body)).await;
    assert!(unsampled.header("traceparent").ends_with("-00"));
    let route = "/v1/sessions/{id}/append";
    flush(&server, route, 2).await;

    let received = collector.received();
    assert!(received.iter().all(|batch| !batch.body.windows(7).any(|part| part == b"the sea")));
    assert!(received.iter().all(|batch| batch.head.starts_with("POST /v1/traces HTTP/1.1\r\n")));
    let resources: BTreeMap<String, String> = received.iter().flat_map(collector::Batch::resource).collect();
    assert_eq!(resources["service.name"], "words");
    assert_eq!(resources["service.version"], env!("CARGO_PKG_VERSION"));
    let mut spans: Vec<Span> = received.iter().flat_map(collector::Batch::spans).collect();
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let whole_name = format!("POST {route}");
    assert_eq!(
        names,
        [whole_name.as_str(), "engine", "queue", "store"],
        "the other requests are not sampled"
    );
    assert!(spans.iter().all(|span| span.hex_trace() == TRACE && span.trace_state == "rojo=1"));

    let whole = &spans[0];
    assert_eq!((whole.hex_parent().as_str(), whole.kind), (PARENT, collector::SERVER));
    let returned = answer.header("traceparent").split('-').nth(2).unwrap().to_owned();
    assert_eq!(whole.hex_id(), returned);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", route),
        ("http.response.status_code", "200"),
        ("session.id", "s"),
    ] {
        assert_eq!(whole.attributes()[name], value, "{name}");
    }
    for piece in &spans[1..] {
        assert_eq!((piece.hex_parent(), piece.kind), (returned.clone(), collector::INTERNAL), "{piece:?}");
        assert!(
            whole.start <= piece.start && piece.start <= piece.end && piece.end <= whole.end,
            "{piece:?}"
        );
    }
    let engine = spans[1].attributes();
    assert_eq!(engine["rnnlm.jobs"], "1");
    assert_ne!(engine["rnnlm.turns"], "0");
    assert!(spans[2].end <= spans[1].start, "it has waited before it ran");
    assert!(spans[1].end <= spans[3].start, "it is stored when it has run");
}

#[tokio::test]
async fn a_new_trace_is_sent_if_it_is_among_the_share_that_is() {
    let collector = Collector::start().await;
    let server = server(&collector.address, |config| config.observing.otlp_ratio = 1.0).await;
    let answer = server.get("/no/such/route").await;
    assert_eq!(answer.status, 404);
    assert!(answer.header("traceparent").ends_with("-01"));
    flush(&server, "unmatched", 1).await;
    let spans: Vec<Span> = collector.received().iter().flat_map(collector::Batch::spans).collect();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!((spans[0].name.as_str(), spans[0].parent.len()), ("GET", 0));
    assert!(!spans[0].attributes().contains_key("http.route"));
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_no_request_and_a_second_at_the_end() {
    // Connections wait in its queue, and nobody accepts them.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let server = server(&address, |config| config.observing.otlp_queue_max = 2).await;
    for _ in 0..20 {
        server.send(traced("/v1/next", "01").json(&json!({"text": "sea"}))).await.expect(200);
    }
    let begun = Instant::now();
    flush(&server, "/v1/next", 20).await;
    // A batch has five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

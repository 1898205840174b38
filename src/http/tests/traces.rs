//! The trace of a request: in its headers, in the log, and where its time went if it was slow.

use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::config::LogFormat;
use crate::telemetry::Captured;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// The trace id, the span id and the flags of an answer.
fn place(answer: &Answer) -> [String; 3] {
    let fields: Vec<&str> = answer.header("traceparent").split('-').collect();
    assert_eq!(fields.len(), 4, "{fields:?}");
    assert_eq!((fields[0], fields[1].len(), fields[2].len()), ("00", 32, 16));
    [fields[1], fields[2], fields[3]].map(str::to_owned)
}

/// A server whose model takes `took` for each turn, by `clock`.
fn app_that_takes(took: Duration, clock: Clock, config: Config) -> Arc<App> {
    let app = App::new(config, clock.clone());
    let ticking = clock.clone();
    let model = Fake::new(26).before_run(move |_| ticking.advance(took));
    let catalog = Catalog::new(vec![served(model)], None).unwrap();
    app.ready(Arc::new(Service::start(&app.config, catalog, app.metrics.clone(), clock).unwrap()));
    app
}

async fn post(app: &Arc<App>, uri: &str, body: &str) -> Answer {
    let traceparent = traceparent();
    let headers = [("traceparent", traceparent.as_str())];
    ask(router(app.clone()), request("POST", uri, &headers, body.to_owned())).await
}

#[tokio::test]
async fn the_trace_of_a_request_is_continued_and_returned() {
    let app = app_with(Config::default());
    let state = [("tracestate", "rojo=1"), ("tracestate", "congo=2")];
    let given = traceparent();
    let answer = get_from(&app, "/livez", &[&[("traceparent", given.as_str())][..], &state].concat()).await;
    let [trace, span, flags] = place(&answer);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_ne!(span, PARENT);
    assert_eq!(answer.header("tracestate"), "rojo=1,congo=2");
    let [trace, again, _] = place(&get_from(&app, "/livez", &[("traceparent", &given)]).await);
    assert_eq!(trace, TRACE);
    assert_ne!(span, again, "each request has a span of its own");
}

#[tokio::test]
async fn a_request_without_a_valid_trace_begins_one() {
    let app = app_with(Config::default());
    let given = traceparent();
    let upper = given.to_uppercase();
    for headers in [
        &[][..],
        &[("traceparent", "00-1-2-01")],
        &[("traceparent", upper.as_str())],
        &[("traceparent", "caf\u{e9}")],
        &[("traceparent", given.as_str()), ("traceparent", given.as_str())],
    ] {
        let answer = get_from(&app, "/livez", &[headers, &[("tracestate", "rojo=1")]].concat()).await;
        let [trace, _, flags] = place(&answer);
        assert!(trace != TRACE && trace != "0".repeat(32), "{headers:?}");
        assert_eq!(flags, "00", "nothing is sent, so nothing is recorded");
        assert_eq!(answer.header("tracestate"), "", "{headers:?}");
    }
}

#[tokio::test]
async fn the_log_names_the_trace_of_a_request_in_both_formats() {
    let app = app_with(Config::default());
    let log = Captured::start(LogFormat::Json);
    let [_, span, _] = place(&post(&app, "/v1/next", r#"{"text": "b"}"#).await);
    let lines = log.with("answered");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["message"], &line["status"]), (&Value::from("answered"), &Value::from(200)));
    assert_eq!((&line["span"]["trace_id"], &line["span"]["span_id"]), (&TRACE.into(), &span.into()));
    drop(log);
    let log = Captured::start(LogFormat::Pretty);
    let [_, span, _] = place(&post(&app, "/v1/next", r#"{"text": "b"}"#).await);
    let lines = log.with("answered");
    assert!(lines.len() == 1 && lines[0].contains(TRACE) && lines[0].contains(&span), "{lines:?}");
    assert!(log.with("slow request").is_empty());
}

#[tokio::test]
async fn a_slow_request_says_where_its_time_went() {
    const TOOK: Duration = Duration::from_secs(11);
    let app = app_that_takes(TOOK, Clock::manual(), Config::default());
    assert_eq!(post(&app, "/v1/sessions", r#"{"id": "s"}"#).await.status, 201);
    let log = Captured::start(LogFormat::Json);
    let answer = post(&app, "/v1/sessions/s/append", r#"{"text": "x y"}"#).await;
    assert_eq!(answer.status, 200);
    let [_, span, _] = place(&answer);
    let lines = log.with("slow request");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    let turns = line["turns"].as_u64().unwrap();
    assert!(turns >= 1, "{line}");
    let engine = format!("{:?}", TOOK * turns as u32);
    for (field, expected) in [
        ("level", Value::from("WARN")),
        ("status", Value::from(200)),
        ("session", Value::from("s")),
        ("elapsed", Value::from(engine.as_str())),
        ("queue", Value::from("0ns")),
        ("engine", Value::from(engine.as_str())),
        ("jobs", Value::from(1)),
        ("store", Value::from("0ns")),
        ("sending", Value::from("0ns")),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    let of_span = |field: &str| line["span"][field].as_str().unwrap().to_owned();
    assert_eq!(of_span("route"), "/v1/sessions/{id}/append");
    assert_eq!((of_span("trace_id"), of_span("span_id")), (TRACE.to_owned(), span));
    assert!(!lines[0].contains("x y"), "the text of a request is never logged");
}

#[tokio::test]
async fn the_limit_of_a_slow_request_is_an_option_and_zero_is_none() {
    for (limit, lines) in [(0, 0), (2, 1), (3, 0)] {
        let mut config = Config::default();
        config.observing.slow_request = Duration::from_secs(limit);
        let app = app_that_takes(Duration::from_secs(3), Clock::manual(), config);
        let log = Captured::start(LogFormat::Pretty);
        assert_eq!(post(&app, "/v1/next", r#"{"text": "b"}"#).await.status, 200);
        assert_eq!(log.with("answered").len(), 1);
        assert_eq!(log.with("slow request").len(), lines, "a limit of {limit} s");
    }
}

#[tokio::test]
async fn the_time_that_a_client_takes_to_read_is_that_of_sending() {
    let clock = Clock::manual();
    let app = app_at(clock.clone(), Config::default());
    let log = Captured::start(LogFormat::Json);
    let body = r#"{"text": "b", "max_tokens": 2, "stream": true}"#;
    let response = router(app).oneshot(request("POST", "/v1/generate", &[], body)).await.unwrap();
    let mut frames = response.into_body().into_data_stream();
    let mut count: u32 = 0;
    while let Some(frame) = frames.next().await {
        frame.unwrap();
        count += 1;
        clock.advance(Duration::from_secs(20));
    }
    drop(frames);
    let lines = log.with("slow request");
    // Events that are ready together are one frame.
    assert!(count >= 1 && lines.len() == 1, "{count} frames, {lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["sending"], format!("{}s", 20 * count), "{line}");
}

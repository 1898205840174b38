//! What the extractors take and what they refuse, and how.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};

use super::{Body, Path, Query};
use crate::api::next::{NextQuery, NextRequest};
use crate::config::Config;
use crate::http::error::ApiResult;
use crate::http::tests::{Answer, app_with, ask, request};

async fn send(config: Config, request: axum::http::Request<axum::body::Body>) -> Answer {
    let app = app_with(config);
    let routes = Router::new()
        .route("/echo", post(|Body(input): Body<NextRequest>| async { Json(input) }))
        .route("/search", get(searched))
        .route("/items/{id}", get(|Path(id): Path<String>| async { id }));
    ask(crate::http::routes::assemble(routes, &app), request).await
}

async fn searched(Query(query): Query<NextQuery>) -> ApiResult<Json<NextRequest>> {
    Ok(Json(query.try_into()?))
}

async fn post_json(body: impl Into<axum::body::Body>) -> Answer {
    send(Config::default(), request("POST", "/echo", &[("content-type", "application/json")], body)).await
}

async fn search(query: &str) -> Answer {
    send(Config::default(), request("GET", &format!("/search?{query}"), &[], "")).await
}

#[tokio::test]
async fn a_body_is_read_null_is_absent_and_empty_is_an_empty_object() {
    let nothing = post_json("{}").await.json();
    assert_eq!((&nothing["text"], &nothing["top_k"]), (&Value::Null, &Value::Null));
    for body in ["", "{}", r#"{"text": null, "top_k": null, "sampling": null}"#] {
        let answer = post_json(body).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, nothing.clone()), "{body}");
    }
    let answer = post_json(r#"{"text": "a\u00e9", "top_k": 3}"#).await;
    assert_eq!((&answer.json()["text"], &answer.json()["top_k"]), (&json!("aé"), &json!(3)));
}

#[tokio::test]
async fn the_type_may_be_absent_or_a_form_but_not_from_a_browser() {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const ORIGIN: (&str, &str) = ("origin", "https://elsewhere.example");
    const JSON: (&str, &str) = ("content-type", "Application/JSON; charset=utf-8");
    for (headers, status) in [
        (&[][..], 200),
        (&[FORM][..], 200),
        (&[JSON][..], 200),
        (&[JSON, ORIGIN][..], 200),
        (&[ORIGIN][..], 415),
        (&[FORM, ORIGIN][..], 415),
        (&[("content-type", "text/plain")][..], 415),
    ] {
        let answer = send(Config::default(), request("POST", "/echo", headers, "{}")).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 415 {
            assert_eq!(answer.code(), "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn what_is_not_json_is_400_with_its_place() {
    for (body, place) in [
        ("{", "line 1 column 1"),
        ("{\n  \"text\": tru}", "line 2 column"),
        ("{} {}", "line 1 column 4"),
        (r#"{"top_k": NaN}"#, "line 1 column 11"),
        (r#"{"top_k": 01}"#, "line 1 column"),
    ] {
        let answer = post_json(body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_json"), "{body}");
        assert!(answer.message().contains(place), "{body}: {}", answer.message());
    }
    assert_eq!(post_json(&b"{\"text\": \"\xff\"}"[..]).await.code(), "invalid_json");
    // Serde's limit of recursion holds, however deep a body is.
    let deep = format!("{}{}", r#"{"sampling":"#.repeat(100_000), "}".repeat(100_000));
    assert!(post_json(deep).await.status.is_client_error());
}

#[tokio::test]
async fn what_is_not_understood_is_422_with_its_path() {
    for (body, code, param) in [
        (r#"{"txet": "a"}"#, "unknown_field", json!("txet")),
        (r#"{"sampling": {"top_p": 1, "topp": 2}}"#, "unknown_field", json!("sampling.topp")),
        (r#"{"top_k": "3"}"#, "invalid_value", json!("top_k")),
        (r#"{"top_k": -1}"#, "invalid_value", json!("top_k")),
        (r#"{"top_k": 1.5}"#, "invalid_value", json!("top_k")),
        (r#"{"tokens": [1, 4294967296]}"#, "invalid_value", json!("tokens[1]")),
        (r#"{"sampling": {"top_p": 1e999}}"#, "invalid_value", json!("sampling.top_p")),
        (r#"{"text": "a", "text": "b"}"#, "invalid_value", json!("text")),
        ("[1]", "invalid_value", Value::Null),
        ("3", "invalid_value", Value::Null),
    ] {
        let answer = post_json(body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.message());
        assert_eq!((answer.code().as_str(), answer.param()), (code, param), "{body}: {}", answer.message());
        assert!(!answer.message().contains(" line "), "{}", answer.message());
    }
    let message = post_json(r#"{"top_k": "3"}"#).await.message();
    assert_eq!(message, r#"`top_k`: invalid type: string "3", expected a whole number, 0 or more"#);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_naming_it() {
    let mut config = Config::default();
    config.http.max_body = crate::config::Bytes(1024);
    let body = format!(r#"{{"text": "{}"}}"#, "a".repeat(1024));
    let answer = send(config, request("POST", "/echo", &[], body)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "body_too_large"));
    assert!(answer.message().contains("1KiB"), "{}", answer.message());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let mut config = Config::default();
    config.http.request_timeout = Duration::from_millis(1);
    let body = axum::body::Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = send(config, request("POST", "/echo", &[], body)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn a_query_is_read_and_refused_like_a_body() {
    let answer = search("text=the%20sea&top_k=5").await;
    assert_eq!((&answer.json()["text"], &answer.json()["top_k"]), (&json!("the sea"), &json!(5)));
    for (query, code, param) in [
        ("topk=5", "unknown_field", json!("topk")),
        ("top_k=many", "invalid_value", json!("top_k")),
        ("top_k=-1", "invalid_value", json!("top_k")),
        ("text=a&text=b", "invalid_value", json!("text")),
    ] {
        let answer = search(query).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!((answer.code().as_str(), answer.param()), (code, param), "{query}: {}", answer.message());
    }
}

#[tokio::test]
async fn a_list_in_a_query_is_json_and_errors_name_its_entry() {
    for (query, code, param) in [
        ("candidates=sea", "invalid_value", json!("candidates")),
        ("candidates=[1]x", "invalid_value", json!("candidates")),
        ("candidates=7", "invalid_value", json!("candidates")),
        ("candidates=[\"sea\",true]", "invalid_value", json!("candidates[1]")),
        ("sampling={\"temperature\":\"hot\"}", "invalid_value", json!("sampling.temperature")),
        ("sampling={\"heat\":1}", "unknown_field", json!("sampling.heat")),
    ] {
        let query = query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let answer = search(&query).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!((answer.code().as_str(), answer.param()), (code, param), "{query}: {}", answer.message());
    }
    let answer = search("candidates=[%22sea%22,17]&sampling=%7B%22top_k%22:3%7D&top_k=1").await;
    let question = answer.json();
    assert_eq!((&question["candidates"], &question["sampling"]["top_k"]), (&json!(["sea", 17]), &json!(3)));
    assert_eq!(question["top_k"], json!(1));
}

#[tokio::test]
async fn a_path_that_is_no_text_is_422() {
    let found = send(Config::default(), request("GET", "/items/a%20b", &[], "")).await;
    assert_eq!(found.text(), "a b");
    let answer = send(Config::default(), request("GET", "/items/%ff", &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "invalid_value"));
}

#[tokio::test]
async fn a_byte_order_mark_before_the_body_is_skipped() {
    let answer = post_json("\u{feff}{\"text\": \"a\"}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["text"]), (200, &json!("a")));
    assert_eq!(post_json("\u{feff}").await.status, StatusCode::OK);
    assert_eq!(post_json("{\u{feff}}").await.code(), "invalid_json");
}

#[tokio::test]
async fn a_query_string_that_is_not_utf8_is_refused() {
    for query in ["text=%ff", "text=a&%FF=1", "text=%C3", "text=%c3%28"] {
        let answer = search(query).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_request"), "{query}");
    }
    for (query, text) in
        [("text=%C3%a9", "\u{e9}"), ("text=100%", "100%"), ("text=%+1", "% 1"), ("text=%zz", "%zz")]
    {
        assert_eq!(search(query).await.json()["text"], text, "{query}");
    }
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_unread() {
    let mut config = Config::default();
    config.http.max_body.0 = 9;
    let unread = axum::body::Body::new(Announced(10));
    let answer = send(config, request("POST", "/echo", &[], unread)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "body_too_large"));
}

/// A body of as many bytes, which must not be read.
struct Announced(u64);

impl axum::body::HttpBody for Announced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        panic!("the body was read")
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0)
    }
}

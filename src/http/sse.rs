//! Server-sent events (HTML standard, section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderName;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde::Serialize;

/// Tells nginx, and other proxies that know this header, to forward every event at once.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Answers with a stream of events, each a name and its data. Their ids count from 0. A comment is sent after each silence of
/// `keep_alive`.
///
/// The status is 200: whatever can be refused must have been refused before. When the client closes the connection, `events` is
/// dropped.
pub fn answer<S, T>(events: S, keep_alive: Duration) -> Response
where
    S: Stream<Item = (&'static str, T)> + Send + 'static,
    T: Serialize,
{
    let events = events.enumerate().map(|(id, (name, data))| {
        let json = serde_json::to_string(&data).expect("bug: an event has only string keys");
        Ok::<_, Infallible>(Event::default().event(name).id(id.to_string()).data(json))
    });
    let comments = KeepAlive::new().interval(keep_alive).text("keep-alive");
    // axum adds `cache-control: no-cache`.
    ([NO_BUFFERING], Sse::new(events).keep_alive(comments)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn events_have_names_ids_and_one_line_of_json() {
        let events = stream::iter([("start", json!({"seed": 1})), ("token", json!({"text": "\n"}))]);
        let response = answer(events, Duration::from_secs(15));
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-accel-buffering"], "no");
        let body = to_bytes(response.into_body(), 1 << 10).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&body),
            "event: start\nid: 0\ndata: {\"seed\":1}\n\nevent: token\nid: 1\ndata: {\"text\":\"\\n\"}\n\n"
        );
    }

    #[tokio::test]
    async fn a_comment_is_sent_after_a_silence() {
        let events = stream::pending::<(&'static str, ())>();
        let mut body = answer(events, Duration::from_millis(1)).into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        assert_eq!(first, ": keep-alive\n\n");
    }
}

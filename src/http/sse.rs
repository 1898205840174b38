//! Server-sent events (HTML standard, section 9.2).

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use serde::Serialize;

/// Tells nginx, and other proxies that know this header, to forward every event at once.
pub(super) const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// What is sent when there is nothing to say.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Bytes after which events that are ready are no longer put into the same frame.
const FRAME_BYTES: usize = 16 << 10;

/// An event.
pub enum Event<T> {
    /// Its name and its data. The ids of these events count from 0.
    Named(&'static str, T),
    /// Its data alone, as OpenAI's clients expect it.
    Data(T),
    /// The data `[DONE]`, which ends a stream for these clients.
    Done,
}

/// Answers with a stream of events. Events that are ready together are sent together. A
/// comment is sent after each silence of `keep_alive`.
///
/// The status is 200: whatever can be refused must have been refused before. When the client closes the connection, `events` is
/// dropped.
pub fn answer<S, T>(events: S, keep_alive: Duration) -> Response
where
    S: Stream<Item = Event<T>> + Send + 'static,
    T: Serialize + Send,
{
    let frames = Frames { events: Box::pin(events), is_over: false, next_id: 0, keep_alive };
    let frames = stream::unfold(frames, async |mut frames| {
        let frame = frames.next().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let headers = [NO_BUFFERING, (CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(frames)).into_response()
}

/// Events on their way into frames of the body.
struct Frames<S> {
    events: Pin<Box<S>>,
    is_over: bool,
    next_id: u64,
    keep_alive: Duration,
}

impl<S, T> Frames<S>
where
    S: Stream<Item = Event<T>>,
    T: Serialize,
{
    /// The next event, and those that are ready with it; `None` after the last.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_over {
            return None;
        }
        let event = tokio::select! {
            biased;
            event = self.events.next() => event?,
            () = tokio::time::sleep(self.keep_alive) => return Some(KEEP_ALIVE.to_vec()),
        };
        let mut frame = Vec::with_capacity(256);
        self.write(&event, &mut frame);
        while frame.len() < FRAME_BYTES
            && let Some(event) = self.events.next().now_or_never()
        {
            match event {
                Some(event) => self.write(&event, &mut frame),
                None => {
                    self.is_over = true;
                    break;
                }
            }
        }
        Some(frame)
    }

    fn write(&mut self, event: &Event<T>, frame: &mut Vec<u8>) {
        let data = match event {
            Event::Named(name, data) => {
                let id = self.next_id;
                self.next_id += 1;
                write!(frame, "event: {name}\nid: {id}\n").expect("a vector takes all that is written");
                data
            }
            Event::Data(data) => data,
            Event::Done => return frame.extend_from_slice(b"data: [DONE]\n\n"),
        };
        frame.extend_from_slice(b"data: ");
        // JSON on one line: line ends in strings are escaped.
        serde_json::to_writer(&mut *frame, data).expect("bug: an event has only string keys");
        frame.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn events_have_names_ids_and_one_line_of_json() {
        let events =
            [Event::Named("start", json!({"seed": 1})), Event::Named("token", json!({"text": "\n"}))];
        let events = stream::iter(events);
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
    async fn events_for_clients_of_openai_have_data_only() {
        let events = stream::iter([Event::Data(json!({"choices": []})), Event::Done]);
        let body = to_bytes(answer(events, Duration::from_secs(15)).into_body(), 1 << 10).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&body), "data: {\"choices\":[]}\n\ndata: [DONE]\n\n");
    }

    #[tokio::test]
    async fn events_that_are_ready_together_are_one_frame_of_bounded_size() {
        let events = stream::iter((0..1000).map(|index| Event::Named("token", "x".repeat(100 + index % 2))));
        let mut body = answer(events, Duration::from_secs(15)).into_body().into_data_stream();
        let mut ids = Vec::new();
        let mut frames = 0;
        while let Some(frame) = body.next().await {
            let frame = String::from_utf8(frame.unwrap().to_vec()).unwrap();
            assert!(frame.len() < FRAME_BYTES + 200, "{}", frame.len());
            ids.extend(frame.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<usize>().ok()));
            frames += 1;
        }
        assert_eq!(ids, (0..1000).collect::<Vec<_>>());
        assert!(frames < 12, "{frames} frames");
    }

    #[tokio::test]
    async fn a_comment_is_sent_after_a_silence() {
        let events = stream::pending::<Event<()>>();
        let mut body = answer(events, Duration::from_millis(1)).into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        assert_eq!(first, ": keep-alive\n\n");
    }
}

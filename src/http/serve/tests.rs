//! The life of a server over real sockets on free ports: connections, limits, and the deadline of a drain.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::api::sessions::CreateSessionRequest;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::routes::assemble;
use crate::http::sse;
use crate::http::tests::{app_with, behind_the_entrance, service_at};
use crate::session::Closed;

/// How long a test waits for what must happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with routes that never end.
struct Running {
    address: SocketAddr,
    app: Arc<App>,
    stop: mpsc::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(Duration::ZERO, change).await
    }

    async fn start_with(last_words: Duration, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let app = app_with(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = mpsc::channel(2);
        let endless = Router::new()
            .route("/endless", get(endless))
            .route("/flood", get(flood))
            .route("/events", get(events));
        let uncounted = Router::new()
            .route("/readyz", get(crate::http::ops::readyz))
            .route("/uncounted", get(self::endless));
        let routes = assemble(uncounted.merge(behind_the_entrance(endless, &app)), &app);
        let server = Server { listener, routes, app: app.clone(), last_words };
        let served = tokio::spawn(server.run(shutdown));
        Self { address, app, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// An endless stream that sends one event at once.
async fn endless() -> Response {
    let events =
        futures_util::StreamExt::chain(stream::iter([sse::Event::Named("start", ())]), stream::pending());
    sse::answer(events, Duration::from_secs(3600))
}

/// An endless answer, as fast as the client reads it.
async fn flood() -> Body {
    Body::from_stream(stream::repeat(Ok::<_, Infallible>(vec![b'x'; 64 << 10])))
}

/// An endless stream of events, as fast as the client reads them.
async fn events() -> Response {
    let event = || sse::Event::Named("token", "x".repeat(1 << 10));
    sse::answer(stream::repeat_with(event), Duration::from_secs(3600))
}

async fn send(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads until `end` has come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "the connection was closed before `{end}`: {text}");
        text += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    text
}

/// Returns when the server has closed the connection; one that was cut off may end in a reset.
async fn until_closed(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// More than the buffers of both sides hold: the client can send all of it only if the server reads it.
#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_its_request_is_not_lost() {
    const LENGTH: usize = 16 << 20;
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect().await;
    let head = format!("POST /readyz HTTP/1.1\r\nhost: test\r\ncontent-length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; LENGTH]).await.expect("the server reads what it does not need");
    let answer = read_until(&mut stream, "method_not_allowed").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    until_closed(&mut stream).await;
}

/// No request is made that could remove them on the way.
#[tokio::test]
async fn expired_sessions_are_removed_in_the_background() {
    const SESSIONS: usize = 1000;
    let clock = Clock::manual();
    let service = service_at(clock.clone());
    let sessions = service.sessions().clone();
    for _ in 0..SESSIONS {
        let created = service.create_session(CreateSessionRequest::default()).await;
        assert!(created.is_ok());
    }
    clock.advance(sessions.limits().ttl);
    let app = App::new(Config::default(), clock);
    app.ready(service);
    let removed = async {
        while sessions.stats().closed.get(&Closed::Expired).is_none_or(|&count| count < SESSIONS as u64) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        never = sweep(&app) => match never {},
        () = removed => {}
    }
    assert_eq!(sessions.stats().bytes, 0);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = Running::start(|_| {}).await;
    let mut idle = server.connect().await;
    send(&mut idle, "/readyz").await;
    assert!(read_until(&mut idle, r#""ok"}"#).await.contains("content-length"));
    server.stop.send(()).await.unwrap();
    server.served.await.unwrap();
    until_closed(&mut idle).await;
}

#[tokio::test]
async fn during_a_drain_open_streams_go_on_probes_say_so_and_work_is_refused() {
    let server = Running::start(|_| {}).await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    let mut waiting = server.connect().await;
    send(&mut waiting, "/readyz").await;
    read_until(&mut waiting, r#""ok"}"#).await;

    server.stop.send(()).await.unwrap();
    let mut app = server.app.phase_watch();
    app.wait_for(|phase| *phase == crate::http::Phase::Draining).await.unwrap();
    send(&mut waiting, "/readyz").await;
    assert!(read_until(&mut waiting, "draining").await.starts_with("HTTP/1.1 503"));
    let mut late = server.connect().await;
    send(&mut late, "/endless").await;
    assert!(read_until(&mut late, "draining").await.starts_with("HTTP/1.1 503"));
    assert_eq!(server.app.open(), 1);

    drop(open);
    server.served.await.unwrap();
}

#[tokio::test]
async fn who_connects_after_the_drain_is_told_while_the_last_connections_end() {
    let server = Running::start_with(PATIENCE, |_| {}).await;
    let mut last = server.connect().await;
    send(&mut last, "/uncounted").await;
    read_until(&mut last, "event: start").await;
    server.stop.send(()).await.unwrap();
    // No request is counted as open, so the drain is over as soon as it has begun.
    let mut phase = server.app.phase_watch();
    phase.wait_for(|phase| *phase == crate::http::Phase::Draining).await.unwrap();
    let mut late = server.connect().await;
    send(&mut late, "/endless").await;
    let answer = read_until(&mut late, "draining").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
    until_closed(&mut late).await;
    drop(last);
    timeout(PATIENCE, server.served).await.expect("the last connection has ended").unwrap();
}

#[tokio::test]
async fn a_request_that_is_on_its_way_when_the_server_closes_is_answered() {
    let server = Running::start_with(PATIENCE, |_| {}).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    // Connections are accepted in turn, so the first one is open too.
    send(&mut idle, "/readyz").await;
    read_until(&mut idle, r#""ok"}"#).await;
    server.stop.send(()).await.unwrap();
    let mut phase = server.app.phase_watch();
    phase.wait_for(|phase| *phase == crate::http::Phase::Draining).await.unwrap();
    for stream in [&mut fresh, &mut idle] {
        send(stream, "/endless").await;
        let answer = read_until(stream, "draining").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    until_closed(&mut fresh).await;
    until_closed(&mut idle).await;
    timeout(PATIENCE, server.served).await.expect("the connections have ended").unwrap();
}

#[tokio::test]
async fn the_grace_is_a_deadline_even_for_a_stream_that_never_ends() {
    let server = Running::start(|config| config.http.shutdown_grace = Duration::ZERO).await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    server.stop.send(()).await.unwrap();
    server.served.await.unwrap();
    until_closed(&mut open).await;
    assert_eq!(server.app.open(), 0, "the stream was dropped, and its work with it");
}

#[tokio::test]
async fn a_second_signal_cuts_the_grace_short() {
    let server = Running::start(|config| config.http.shutdown_grace = Duration::from_secs(1 << 30)).await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    server.stop.send(()).await.unwrap();
    server.stop.send(()).await.unwrap();
    timeout(PATIENCE, server.served).await.expect("the grace of 34 years is cut short").unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_refused_in_the_form_of_every_error() {
    let server = Running::start(|config| config.http.max_header = crate::config::Bytes(8 << 10)).await;
    let too_long = format!("GET /readyz HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n", "a".repeat(9 << 10));
    for (head, status, code) in [
        (too_long.as_str(), 431, "headers_too_large"),
        ("nonsense\r\n\r\n", 400, "invalid_request"),
        ("GET /readyz HTTP/1.1\r\nno colon\r\n\r\n", 400, "invalid_request"),
    ] {
        let mut stream = server.connect().await;
        // It is refused after a request that was not, too.
        send(&mut stream, "/readyz").await;
        read_until(&mut stream, r#""ok"}"#).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "}}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!(r#""code":"{code}""#)), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        for header in ["x-request-id: ", "content-type: application/json\r\n", "connection: close\r\n"] {
            assert!(answer.contains(header), "{answer}");
        }
        until_closed(&mut stream).await;
        let counted = format!(r#"{{route="unmatched",method="OTHER",status="{status}"}}"#);
        assert!(server.app.metrics.render().contains(&counted), "{counted}");
    }
}

#[tokio::test]
async fn headers_that_do_not_come_are_408_and_close_the_connection() {
    let server = Running::start(|config| config.http.header_timeout = Duration::from_millis(1)).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /readyz HTTP/1.1\r\nhost: te").await.unwrap();
    let answer = read_until(&mut slow, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("--header-timeout"), "{answer}");
    timeout(PATIENCE, until_closed(&mut slow)).await.expect("the connection is closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word_and_one_that_is_served_is_not() {
    let server = Running::start(|config| config.http.idle_timeout = Duration::from_millis(1)).await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    let mut idle = server.connect().await;
    let mut read = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut read)).await.expect("the connection is closed").unwrap();
    assert!(read.is_empty());
    assert_eq!(server.app.open(), 1);
}

#[tokio::test]
async fn requests_that_are_sent_at_once_are_answered_in_order() {
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    let all = [request("/readyz"), request("/second"), request("/third")].concat();
    stream.write_all(all.as_bytes()).await.unwrap();
    let answers = read_until(&mut stream, "`/third`").await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    assert!(answers.find(r#""ok"}"#) < answers.find("`/second`"), "{answers}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let server = Running::start(|config| config.http.write_timeout = Duration::from_millis(1)).await;
    for path in ["/flood", "/events"] {
        let mut stream = server.connect().await;
        send(&mut stream, path).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        timeout(PATIENCE, server.app.idle()).await.expect("the request has ended");
        drop(stream);
    }
}

#[tokio::test]
async fn when_all_connections_are_served_a_new_one_waits_for_one_to_end() {
    let server = Running::start(|config| {
        config.http.max_connections = 1;
        config.http.peer_connections_max = Some(2);
    })
    .await;
    let mut first = server.connect().await;
    send(&mut first, "/endless").await;
    read_until(&mut first, "event: start").await;
    let mut second = server.connect().await;
    send(&mut second, "/readyz").await;
    let mut byte = [0; 1];
    let early = second.try_read(&mut byte).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
    drop(first);
    read_until(&mut second, r#""ok"}"#).await;
}

#[tokio::test]
async fn connections_without_a_whole_request_make_room_for_new_ones() {
    let server = Running::start(|config| {
        config.http.max_connections = 2;
        config.http.peer_connections_max = Some(2);
    })
    .await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    let mut last = server.connect().await;
    for begun in ["", "GET", "GET /readyz HTTP/1.1\r\nhost: te"] {
        last.write_all(begun.as_bytes()).await.unwrap();
        let mut next = server.connect().await;
        send(&mut next, "/readyz").await;
        read_until(&mut next, r#""ok"}"#).await;
        timeout(PATIENCE, until_closed(&mut last)).await.expect("the connection is closed");
        last = next;
    }
    assert_eq!(server.app.open(), 1);
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_so() {
    let server = Running::start(|config| config.http.peer_connections_max = Some(1)).await;
    let mut first = server.connect().await;
    send(&mut first, "/endless").await;
    read_until(&mut first, "event: start").await;
    let mut second = server.connect().await;
    let answer = read_until(&mut second, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("--peer-connections-max"), "{answer}");
    assert!(answer.contains(r#""code":"too_many_connections""#), "{answer}");
    assert!(answer.contains("\r\nx-should-retry: true\r\n"), "{answer}");
    drop(first);
}

#[tokio::test]
async fn probes_and_metrics_have_a_listener_of_their_own() {
    let server = Running::start(|config| {
        config.http.max_connections = 1;
        config.http.peer_connections_max = Some(2);
    })
    .await;
    let mut open = server.connect().await;
    send(&mut open, "/endless").await;
    read_until(&mut open, "event: start").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_probes(listener, server.app.clone()));
    let mut probe = TcpStream::connect(address).await.unwrap();
    for (path, status) in [("/readyz", 200), ("/livez", 200), ("/metrics", 200), ("/v1/models", 404)] {
        send(&mut probe, path).await;
        let end = if path == "/metrics" { "# EOF\n" } else { "}" };
        assert!(read_until(&mut probe, end).await.starts_with(&format!("HTTP/1.1 {status} ")), "{path}");
    }
}

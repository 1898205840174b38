//! The life of a server over real sockets on free ports: connections, limits, and the deadline of a drain.

use std::net::SocketAddr;

use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::api::sessions::CreateSessionRequest;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::routes::assemble;
use crate::http::tests::{app_with, service_at};
use crate::http::{layers, sse};
use crate::session::Closed;

/// How long a test waits for what must happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with one route that never ends. It leaves nobody time for last words.
struct Running {
    address: SocketAddr,
    app: Arc<App>,
    stop: mpsc::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let app = app_with(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = mpsc::channel(2);
        let endless = Router::new().route("/endless", get(endless));
        let admission = from_fn_with_state(app.clone(), layers::admission);
        let routes =
            Router::new().route("/readyz", get(crate::http::ops::readyz)).merge(endless.layer(admission));
        let routes = assemble(routes, &app);
        let server = Server { listener, routes, app: app.clone(), last_words: Duration::ZERO };
        let served = tokio::spawn(server.run(shutdown));
        Self { address, app, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// An endless stream that sends one event at once.
async fn endless() -> Response {
    let events = futures_util::StreamExt::chain(stream::iter([("start", ())]), stream::pending());
    sse::answer(events, Duration::from_secs(3600))
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
async fn headers_over_the_limit_are_431() {
    let server = Running::start(|config| config.http.max_header = crate::config::Bytes(8 << 10)).await;
    let mut stream = server.connect().await;
    let head = format!("GET /readyz HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n", "a".repeat(9 << 10));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let server = Running::start(|config| config.http.header_timeout = Duration::from_millis(1)).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /readyz HTTP/1.1\r\nhost: te").await.unwrap();
    timeout(PATIENCE, until_closed(&mut slow)).await.expect("the connection is closed");
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_another_to_end() {
    let server = Running::start(|config| config.http.max_connections = 1).await;
    let mut first = server.connect().await;
    send(&mut first, "/readyz").await;
    read_until(&mut first, r#""ok"}"#).await;
    let mut second = server.connect().await;
    send(&mut second, "/readyz").await;
    let mut byte = [0; 1];
    let early = second.try_read(&mut byte).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
    drop(first);
    read_until(&mut second, r#""ok"}"#).await;
}

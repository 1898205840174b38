//! The HTTP client of the exporter: a connection for each batch, on the sockets of the server's runtime.
//!
//! OpenTelemetry brings clients of its own, each of which would add a second HTTP library or a pool of connections.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    runtime: Handle,
    time_max: Duration,
}

/// More than a collector says of a batch.
const ANSWER_BYTES_MAX: usize = 1 << 16;

impl Client {
    /// A client on `runtime`, whose exchanges take at most `time_max`.
    pub(super) fn new(runtime: Handle, time_max: Duration) -> Self {
        Self { runtime, time_max }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread that waits for this is not one of the runtime's, and cannot set a timer.
        let time_max = self.time_max;
        self.runtime.spawn(async move { timeout(time_max, exchange(request)).await }).await??
    }
}

async fn exchange(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = std::mem::take(request.uri_mut());
    let authority = uri.authority().ok_or("the URL of the collector has no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = uri.path().parse()?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange, whose errors say what went wrong.
    tokio::spawn(connection);
    let response = sender.send_request(request.map(Full::new)).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

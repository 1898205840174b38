//! An HTTP/1.1 client that sends exactly what a test specifies, and reads an answer as it arrives.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::patience::in_time;

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request on a connection of its own, and waits for the head of the answer.
    pub(crate) async fn open(self, address: SocketAddr) -> Reply {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let Self { method, target, headers, body } = self;
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        in_time(stream.write_all(head.as_bytes())).await.unwrap();
        // A server that refuses a body without reading it closes the connection, but its answer still arrives.
        let _ = in_time(stream.write_all(&body)).await;
        Reply::read(BufReader::new(stream)).await
    }
}

/// The sum of a metric of the server at `address` over its labels; `name` may have some of them.
pub(crate) async fn metric(address: SocketAddr, name: &str) -> f64 {
    let metrics = Request::new("GET", "/metrics").open(address).await.whole().await.text();
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

/// The head of an answer whose body has not been read. Dropping this value closes the connection.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
}

impl Reply {
    async fn read(mut stream: BufReader<TcpStream>) -> Self {
        let status_line = line(&mut stream).await;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let header = line(&mut stream).await;
            let Some((name, value)) = header.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Self { status, headers, stream }
    }

    /// The value of a header; empty if the answer does not have it.
    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// The next chunk of a chunked body; `None` at its end, or if the server has closed the connection.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        assert_eq!(self.header("transfer-encoding"), "chunked", "only a chunked body has chunks");
        let size = line(&mut self.stream).await;
        let size = usize::from_str_radix(&size, 16).ok()?;
        let mut chunk = vec![0; size];
        in_time(self.stream.read_exact(&mut chunk)).await.ok()?;
        line(&mut self.stream).await;
        (size > 0).then_some(chunk)
    }

    /// The whole answer.
    pub(crate) async fn whole(mut self) -> Answer {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else {
            in_time(self.stream.read_to_end(&mut body)).await.unwrap();
        }
        Answer { status: self.status, headers: self.headers, body }
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer from `stream`.
    pub(crate) async fn read(stream: TcpStream) -> Self {
        Reply::read(BufReader::new(stream)).await.whole().await
    }

    /// The value of a header; empty if the answer does not have it.
    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Checks the status, and returns the JSON of the body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks the status, the code and the four keys of an error, and returns its `param` and its `message`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> (Value, String) {
        let body = self.json();
        let error = &body["error"];
        assert_eq!((self.status, error["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(4), "{body}");
        assert!(error["type"].as_str().is_some_and(|kind| kind.ends_with("_error")), "{body}");
        (error["param"].clone(), error["message"].as_str().unwrap().to_owned())
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    // If the connection was reset, the line is empty.
    let _ = in_time(stream.read_line(&mut line)).await;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    line
}

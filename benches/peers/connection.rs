//! A connection that costs its client little: a request is written as bytes, and of an answer no more is read than its status and its length.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept open, with one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The latest answer.
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request; the body of its answer, which must have a status of success and a length.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(Head { end, len }) = head(&self.buffer)?
                && self.buffer.len() >= end + len
            {
                return Ok(&self.buffer[end..end + len]);
            }
        }
    }
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

/// Where the head of an answer ends, and the length of the body after it.
struct Head {
    end: usize,
    len: usize,
}

/// The head of the answer that `bytes` begin with, once it is complete.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let len =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match len.filter(|_| head.starts_with("http/1.1 2")) {
        Some(len) => Ok(Some(Head { end: end + 4, len })),
        None => {
            let body = String::from_utf8_lossy(&bytes[end..]);
            Err(io::Error::other(format!("expected a status of success and a length, found {head}{body}")))
        }
    }
}

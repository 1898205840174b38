//! One request to a running server over HTTP/1.1, on a connection of its own, with a deadline for all of it.

use std::fmt;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Where to ask, and for what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    pub(super) path: String,
    /// The server's key, in characters that a header can hold.
    pub(super) key: Option<String>,
}

/// What one exchange may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The time for all of it.
    pub(super) timeout: Duration,
    /// The bytes of the answer, head included.
    pub(super) answer_bytes_max: usize,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Target {
    /// The target of an `http` URL; `path` where it has none. `None` for any other text.
    pub(super) fn parse(url: &str, path: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, path));
        let printable = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !printable {
            return None;
        }
        // An IPv6 address has colons of its own, in brackets.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Some(Self { authority, path: format!("/{path}"), key: None })
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// No connection; no answer in time; one that is too long or is not HTTP/1.1.
    pub(super) fn get(&self, patience: Patience) -> std::io::Result<Answer> {
        let head = format!("GET {}\r\n", self.head());
        self.exchange(head.as_bytes(), patience)
    }

    /// Sends a POST of a JSON document.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn post(&self, json: &str, patience: Patience) -> std::io::Result<Answer> {
        let head = self.head();
        let len = json.len();
        let request =
            format!("POST {head}content-type: application/json\r\ncontent-length: {len}\r\n\r\n{json}");
        self.exchange(request.as_bytes(), patience)
    }

    /// What follows the method, with every header that a GET has.
    fn head(&self) -> String {
        let Self { authority, path, key } = self;
        let key = key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        format!("{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{key}")
    }

    fn exchange(&self, request: &[u8], patience: Patience) -> std::io::Result<Answer> {
        let deadline = Instant::now() + patience.timeout;
        let mut stream = self.connect(deadline)?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        // Read piece by piece, so that a server that sends byte by byte does not outlast the deadline.
        loop {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut chunk)? {
                0 => return Answer::read(&answer),
                length => answer.extend_from_slice(&chunk[..length]),
            }
            if answer.len() > patience.answer_bytes_max {
                let max = patience.answer_bytes_max;
                return Err(invalid(&format!("the answer has more than {max} bytes")));
            }
        }
    }

    fn connect(&self, deadline: Instant) -> std::io::Result<TcpStream> {
        let mut failed = Error::from(ErrorKind::AddrNotAvailable);
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => {
                    stream.set_write_timeout(Some(left(deadline)?))?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

impl Answer {
    fn read(bytes: &[u8]) -> std::io::Result<Self> {
        let no_http = || invalid("the answer is not HTTP/1.1");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(no_http)?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| no_http())?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(no_http)?;
        let header = |name: &str| {
            let each = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            each.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let rest = &bytes[end + 4..];
        let cut_short = || invalid("the answer ends too early");
        let body = match (header("transfer-encoding"), header("content-length")) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => {
                joined(rest).ok_or_else(cut_short)?
            }
            (_, Some(len)) => {
                let len = len.parse().map_err(|_| no_http())?;
                rest.get(..len).ok_or_else(cut_short)?.to_vec()
            }
            (_, None) => rest.to_vec(),
        };
        Ok(Self { status, body })
    }

    /// The reason that the server gives for a failure.
    pub(super) fn reason(&self) -> String {
        let json = self.json();
        let message = json.as_ref().and_then(|json| json["error"]["message"].as_str());
        message.unwrap_or("no reason given").to_owned()
    }

    /// Its body, if that is JSON.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The body that comes in chunks (RFC 9112, section 7.1); `None` if it is cut short.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend(rest.get(start..)?.get(..size)?);
        rest = rest[start + size..].strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let target = |url: &str| Target::parse(url, "health").unwrap().to_string();
        assert_eq!(target("http://localhost:8080/readyz"), "http://localhost:8080/readyz");
        assert_eq!(target("http://example.org"), "http://example.org:80/health");
        assert_eq!(target("http://[::1]/x"), "http://[::1]:80/x");
        assert_eq!(target("http://[::1]:81/x"), "http://[::1]:81/x");
        for url in ["https://a", "a:80", "http://", "http://a b", "http://a/\r\nx: y", "http://me@a/"] {
            assert_eq!(Target::parse(url, "health"), None, "{url}");
        }
    }

    #[test]
    fn bodies_of_a_length_in_chunks_and_to_the_end_are_read_whole_or_not_at_all() {
        let read = |text: &str| Answer::read(text.as_bytes()).map(|answer| (answer.status, answer.body)).ok();
        let found = Some((200, b"{}".to_vec()));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), found);
        assert_eq!(read("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}"), found);
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n";
        assert_eq!(read(&format!("{chunked}0\r\n\r\n")), found);
        assert_eq!(read(chunked), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}"), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(read("SSH-2.0\r\n\r\n"), None);
        assert_eq!(joined(b"fffffffffffffffff\r\n"), None);
    }
}

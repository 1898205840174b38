//! `healthcheck`: asks a running server whether it is ready, so that an image without curl can check itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;

use super::failure::{Failure, Outcome};
use crate::config::Config;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// The URL to ask, `http` only; by default `/health` at the address of `serve --listen`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// A server that takes longer is not healthy. Docker gives up after 30 s by default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much of the answer is read: the status is in its first line.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let target = match &args.url {
        Some(url) => Target::parse(url)?,
        None => Target::own(Config::from_environment()?.listen),
    };
    let answer =
        target.get().map_err(|error| Failure::Failed(format!("no answer from `{target}`: {error}")))?;
    match status(&answer) {
        Some(200) => Ok(()),
        Some(status) => Err(Failure::Failed(format!("`{target}` answers {status}: {}", reason(&answer)))),
        None => Err(Failure::Failed(format!("`{target}` does not answer in HTTP/1.1"))),
    }
}

/// Where to ask, and for what.
#[derive(Debug, PartialEq)]
struct Target {
    /// `host:port`.
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Outcome<Self> {
        let wrong =
            || Failure::Usage(format!("`--url` is `{url}`; it must be like `http://127.0.0.1:8080/health`"));
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, "health"));
        let printable = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !printable {
            return Err(wrong());
        }
        // An IPv6 address has colons of its own, in brackets.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { authority, path: format!("/{path}") })
    }

    /// The server of this configuration. One that listens on all interfaces is asked on the loopback interface.
    fn own(mut listen: SocketAddr) -> Self {
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        Self { authority: listen.to_string(), path: "/health".to_owned() }
    }

    fn get(&self) -> std::io::Result<String> {
        let deadline = Instant::now() + TIMEOUT;
        let mut stream = self.connect(deadline)?;
        let request =
            format!("GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.authority);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        // Read piece by piece, so that a server that sends byte by byte does not outlast the deadline.
        while (answer.len() as u64) < ANSWER_BYTES_MAX {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut chunk)? {
                0 => break,
                length => answer.extend_from_slice(&chunk[..length]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn connect(&self, deadline: Instant) -> std::io::Result<TcpStream> {
        let mut failed = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
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

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The reason that the server gives.
fn reason(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = json.as_ref().and_then(|json| json["error"]["message"].as_str());
    message.unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request with `answer`; gives the address and, when joined, the request.
    fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (url, served)
    }

    fn check(url: String) -> Outcome {
        run(&HealthcheckArgs { url: Some(url) })
    }

    #[test]
    fn a_ready_server_is_healthy() {
        let (url, served) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        check(url).unwrap();
        assert!(served.join().unwrap().starts_with("GET /health HTTP/1.1\r\nhost: 127.0.0.1:"));
    }

    #[test]
    fn any_other_answer_is_a_failure_that_says_why() {
        let (url, _) = answering(
            "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":{\"message\":\"the server is still loading its models\"}}",
        );
        let Err(Failure::Failed(message)) = check(url) else { panic!("503 is not healthy") };
        assert!(message.contains("503: the server is still loading its models"), "{message}");
        let (url, _) = answering("SSH-2.0\r\n");
        assert!(matches!(check(url), Err(Failure::Failed(_))));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(check(format!("http://{free}")), Err(Failure::Failed(_))));
    }

    #[test]
    fn urls_are_read_and_all_interfaces_become_the_loopback_interface() {
        let target = |url: &str| Target::parse(url).unwrap().to_string();
        assert_eq!(target("http://localhost:8080/readyz"), "http://localhost:8080/readyz");
        assert_eq!(target("http://example.org"), "http://example.org:80/health");
        assert_eq!(target("http://[::1]/x"), "http://[::1]:80/x");
        assert_eq!(target("http://[::1]:81/x"), "http://[::1]:81/x");
        for url in ["https://a", "a:80", "http://", "http://a b", "http://a/\r\nx: y"] {
            assert!(matches!(Target::parse(url), Err(Failure::Usage(_))), "{url}");
        }
        assert_eq!(Target::own("0.0.0.0:8080".parse().unwrap()).authority, "127.0.0.1:8080");
        assert_eq!(Target::own("[::]:8080".parse().unwrap()).authority, "[::1]:8080");
        assert_eq!(Target::own("10.0.0.7:80".parse().unwrap()).authority, "10.0.0.7:80");
    }
}

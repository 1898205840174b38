//! `healthcheck`: asks a running server whether it is ready, so that an image without curl can check itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::client::{Patience, Target};
use super::failure::{Failure, Outcome};
use crate::config::Config;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// The URL to ask, `http` only; by default `/health` at the address in `RNNLM_LISTEN` or in the file of `RNNLM_CONFIG`, or else at `127.0.0.1:8080`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// A server that takes longer is not healthy; Docker gives up after 30 s by default. What it says is short.
const PATIENCE: Patience = Patience { timeout: Duration::from_secs(5), answer_bytes_max: 16 << 10 };

pub(super) fn run(args: &HealthcheckArgs) -> Outcome {
    let target = match &args.url {
        Some(url) => Target::parse(url, "health").ok_or_else(|| {
            Failure::Usage(format!("`--url` is `{url}`; it must be like `http://127.0.0.1:8080/health`"))
        })?,
        None => own(Config::from_environment()?.listen),
    };
    let answer = target
        .get(PATIENCE)
        .map_err(|error| Failure::Failed(format!("no answer from `{target}`: {error}")))?;
    match answer.status {
        200 => Ok(()),
        status => Err(Failure::Failed(format!("`{target}` answers {status}: {}", answer.reason()))),
    }
}

/// The server of this configuration. One that listens on all interfaces is asked on the loopback interface.
fn own(mut listen: SocketAddr) -> Target {
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Target { authority: listen.to_string(), path: "/health".to_owned(), key: None }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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
    fn what_is_no_url_is_wrong_usage_and_all_interfaces_become_the_loopback_interface() {
        assert!(matches!(check("https://a".to_owned()), Err(Failure::Usage(_))));
        assert_eq!(own("0.0.0.0:8080".parse().unwrap()).authority, "127.0.0.1:8080");
        assert_eq!(own("[::]:8080".parse().unwrap()).authority, "[::1]:8080");
        assert_eq!(own("10.0.0.7:80".parse().unwrap()).authority, "10.0.0.7:80");
    }
}

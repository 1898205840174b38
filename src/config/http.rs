//! The options of connections and request bodies.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shares::bytes_or_auto;
use super::values::{Bytes, bytes, count, duration, duration_or_zero, network_threads};

/// How the service uses the network.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Threads that read requests and write answers; `auto` is half of the cores, and at least one
    #[arg(long, value_name = "N", default_value = "auto", value_parser = network_threads)]
    pub network_threads: usize,

    /// Maximum bytes of a request's body; `auto` is 16MiB, or a 48th of `--memory-max` if that is less
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub max_body: Bytes,

    /// Maximum bytes of all answers that are being computed or sent, as estimated; a request beyond it is rejected with 429; `auto` is 256MiB, or an eighth of `--memory-max` if that is less
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub answers_max_bytes: Bytes,

    /// Maximum bytes of a request's line and headers; from 8KiB to 1MiB
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = header_bytes)]
    pub max_header: Bytes,

    /// Maximum number of open connections; to accept another, one that waits for a request is closed, and if all are served, it waits
    #[arg(long, value_name = "N", default_value = "8192", value_parser = count())]
    pub max_connections: usize,

    /// Maximum number of open connections from one address or IPv6 network (/64); by default half of `--max-connections`
    #[arg(long, value_name = "N", value_parser = count())]
    pub peer_connections_max: Option<usize>,

    /// A second address for probes and metrics, whose connections are counted separately; `/metrics` is then served only there; by default none
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    /// Time for which a connection may be idle before a request
    #[arg(long, value_name = "DURATION", default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// Time allowed for a request's line and headers to arrive, from their first byte
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration,

    /// Time in which a request's body must bring as much as `--body-rate-min` asks for, whenever the server waits for it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub body_timeout: Duration,

    /// Minimum bytes per second of a request's body, over each `--body-timeout`
    #[arg(long, value_name = "BYTES", default_value = "100B", value_parser = bytes)]
    pub body_rate_min: Bytes,

    /// Time for which a client may read nothing of its answer before its connection is closed; reading slowly is allowed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub write_timeout: Duration,

    /// Time for which a request is still answered after its client has closed its side of the connection; a client that is gone looks the same
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_or_zero)]
    pub half_close_timeout: Duration,

    /// Time allowed for one request, from the arrival of its headers; a request's own `timeout_ms` may not exceed it
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Time allowed for open requests to finish after SIGTERM or SIGINT; then streams are ended
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration_or_zero)]
    pub shutdown_grace: Duration,

    /// Time without an event on a stream after which a comment is sent to keep the connection alive
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub stream_keep_alive: Duration,

    /// Web origins, separated by commas, whose pages may call the service; `*` allows any; by default none
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<String>,

    /// Interfaces for other programs' clients, separated by commas, which answer only if they are enabled; by default none
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub enable: Vec<Interface>,
}

/// An interface in the shape of another program's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Interface {
    /// Word and character predictions as Imagineville has them, for keyboards of augmentative communication.
    Aac,
}

impl HttpOptions {
    /// Whether an interface answers.
    pub fn enables(&self, interface: Interface) -> bool {
        self.enable.contains(&interface)
    }

    /// Maximum number of open connections from one address.
    pub fn peer_connections_max(&self) -> usize {
        self.peer_connections_max.unwrap_or(self.max_connections.div_ceil(2))
    }
}

/// The HTTP library reads headers into a buffer of at least this size.
const HEADER_BYTES_MIN: usize = 8 << 10;

const HEADER_BYTES_MAX: usize = 1 << 20;

fn header_bytes(text: &str) -> Result<Bytes, String> {
    match bytes(text)? {
        Bytes(size) if !(HEADER_BYTES_MIN..=HEADER_BYTES_MAX).contains(&size) => {
            Err(format!("expected from {} to {}", Bytes(HEADER_BYTES_MIN), Bytes(HEADER_BYTES_MAX)))
        }
        size => Ok(size),
    }
}

fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let whole = host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte))
    });
    if whole || text == "*" {
        Ok(text.to_owned())
    } else {
        Err("expected `*` or an origin such as `https://example.org`, without a path".to_owned())
    }
}

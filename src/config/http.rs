//! The options of connections and request bodies.

use std::time::Duration;

use clap::Args;

use super::values::{Bytes, bytes, count, duration, duration_or_zero};

/// How the service uses the network.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Maximum bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    pub max_body: Bytes,

    /// Maximum bytes of a request's line and headers; from 8KiB to 1MiB
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = header_bytes)]
    pub max_header: Bytes,

    /// Maximum number of open connections; further ones wait to be accepted
    #[arg(long, value_name = "N", default_value = "8192", value_parser = count())]
    pub max_connections: usize,

    /// Time allowed for a request's headers to arrive, and for a connection to be idle between two requests
    #[arg(long, value_name = "DURATION", default_value = "75s", value_parser = duration)]
    pub header_timeout: Duration,

    /// Time allowed for one request; a request's own `timeout_ms` may not exceed it
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

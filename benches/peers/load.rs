//! A client that costs little: fixed requests over connections that are kept open.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::connection::{Connection, post};
use crate::runs::percentile;

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[arg(long)]
    address: SocketAddr,
    /// The path of the request, in which `{session}` stands for a number below `--sessions`; each connection has numbers of its own
    #[arg(long)]
    path: String,
    /// The JSON of the request
    #[arg(long)]
    body: String,
    #[arg(long)]
    connections: usize,
    /// At least one for each connection
    #[arg(long, default_value_t = 0)]
    sessions: usize,
    #[arg(long)]
    seconds: f64,
}

impl LoadArgs {
    /// What the connection with this number sends, in turns.
    fn requests(&self, number: usize) -> Vec<Vec<u8>> {
        let sessions = (number..self.sessions.max(number + 1)).step_by(self.connections);
        sessions
            .map(|session| post(&self.path.replace("{session}", &session.to_string()), &self.body))
            .collect()
    }
}

/// The rate of answers, and the time of one.
pub(crate) fn load(args: &LoadArgs) -> io::Result<Value> {
    let time = Duration::from_secs_f64(args.seconds);
    let mut times = Vec::new();
    let runtime = Runtime::new()?;
    let begun = Instant::now();
    runtime.block_on(async {
        let mut connections = Vec::new();
        for number in 0..args.connections {
            connections.push(tokio::spawn(send(args.address, args.requests(number), begun + time)));
        }
        for connection in connections {
            times.extend(connection.await.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(())
    })?;
    let elapsed = begun.elapsed().as_secs_f64();
    times.sort_unstable_by(f64::total_cmp);
    Ok(json!({
        "connections": args.connections,
        "requests": times.len(),
        "requests_per_second": times.len() as f64 / elapsed,
        "p50_us": percentile(&times, 50),
        "p99_us": percentile(&times, 99),
    }))
}

/// Sends `requests` over and over until `end`; the time of each answer in microseconds.
async fn send(address: SocketAddr, requests: Vec<Vec<u8>>, end: Instant) -> io::Result<Vec<f64>> {
    let mut connection = Connection::open(address).await?;
    let mut times = Vec::new();
    for request in requests.iter().cycle() {
        let begun = Instant::now();
        if begun >= end && !times.is_empty() {
            break;
        }
        connection.send(request).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// The time from token to token of one greedy stream.
pub(crate) fn stream(address: SocketAddr, tokens: usize) -> io::Result<Value> {
    Runtime::new()?.block_on(async {
        let body = json!({"tokens": [1], "max_tokens": tokens, "temperature": 0, "stop_at_eos": false, "stream": true});
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(&post("/v1/generate", &body.to_string())).await?;
        let mut buffer = Vec::new();
        let mut first = None;
        while !contains(&buffer, b"event: done") {
            if connection.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first.is_none() && contains(&buffer, b"event: token") {
                first = Some(Instant::now());
            }
        }
        let elapsed = first.ok_or(io::ErrorKind::InvalidData)?.elapsed().as_secs_f64();
        let found = buffer.windows(12).filter(|window| window == b"event: token").count();
        Ok(json!({"tokens": found, "gap_us": elapsed / (found.max(2) - 1) as f64 * 1e6}))
    })
}

/// Whether the last part of `buffer` has `wanted`; events are shorter than that.
fn contains(buffer: &[u8], wanted: &[u8]) -> bool {
    let tail = &buffer[buffer.len().saturating_sub(4096)..];
    tail.windows(wanted.len()).any(|window| window == wanted)
}

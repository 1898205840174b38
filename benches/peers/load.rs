//! A client that costs little: fixed requests over connections that are kept open.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::runs::percentile;

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    /// The JSON of the request
    #[arg(long)]
    body: String,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    seconds: f64,
}

/// The rate of answers, and the time of one.
pub(crate) fn load(args: &LoadArgs) -> io::Result<Value> {
    let time = Duration::from_secs_f64(args.seconds);
    let request = request(&args.path, &args.body);
    let mut times = Vec::new();
    let runtime = Runtime::new()?;
    let begun = Instant::now();
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..args.connections {
            connections.push(tokio::spawn(send(args.address, request.clone(), begun + time)));
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

fn request(path: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

/// Sends `request` until `end`; the time of each answer in microseconds.
async fn send(address: SocketAddr, request: Vec<u8>, end: Instant) -> io::Result<Vec<f64>> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut times = Vec::new();
    let mut buffer = Vec::new();
    while times.is_empty() || Instant::now() < end {
        let begun = Instant::now();
        connection.write_all(&request).await?;
        answer(&mut connection, &mut buffer).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Reads one answer, which must have the status 200 and a length.
async fn answer(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        if connection.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(len) = len_of_answer(buffer)?
            && buffer.len() >= len
        {
            return Ok(());
        }
    }
}

/// The length of head and body, once the head is complete.
fn len_of_answer(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let len =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match len.filter(|_| head.starts_with("http/1.1 200")) {
        Some(len) => Ok(Some(end + 4 + len)),
        None => Err(io::Error::other(format!("expected status 200 and a length, found {head}"))),
    }
}

/// The time from token to token of one greedy stream.
pub(crate) fn stream(address: SocketAddr, tokens: usize) -> io::Result<Value> {
    Runtime::new()?.block_on(async {
        let body = json!({"tokens": [1], "max_tokens": tokens, "temperature": 0, "stop_at_eos": false, "stream": true});
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(&request("/v1/generate", &body.to_string())).await?;
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

//! Many people typing at once, as the page does: the time from each key to its answer, and the processor time that it takes.
//!
//! `cargo bench --bench keys -- --clients 200 tests/data/classics-test.txt` types into a running server. Each client has a connection and a
//! session of its own, and begins at a place of its own in the text. A key within a word asks for suggestions; a space appends the finished
//! word and asks for the next one, in one call; now and then a key is wrong, and a backspace takes it back, which rewinds the session if
//! the wrong key had finished a word. A key that falls due while the one before it is unanswered waits, and its wait counts.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep_until;

use connection::{Connection, post};

#[path = "peers/connection.rs"]
mod connection;

/// What the page asks for.
const SHOWN: usize = 8;
const TTL_SECONDS: u64 = 900;
const REWIND_TOKENS: usize = 512;

/// Cargo passes `--bench` to every benchmark.
#[derive(Parser)]
#[command(about = "Type a text into a running server, as many people at once")]
struct Args {
    #[arg(long, hide = true)]
    bench: bool,

    /// What is typed: UTF-8
    text: PathBuf,

    /// The server
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,

    /// A model whose tokens are words
    #[arg(long, default_value = "classics")]
    model: String,

    #[arg(long, default_value_t = 200)]
    clients: usize,

    /// Of each client
    #[arg(long, default_value_t = 5.0)]
    keys_per_second: f64,

    #[arg(long, default_value_t = 30.0)]
    seconds: f64,

    /// The share of keys that are wrong and taken back
    #[arg(long, default_value_t = 0.03)]
    mistakes: f64,
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Char(char),
    Backspace,
}

fn main() -> io::Result<()> {
    let args = Arc::new(Args::parse());
    let text: Vec<char> = fs::read_to_string(&args.text)?.replace('\n', " ").chars().collect();
    let keys = (args.seconds * args.keys_per_second) as usize;
    assert!(text.len() > keys, "the text has {} characters; each client types {keys}", text.len());
    // One thread: what the client costs is not there for the server, if they share a machine.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut waits = runtime.block_on(async {
        // Sessions are created before the first key.
        let begin = Instant::now() + Duration::from_secs(1);
        let typing: Vec<_> = (0..args.clients)
            .map(|client| {
                let start = (drawn(client, 0) * (text.len() - keys) as f64) as usize;
                let typed = typed(&text[start..start + keys], client, args.mistakes);
                tokio::spawn(type_keys(args.clone(), typed, begin + period(&args).mul_f64(drawn(client, 1))))
            })
            .collect();
        let mut waits = Vec::new();
        for client in typing {
            waits.extend(client.await.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(waits)
    })?;
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (clients, rate) = (args.clients, waits.len() as f64 / args.seconds);
    println!("{clients} clients, {} keys, {rate:.0} per second", waits.len());
    println!(
        "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

fn period(args: &Args) -> Duration {
    Duration::from_secs_f64(1.0 / args.keys_per_second)
}

/// A number in `0..1` that depends on `client` and `number` alone.
fn drawn(client: usize, number: usize) -> f64 {
    let mut hasher = DefaultHasher::new();
    (client, number).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// As many keys as `text` has characters; some are wrong, and the next takes them back.
fn typed(text: &[char], client: usize, mistakes: f64) -> Vec<Key> {
    let mut keys = Vec::with_capacity(text.len() + 1);
    for (number, &char) in text.iter().enumerate() {
        if drawn(client, 2 + number) < mistakes {
            // Every second wrong key finishes the word too early.
            let wrong = if number % 2 == 0 { ' ' } else { 'x' };
            keys.extend([Key::Char(wrong), Key::Backspace]);
        }
        keys.push(Key::Char(char));
    }
    keys.truncate(text.len());
    keys
}

/// Types `keys`, the first at `begin`; the time from when each was due to its answer.
async fn type_keys(args: Arc<Args>, keys: Vec<Key>, begin: Instant) -> io::Result<Vec<Duration>> {
    let mut typist = Typist::new(&args).await?;
    let mut waits = Vec::with_capacity(keys.len());
    for (number, key) in keys.into_iter().enumerate() {
        let due = begin + period(&args).mul_f64(number as f64);
        sleep_until(due.into()).await;
        typist.press(key).await?;
        waits.push(due.elapsed());
    }
    Ok(waits)
}

/// One person: a connection, a session that holds the finished words, and the word that is being typed.
struct Typist {
    connection: Connection,
    /// The session's path.
    path: String,
    position: u64,
    /// The finished words that can be taken back.
    finished: Vec<Finished>,
    /// What is typed of the next word, with the white space before it.
    prefix: String,
}

/// A word that the session has read.
struct Finished {
    text: String,
    /// Where the session stood before it.
    before: u64,
}

#[derive(Deserialize)]
struct Created {
    id: String,
    position: u64,
}

#[derive(Deserialize)]
struct Moved {
    position: u64,
}

#[derive(Deserialize)]
struct Suggested {
    suggestions: Vec<IgnoredAny>,
}

impl Typist {
    async fn new(args: &Args) -> io::Result<Self> {
        let mut connection = Connection::open(args.address).await?;
        let body = json!({"model": args.model, "ttl_seconds": TTL_SECONDS, "rewind_tokens": REWIND_TOKENS});
        let answer = connection.send(&post("/v1/sessions", &body.to_string())).await?;
        let Created { id, position } = serde_json::from_slice(answer)?;
        let path = format!("/v1/sessions/{id}");
        Ok(Self { connection, path, position, finished: Vec::new(), prefix: String::new() })
    }

    async fn press(&mut self, key: Key) -> io::Result<()> {
        let has_word = !self.prefix.trim().is_empty();
        match key {
            Key::Char(char) if char.is_whitespace() && has_word => self.finish(char).await,
            Key::Char(char) => {
                self.prefix.push(char);
                self.ask().await
            }
            Key::Backspace => {
                self.prefix.pop();
                match self.finished.pop() {
                    Some(last) if self.prefix.is_empty() => self.go_back(last).await,
                    last => {
                        self.finished.extend(last);
                        self.ask().await
                    }
                }
            }
        }
    }

    /// The session reads the word, and answers what may follow it.
    async fn finish(&mut self, char: char) -> io::Result<()> {
        let text = std::mem::replace(&mut self.prefix, char.to_string());
        let body = json!({"text": text, "expected_position": self.position, "next": next()});
        let Moved { position } = self.call("append", &body).await?;
        self.finished.push(Finished { text, before: self.position });
        self.position = position;
        Ok(())
    }

    /// The session goes back to before the last word, and completes it as it was typed.
    async fn go_back(&mut self, Finished { text, before }: Finished) -> io::Result<()> {
        let suggest = json!({"prefix": text, "top_k": SHOWN});
        let body = json!({"position": before, "expected_position": self.position, "suggest": suggest});
        self.position = self.call::<Moved>("rewind", &body).await?.position;
        self.prefix = text;
        Ok(())
    }

    /// Words that begin with what is typed or, if there are none, what may follow it.
    async fn ask(&mut self) -> io::Result<()> {
        let mut ahead = next();
        if !self.prefix.trim().is_empty() {
            let body = json!({"prefix": self.prefix, "top_k": SHOWN});
            if !self.call::<Suggested>("suggest", &body).await?.suggestions.is_empty() {
                return Ok(());
            }
            ahead["text"] = json!(self.prefix);
        }
        self.call::<IgnoredAny>("next", &ahead).await?;
        Ok(())
    }

    async fn call<'a, T: Deserialize<'a>>(&'a mut self, verb: &str, body: &Value) -> io::Result<T> {
        let request = post(&format!("{}/{verb}", self.path), &body.to_string());
        Ok(serde_json::from_slice(self.connection.send(&request).await?)?)
    }
}

/// The likeliest tokens that can be written.
fn next() -> Value {
    json!({"top_k": SHOWN, "special": false})
}

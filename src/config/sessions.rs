//! The options of the table of sessions.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shares::bytes_or_auto;
use super::values::{Bytes, count, duration, duration_or_zero};

/// How many sessions may exist, how much memory they may use, and how long they live.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub struct SessionOptions {
    /// Maximum number of sessions
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count())]
    pub sessions_max: usize,

    /// Maximum bytes of memory that all sessions use, bookkeeping included; `auto` is a quarter of `--memory-max`
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub sessions_max_bytes: Bytes,

    /// Time to live of a session after its last use; a session's own `ttl_seconds` may not exceed it
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub session_ttl: Duration,

    /// What happens when a session is created in a full table: the least recently used idle session is evicted, or the request is rejected with 503
    #[arg(long, value_name = "POLICY", default_value = "lru")]
    pub evict: Evict,

    /// Maximum number of expired or evicted sessions for which the reason is remembered, each for at most an hour
    #[arg(long, value_name = "N", default_value = "100000", value_parser = count())]
    pub sessions_gone_max: usize,

    /// Maximum number of tokens that a session can go back; each 32 of them cost the memory of a state
    #[arg(long, value_name = "N", default_value = "1024", value_parser = count())]
    pub rewind_max: usize,

    /// Maximum number of tokens that a cache remembers; each costs the memory of a hidden vector and, at every step, a product with it
    #[arg(long, value_name = "N", default_value = "2000", value_parser = count())]
    pub cache_window_max: usize,

    /// Maximum number of sessions listed in one answer
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count())]
    pub sessions_page_max: usize,

    /// Where sessions are kept beside memory, so that they survive the server: `file:DIR`, a folder that no other server uses, `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, a Redis server that several servers share, or `memory`, nowhere
    #[arg(long, value_name = "STORE", default_value = "memory", value_parser = session_store)]
    pub session_store: SessionStore,

    /// Time for which a change of a session waits to be written to the store with others, and between two writes of a long stream; with 0s no answer and no token is sent before it is stored
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration_or_zero)]
    pub store_flush: Duration,

    /// Maximum number of sessions that wait to be written to the store; if there are more, because it fails, all sessions are written when it works again
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count())]
    pub store_queue_max: usize,

    /// Time that a request waits for a shared store; one that answers later counts as lost, and sessions are served from memory until it is back
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = duration)]
    pub store_timeout: Duration,

    /// Time after which a crashed server's claim on a session lapses, so that others may write to it; running servers renew their claims
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub store_claim: Duration,
}

/// Where sessions are kept beside memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStore {
    /// Nowhere: they end with the process.
    Memory,
    /// In a folder.
    File(PathBuf),
    /// In a Redis server, which other servers use too.
    Redis(RedisUrl),
}

/// The URL of a Redis server. It may contain a password, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The URL with its password.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl From<String> for RedisUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl")
    }
}

fn session_store(text: &str) -> Result<SessionStore, String> {
    match text.split_once(':') {
        None if text == "memory" => Ok(SessionStore::Memory),
        Some(("file", folder)) if !folder.is_empty() => Ok(SessionStore::File(folder.into())),
        // It is checked later: an error of an option repeats its value, which may contain a password.
        Some(("redis" | "rediss", _)) => Ok(SessionStore::Redis(RedisUrl(text.to_owned()))),
        _ => Err("expected `memory`, `file:` and the path of a folder, or a URL of a Redis server that begins with `redis://`".to_owned()),
    }
}

/// What happens when a session is created in a full table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evict {
    /// The least recently used idle session is evicted.
    Lru,
    /// No session is evicted; the new one is refused.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_memory_a_folder_or_a_redis_server() {
        assert_eq!(session_store("memory"), Ok(SessionStore::Memory));
        assert_eq!(session_store("file:/var/lib/a:b"), Ok(SessionStore::File("/var/lib/a:b".into())));
        let url = "redis://user:secret@127.0.0.1/2";
        let redis = session_store(url).unwrap();
        assert!(!format!("{redis:?}").contains("secret"), "{redis:?}");
        assert_eq!(redis, SessionStore::Redis(RedisUrl(url.to_owned())));
        for text in ["", "file", "file:", "memory:", "redis", "http://127.0.0.1", "/var/lib"] {
            let error = session_store(text).unwrap_err();
            let expected = ["`memory`", "`file:`", "`redis://`"];
            assert!(expected.iter().all(|name| error.contains(name)), "{text}: {error}");
        }
    }
}

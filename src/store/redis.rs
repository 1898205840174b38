//! A shared store in Redis: one hash for each session, one script for everything that happens to it.
//!
//! A key is `rnnlm:{name}`. Each call has one key, so that it runs on any node of a cluster that has it. Calls are sent together and their
//! replies read together. After an error the connection is given up, and the next call opens another.

use std::time::Duration;

use redis::{Client, Connection, RedisError, RedisResult, Value};

use super::{Action, Call, Reply, Reserve, SharedStore, Stored, Version};
use crate::error::{Error, ErrorKind, Result};

const SCRIPT: &str = include_str!("redis/session.lua");

/// A Redis server.
pub struct RedisStore {
    client: Client,
    /// For a connection, and for each piece of a reply.
    timeout: Duration,
    /// `None` before the first call, and after an error.
    connected: Option<Connected>,
}

struct Connected {
    connection: Connection,
    /// The name that the server gives the script.
    script: String,
}

impl RedisStore {
    /// The server at `url`, `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, to which nothing is sent yet. With the feature `redis-tls`,
    /// `rediss://` is the same behind TLS. Nothing waits longer than `timeout`.
    ///
    /// # Errors
    /// `Config` for what is not such a URL. The URL is not repeated, because it may contain a password.
    pub fn new(url: &str, timeout: Duration) -> Result<Self> {
        let is_tls = url.starts_with("rediss:");
        if is_tls && !cfg!(feature = "redis-tls") {
            let message = "`--session-store` is a `rediss://` URL; this program was built without the feature `redis-tls`, and accepts `redis://` only";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let client = Client::open(url).map_err(|_| {
            let message = "`--session-store` is not a valid URL of a Redis server; expected `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, with reserved characters percent-encoded";
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(Self { client, timeout, connected: None })
    }

    fn connect(&self) -> RedisResult<Connected> {
        let mut connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        let script = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query(&mut connection)?;
        Ok(Connected { connection, script })
    }

    fn replies(&mut self, calls: &[Call]) -> RedisResult<Vec<Value>> {
        let Connected { mut connection, script } = match self.connected.take() {
            Some(connected) => connected,
            None => self.connect()?,
        };
        let mut pipe = redis::pipe();
        if calls.is_empty() {
            pipe.cmd("PING");
        }
        for call in calls {
            add(pipe.cmd("EVALSHA").arg(&script).arg(1), call);
        }
        let replies = pipe.query(&mut connection)?;
        self.connected = Some(Connected { connection, script });
        Ok(replies)
    }
}

impl SharedStore for RedisStore {
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Reply>> {
        let replies = self.replies(calls).map_err(|error| failed(&error))?;
        calls.iter().zip(&replies).map(|(call, reply)| read(&call.key, reply)).collect()
    }
}

/// Adds the key and the arguments of the script.
fn add(command: &mut redis::Pipeline, call: &Call) {
    let Call { key, by, known, action } = call;
    let known = known.map(|known| known.to_string()).unwrap_or_default();
    let (name, ttl, hold) = match action {
        Action::Look => ("look", Duration::ZERO, Duration::ZERO),
        Action::Claim { hold, .. } => ("claim", Duration::ZERO, *hold),
        Action::Put { ttl, hold, .. } => ("put", *ttl, *hold),
        Action::Touch { ttl, hold } => ("touch", *ttl, *hold),
        Action::Remove { ttl, .. } => ("remove", *ttl, Duration::ZERO),
    };
    command.arg(format!("rnnlm:{{{key}}}")).arg(name).arg(by.to_string()).arg(known);
    command.arg(millis(ttl)).arg(millis(hold));
    match action {
        Action::Look | Action::Touch { .. } => {}
        Action::Claim { reserve, .. } => {
            command.arg(match reserve {
                Reserve::No => "no",
                Reserve::Absent => "absent",
                Reserve::Deleted => "deleted",
            });
        }
        Action::Put { version, position, bytes, .. } => {
            command.arg(version.to_string()).arg(*position).arg(bytes.as_slice());
        }
        Action::Remove { version, .. } => {
            command.arg(version.to_string());
        }
    }
}

/// The longest time that a key lives: 2^46 milliseconds, some 2,000 years, which Redis can add to a date.
const MILLIS_MAX: u64 = 1 << 46;

/// Whole milliseconds, rounded up, so that what is not zero does not become zero.
fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(MILLIS_MAX).min(MILLIS_MAX)
}

fn read(key: &str, reply: &Value) -> Result<Reply> {
    parsed(reply).ok_or_else(|| {
        let message = format!("the session store has replied what is no reply to a call for `{key}`");
        Error::internal(message)
    })
}

/// `None` if this is not a reply of the script.
fn parsed(reply: &Value) -> Option<Reply> {
    let Value::Array(fields) = reply else { return None };
    let text = |index: usize| match fields.get(index)? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    Some(match text(0)? {
        "done" => Reply::Done,
        "busy" => Reply::Busy,
        "absent" => Reply::Absent,
        "deleted" => Reply::Deleted,
        "refused" => Reply::Refused { position: text(1)?.parse().ok()? },
        "newer" => {
            let Some(&Value::Int(ttl)) = fields.get(3) else { return None };
            let Some(Value::BulkString(bytes)) = fields.get(4) else { return None };
            Reply::Newer(Stored {
                version: Version::parse(text(1)?)?,
                position: text(2)?.parse().ok()?,
                ttl: Duration::from_millis(u64::try_from(ttl).ok()?),
                bytes: bytes.clone(),
            })
        }
        _ => return None,
    })
}

fn failed(error: &RedisError) -> Error {
    Error::internal(format!("the session store cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let error = RedisStore::new(url, Duration::from_millis(1)).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
        error.message
    }

    #[test]
    fn a_url_that_is_not_one_is_refused_without_being_repeated() {
        for url in ["redis://:secret@", "redis://:secret@host:port", "redis://:secret@host/database"] {
            let message = refused(url);
            assert!(message.contains("--session-store") && !message.contains("secret"), "{message}");
        }
        RedisStore::new("redis://user:secret@127.0.0.1:6380/3", Duration::from_millis(1)).unwrap();
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_needs_its_feature() {
        let message = refused("rediss://:secret@host");
        assert!(message.contains("`redis-tls`") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_that_names_no_password() {
        let mut store =
            RedisStore::new("redis://user:secret@127.0.0.1:1/", Duration::from_millis(100)).unwrap();
        let error = store.call(&[]).unwrap_err();
        assert!(error.message.contains("session store") && !error.message.contains("secret"), "{error}");
    }
}

//! The options of keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{Bytes, bytes, count, duration, per_second};

/// Who may use the server, and how much.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keys")]
pub struct KeyOptions {
    /// A file of keys, `name:secret` or `name:sha256=HEX` a line, with ` admin` behind an admin's key; by default no key is required
    #[arg(long, value_name = "FILE")]
    pub api_keys: Option<PathBuf>,

    /// Maximum number of keys in the file
    #[arg(long, value_name = "N", default_value = "1000", value_parser = key_count())]
    pub api_keys_max: usize,

    /// How often the key file is checked for changes; SIGHUP rereads it at once
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub api_keys_poll: Duration,

    /// Maximum number of requests per second with the keys of one name, on average; unlimited by default
    #[arg(long, value_name = "N", value_parser = per_second)]
    pub key_requests_per_second: Option<f64>,

    /// Maximum number of requests that the keys of one name may send at once after a pause; by default, as many as one second allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub key_requests_burst: Option<u32>,

    /// Maximum number of requests with the keys of one name that are worked on at once; unlimited by default
    #[arg(long, value_name = "N", value_parser = count())]
    pub key_jobs_max: Option<usize>,

    /// Maximum number of sessions that the keys of one name have; unlimited by default
    #[arg(long, value_name = "N", value_parser = count())]
    pub key_sessions_max: Option<usize>,

    /// Maximum bytes of memory that the sessions of one name use, bookkeeping included; unlimited by default
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub key_sessions_bytes_max: Option<Bytes>,
}

impl KeyOptions {
    /// The first option that bounds what a key may use, if there is one.
    pub(super) fn bound(&self) -> Option<&'static str> {
        let bounds = [
            ("--key-requests-per-second", self.key_requests_per_second.is_some()),
            ("--key-requests-burst", self.key_requests_burst.is_some()),
            ("--key-jobs-max", self.key_jobs_max.is_some()),
            ("--key-sessions-max", self.key_sessions_max.is_some()),
            ("--key-sessions-bytes-max", self.key_sessions_bytes_max.is_some()),
        ];
        bounds.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
    }
}

/// Every request is compared with all keys.
fn key_count() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=10_000)
}

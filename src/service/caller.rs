//! On whose behalf a use case runs.

use std::sync::{Arc, Mutex, PoisonError};

use super::Service;
use super::refusal::counted;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::keys::{JobPermit, Keys, KeysSetup, KeysStats, Pass, Quotas};
use crate::telemetry::KeyFile;

/// Whoever sent a request: a key, or anyone where the server has no keys. Clones are the same request.
#[derive(Clone, Default)]
pub(super) struct Caller(Option<Arc<Keyed>>);

/// A request with a key.
struct Keyed {
    pass: Pass,
    /// Taken with the first job, and held until the request is answered: a request counts once, however many jobs it becomes.
    permit: Mutex<Option<JobPermit>>,
}

impl Caller {
    /// Refuses a key that was revoked since the request came.
    ///
    /// # Errors
    /// `Unauthorized`.
    pub(super) fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |keyed| keyed.pass.check())
    }

    /// Counts the request among those that are worked on.
    ///
    /// # Errors
    /// As [`Self::check`]; `RateLimited`.
    fn begin_job(&self) -> Result<()> {
        let Some(keyed) = &self.0 else { return Ok(()) };
        keyed.pass.check()?;
        let mut permit = keyed.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if permit.is_none() {
            *permit = Some(keyed.pass.begin_job()?);
        }
        Ok(())
    }
}

impl Service {
    /// The same use cases for a request with a key: it finds the sessions of that key only.
    pub fn on_behalf_of(&self, pass: Pass) -> Self {
        let sessions = self.sessions.of(pass.name());
        let caller = Caller(Some(Arc::new(Keyed { pass, permit: Mutex::default() })));
        Self { sessions, caller, ..self.clone() }
    }

    /// Writes the gauges of keys.
    pub fn observe_keys(&self, keys: &Keys) {
        let holdings = keys.holdings();
        let owners: Vec<&str> = holdings.iter().map(|holding| &*holding.name).collect();
        for (holding, account) in holdings.iter().zip(self.sessions.accounts(&owners)) {
            let of_key = self.metrics.key(&holding.name);
            of_key.sessions(account.sessions, account.bytes);
            of_key.jobs(holding.jobs);
        }
        let KeysStats { keys, reloads, failures } = keys.stats();
        self.metrics.key_file(KeyFile { keys, reloads, failures });
    }

    /// Counts the request of this caller among those that are worked on.
    ///
    /// # Errors
    /// `Unauthorized` for a key that was revoked; `RateLimited`.
    pub(super) fn begin_job(&self) -> Result<()> {
        counted(&self.metrics, self.caller.begin_job())
    }
}

/// The keys that `config` names, if it names any.
///
/// # Errors
/// `Config`, which names the file and the line at fault.
pub fn keys(config: &Config, clock: Clock) -> Result<Option<Arc<Keys>>> {
    let options = &config.keys;
    let Some(path) = &options.api_keys else { return Ok(None) };
    let quotas = Quotas {
        requests_per_second: options.key_requests_per_second,
        requests_burst: options.key_requests_burst,
        jobs_max: options.key_jobs_max,
    };
    let setup = KeysSetup { path: path.clone(), keys_max: options.api_keys_max, quotas };
    Keys::open(setup, clock).map(Arc::new).map(Some)
}

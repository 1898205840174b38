//! The keys of a server, which the file replaces while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use super::bucket::Allowance;
use super::file::{self, Fingerprint, Line};
use super::holder::{Holder, Holding, JobPermit, Quotas};
use super::secret::SecretDigest;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// Where keys come from, and what each name may use.
#[derive(Clone, Debug)]
pub struct KeysSetup {
    /// The file.
    pub path: PathBuf,
    /// Most keys in it.
    pub keys_max: usize,
    /// What each name may use.
    pub quotas: Quotas,
}

/// The keys of a server.
#[derive(Debug)]
pub struct Keys {
    setup: KeysSetup,
    clock: Clock,
    current: RwLock<Arc<[Arc<Key>]>>,
    registry: Mutex<Registry>,
    reloads: AtomicU64,
    failures: AtomicU64,
}

/// What only a reload needs.
#[derive(Debug)]
struct Registry {
    /// Every name that the file has had since the start.
    holders: BTreeMap<Arc<str>, Arc<Holder>>,
    /// The file as it was last read, or found to be wrong; `None` if it could not be looked at.
    seen: Option<Fingerprint>,
}

#[derive(Debug)]
struct Key {
    digest: SecretDigest,
    is_admin: bool,
    holder: Arc<Holder>,
    /// Set when the file no longer has it.
    is_revoked: AtomicBool,
}

/// A key that a request has shown.
#[derive(Clone, Debug)]
pub struct Pass(Arc<Key>);

/// The keys in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysStats {
    /// Keys that are accepted now.
    pub keys: usize,
    /// Times that the file has replaced the keys.
    pub reloads: u64,
    /// Times that it was wrong, so that the keys stayed.
    pub failures: u64,
}

/// Most names that a file has had since the start: each is remembered, and has metrics.
const NAMES_MAX: usize = 65_535;

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// `Config`, which names the file and the line at fault.
    pub fn open(setup: KeysSetup, clock: Clock) -> Result<Self> {
        let seen = Fingerprint::of(&setup.path);
        let keys = Self {
            current: RwLock::new(Arc::default()),
            registry: Mutex::new(Registry { holders: BTreeMap::new(), seen }),
            setup,
            clock,
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        keys.replace(&mut keys.registry())?;
        Ok(keys)
    }

    /// The key with this secret. It is compared with all of them, each in constant time.
    pub fn find(&self, secret: &str) -> Option<Pass> {
        let digest = SecretDigest::of(secret);
        let mut found = None;
        for key in self.current().iter() {
            if key.digest.equals(&digest) {
                found = Some(key.clone());
            }
        }
        found.map(Pass)
    }

    /// Replaces the keys by those in the file, if it has changed. Blocks.
    pub fn refresh(&self) {
        let seen = Fingerprint::of(&self.setup.path);
        let mut registry = self.registry();
        if registry.seen != seen {
            self.reload_in(&mut registry, seen);
        }
    }

    /// Replaces the keys by those in the file. If that is wrong, the keys stay as they are, and the log says why. Blocks.
    pub fn reload(&self) {
        let seen = Fingerprint::of(&self.setup.path);
        self.reload_in(&mut self.registry(), seen);
    }

    /// `seen` was taken before the file is read, so that a change meanwhile is noticed later.
    fn reload_in(&self, registry: &mut Registry, seen: Option<Fingerprint>) {
        registry.seen = seen;
        match self.replace(registry) {
            Ok(Replaced { keys, revoked }) => {
                tracing::info!(keys, revoked, "keys reloaded");
                self.reloads.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::error!(%error, "the keys stay as they are");
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn replace(&self, registry: &mut Registry) -> Result<Replaced> {
        let lines = file::read(&self.setup.path, self.setup.keys_max)?;
        let before = self.current();
        let mut after = Vec::with_capacity(lines.len());
        for line in lines {
            let kept = before.iter().find(|key| key.is(&line));
            after.push(match kept {
                Some(key) => key.clone(),
                None => Arc::new(Key {
                    holder: self.holder(registry, &line.name)?,
                    digest: line.digest,
                    is_admin: line.is_admin,
                    is_revoked: AtomicBool::new(false),
                }),
            });
        }
        let is_gone = |key: &&Arc<Key>| !after.iter().any(|kept| Arc::ptr_eq(kept, key));
        let gone: Vec<&Arc<Key>> = before.iter().filter(is_gone).collect();
        let replaced = Replaced { keys: after.len(), revoked: gone.len() };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = after.into();
        gone.iter().for_each(|key| key.is_revoked.store(true, Ordering::SeqCst));
        Ok(replaced)
    }

    fn holder(&self, registry: &mut Registry, name: &str) -> Result<Arc<Holder>> {
        if let Some(holder) = registry.holders.get(name) {
            return Ok(holder.clone());
        }
        if registry.holders.len() >= NAMES_MAX {
            let path = self.setup.path.display();
            let message = format!(
                "`--api-keys {path}`: more than {NAMES_MAX} names since the start, which is the maximum"
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let name: Arc<str> = name.into();
        let holder = Arc::new(Holder::new(name.clone(), &self.setup.quotas, self.clock.now()));
        registry.holders.insert(name, holder.clone());
        Ok(holder)
    }

    /// What each name holds that the file has had since the start, by name.
    pub fn holdings(&self) -> Vec<Holding> {
        self.registry().holders.values().map(|holder| holder.holding()).collect()
    }

    /// The keys in figures.
    pub fn stats(&self) -> KeysStats {
        KeysStats {
            keys: self.current().len(),
            reloads: self.reloads.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    fn current(&self) -> Arc<[Arc<Key>]> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reload has changed.
struct Replaced {
    keys: usize,
    revoked: usize,
}

impl Key {
    /// Whether `line` says the same of the same secret.
    fn is(&self, line: &Line) -> bool {
        self.digest.equals(&line.digest) && *self.holder.name == *line.name && self.is_admin == line.is_admin
    }
}

impl Pass {
    /// The name of the key, to which its sessions belong.
    pub fn name(&self) -> &Arc<str> {
        &self.0.holder.name
    }

    /// Refuses a key that is not an admin's.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_admin(&self) -> Result<()> {
        if self.0.is_admin {
            return Ok(());
        }
        let message = format!("the key `{}` is not an admin's, which this route requires", self.name());
        Err(Error::new(ErrorKind::Forbidden, message))
    }

    /// Refuses a key that was revoked since it was found.
    ///
    /// # Errors
    /// `Unauthorized`.
    pub fn check(&self) -> Result<()> {
        if !self.0.is_revoked.load(Ordering::SeqCst) {
            return Ok(());
        }
        let message = format!("the key `{}` was revoked while the request was running", self.name());
        Err(Error::new(ErrorKind::Unauthorized, message))
    }

    /// Counts a request under the name. Returns what the name may send after it, if that is bounded.
    ///
    /// # Errors
    /// `RateLimited`.
    pub fn request(&self, now: Instant) -> Result<Option<Allowance>> {
        self.0.holder.request(now)
    }

    /// Counts a request that engines are to work on.
    ///
    /// # Errors
    /// `RateLimited`.
    pub fn begin_job(&self) -> Result<JobPermit> {
        self.0.holder.begin_job()
    }
}

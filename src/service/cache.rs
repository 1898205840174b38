//! The continuous cache of a request or a session, checked.

use std::sync::Arc;

use super::Service;
use super::bounds::Bound;
use super::target::Target;
use crate::api;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Cache, CacheOptions};

impl Service {
    /// `target` with the cache that a request asks for, which keeps what the cache of a state remembers.
    ///
    /// # Errors
    /// `InvalidValue` for an option out of range; `NotSupported` for a model whose hidden vectors are not known.
    pub(super) fn with_cache(&self, target: Target, cache: Option<&api::cache::Cache>) -> Result<Target> {
        let Some(cache) = cache else { return Ok(target) };
        let options = self.cache_options(cache)?;
        let served = target.served().clone();
        let width = cache_width(&served)?;
        let mut snapshot = self.open(&target)?;
        let cache = match snapshot.state.cache() {
            Some(cache) => cache.with_options(options),
            None => Cache::new(options, width),
        };
        snapshot.state.set_cache(Some(Arc::new(cache)));
        Ok(Target::Given { served, snapshot: Box::new(snapshot) })
    }

    /// Checks the options of a cache.
    fn cache_options(&self, cache: &api::cache::Cache) -> Result<CacheOptions> {
        const THETA_MAX: f64 = CacheOptions::THETA_MAX;
        let &api::cache::Cache { window, theta, lambda } = cache;
        self.cache_window("cache.window").number_above_0(window)?;
        if !(0.0..=THETA_MAX).contains(&theta) {
            let message = format!("`cache.theta` is {theta}; it must be from 0 to {THETA_MAX}");
            return Err(Error::invalid("cache.theta", message));
        }
        if !(0.0..1.0).contains(&lambda) {
            let message = format!("`cache.lambda` is {lambda}; it must be from 0 to below 1");
            return Err(Error::invalid("cache.lambda", message));
        }
        Ok(CacheOptions { window, theta, lambda })
    }

    /// The bound of the field `param`, a window.
    pub(super) fn cache_window<'a>(&self, param: &'a str) -> Bound<'a> {
        Bound { param, max: self.config.sessions.cache_window_max, option: "--cache-window-max" }
    }
}

/// The width of the vectors that a cache compares.
fn cache_width(served: &Served) -> Result<usize> {
    served.model.cache_width().ok_or_else(|| {
        let message = format!(
            "`cache` is given, but model `{}` is not a recurrent network that runs natively; a cache compares its hidden vectors",
            served.name
        );
        Error::new(ErrorKind::NotSupported, message).at("cache")
    })
}

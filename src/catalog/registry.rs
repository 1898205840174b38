//! The catalog that is served now. A change puts another in its place as a whole, and whoever has a model keeps it.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Catalog, Served};

/// The catalog that is served now.
///
/// A reader gets a snapshot that never changes: it takes a lock for as long as it takes to count a reference, once a request and never for
/// a token.
pub struct Registry {
    current: RwLock<Arc<Catalog>>,
}

impl Registry {
    /// Serves `catalog`.
    pub fn new(catalog: Catalog) -> Self {
        Self { current: RwLock::new(Arc::new(catalog)) }
    }

    /// The catalog that is served now.
    pub fn current(&self) -> Arc<Catalog> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model `name`, if it is served now.
    pub fn get(&self, name: &str) -> Option<Arc<Served>> {
        self.current().get(Some(name)).ok().cloned()
    }

    /// Serves `catalog` from now on, and returns the one before.
    pub fn replace(&self, catalog: Catalog) -> Arc<Catalog> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(catalog))
    }
}

//! The models that are served, by name: their folders, read and checked.
//!
//! It knows files, but not requests. A model that it returns is completely loaded and never changes, and neither does a [`Catalog`]: the
//! [`Registry`] says which one is served.

mod agree;
mod draft;
mod files;
mod folder;
mod folders;
mod guard;
mod inspect;
mod manifest;
mod network;
mod parallel;
mod registry;
mod stamp;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use draft::Draft;
pub use folder::{Kept, Parts, Served, load_folder, name_of, try_tokenizer, weights_bytes};
pub use folders::Folders;
pub use inspect::{Fitting, Inspection, TensorHead, inspect};
pub use manifest::{DeclaredNetwork, GraphSpec, KnownArchitecture, Manifest, NetworkSpec, NormKind, Norms};
pub use registry::Registry;
pub use stamp::Stamp;
pub use weights::read_weights;

use crate::error::{Error, ErrorKind, Result};
use crate::probe::Loading;

/// All models by name, and the default one.
pub struct Catalog {
    /// In order of name.
    served: Vec<Arc<Served>>,
    default: usize,
    failures: Vec<Failure>,
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Selection {
    /// A model folder, or a folder of them.
    pub models: PathBuf,
    /// The model of requests that name none; if `None`, `classics` where it exists, otherwise the first by name.
    pub default_model: Option<String>,
    /// Whether one folder that cannot be loaded refuses them all; otherwise it is skipped, and among [`Catalog::failures`].
    pub strict: bool,
    /// How files are loaded.
    pub loading: Loading,
}

/// A folder that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The folder.
    pub folder: PathBuf,
    /// Why.
    pub error: Error,
}

impl Catalog {
    /// The default model, where it exists and the operator names none.
    const FAVOURITE: &str = "classics";

    /// Loads what `selection` names, one folder a core at a time.
    ///
    /// # Errors
    /// `Load` when nothing could be loaded, or, if [`Selection::strict`], when anything could not; it names every folder that failed.
    /// `Config` when the default model was not loaded.
    pub fn load(selection: &Selection) -> Result<Self> {
        let mut served = Vec::new();
        let mut failures = Vec::new();
        let folders = Folders::new(&selection.models).all()?;
        let loaded = parallel::map(&folders, |folder| load_folder(folder, selection.loading.clone()));
        for (folder, loaded) in folders.into_iter().zip(loaded) {
            match loaded {
                Ok(one) => served.push(one),
                Err(error) => failures.push(Failure { folder, error }),
            }
        }
        if served.is_empty() || selection.strict && !failures.is_empty() {
            return Err(none_served(&selection.models, &failures));
        }
        let catalog = Self::new(served, selection.default_model.as_deref())?;
        Ok(Self { failures, ..catalog })
    }

    /// A catalog of `served`: at least one model, with distinct names.
    ///
    /// # Errors
    /// `Config` when there is no model, or `default_model` is not one of them.
    pub fn new(served: Vec<Served>, default_model: Option<&str>) -> Result<Self> {
        let mut served: Vec<_> = served.into_iter().map(Arc::new).collect();
        served.sort_by(|a, b| a.name.cmp(&b.name));
        if served.is_empty() {
            return Err(Error::new(ErrorKind::Config, "no model to serve"));
        }
        let position = |name: &str| served.iter().position(|one| *one.name == *name);
        let default = match default_model {
            None => position(Self::FAVOURITE).unwrap_or(0),
            Some(name) => position(name).ok_or_else(|| {
                let message =
                    format!("the default model `{name}` was not found; the models are {}", names(&served));
                Error::new(ErrorKind::Config, message)
            })?,
        };
        Ok(Self { served, default, failures: Vec::new() })
    }

    /// The model `name`, or the default one.
    ///
    /// # Errors
    /// `ModelNotFound` naming the models.
    pub fn get(&self, name: Option<&str>) -> Result<&Arc<Served>> {
        let Some(name) = name else { return Ok(self.default()) };
        self.iter().find(|one| *one.name == *name).ok_or_else(|| {
            let message = format!("no model `{name}`; the models are {}", names(&self.served));
            Error::new(ErrorKind::ModelNotFound, message)
        })
    }

    /// The model of requests that name none.
    pub fn default(&self) -> &Arc<Served> {
        &self.served[self.default]
    }

    /// The same with `served`, in the place of a model of the same name if there is one. The default model stays.
    pub fn with(&self, served: Served) -> Self {
        let mut all: Vec<_> = self.iter().filter(|one| one.name != served.name).cloned().collect();
        all.push(Arc::new(served));
        self.of(all)
    }

    /// The same without the model `name`, which is not the default one.
    pub fn without(&self, name: &str) -> Self {
        assert!(*self.default().name != *name, "bug: a catalog has a default model");
        self.of(self.iter().filter(|one| *one.name != *name).cloned().collect())
    }

    fn of(&self, mut served: Vec<Arc<Served>>) -> Self {
        served.sort_by(|a, b| a.name.cmp(&b.name));
        let default = served.iter().position(|one| one.name == self.default().name);
        let default = default.expect("bug: a catalog keeps its default model");
        Self { served, default, failures: Vec::new() }
    }

    /// The same with `held` in each model.
    pub fn holding(mut self, held: impl Fn(&Served) -> Kept) -> Self {
        for served in &mut self.served {
            let held = held(served);
            Arc::make_mut(served).held = Some(held);
        }
        self
    }

    /// All models, in order of name.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Served>> {
        self.served.iter()
    }

    /// The folders that were skipped.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

fn none_served(models: &Path, failures: &[Failure]) -> Error {
    let models = models.display();
    if failures.is_empty() {
        return Error::load(format!(
            "no model in `{models}`, expected a folder with a `{}`, or a folder of such folders",
            Manifest::FILE
        ));
    }
    let each: Vec<String> =
        failures.iter().map(|failure| format!("`{}`: {}", failure.folder.display(), failure.error)).collect();
    Error::load(each.join("; "))
}

fn names(served: &[Arc<Served>]) -> String {
    let names: Vec<String> = served.iter().map(|one| format!("`{}`", one.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

//! The models that are served: folders read and checked, by name.
//!
//! It knows files, and nothing of requests. What it gives out is loaded whole and never changes.

mod draft;
mod folder;
mod inspect;
mod manifest;
mod network;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use draft::Draft;
pub use folder::{Parts, Served, load_folder};
pub use inspect::{Fitting, Inspection, TensorHead, inspect};
pub use manifest::{GraphSpec, KnownArchitecture, Manifest, Network, OutputWeights};
pub use weights::read_weights;

pub use crate::onnx::{GraphLayer, GraphNetwork, PortUse as GraphPort, Understanding, WindowHint};
pub use crate::rnn::Kernel;

use crate::error::{Error, ErrorKind, Result};

/// All models by name, and the one that is meant where none is named.
pub struct Catalog {
    /// By rising name.
    served: Vec<Arc<Served>>,
    default: usize,
    failures: Vec<Failure>,
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A model folder, or a folder of them.
    pub models: PathBuf,
    /// The model that is meant where none is named; else `classics` if there, else the first by name.
    pub default_model: Option<String>,
    /// What a folder that fails does to the others.
    pub on_failure: OnFailure,
    /// What the models run on.
    pub kernel: Kernel,
}

/// What a folder that cannot be loaded does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They are served without it; it is among [`Catalog::failures`].
    Skip,
    /// Nothing is served.
    Refuse,
}

/// A folder that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The folder.
    pub folder: PathBuf,
    /// Why.
    pub error: Error,
}

impl Catalog {
    /// The default where neither the operator nor the only name decides.
    const FAVOURITE: &str = "classics";

    /// Loads what `plan` names.
    ///
    /// # Errors
    /// `Load` when nothing could be loaded, or with [`OnFailure::Refuse`] anything could not: every folder that failed is named.
    /// `Config` when the default model is not among what was loaded.
    pub fn load(plan: &Plan) -> Result<Self> {
        let folders = model_folders(&plan.models)?;
        let (mut served, mut failures) = (Vec::new(), Vec::new());
        for folder in folders {
            match load_folder(&folder, plan.kernel) {
                Ok(one) => served.push(one),
                Err(error) => failures.push(Failure { folder, error }),
            }
        }
        if served.is_empty() || plan.on_failure == OnFailure::Refuse && !failures.is_empty() {
            return Err(none_served(&plan.models, &failures));
        }
        let catalog = Self::new(served, plan.default_model.as_deref())?;
        Ok(Self { failures, ..catalog })
    }

    /// A catalog of `served`, at least one, of distinct names.
    ///
    /// # Errors
    /// `Config` when there is none, or `default_model` is not among them.
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
                    format!("the default model `{name}` is not there; there are {}", names(&served));
                Error::new(ErrorKind::Config, message)
            })?,
        };
        Ok(Self { served, default, failures: Vec::new() })
    }

    /// The model `name`, or the default one.
    ///
    /// # Errors
    /// `ModelNotFound` naming the models there are.
    pub fn get(&self, name: Option<&str>) -> Result<&Arc<Served>> {
        let Some(name) = name else { return Ok(self.default()) };
        self.iter().find(|one| *one.name == *name).ok_or_else(|| {
            let message = format!("no model `{name}`; there are {}", names(&self.served));
            Error::new(ErrorKind::ModelNotFound, message)
        })
    }

    /// The model that is meant where none is named.
    pub fn default(&self) -> &Arc<Served> {
        &self.served[self.default]
    }

    /// All models, by rising name.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Served>> {
        self.served.iter()
    }

    /// The folders that were left out.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

/// `path` itself if it is a model folder, else the folders in it that look like one, by rising name.
fn model_folders(path: &Path) -> Result<Vec<PathBuf>> {
    if path.join(Manifest::FILE).is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error| Error::load(format!("cannot read the models in `{}`: {error}", path.display()));
    let mut folders = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if looks_like_a_model(&folder) {
            folders.push(folder);
        }
    }
    folders.sort();
    // One that lacks its manifest is told so.
    Ok(if folders.is_empty() && looks_like_a_model(path) { vec![path.to_owned()] } else { folders })
}

/// Whether there is a manifest, or weights that lack one: other folders are none of ours.
fn looks_like_a_model(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).is_file();
    has(Manifest::FILE) || has("model.safetensors") || folder::graph_without_manifest(folder).is_some()
}

fn none_served(models: &Path, failures: &[Failure]) -> Error {
    let models = models.display();
    if failures.is_empty() {
        return Error::load(format!(
            "no model in `{models}`, expected a folder with a `{}`, or folders with one each",
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

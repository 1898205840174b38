//! Use case: models are loaded, replaced and unloaded while the server runs.
//!
//! A model is read and checked beside those that are served; then the [`Registry`](crate::catalog::Registry) gets another catalog in one
//! moment. Requests that have begun keep the model that they began with, and its memory goes back to the budget when the last of them is done.
//! Sessions of weights that are still served notice nothing; the others cannot go on. Whatever fails, fails before that moment and changes
//! nothing.
//!
//! These functions block for as long as it takes to read a model. One change is made at a time.

mod refresh;

pub use refresh::Refreshed;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Service, load_options};
use crate::api::admin::{ChangeKind, ModelChange};
use crate::catalog::{Catalog, Folders, Served, load_folder, weights_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::session::ServedWeights;
use crate::telemetry::Changed;

/// Held while models are changed: one change is made at a time.
#[derive(Default)]
pub(super) struct Changing(Mutex<()>);

impl Changing {
    /// Begins a change.
    ///
    /// # Errors
    /// `ModelsChanging` while another is being made: whoever asks for one may ask again, and need not wait on a connection.
    fn begin(&self) -> Result<MutexGuard<'_, ()>> {
        match self.0.try_lock() {
            Ok(turn) => Ok(turn),
            // A panic in a change has changed nothing.
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let message =
                    "another model is being loaded, reloaded or unloaded; one change is made at a time";
                Err(Error::new(ErrorKind::ModelsChanging, message))
            }
        }
    }

    /// Begins a change when all others have ended.
    fn wait(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Loads the model `name` of the folder of models.
    ///
    /// # Errors
    /// `ModelNotFound` if there is no such folder; `ModelExists`; `ModelsChanging`; `Load`.
    pub fn load_model(&self, name: &str) -> Result<ModelChange> {
        let _turn = self.changing.begin()?;
        if self.registry.get(name).is_some() {
            let message = format!("the model `{name}` is loaded already; `reload` reads its files again");
            return Err(Error::new(ErrorKind::ModelExists, message));
        }
        self.counted_change("load", || self.read_named(name).map(|served| self.serve(served)))
    }

    /// Reads the files of the model `name` again, and serves what they hold now.
    ///
    /// # Errors
    /// `ModelNotFound` if it is not loaded or its folder is gone; `ModelsChanging`; `Load`. The model stays as it was then.
    pub fn reload_model(&self, name: &str) -> Result<ModelChange> {
        let _turn = self.changing.begin()?;
        self.catalog().get(Some(name))?;
        self.counted_change("reload", || self.read_named(name).map(|served| self.serve(served)))
    }

    /// Serves the model `name` no longer.
    ///
    /// # Errors
    /// `ModelNotFound` if it is not loaded; `ModelIsDefault`; `ModelsChanging`.
    pub fn unload_model(&self, name: &str) -> Result<ModelChange> {
        let _turn = self.changing.begin()?;
        let catalog = self.catalog();
        let served = catalog.get(Some(name))?;
        if Arc::ptr_eq(served, catalog.default()) {
            let message = format!(
                "`{name}` is the default model, which requests without `model` are for, and stays loaded; `--default-model` names another"
            );
            return Err(Error::new(ErrorKind::ModelIsDefault, message));
        }
        self.counted_change("unload", || Ok(self.serve_catalog(name, catalog.without(name))))
    }

    /// Makes a change, and counts how it ended.
    fn counted_change<T>(&self, change: &'static str, make: impl FnOnce() -> Result<T>) -> Result<T> {
        let made = make();
        let end = if made.is_ok() { Changed::Done } else { Changed::Failed };
        self.metrics.model_changed(change, end);
        made
    }

    fn read_named(&self, name: &str) -> Result<Served> {
        self.read_folder(&Folders::new(&self.config.models).find(name)?)
    }

    /// The model in `folder`, and its memory.
    fn read_folder(&self, folder: &Path) -> Result<Served> {
        let read = || -> Result<Served> {
            let expected = weights_bytes(folder)?;
            let mut room = self.room_for_model(expected)?;
            let served = load_folder(folder, self.config.loading(load_options(&self.config)?))?;
            // A type that takes more than that of the file, or less.
            let found = served.model.info().weights_bytes();
            let more = self.room_for_model(found.saturating_sub(expected))?;
            room.shrink_to(found);
            Ok(Served { held: Some(Arc::new([room, more])), ..served })
        };
        let named = folder.file_name().unwrap_or(folder.as_os_str()).display();
        read().map_err(|error| error.within(format!("the model in `{named}` cannot be loaded")))
    }

    /// Serves `served`, in the place of a model of its name if there is one.
    fn serve(&self, served: Served) -> ModelChange {
        warn_of(&served);
        // From the start, so that a rate can be taken of the first increase.
        self.metrics.model(&served.name);
        let name = served.name.clone();
        self.serve_catalog(&name, self.catalog().with(served))
    }

    /// Serves `catalog` from now on, in which the model `name` is another.
    fn serve_catalog(&self, name: &str, catalog: Catalog) -> ModelChange {
        let weights = catalog.iter().map(|served| (served.name.clone(), served.identity.clone()));
        let weights = ServedWeights(weights.collect());
        let before = self.registry.replace(catalog);
        // A request in between that finds an old session compares the identities itself (`check_model`).
        self.sessions.serve(weights);
        let sessions_ended = self.sessions.leave_changed();
        let now = self.catalog();
        let identity =
            |catalog: &Catalog| catalog.get(Some(name)).ok().map(|served| served.identity.to_string());
        let change = ModelChange {
            model: name.to_owned(),
            change: match (identity(&before), identity(&now)) {
                (_, None) => ChangeKind::Unloaded,
                (None, Some(_)) => ChangeKind::Loaded,
                (Some(_), Some(_)) => ChangeKind::Reloaded,
            },
            identity: identity(&now),
            previous_identity: identity(&before),
            sessions_ended,
            models: now.iter().map(|served| served.name.to_string()).collect(),
        };
        tracing::info!(
            model = name,
            change = ?change.change,
            identity = change.identity,
            previous_identity = change.previous_identity,
            sessions_ended,
            "models changed"
        );
        change
    }
}

/// Logs what was found strange in a model that is loaded.
pub(super) fn warn_of(served: &Served) {
    for warning in served.understanding.iter().flat_map(|understanding| &understanding.warnings) {
        tracing::warn!(model = %served.name, %warning, "model loaded with a warning");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_change_is_refused_while_the_first_is_made() {
        let changing = Changing::default();
        let turn = changing.begin().unwrap();
        assert_eq!(changing.begin().unwrap_err().kind, ErrorKind::ModelsChanging);
        drop(turn);
        drop(changing.begin().unwrap());
        let panicked = std::thread::scope(|scope| {
            let change = scope.spawn(|| {
                let _turn = changing.wait();
                panic!("a change that panics");
            });
            change.join()
        });
        assert!(panicked.is_err());
        assert!(changing.begin().is_ok(), "the next change can be made");
    }
}

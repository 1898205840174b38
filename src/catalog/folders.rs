//! The folder of models that the operator names: itself a model folder, or a folder of them.

use std::path::{Path, PathBuf};

use super::folder::{graph_without_manifest, name_of};
use super::manifest::Manifest;
use crate::error::{Error, ErrorKind, Result};

/// A model folder, or a folder of them.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    path: &'a Path,
}

impl<'a> Folders<'a> {
    /// The folders at `path`.
    pub fn new(path: &'a Path) -> Self {
        Self { path }
    }

    /// The path itself if it is a model folder, otherwise the folders in it that look like one, in order of name.
    ///
    /// # Errors
    /// `Load` if it cannot be read.
    pub fn all(self) -> Result<Vec<PathBuf>> {
        let path = self.path;
        if path.join(Manifest::FILE).is_file() {
            return Ok(vec![path.to_owned()]);
        }
        let unreadable =
            |error| Error::load(format!("cannot read the models in `{}`: {error}", path.display()));
        let mut folders = Vec::new();
        for entry in path.read_dir().map_err(unreadable)? {
            let folder = entry.map_err(unreadable)?.path();
            if looks_like_a_model(&folder) {
                folders.push(folder);
            }
        }
        folders.sort();
        // A folder with weights but no manifest gets the error that says so.
        Ok(if folders.is_empty() && looks_like_a_model(path) { vec![path.to_owned()] } else { folders })
    }

    /// The folder of the model `name`. A name is compared with those of the folders that there are and is no part of a path, so it leads
    /// nowhere else.
    ///
    /// # Errors
    /// `ModelNotFound` naming the folders that there are; `Load` if they cannot be read.
    pub fn find(self, name: &str) -> Result<PathBuf> {
        let folders = self.all()?;
        let named = |folder: &PathBuf| name_of(folder).ok();
        if let Some(folder) = folders.iter().find(|folder| named(folder).as_deref() == Some(name)) {
            return Ok(folder.clone());
        }
        let found: Vec<String> = folders.iter().filter_map(named).map(|name| format!("`{name}`")).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        let path = self.path.display();
        let message =
            format!("no folder of a model `{name}` in `{path}` (`--models`); the folders in it are {found}");
        Err(Error::new(ErrorKind::ModelNotFound, message))
    }
}

/// Whether the folder has a manifest, or weights without one.
fn looks_like_a_model(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).is_file();
    has(Manifest::FILE) || has("model.safetensors") || graph_without_manifest(folder).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_a_folder_in_the_folder_of_models_or_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("models");
        for folder in ["models/one", "models/two", "outside"] {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(Manifest::FILE), "{}").unwrap();
        }
        let folders = Folders::new(&models);
        assert_eq!(folders.find("one").unwrap(), models.join("one"));
        let absolute = models.join("one");
        let names = ["three", "", ".", "..", "../outside", "one/", "./one", "one/../two", "one\0"];
        for name in names.into_iter().chain(absolute.to_str()) {
            let error = folders.find(name).unwrap_err();
            assert_eq!(error.kind, ErrorKind::ModelNotFound, "{name:?}");
            assert!(error.message.contains("the folders in it are `one`, `two`"), "{}", error.message);
        }
        // A model folder is the only one that it has.
        let folders = Folders::new(&absolute);
        assert_eq!(folders.find("one").unwrap(), absolute);
        assert!(folders.find("two").is_err());
    }
}

//! The folder of models is looked at again: what has changed in it is loaded.

use std::path::{Path, PathBuf};

use crate::catalog::{Folders, Stamp, name_of};
use crate::error::Result;
use crate::service::Service;

/// What became of the folders of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Models that were not served before.
    pub loaded: usize,
    /// Models whose files have changed.
    pub reloaded: usize,
    /// Models whose files are as they were.
    pub unchanged: usize,
    /// Folders that cannot be loaded, and models without a folder. What was served of them is still served.
    pub failed: usize,
}

impl Service {
    /// Reloads every model whose files have changed, and loads those of new folders. Whatever fails is logged, and served as it was before.
    /// Waits until no other change is being made.
    pub fn refresh_models(&self) -> Refreshed {
        let _turn = self.changing.wait();
        let mut refreshed = Refreshed::default();
        let folders = Folders::new(&self.config.models).all().unwrap_or_else(|error| {
            tracing::error!(%error, "the folder of models cannot be looked at again");
            Vec::new()
        });
        for folder in &folders {
            if let Err(error) = self.refresh(folder, &mut refreshed) {
                refreshed.failed += 1;
                tracing::error!(folder = %folder.display(), %error, "model not loaded; what was served before still is");
            }
        }
        refreshed.failed += self.without_folder(&folders);
        let Refreshed { loaded, reloaded, unchanged, failed } = refreshed;
        tracing::info!(loaded, reloaded, unchanged, failed, "the folder of models was looked at again");
        refreshed
    }

    fn refresh(&self, folder: &Path, refreshed: &mut Refreshed) -> Result<()> {
        let Some(served) = self.registry.get(&name_of(folder)?) else {
            self.counted_change("load", || self.read_folder(folder).map(|served| self.serve(served)))?;
            refreshed.loaded += 1;
            return Ok(());
        };
        if Stamp::of(folder)? == served.stamp {
            refreshed.unchanged += 1;
            return Ok(());
        }
        self.counted_change("reload", || self.read_folder(folder).map(|served| self.serve(served)))?;
        refreshed.reloaded += 1;
        Ok(())
    }

    /// How many models have no folder any more.
    fn without_folder(&self, folders: &[PathBuf]) -> usize {
        let names: Vec<String> = folders.iter().filter_map(|folder| name_of(folder).ok()).collect();
        let catalog = self.catalog();
        let left = catalog.iter().filter(|served| !names.iter().any(|name| **name == *served.name));
        left.inspect(|served| {
            tracing::error!(model = %served.name, "the folder of the model is gone; it is served until it is unloaded");
        })
        .count()
    }
}

//! The files of a model folder: regular files inside it, also after symbolic links.
//!
//! A folder may come from anywhere. A link out of it would serve a file of the machine as a vocabulary; opening a pipe waits for whoever
//! writes into it; a device has no end.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How large a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// A manifest.
    Manifest,
    /// A vocabulary or a `tokenizer.json`.
    Tokenizer,
    /// Weights, with the bytes that the operator allows.
    Weights(u64),
}

impl Limit {
    /// Refuses a file of `found` bytes.
    fn check(self, found: u64) -> Result<()> {
        let (max, option) = match self {
            Limit::Manifest => (1 << 20, ""),
            Limit::Tokenizer => (1 << 28, ""),
            Limit::Weights(max) => (max, " (`--max-weights`)"),
        };
        match found <= max {
            true => Ok(()),
            false => Err(Error::load(format!("the file has {found} bytes; the maximum is {max}{option}"))),
        }
    }
}

/// The bytes of the file `file` of the model folder `folder`.
///
/// # Errors
/// `Load` naming the file if it is not a regular file inside the folder, or too large.
pub(super) fn read(folder: &Path, file: &str, limit: Limit) -> Result<Vec<u8>> {
    let path = resolve(folder, file)?;
    read_regular(&path, limit).map_err(|error| error.within(format!("`{file}`")))
}

/// Checks the file `file` of the model folder `folder`, which others read.
///
/// # Errors
/// `Load` as [`read`] has it.
pub(super) fn check(folder: &Path, file: &str, limit: Limit) -> Result<()> {
    let metadata = resolve(folder, file)?.metadata();
    let found = metadata.map_err(|error| unreadable(Path::new(file), &error))?.len();
    limit.check(found).map_err(|error| error.within(format!("`{file}`")))
}

/// The real path of `file` in `folder`.
///
/// # Errors
/// `Load` naming the file if it is not a regular file inside the folder.
pub(super) fn resolve(folder: &Path, file: &str) -> Result<PathBuf> {
    let real = |path: &Path| path.canonicalize().map_err(|error| unreadable(Path::new(file), &error));
    let folder = real(folder)?;
    let path = real(&folder.join(file))?;
    match path.starts_with(&folder) {
        true => regular(&path).map(|()| path).map_err(|error| error.within(format!("`{file}`"))),
        false => Err(Error::load(format!(
            "`{file}` is a symbolic link to a file outside the model's folder; only files inside it are read, so copy the file there"
        ))),
    }
}

/// The bytes of the regular file `path`.
///
/// # Errors
/// `Load` if it is of another kind, or too large.
pub(super) fn read_regular(path: &Path, limit: Limit) -> Result<Vec<u8>> {
    regular(path)?;
    let failed = |error: std::io::Error| Error::load(format!("cannot be read: {error}"));
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    limit.check(found)?;
    let mut bytes = Vec::new();
    file.take(found).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn regular(path: &Path) -> Result<()> {
    let kind = path.metadata().map_err(|error| Error::load(format!("cannot be read: {error}")))?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let found = if kind.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
    Err(Error::load(format!("found {found}, expected a regular file")))
}

/// The error for a file that the system does not let this process read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::load(format!("cannot read `{}`: {error}", path.display()))
}

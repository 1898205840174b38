//! Tensors whose bytes are in files beside the model: only files inside its folder are read, and each byte at most twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::schema::StringStringEntryProto;
use crate::error::{Error, Result};

/// The folder of a model, and what was read from it.
pub(super) struct External {
    folder: PathBuf,
    /// Bytes that one file may have.
    bytes_max: u64,
    /// Files that tensors lie in, with the bytes that may still be read of each.
    files: BTreeMap<PathBuf, Budget>,
    /// The same files, as tensors name them.
    locations: BTreeSet<String>,
}

struct Budget {
    bytes: u64,
    left: u64,
}

impl External {
    /// For a model in `folder`, whose files have at most `bytes_max` bytes each.
    pub(super) fn new(folder: &Path, bytes_max: u64) -> Self {
        Self { folder: folder.to_owned(), bytes_max, files: BTreeMap::new(), locations: BTreeSet::new() }
    }

    /// The files that were read, as tensors name them, by rising name.
    pub(super) fn into_locations(self) -> Vec<String> {
        self.locations.into_iter().collect()
    }

    /// The `expected` bytes that the entries `location`, `offset` and `length` describe.
    ///
    /// # Errors
    /// `Load` when the file is outside the folder or too short, or when tensors overlap in it more than tied weights do.
    pub(super) fn read(&mut self, entries: &[StringStringEntryProto], expected: usize) -> Result<Vec<u8>> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(value) => value.parse::<u64>().map(Some).map_err(|_| {
                Error::load(format!("its external `{key}` is `{value}`, expected a number of bytes"))
            }),
        };
        let Some(location) = entry("location") else {
            return Err(Error::load("its data is external, but it has no `location`"));
        };
        let within = |error: Error| error.within(format!("external data in `{location}`"));
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?;
        if let Some(length) = length.filter(|&length| length != expected as u64) {
            return Err(within(Error::load(format!("its length is {length} bytes, expected {expected}"))));
        }
        let path = self.resolve(location).map_err(within)?;
        self.take(&path, offset, expected as u64).map_err(within)?;
        self.locations.insert(location.clone());
        read_at(&path, offset, expected).map_err(|error| within(Error::load(error.to_string())))
    }

    /// The real path of `location`, which must be a file inside the folder, also after symbolic links.
    fn resolve(&self, location: &str) -> Result<PathBuf> {
        let unreadable = |error: std::io::Error| Error::load(format!("cannot be read: {error}"));
        let inside = |component: Component<'_>| matches!(component, Component::Normal(_) | Component::CurDir);
        let outside = || Error::load("it is outside the model's folder; only files inside it are read");
        if location.is_empty() || !Path::new(location).components().all(inside) {
            return Err(outside());
        }
        let folder = self.folder.canonicalize().map_err(unreadable)?;
        let path = folder.join(location).canonicalize().map_err(unreadable)?;
        if !path.starts_with(&folder) {
            return Err(outside());
        }
        Ok(path)
    }

    /// Counts `len` bytes of the file as read.
    fn take(&mut self, path: &Path, offset: u64, len: u64) -> Result<()> {
        if !self.files.contains_key(path) {
            let metadata = path.metadata().map_err(|error| Error::load(error.to_string()))?;
            if !metadata.is_file() {
                return Err(Error::load("it is not a regular file"));
            }
            let bytes = metadata.len();
            let max = self.bytes_max;
            if bytes > max {
                let found = format!("it has {bytes} bytes; the maximum is {max} (`--max-weights`)");
                return Err(Error::load(found));
            }
            self.files.insert(path.to_owned(), Budget { bytes, left: bytes.saturating_mul(2) });
        }
        let budget = self.files.get_mut(path).expect("inserted above");
        let bytes = budget.bytes;
        if offset.checked_add(len).is_none_or(|end| end > bytes) {
            let found = format!("found {bytes} bytes, expected {len} from byte {offset} on");
            return Err(Error::load(found));
        }
        budget.left = budget.left.checked_sub(len).ok_or_else(|| {
            Error::load(format!("its tensors take more than twice the {bytes} bytes that it has"))
        })?;
        Ok(())
    }
}

fn read_at(path: &Path, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

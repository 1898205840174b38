//! Whether the files of a model folder have changed since they were last looked at.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::unreadable;
use crate::error::{Error, Result};

/// What tells one version of a folder's files from another: the name, length, time and inode of each. No file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<FileStamp>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileStamp {
    path: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// Most files of a model folder, and how deep they may lie.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 8;

impl Stamp {
    /// The stamp of the files in `folder` and in the folders below it.
    ///
    /// # Errors
    /// `Load` for a folder that cannot be read, and for one with more files than any model has.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let failed = |error| unreadable(&folder, &error);
            for entry in folder.read_dir().map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                // A link to a folder is not followed: it could lead back here.
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push((path, depth + 1));
                } else {
                    // A link that leads nowhere has no metadata, and is a file like any other.
                    files.push(FileStamp::of(path.metadata().ok(), path));
                }
                if files.len() + folders.len() > FILES_MAX || depth > DEPTH_MAX {
                    return Err(Error::load(format!(
                        "found more than {FILES_MAX} files, or folders more than {DEPTH_MAX} deep, expected those of one model"
                    )));
                }
            }
        }
        files.sort_unstable();
        Ok(Self(files))
    }

    /// The path of each file.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|file| file.path.as_path())
    }
}

impl FileStamp {
    fn of(metadata: Option<Metadata>, path: PathBuf) -> Self {
        Self {
            path,
            len: metadata.as_ref().map_or(0, Metadata::len),
            modified: metadata.as_ref().and_then(|metadata| metadata.modified().ok()),
            inode: metadata.as_ref().map_or(0, Metadata::ino),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_differs_when_a_file_was_written_added_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("data")).unwrap();
        std::fs::write(path.join("data/weights"), "one").unwrap();
        let first = Stamp::of(path).unwrap();
        assert_eq!(Stamp::of(path).unwrap(), first);
        std::fs::write(path.join("data/weights"), "longer").unwrap();
        let longer = Stamp::of(path).unwrap();
        assert_ne!(longer, first);
        std::fs::write(path.join("vocab.txt"), "").unwrap();
        let more = Stamp::of(path).unwrap();
        assert_ne!(more, longer);
        // A file that takes the place of another has an inode of its own, whatever its length and time.
        std::fs::write(path.join("new"), "").unwrap();
        std::fs::rename(path.join("new"), path.join("vocab.txt")).unwrap();
        assert_ne!(Stamp::of(path).unwrap(), more);
        assert!(Stamp::of(&path.join("nothing")).is_err());
    }
}

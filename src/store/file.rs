//! A store in a folder: one file of redb, an embedded database of copy-on-write trees. A commit is one flip of a bit in its header, so
//! what is read after a crash is what the last whole commit has written.
//!
//! The folder belongs to one process at a time, by a lock that the operating system releases with the process. redb refuses to go on after
//! a failed write, so the file is opened again for the next one; the folder's lock is held meanwhile.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Change, Store};
use crate::error::{Error, ErrorKind, Result};

const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");

/// The only key of [`FORMAT`], and the version of what this module writes.
const VERSION_KEY: &str = "version";
const VERSION: u64 = 1;

/// Memory for pages of the file. Entries are read once, at the start, and written without being read.
const CACHE_BYTES: usize = 16 << 20;

/// A folder with a database and a lock.
pub struct FileStore {
    path: PathBuf,
    /// `None` after a failure.
    database: Option<Database>,
    #[allow(dead_code, reason = "it is only held")]
    lock: File,
}

impl FileStore {
    /// Opens the store in `folder`, which is created if it does not exist.
    ///
    /// # Errors
    /// `Config` if another process has it open; `Internal` if it cannot be read, or was written by a later version.
    pub fn open(folder: &Path) -> Result<Self> {
        let of_folder = |error: std::io::Error| {
            Error::new(
                ErrorKind::Config,
                format!("cannot use the session store `{}`: {error}", folder.display()),
            )
        };
        // What people have written can be read from the states of their sessions.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(of_folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"));
        let lock = lock.map_err(of_folder)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let folder = folder.display();
                let message = format!(
                    "the session store `{folder}` is in use by another server, which holds the lock `{folder}/lock`; each server needs a folder of its own"
                );
                Error::new(ErrorKind::Config, message)
            }
            TryLockError::Error(error) => of_folder(error),
        })?;
        let mut store = Self { path: folder.join("sessions.redb"), database: None, lock };
        store.check_format()?;
        Ok(store)
    }

    /// Creates the tables of a new file, and refuses one of another version.
    fn check_format(&mut self) -> Result<()> {
        let found = self.committed(|transaction| {
            transaction.open_table(ENTRIES).map_err(boxed)?;
            let mut format = transaction.open_table(FORMAT).map_err(boxed)?;
            let found = format.get(VERSION_KEY).map_err(boxed)?.map(|version| version.value());
            if found.is_none() {
                format.insert(VERSION_KEY, VERSION).map_err(boxed)?;
            }
            Ok(found.unwrap_or(VERSION))
        })?;
        if found != VERSION {
            let path = self.path.display();
            let message = format!("`{path}` has the format {found}; this version reads the format {VERSION}");
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(())
    }

    /// The open database.
    fn database(&mut self) -> Result<&Database, Box<redb::Error>> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Builder::new().set_cache_size(CACHE_BYTES).create(&self.path).map_err(boxed)?,
        };
        Ok(self.database.insert(database))
    }

    /// Commits what `work` has done.
    fn committed<T>(
        &mut self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, Box<redb::Error>>,
    ) -> Result<T> {
        let done = self.database().and_then(|database| {
            let transaction = database.begin_write().map_err(boxed)?;
            let done = work(&transaction)?;
            transaction.commit().map_err(boxed)?;
            Ok(done)
        });
        done.map_err(|error| self.failed("written", &error))
    }

    /// The next call opens the file again.
    fn failed(&mut self, doing: &str, error: &redb::Error) -> Error {
        self.database = None;
        Error::internal(format!("the session store `{}` cannot be {doing}: {error}", self.path.display()))
    }
}

impl Store for FileStore {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<()> {
        let loaded = self.database().and_then(|database| {
            let transaction = database.begin_read().map_err(boxed)?;
            let entries = transaction.open_table(ENTRIES).map_err(boxed)?;
            for entry in entries.iter().map_err(boxed)? {
                let (key, value) = entry.map_err(boxed)?;
                each(key.value(), value.value());
            }
            Ok(())
        });
        loaded.map_err(|error| self.failed("read", &error))
    }

    fn write(&mut self, group: &[Change]) -> Result<()> {
        self.committed(|transaction| {
            let mut entries = transaction.open_table(ENTRIES).map_err(boxed)?;
            for change in group {
                match change {
                    Change::Put { key, bytes } => drop(entries.insert(&**key, &**bytes).map_err(boxed)?),
                    Change::Remove { key } => drop(entries.remove(&**key).map_err(boxed)?),
                }
            }
            Ok(())
        })
    }

    fn retain(&mut self, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        self.committed(|transaction| {
            let mut entries = transaction.open_table(ENTRIES).map_err(boxed)?;
            entries.retain(|key, _| keep(key)).map_err(boxed)
        })
    }
}

/// redb's errors are large, and rare.
fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entries(store: &mut FileStore) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        store.load(&mut |key, bytes| drop(found.insert(key.to_owned(), bytes.to_vec()))).unwrap();
        found
    }

    fn put(key: &str, bytes: &[u8]) -> Change {
        Change::Put { key: key.to_owned(), bytes: bytes.to_vec() }
    }

    #[test]
    fn what_was_written_is_there_when_the_folder_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/there/yet");
        let mut store = FileStore::open(&path).unwrap();
        store.write(&[put("a", b"1"), put("b", b"2"), put("c", b"3")]).unwrap();
        let remove = |key: &str| Change::Remove { key: key.to_owned() };
        store.write(&[put("a", b"4"), remove("b"), remove("absent")]).unwrap();
        drop(store);
        let mut store = FileStore::open(&path).unwrap();
        let expected =
            [("a", "4"), ("c", "3")].map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(entries(&mut store), BTreeMap::from(expected));
        store.retain(&|key| key == "c").unwrap();
        assert_eq!(entries(&mut store).into_keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        let error = FileStore::open(folder.path()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(error.message.contains("in use by another server"), "{}", error.message);
        drop(store);
        FileStore::open(folder.path()).unwrap();
    }

    #[test]
    fn a_file_of_another_format_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(folder.path()).unwrap();
        let later = |transaction: &redb::WriteTransaction| {
            let mut format = transaction.open_table(FORMAT).map_err(boxed)?;
            format.insert(VERSION_KEY, VERSION + 1).map_err(boxed)?;
            Ok(())
        };
        store.committed(later).unwrap();
        drop(store);
        for _ in 0..2 {
            let error = FileStore::open(folder.path()).err().unwrap();
            assert!(error.message.contains("format 2"), "{}", error.message);
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sessions.redb"), vec![7; 10_000]).unwrap();
        let error = FileStore::open(folder.path()).err().unwrap();
        assert!(error.message.contains("sessions.redb"), "{}", error.message);
    }

    #[test]
    fn a_store_that_has_failed_is_opened_again_by_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(folder.path()).unwrap();
        store.write(&[put("a", b"1")]).unwrap();
        store.failed("written", &redb::Error::PreviousIo);
        store.write(&[put("b", b"2")]).unwrap();
        assert_eq!(entries(&mut store).len(), 2);
    }
}

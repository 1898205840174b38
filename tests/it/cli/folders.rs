//! The program, run in a folder that holds two model folders and the files of a test.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::models::{write_letters, write_words};
use crate::harness::program::{Ended, program};

/// The model folders `words` and `letters`, and whatever a test adds.
pub(crate) struct Folders(TempDir);

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        write_words(root.path());
        write_letters(root.path());
        Self(root)
    }

    /// Writes a file, into a folder that may have to be made; gives its name back.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        name.to_owned()
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.run_with(args, "")
    }

    /// Runs it with `stdin`.
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, stdin: &str) -> Ended {
        let mut child = self.spawn(args);
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Ended::of(child)
    }

    /// Runs it for a reader that is gone from the beginning.
    pub(crate) fn run_unread<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        let mut child = self.spawn(args);
        drop(child.stdout.take());
        Ended::of(child)
    }

    /// Runs it, and ends it by a signal while it waits for its input. Not by SIGINT, which is ignored in all that a shell runs in the background.
    pub(crate) fn terminate<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        let mut child = self.spawn(args);
        let stdin = child.stdin.take();
        let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        assert!(killed.success());
        let ended = Ended::of(child);
        drop(stdin);
        ended
    }

    fn spawn<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Child {
        let mut command = program();
        command.args(args).current_dir(self.path()).stdin(Stdio::piped());
        command.spawn().expect("the binary was built for this test")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

//! The program, run in a folder that contains two model folders and the files of a test.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::models::{write_letters, write_words, write_words_gru};
use crate::harness::program::{Ended, program};

/// A folder with the model folders `words` and `letters`, and the files that a test adds.
pub(crate) struct Folders(TempDir);

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        write_words(root.path());
        write_letters(root.path());
        Self(root)
    }

    /// Adds the model folder `words-gru`, whose model can be mixed with `words`.
    pub(crate) fn with_words_gru(self) -> Self {
        write_words_gru(self.path());
        self
    }

    /// Writes a file, creating its folder if necessary, and returns its name.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        name.to_owned()
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.run_with(args, "")
    }

    /// Runs the program with `stdin` as its input.
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, stdin: &str) -> Ended {
        let mut child = self.spawn(args);
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Ended::of(child)
    }

    /// Runs the program with its output closed from the beginning.
    pub(crate) fn run_unread<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        let mut child = self.spawn(args);
        drop(child.stdout.take());
        Ended::of(child)
    }

    /// Runs the program and ends it by SIGTERM while it waits for its input. Not by SIGINT, because a shell makes the programs that
    /// it runs in the background ignore it.
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

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

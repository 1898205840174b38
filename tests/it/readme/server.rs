//! The program as the README starts it, on a free port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::program::{PROGRAM, program};
use crate::harness::root;

/// The running service; it ends with this.
pub(crate) struct Server {
    child: Child,
    url: String,
}

/// Where the README's examples find it.
const README_URL: &str = "http://127.0.0.1:8080";

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = program()
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(root())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built for this test");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("it said {line:?}, expected where it listens")).to_owned();
        Self { child, url }
    }

    /// What a command of the README prints.
    pub(crate) fn sh(&self, example: &str) -> String {
        let output = shell().args(["-c", &example.replace(README_URL, &self.url)]).output().unwrap();
        assert!(output.status.success(), "{example}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell in the repository's root, which finds the program and is told nothing else by the environment.
fn shell() -> Command {
    let folder = Path::new(PROGRAM).parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("sh");
    command.current_dir(root()).env_clear().env("PATH", path).stdin(Stdio::null());
    command
}

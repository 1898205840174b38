//! The server that the examples of a page use, on a free port.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::program::{PROGRAM, Serving, program};
use crate::harness::root;

/// The server of a page. The first example that needs it starts it, and dropping this value stops it.
#[derive(Default)]
pub(crate) struct Server {
    running: Option<Serving>,
}

/// The address of the server in the examples.
const URL: &str = "http://127.0.0.1:8080";

impl Server {
    /// Runs an example and returns its output.
    pub(crate) fn run(&mut self, example: &str) -> String {
        let command = match example.contains(URL) {
            true => {
                let serving = self.running.get_or_insert_with(start);
                example.replace(URL, &format!("http://{}", serving.address))
            }
            false => example.to_owned(),
        };
        let output = shell().args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{example}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the example prints UTF-8")
    }
}

fn start() -> Serving {
    Serving::start(program().args(["--enable", "aac"]).current_dir(root()))
}

/// A shell in the root of the repository, with the program on its `PATH` and no other environment variable.
fn shell() -> Command {
    let folder = Path::new(PROGRAM).parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("sh");
    command.current_dir(root()).env_clear().env("PATH", path).stdin(Stdio::null());
    command
}

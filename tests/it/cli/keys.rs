//! The file of keys while the program runs: it is read again when it changes and on SIGHUP, and stays as it was when it is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use crate::harness::patience::PATIENCE;
use crate::harness::program::program;
use crate::harness::root;

/// A running program with a file of keys.
struct Running {
    child: Child,
    address: SocketAddr,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Starts the program with the keys `text`, which it looks at every `poll`.
    fn start(text: &str, poll: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        let model = root().join("models/shakespeare-rnn");
        let mut child = program()
            .args(["--listen", "127.0.0.1:0", "--engine-threads", "1", "--api-keys-poll", poll, "--models"])
            .arg(model)
            .arg("--api-keys")
            .arg(&path)
            .spawn()
            .expect("the binary was built for this test");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the program printed {line:?}, expected its address"));
        Self { child, address, path, _folder: folder }
    }

    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.path).unwrap();
    }

    /// Sends the program a signal.
    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The answer to a GET.
    fn get(&self, path: &str, key: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn accepts(&self, key: &str) -> bool {
        self.get("/v1/models", key).starts_with("HTTP/1.1 200 ")
    }

    fn until(&self, reached: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(Instant::now() < end, "it did not happen within {PATIENCE:?}");
        }
    }

    /// Ends the program in order, so that all of its log is written, and returns that.
    fn end(mut self) -> String {
        self.signal("TERM");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.child.wait().unwrap();
        log
    }
}

#[test]
fn a_file_that_changes_is_read_again_and_no_secret_is_logged() {
    let program = Running::start("alice:secret-one\n", "10ms");
    assert!(program.accepts("secret-one") && !program.accepts("secret-two"));
    program.write("alice:secret-two\n");
    program.until(|program| program.accepts("secret-two"));
    assert!(!program.accepts("secret-one"));
    program.write("alice\n");
    program.until(|program| {
        program.get("/metrics", "").contains("rnnlm_key_reloads_total{result=\"failed\"} 1")
    });
    assert!(program.accepts("secret-two"), "a file that is wrong changes nothing");
    let log = program.end();
    assert!(log.contains("line 1: no `:`") && log.contains("alice"), "{log}");
    assert!(!log.contains("secret-"), "{log}");
}

#[test]
fn a_signal_has_the_file_read_at_once() {
    let program = Running::start("alice:one\n", "1h");
    // The first look is at the start, perhaps after this change.
    program.write("alice:two\n");
    program.signal("HUP");
    program.until(|program| program.accepts("two"));
    program.write("alice:three\n");
    program.signal("HUP");
    program.until(|program| program.accepts("three"));
    program.end();
}

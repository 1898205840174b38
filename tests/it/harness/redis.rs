//! Debian's Redis as a child process, which keeps nothing on its disk.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

#[cfg(feature = "redis-tls")]
use super::certificate::Certificate;
use super::program::is_installed;
use super::skip;

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A Redis server on a port of its own. Dropping it ends the process.
pub(crate) struct Redis {
    url: String,
    options: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server; `None`, and the test is skipped, if this machine has none.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with these options.
    pub(crate) fn start_with(options: &[&str]) -> Option<Self> {
        let port = free_port();
        Self::at(format!("redis://127.0.0.1:{port}/"), [&["--port", &port], options].concat())
    }

    /// Starts a server that is reached through TLS alone, under the name `localhost`.
    #[cfg(feature = "redis-tls")]
    pub(crate) fn start_behind_tls(files: &Certificate) -> Option<Self> {
        let port = free_port();
        let [certificate, key] = [&files.certificate, &files.key].map(|path| path.to_str().unwrap());
        let options =
            ["--port", "0", "--tls-port", &port, "--tls-cert-file", certificate, "--tls-key-file", key];
        let clients = ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"];
        Self::at(format!("rediss://localhost:{port}/"), [&options[..], &clients].concat())
    }

    fn at(url: String, options: Vec<&str>) -> Option<Self> {
        if !is_installed("redis-server") {
            skip("found no `redis-server`");
            return None;
        }
        let options = options.into_iter().map(str::to_owned).collect();
        let mut redis = Self { url, options, child: None };
        redis.restart();
        Some(redis)
    }

    /// What `--session-store` takes.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Starts the server again, with nothing in it, on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(&self.options);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let is_ready = lines.any(|line| line.contains("Ready to accept connections"));
        // It writes its log to where nobody reads it.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
        assert!(is_ready, "Redis has ended instead of being ready");
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

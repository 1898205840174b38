//! The configurations of nginx and Caddy in the pages, run in front of a server with keys: TLS, keys, streams and large bodies pass through them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::block::Use;
use super::pages::Page;
use crate::harness::certificate::Certificate;
use crate::harness::models::words;
use crate::harness::patience::PATIENCE;
use crate::harness::program::{is_installed, signal};
use crate::harness::server::Setup;
use crate::harness::skip;

/// The name in the pages.
const HOST: &str = "lm.example.org";

/// What surrounds a `server` block of nginx, in a folder of its own. As root, the workers would be another user, who cannot write there.
const AROUND_NGINX: &str = "daemon off;
pid nginx.pid;
error_log stderr;
USER
events {}
http {
    access_log off;
    client_body_temp_path bodies;
    proxy_temp_path answers;
    include example.conf;
}
";

/// What stands before a site of Caddy. It has no authority to ask for a certificate, and no right to the port of its redirects.
const BEFORE_CADDY: &str = "{
    admin off
    auto_https disable_redirects
}
";

/// A proxy in front of a server, in a folder of its own.
struct Front {
    folder: TempDir,
    backend: SocketAddr,
    address: SocketAddr,
    files: Certificate,
}

impl Front {
    fn new(backend: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free at this moment. Another program would have to take it before the proxy does.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let files = Certificate::new(folder.path(), HOST);
        Self { folder, backend, address, files }
    }

    fn nginx(&self) -> Proxy {
        let Self { backend, address, files, .. } = self;
        let example = example(
            "nginx proxy",
            &[
                ("listen 443 ssl;", format!("listen {address} ssl;")),
                ("http://127.0.0.1:8080;", format!("http://{backend};")),
                ("/etc/ssl/lm.example.org.pem", files.certificate.display().to_string()),
                ("/etc/ssl/lm.example.org.key", files.key.display().to_string()),
            ],
        );
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let around = AROUND_NGINX.replace("USER", if is_root { "user root;" } else { "" });
        let folder = self.folder.path();
        std::fs::write(folder.join("nginx.conf"), around).unwrap();
        std::fs::write(folder.join("example.conf"), example).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        Proxy::start(command, *address)
    }

    fn caddy(&self) -> Proxy {
        let Self { backend, address, files, .. } = self;
        let tls = format!("tls {} {}", files.certificate.display(), files.key.display());
        let site = format!("{HOST}:{} {{\n    {tls}\n", address.port());
        let pieces = [("lm.example.org {\n", site), ("127.0.0.1:8080", backend.to_string())];
        let example = example("caddy proxy", &pieces);
        let path = self.folder.path().join("Caddyfile");
        std::fs::write(&path, format!("{BEFORE_CADDY}{example}")).unwrap();
        let mut command = Command::new("caddy");
        // It keeps files in its home.
        command.args(["run", "--config"]).arg(path).env("HOME", self.folder.path()).stderr(Stdio::null());
        Proxy::start(command, *address)
    }

    /// What curl prints: the body, and the status on a line of its own.
    async fn curl(&self, path: &str, arguments: &[&str]) -> String {
        let port = self.address.port();
        let mut command = Command::new("curl");
        command
            .args([
                "-sS",
                "--insecure",
                "-w",
                "\n%{http_code}",
                "--resolve",
                &format!("{HOST}:{port}:127.0.0.1"),
            ])
            .arg(format!("https://{HOST}:{port}{path}"))
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The only block of this kind, with each of these pieces replaced.
fn example(info: &str, pieces: &[(&str, String)]) -> String {
    let page = Page::read("docs/operations.md".to_owned());
    let blocks = page.blocks();
    let mut blocks = blocks.iter().filter(|block| block.how == Use::Proxy && block.info == info);
    let block = blocks.next().expect("the page has this configuration");
    assert!(blocks.next().is_none(), "the page has two blocks of `{info}`");
    let mut text = page.text_of(block);
    for (shown, here) in pieces {
        assert_eq!(text.matches(shown).count(), 1, "{shown}");
        text = text.replace(shown, here);
    }
    text
}

/// A running proxy.
struct Proxy(Child);

impl Proxy {
    /// Starts `command`, and waits until it answers at `address`.
    fn start(mut command: Command, address: SocketAddr) -> Self {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{command:?} refuses the example");
            assert!(Instant::now() < end, "{command:?} does not answer");
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The workers of nginx end with their parent only if it is asked to end.
        signal(&self.0, "TERM");
        let _ = self.0.wait();
    }
}

/// Skips a test unless these programs are installed.
fn lacks(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !is_installed(program));
    if let Some(missing) = missing {
        skip(&format!("{missing} was not found"));
    }
    missing.is_some()
}

#[tokio::test]
async fn keys_and_streams_pass_through_nginx_as_on_the_page() {
    if !lacks(&["nginx", "openssl", "curl"]) {
        passes(Front::nginx).await;
    }
}

#[tokio::test]
async fn keys_and_streams_pass_through_caddy_as_on_the_page() {
    if !lacks(&["caddy", "openssl", "curl"]) {
        passes(Front::caddy).await;
    }
}

/// Starts a server with keys and a proxy in front of it, and sends requests of all kinds through it.
async fn passes(start: impl FnOnce(&Front) -> Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "alice:one\n").unwrap();
    let mut setup = Setup::over(vec![words()]);
    setup.config.keys.api_keys = Some(keys);
    let server = setup.start().await;
    let front = Front::new(server.address);
    let _proxy = start(&front);

    let key = ["-H", "authorization: Bearer one"];
    let refused = front.curl("/v1/models", &[]).await;
    assert!(refused.contains("\"unauthorized\"") && refused.ends_with("\n401"), "{refused}");
    let models = front.curl("/v1/models", &key).await;
    assert!(models.contains("\"words\"") && models.ends_with("\n200"), "{models}");
    let body = ["-N", "-d", r#"{"text": "the sea", "max_tokens": 3, "stream": true}"#];
    let stream = front.curl("/v1/generate", &[&key[..], &body[..]].concat()).await;
    assert!(stream.contains("event: done") && stream.ends_with("\n200"), "{stream}");
    let text = folder.path().join("text");
    std::fs::write(&text, "the old man and the sea\n".repeat(1 << 15)).unwrap();
    let data = format!("@{}", text.to_str().unwrap());
    let plain = ["-H", "content-type: text/plain", "--data-binary", data.as_str()];
    let scored = front.curl("/v1/score", &[&key[..], &plain[..]].concat()).await;
    assert!(scored.contains("\"scored_count\"") && scored.ends_with("\n200"), "{scored}");
    assert!(front.curl("/metrics", &[]).await.ends_with("\n404"));
    assert!(front.curl("/readyz", &[]).await.ends_with("\n200"));
}

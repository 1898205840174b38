//! The nginx configuration of the pages, run in front of a server with keys: TLS, keys, streams and large bodies pass through it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::block::Use;
use super::pages::Page;
use crate::harness::models::words;
use crate::harness::server::Setup;
use crate::harness::skip;

/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What surrounds a `server` block, in a folder of its own. As root, the workers would be another user, who cannot write there.
const AROUND: &str = "daemon off;
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

/// A running nginx.
struct Nginx(Child);

impl Nginx {
    /// Runs `example` in `folder`, and waits until it answers at `address`.
    fn start(folder: &Path, example: &str, address: SocketAddr) -> Self {
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let around = AROUND.replace("USER", if is_root { "user root;" } else { "" });
        std::fs::write(folder.join("nginx.conf"), around).unwrap();
        std::fs::write(folder.join("example.conf"), example).unwrap();
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "nginx refuses the example:\n{example}");
            assert!(Instant::now() < end, "nginx does not answer");
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The only block of this kind, for this server and this port, with a certificate of its own.
fn example(folder: &Path, backend: SocketAddr, front: SocketAddr) -> String {
    let page = Page::read("docs/operations.md".to_owned());
    let blocks = page.blocks();
    let mut blocks = blocks.iter().filter(|block| block.how == Use::Proxy);
    let block = blocks.next().expect("the page has an nginx configuration");
    assert!(blocks.next().is_none(), "the page has two nginx configurations");
    let mut text = page.text_of(block);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for (shown, here) in [
        ("listen 443 ssl;", format!("listen {front} ssl;")),
        ("http://127.0.0.1:8080;", format!("http://{backend};")),
        ("/etc/ssl/lm.example.org.pem", path("certificate")),
        ("/etc/ssl/lm.example.org.key", path("key")),
    ] {
        assert_eq!(text.matches(shown).count(), 1, "{shown}");
        text = text.replace(shown, &here);
    }
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=lm.example.org", "-keyout", &path("key"), "-out", &path("certificate")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    text
}

fn is_installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .is_ok_and(|found| found.status.success())
}

/// What curl prints: the body, and the status on a line of its own.
async fn curl(front: SocketAddr, path: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--insecure", "-w", "\n%{http_code}", &format!("https://{front}{path}")])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn keys_and_streams_pass_through_the_proxy_of_the_page() {
    for program in ["nginx", "openssl", "curl"] {
        if !is_installed(program) {
            return skip(&format!("{program} was not found"));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "alice:one\n").unwrap();
    let mut setup = Setup::over(vec![words()]);
    setup.config.keys.api_keys = Some(keys);
    let server = setup.start().await;
    // Free at this moment. Another program would have to take it before nginx does.
    let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _nginx = Nginx::start(folder.path(), &example(folder.path(), server.address, front), front);

    let key = ["-H", "authorization: Bearer one"];
    let refused = curl(front, "/v1/models", &[]).await;
    assert!(refused.contains("\"unauthorized\"") && refused.ends_with("\n401"), "{refused}");
    let models = curl(front, "/v1/models", &key).await;
    assert!(models.contains("\"words\"") && models.ends_with("\n200"), "{models}");
    let body = ["-N", "-d", r#"{"text": "the sea", "max_tokens": 3, "stream": true}"#];
    let stream = curl(front, "/v1/generate", &[&key[..], &body[..]].concat()).await;
    assert!(stream.contains("event: done") && stream.ends_with("\n200"), "{stream}");
    let text = folder.path().join("text");
    std::fs::write(&text, "the old man and the sea\n".repeat(1 << 15)).unwrap();
    let data = format!("@{}", text.to_str().unwrap());
    let plain = ["-H", "content-type: text/plain", "--data-binary", data.as_str()];
    let scored = curl(front, "/v1/score", &[&key[..], &plain[..]].concat()).await;
    assert!(scored.contains("\"scored_count\"") && scored.ends_with("\n200"), "{scored}");
    assert!(curl(front, "/metrics", &[]).await.ends_with("\n404"));
    assert!(curl(front, "/readyz", &[]).await.ends_with("\n200"));
}

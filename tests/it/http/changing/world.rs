//! A server whose models are folders that a test rewrites, and the key of an admin.

use std::path::{Path, PathBuf};

use rnnlm_server::catalog::load_folder;
use rnnlm_server::config::Config;
use rnnlm_server::kernels::Kernel;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::{Answer, Reply, Request};
use crate::harness::models::{write_letters, write_words, write_words_gru};
use crate::harness::server::{Server, Setup};

/// The server serves `words`, the default model, and `letters`; there is a folder `words-gru` too.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) root: TempDir,
}

const ADMIN: &str = "secret-of-the-admin";
const USER: &str = "secret-of-a-user";

impl World {
    pub(crate) async fn start() -> Self {
        Self::configured(|_| ()).await
    }

    /// Starts the server with a configuration that `change` has changed.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("models");
        std::fs::create_dir(&models).unwrap();
        write_words(&models);
        write_letters(&models);
        write_words_gru(&models);
        std::fs::write(root.path().join("keys"), format!("operator:{ADMIN} admin\nalice:{USER}\n")).unwrap();
        Self::over(root, &["words", "letters"], change).await
    }

    /// Starts a server of the models `names` over the folders of another.
    pub(crate) async fn over(root: TempDir, names: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let models = root.path().join("models");
        let kernel = Kernel::choose(None).unwrap();
        let served = names.iter().map(|name| load_folder(&models.join(name), kernel).unwrap());
        let mut setup = Setup::over(served.collect());
        setup.config.models = models;
        setup.config.keys.api_keys = Some(root.path().join("keys"));
        change(&mut setup.config);
        Self { server: setup.start().await, root }
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        folder(&self.root, name)
    }

    /// Changes the weights of a folder. Doing it twice restores them.
    pub(crate) fn alter(&self, name: &str) {
        alter(&self.root, name);
    }

    /// Writes the weights of a folder again as they are.
    pub(crate) fn rewrite(&self, name: &str) {
        let path = self.folder(name).join("model.safetensors");
        rewrite(&path, &std::fs::read(&path).unwrap());
    }

    /// Cuts the weights of a folder short.
    pub(crate) fn damage(&self, name: &str) {
        let path = self.folder(name).join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        rewrite(&path, &bytes[..bytes.len() - 4]);
    }

    /// Asks for a change with the key of the admin.
    pub(crate) async fn change(&self, name: &str, change: &str) -> Answer {
        self.server.send(of_admin(Request::new("POST", format!("/admin/models/{name}/{change}")))).await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Answer {
        self.server.send(of_user(Request::new("POST", target).json(&body))).await
    }

    pub(crate) async fn open(&self, target: &str, body: Value) -> Reply {
        self.server.open(of_user(Request::new("POST", target).json(&body))).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.server.send(of_user(Request::new("GET", target))).await
    }

    /// The state of a session: the header of its file, in which the order of names is not defined, and the numbers.
    pub(crate) async fn state(&self, id: &str) -> (Value, Vec<u8>) {
        let answer = self.get(&format!("/v1/sessions/{id}/state")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (len, rest) = answer.body.split_at(8);
        let (header, numbers) = rest.split_at(usize::from_le_bytes(len.try_into().unwrap()));
        (serde_json::from_slice(header).unwrap(), numbers.to_vec())
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.server.send(of_user(Request::new("DELETE", target))).await
    }

    /// The bytes that all requests may take now.
    pub(crate) fn requests_max(&self) -> usize {
        self.server.app.service().unwrap().budget().bytes_max()
    }

    /// The identity of a model that is served.
    pub(crate) async fn identity(&self, name: &str) -> String {
        let info = self.get("/v1/info").await.expect(200);
        info["identities"][name].as_str().unwrap().to_owned()
    }

    /// The value of a metric, with its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in {page}")).parse().unwrap()
    }
}

/// Changes the weights of a folder, as [`World::alter`] does.
pub(crate) fn alter(root: &TempDir, name: &str) {
    let path = folder(root, name).join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    // The sign of the last number.
    *bytes.last_mut().unwrap() ^= 0x80;
    rewrite(&path, &bytes);
}

fn folder(root: &TempDir, name: &str) -> PathBuf {
    root.path().join("models").join(name)
}

/// As a deployment does it: no reader sees half of a file.
fn rewrite(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, path).unwrap();
}

pub(crate) fn of_user(request: Request) -> Request {
    request.header("authorization", format!("Bearer {USER}"))
}

pub(crate) fn of_admin(request: Request) -> Request {
    request.header("authorization", format!("Bearer {ADMIN}"))
}

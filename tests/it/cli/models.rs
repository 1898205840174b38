//! The folder of models while the program runs: it is looked at again on SIGHUP.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::models::{write_letters, write_words, write_words_gru};
use crate::harness::patience::until;
use crate::harness::program::{Serving, program};

/// A running program over a folder of models.
struct Running(Serving);

impl Running {
    async fn get(&self, path: &str) -> String {
        Request::new("GET", path).open(self.0.address).await.whole().await.text()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = Request::new("POST", path).json(&body).open(self.0.address).await.whole().await;
        (answer.status, answer.json())
    }

    /// Sends SIGHUP, and waits until a metric of changes has this value.
    async fn hang_up(&self, change: &str, result: &str, count: usize) {
        self.0.signal("HUP");
        let line = format!("rnnlm_model_changes_total{{change=\"{change}\",result=\"{result}\"}} {count}\n");
        until(async || self.get("/metrics").await.contains(&line)).await;
    }

    async fn identity(&self, model: &str) -> Value {
        let info: Value = serde_json::from_str(&self.get("/v1/info").await).unwrap();
        info["identities"][model].clone()
    }
}

/// Changes the sign of the last number of the weights, or cuts them short.
fn change(folder: &Path, cut: usize) {
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
}

#[tokio::test]
async fn a_signal_has_new_and_changed_folders_loaded_and_keeps_what_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let words = write_words(root.path());
    write_letters(root.path());
    let mut command = program();
    command.args(["--engine-threads", "1", "--models"]).arg(root.path());
    let running = Running(Serving::start(&mut command));
    let letters = running.identity("letters").await;
    let first = running.identity("words").await;
    for model in ["words", "letters"] {
        let session =
            json!({"id": model, "model": model, "text": if model == "words" { "the sea" } else { "ab" }});
        assert_eq!(running.post("/v1/sessions", session).await.0, 201);
    }

    write_words_gru(root.path());
    running.hang_up("load", "ok", 1).await;
    assert!(running.identity("words-gru").await.is_string());
    assert_eq!(running.identity("words").await, first);

    change(&words, 0);
    running.hang_up("reload", "ok", 1).await;
    let second = running.identity("words").await;
    assert_ne!(second, first);
    let (status, answer) = running.post("/v1/sessions/words/append", json!({"text": "of"})).await;
    assert_eq!((status, &answer["error"]["code"]), (410, &json!("model_changed")));
    let (status, _) = running.post("/v1/sessions/letters/append", json!({"text": "c"})).await;
    assert_eq!((status, running.identity("letters").await), (200, letters), "its files have not changed");

    change(&words, 1);
    running.hang_up("reload", "failed", 1).await;
    assert_eq!(running.identity("words").await, second);
    assert_eq!(running.post("/v1/next", json!({"model": "words", "text": "the"})).await.0, 200);
    std::fs::remove_dir_all(root.path().join("letters")).unwrap();
    running.hang_up("reload", "failed", 2).await;
    assert_eq!(running.post("/v1/next", json!({"model": "letters", "text": "a"})).await.0, 200);
}

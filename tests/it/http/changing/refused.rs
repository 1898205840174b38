//! Changes that are refused change nothing.

use rnnlm_server::budget::{Holder, Purpose};
use serde_json::json;

use super::world::{World, of_admin, of_user};
use crate::harness::client::Request;
use crate::harness::server::Server;

#[tokio::test]
async fn a_folder_that_cannot_be_loaded_leaves_the_model_as_it_was() {
    let world = World::start().await;
    let free = world.requests_max();
    let identity = world.identity("words").await;
    world.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    let next = world.post("/v1/sessions/s/next", json!({"full": true})).await.expect(200);
    world.damage("words");
    let (_, message) = world.change("words", "reload").await.refused(422, "load_failed");
    assert!(message.contains("the model in `words` cannot be loaded: "), "{message}");
    assert!(message.contains("`model.safetensors`"), "{message}");
    assert_eq!(world.identity("words").await, identity);
    assert_eq!(world.post("/v1/sessions/s/next", json!({"full": true})).await.expect(200), next);

    for (file, text) in [("vocab.txt", "the\n"), ("config.json", "{")] {
        std::fs::write(world.folder("words-gru").join(file), text).unwrap();
        let (_, message) = world.change("words-gru", "load").await.refused(422, "load_failed");
        assert!(message.contains(&format!("`{file}`")), "{message}");
    }
    std::fs::remove_file(world.folder("words-gru").join("config.json")).unwrap();
    world.change("words-gru", "load").await.refused(422, "load_failed");
    std::fs::remove_dir_all(world.folder("words-gru")).unwrap();
    world.change("words-gru", "load").await.refused(404, "model_not_found");
    std::fs::remove_dir_all(world.folder("words")).unwrap();
    world.change("words", "reload").await.refused(404, "model_not_found");
    world.post("/v1/sessions/s/append", json!({"text": "the"})).await.expect(200);
    assert_eq!(world.requests_max(), free, "no memory is lost");
    assert_eq!(world.metric("rnnlm_model_changes_total{change=\"load\",result=\"failed\"}").await, 4.0);
    assert_eq!(world.metric("rnnlm_model_changes_total{change=\"reload\",result=\"failed\"}").await, 2.0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_outside_the_folder_is_not_read() {
    let world = World::start().await;
    let vocabulary = world.folder("words-gru").join("vocab.txt");
    let outside = world.root.path().join("outside.txt");
    std::fs::rename(&vocabulary, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &vocabulary).unwrap();
    let (_, message) = world.change("words-gru", "load").await.refused(422, "load_failed");
    assert!(message.contains("outside the model's folder"), "{message}");
}

#[tokio::test]
async fn a_model_for_which_there_is_no_memory_is_not_loaded() {
    let world = World::start().await;
    let budget = world.server.app.service().unwrap().budget().clone();
    let identity = world.identity("words").await;
    let taken = budget.take(&Holder::default(), Purpose::Jobs, budget.bytes_max() - 100).unwrap();
    for (name, change) in [("words-gru", "load"), ("words", "reload")] {
        let (_, message) = world.change(name, change).await.refused(422, "load_failed");
        assert!(message.contains("its weights take") && message.contains("`--memory-max`"), "{message}");
    }
    drop(taken);
    assert_eq!(world.identity("words").await, identity);
    world.change("words-gru", "load").await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_with_the_reason() {
    let world = World::start().await;
    let folders = "`letters`, `words`, `words-gru`";
    for name in ["nothing", "..", "..%2Fmodels%2Fwords", "%2Fetc", "words%00", "."] {
        for change in ["load", "reload", "unload"] {
            let (_, message) = world.change(name, change).await.refused(404, "model_not_found");
            let expected = if change == "load" { folders } else { "`letters`, `words`" };
            assert!(message.ends_with(&format!("are {expected}")), "{message}");
        }
    }
    let (_, message) = world.change("letters", "load").await.refused(409, "model_exists");
    assert!(message.contains("`reload`"), "{message}");
    let (_, message) = world.change("words", "unload").await.refused(409, "model_is_default");
    assert!(message.contains("`--default-model`"), "{message}");
    for change in ["reload", "unload"] {
        world.change("words-gru", change).await.refused(404, "model_not_found");
    }
    world.change("words", "drop").await.refused(404, "route_not_found");
    world.change("words-gru", "load").await.expect(200);
    world.change("words-gru", "unload").await.expect(200);
    world.change("words-gru", "unload").await.refused(404, "model_not_found");
}

#[tokio::test]
async fn only_an_admin_changes_models() {
    let world = World::start().await;
    for change in ["load", "reload", "unload"] {
        let request = Request::new("POST", format!("/admin/models/letters/{change}"));
        world.server.send(of_user(request.clone())).await.refused(403, "forbidden");
        world.server.send(request.clone()).await.refused(401, "unauthorized");
        let (_, message) = Server::start().await.send(request).await.refused(403, "forbidden");
        assert!(message.contains("`--api-keys`"), "{message}");
    }
    assert_eq!(world.get("/v1/info").await.expect(200)["models"], json!(["letters", "words"]));
}

#[tokio::test]
async fn an_option_that_a_change_does_not_have_is_not_ignored() {
    let world = World::start().await;
    let (param, _) = world.change("letters", "reload?weights=int8").await.refused(422, "unknown_field");
    assert_eq!(param, "weights");
    let with_body = Request::new("POST", "/admin/models/letters/reload").json(&json!({"weights": "int8"}));
    world.server.send(of_admin(with_body.clone())).await.refused(422, "invalid_value");
    world.server.send(of_user(with_body)).await.refused(403, "forbidden");
}

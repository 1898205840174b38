//! `--mixture` of `next`, `score` and `rescore`: the answers are those of the routes.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::models::{words, words_gru};
use crate::harness::server::Setup;

const MIXTURE: [&str; 4] = ["--mixture", "words=0.7", "--mixture", "words-gru=0.3"];

#[tokio::test]
async fn a_mixture_of_folders_gives_the_answers_of_the_routes() {
    let folders = Folders::new().with_words_gru();
    let server = Setup::over(vec![words(), words_gru()]).start().await;
    let run = |args: &[&str]| folders.run(args.iter().chain(&MIXTURE).chain(&["--json"]));
    let mixture = json!([{"model": "words", "weight": 0.7}, {"model": "words-gru", "weight": 0.3}]);

    let expected =
        server.post("/v1/next", json!({"text": "the old man", "mixture": mixture})).await.expect(200);
    assert_eq!(run(&["next", "the old man"]).json(), expected);

    let file = folders.file("text", "the sea of zebra\n\na ship\n");
    let body = json!({"text": "the sea of zebra\n\na ship\n", "mixture": mixture});
    let expected = server.post("/v1/score", body).await.expect(200);
    assert_eq!(run(&["score", &file]).json(), expected);
    let body = json!({"texts": ["the sea of zebra", "a ship"], "mixture": mixture});
    let expected = server.post("/v1/score", body).await.expect(200);
    let lines = run(&["score", &file, "--lines"]).json();
    assert_eq!((&lines["total"], &lines["model"]), (&expected["total"], &json!("words+words-gru")));

    let utterance = json!({"id": "u", "hypotheses": [{"text": "zebra sings"}, {"text": "the sea"}]});
    let expected = server.post("/v1/rescore", json!({"utterances": [utterance], "mixture": mixture})).await;
    let list = folders.file("list", utterance.to_string());
    let found: Value = run(&["rescore", &list]).json();
    assert_eq!(found, expected.expect(200)["results"][0]);
}

#[test]
fn what_is_no_mixture_is_wrong_usage() {
    let folders = Folders::new().with_words_gru();
    for (args, part) in [
        (&["--mixture", "words"][..], "expected a model folder, `=` and a number"),
        (&["--mixture", "words=x"], "expected a model folder, `=` and a number"),
        (&["--mixture", "words=0.5"], "sum to 0.5"),
        (&["--mixture", "words=0.5", "--mixture", "letters=0.5"], "`tokenizer_sha256`"),
        (&["--mixture", "words=0.5", "--mixture", "./words=0.5"], "two of the models are named `words`"),
        (&["--mixture", "words=1", "--model", "words"], "`--model` is given beside `--mixture`"),
        (&[], "--model"),
    ] {
        let message = folders.run(["next", "the"].iter().chain(args)).failed(64);
        assert!(message.contains(part), "{args:?}: {message}");
    }
    let missing = folders.run(["next", "the", "--mixture", "nowhere=1"]).failed(1);
    assert!(missing.contains("nowhere"), "{missing}");
}

//! `tokenize` and `detokenize`: ids by line, back to the same text, and the JSON of the routes.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::server::Server;

const TEXT: &str = "the old man and the sea sings\na ship of stars\n\nthe dragon\n";

#[tokio::test]
async fn tokenize_prints_a_line_of_ids_for_each_line() {
    let folders = Folders::new();
    let file = folders.file("text", TEXT);
    let printed = folders.run(["tokenize", "--model", "words", &file]).succeeded();
    assert_eq!(printed, "2 8 9 10 2 3 11 1\n4 5 6 7 1\n1\n2 0 1\n");
    let ids: Vec<u64> = printed.split_whitespace().map(|id| id.parse().unwrap()).collect();
    let served = Server::start().await.post("/v1/tokenize", json!({"text": TEXT})).await.expect(200);
    assert_eq!(served["tokens"], json!(ids), "the ids of all lines are those of the file");
}

#[test]
fn tokenize_encodes_lines_together_if_a_rule_matches_across_their_end() {
    let folders = Folders::new();
    let mut manifest = folders.run(["inspect", "words", "--json"]).json()["manifest"].take();
    manifest["format_version"] = json!(1);
    let rules = json!({"\na ship": "\nsea", "sings\nthe": "man"});
    manifest["tokenizer"]["replace"] = rules;
    folders.file("words/config.json", manifest.to_string());
    let file = folders.file("text", "the sea\r\na ship of\n\nold sings\nthe stars\n".repeat(5000));
    let printed = folders.run(["tokenize", "--model", "words", &file]).succeeded();
    assert_eq!(printed, "2 3 1\n3 6 1\n1\n8\n9 7 1\n".repeat(5000));
    let unfinished = folders.run_with(["tokenize", "--model", "words", "-"], "the\n ").succeeded();
    assert_eq!(unfinished, "2 1\n\n");
}

#[test]
fn tokenize_names_the_line_of_an_unknown_word() {
    let folders = Folders::new();
    let file = folders.file("text", "abc\n".repeat(50_000) + "ab dragon\n");
    let message = folders.run(["tokenize", "--model", "letters", &file]).failed(1);
    assert!(message.contains("line 50001: `r` at character 4 is not in the vocabulary"), "{message}");
}

#[tokio::test]
async fn with_json_both_print_the_answers_of_their_routes() {
    let folders = Folders::new();
    let server = Server::start().await;
    let file = folders.file("text", TEXT);
    let tokenize = ["tokenize", "--model", "words", &file, "--json"];
    for (pieces, option) in [(true, &[][..]), (true, &["--pieces=true"]), (false, &["--pieces=false"])] {
        let answer = folders.run(tokenize.iter().chain(option)).json();
        let request = json!({"text": TEXT, "pieces": pieces});
        assert_eq!(answer, server.post("/v1/tokenize", request).await.expect(200), "{option:?}");
    }
    let ids = folders.file("ids", "2 8 9\n\n10\t2 3 1\n");
    let answer = folders.run(["detokenize", "--model", "words", &ids, "--json"]).json();
    let request = json!({"tokens": [2, 8, 9, 10, 2, 3, 1]});
    let served: Value = server.post("/v1/detokenize", request).await.expect(200);
    assert_eq!(answer, served);
    assert_eq!(
        folders.run(["detokenize", "--model", "words", &ids]).succeeded(),
        served["text"].as_str().unwrap()
    );
}

#[test]
fn detokenize_prints_the_text_whose_ids_tokenize_printed() {
    let folders = Folders::new();
    for (model, text) in [("words", "the old man\n\nthe sea sings\n"), ("letters", "abc de\nab")] {
        let text = text.repeat(5000);
        let ids = folders.run_with(["tokenize", "--model", model, "-"], &text).succeeded();
        let ids = folders.file("ids", ids);
        assert!(folders.run(["detokenize", "--model", model, &ids]).succeeded() == text, "{model}");
    }
}

#[test]
fn detokenize_names_the_line_of_what_is_no_token() {
    let folders = Folders::new();
    for (ids, part) in [
        ("2 8\n9 sea 2\n", "line 2: \"sea\" is not a token id; ids are whole numbers from 0"),
        ("-1", "line 1: \"-1\" is not a token id"),
        ("99999999999", "line 1: \"99999999999\" is not a token id"),
        ("2\n\n12", "line 3: token id 12 is not in the vocabulary; the largest id is 11"),
    ] {
        let ids = folders.file("ids", ids);
        for option in [&[][..], &["--json"]] {
            let message =
                folders.run(["detokenize", "--model", "words", &ids].iter().chain(option)).failed(1);
            assert!(message.contains(part), "{message}");
        }
    }
}

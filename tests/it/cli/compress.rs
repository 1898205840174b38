//! `compress`, `decompress`, `explain` and `neighbors`.

use serde_json::json;

use super::folders::Folders;
use crate::harness::server::Server;

const TEXT: &str = "the old man and the sea sings\na ship of stars\n\nthe dragon\n";

#[test]
fn a_file_comes_back_from_a_file_and_from_a_pipe() {
    let folders = Folders::new();
    let text = TEXT.repeat(3000);
    let file = folders.file("text", &text);
    let packed = format!("{file}.packed");
    folders.run(["compress", "--model", "words", &file, "-o", &packed]).succeeded();
    assert_eq!(folders.run(["decompress", "--model", "words", &packed]).succeeded(), text);

    // What comes through a pipe gives the same file.
    let from_pipe = format!("{file}.pipe");
    folders.run_with(["compress", "--model", "words", "-o", &from_pipe], &text).succeeded();
    let read = |name: &str| std::fs::read(folders.path().join(name)).unwrap();
    assert_eq!(read(&from_pipe), read(&packed));
}

#[test]
fn what_cannot_be_decompressed_fails_and_leaves_no_file() {
    let folders = Folders::new();
    let file = folders.file("text", TEXT.repeat(3000));
    let packed = format!("{file}.packed");
    let back = format!("{file}.back");
    folders.run(["compress", "--model", "words", &file, "-o", &packed]).succeeded();
    let whole = std::fs::read(folders.path().join(&packed)).unwrap();
    let refused = |bytes: &[u8], model: &str| {
        folders.file(&packed, bytes);
        let message = folders.run(["decompress", "--model", model, &packed, "-o", &back]).failed(1);
        assert!(!folders.path().join(&back).exists(), "{message}");
        message
    };
    assert!(refused(&whole, "letters").contains("identity"));
    assert!(refused(TEXT.repeat(9).as_bytes(), "words").contains("does not begin"));
    assert!(refused(&whole[..whole.len() - 1], "words").contains("too early"));
    assert!(refused(&[&whole[..], b"x"].concat(), "words").contains("follow"));
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(refused(&damaged, "words").contains("damaged"));
    assert!(
        folders
            .run(["compress", "--model", "words", "no-such-file", "-o", &back])
            .failed(1)
            .contains("no-such-file")
    );
}

#[tokio::test]
async fn explain_and_neighbors_print_tables_or_the_json_of_the_routes() {
    let folders = Folders::new();
    let server = Server::start().await;
    let args = ["explain", "--model", "words", "the old man", "--target", "sea"];
    let table = folders.run(args).succeeded();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "a heading, three tokens, an empty line and the probability:\n{table}");
    assert!(rows[3].ends_with("man") && rows[5].starts_with("ln P(sea) = "), "{table}");
    let answer = folders.run(args.iter().chain(&["--json", "--gates"])).json();
    let body = json!({"text": "the old man", "target": "sea"});
    assert_eq!(answer, server.post("/v1/explain?gates=true", body).await.expect(200));
    folders.run(["explain", "--model", "words", "the", "--gates"]).failed(64);

    let args = ["neighbors", "--model", "words", "sea", "ship", "--negative", "man", "--top-k", "2"];
    assert_eq!(folders.run(args).succeeded().lines().count(), 2);
    let answer = folders.run(args.iter().chain(&["--json"])).json();
    let body = json!({"positive": ["sea", "ship"], "negative": ["man"], "top_k": 2});
    assert_eq!(answer, server.post("/v1/neighbors", body).await.expect(200));
    assert!(folders.run(["neighbors", "--model", "words"]).failed(1).contains("no token"));
}

//! `rescore` on small files: every kind of list has the scores of the route, and comes back in its own form.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::server::Server;

/// An utterance of two hypotheses, the second of which is better.
fn utterance() -> Value {
    json!({"id": "utt", "hypotheses": [
        {"text": "zebra zebra zebra", "score": -2.5, "lm_score": -1.5}, {"text": "the sea", "score": -2.25, "lm_score": -1.0}]})
}

#[tokio::test]
async fn every_kind_of_list_has_the_scores_of_the_route_and_keeps_its_form() {
    let folders = Folders::new();
    let body = json!({"utterances": [utterance()], "lm_weight": 0.75, "old_lm_weight": -0.5});
    let expected = Server::start().await.post("/v1/rescore", body).await.expect(200)["results"][0].clone();
    let best = &expected["hypotheses"][0];
    assert_eq!(best["index"], 1);
    let run = |text: &str, more: &[&str]| {
        let file = folders.file("list", text);
        let args = ["rescore", "--model", "words", &file, "--lm-weight", "0.75", "--old-lm-weight", "-0.5"];
        folders.run(args.iter().chain(more)).succeeded()
    };
    let kaldi = "utt-1 -2.5 -1.5 zebra zebra zebra\nutt-2 -2.25 -1.0 the sea\n";
    let mikolov = "utt -2.5 -1.5 zebra zebra zebra\nutt -2.25 -1.0 the sea\n";
    let ndjson = utterance().to_string() + "\n";
    for list in [kaldi, mikolov, &ndjson] {
        let answer: Value = serde_json::from_str(&run(list, &["--json"])).unwrap();
        assert_eq!(answer, expected, "{list}");
    }
    assert_eq!(run(&ndjson, &[]), run(&ndjson, &["--json"]));
    let figure = |name: &str| format!("{:.6}", best[name].as_f64().unwrap());
    let first = format!("utt-2 {} {} the sea", figure("total"), figure("lm_logprob"));
    assert_eq!(run(kaldi, &[]).lines().next(), Some(first.as_str()));
    assert_eq!(run(kaldi, &[]).lines().count(), 2);
}

#[test]
fn a_list_that_is_wrong_is_a_failure_with_its_place() {
    let folders = Folders::new();
    let run = |text: &str, more: &[&str]| {
        let file = folders.file("list", text);
        let args = ["rescore", "--model", "words", &file];
        folders.run(args.iter().chain(more))
    };
    let message = run("utt-1 -1.5 the\nutt-2 sea\n", &[]).failed(1);
    assert!(message.contains("hypothesis 2 (`utt-2`)"), "{message}");
    let message = run("{\"id\": \"u\", \"hypotheses\": []}", &[]).failed(1);
    assert!(message.contains("utterance 1") && message.contains("`hypotheses`"), "{message}");
    run("utt-1 the\n", &["--lm-weight", "1e9"]).failed(64);
    run("utt-1 the\n", &["--format", "lattice"]).failed(64);
    run("utt-1 the\n", &["--unknown", "skip"]).failed(64);
}

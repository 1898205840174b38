//! `/v1/suggest` and `/v1/sessions/{id}/suggest`: whole words for half-typed ones, with the probabilities that `next` gives them.

use rnnlm_server::catalog::{Parts, Served};
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::text::{Tokenizer, TokenizerKind, TokenizerSpec};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use crate::harness::models::{VOCABULARY, scripted};
use crate::harness::server::{Server, Setup};

async fn suggest(server: &Server, body: Value) -> Vec<Value> {
    let answer = server.post("/v1/suggest", body).await.expect(200);
    answer["suggestions"].as_array().unwrap().clone()
}

fn texts(suggestions: &[Value]) -> Vec<&str> {
    suggestions.iter().map(|one| one["text"].as_str().unwrap()).collect()
}

/// The logprob of each of `candidates` after `text`, by `next`.
async fn logprobs(server: &Server, body: Value, candidates: &[String]) -> Vec<f64> {
    let mut body = body;
    body["candidates"] = json!(candidates);
    let answer = server.post("/v1/next", body).await.expect(200);
    let candidates = answer["candidates"].as_array().unwrap();
    candidates.iter().map(|one| one["logprob"].as_f64().unwrap()).collect()
}

/// The words of [`VOCABULARY`] that begin with `prefix`, by falling probability after `text`, and their logprobs.
async fn expected(server: &Server, text: &str, prefix: &str) -> Vec<(String, f64)> {
    let words = VOCABULARY[2..].iter().filter(|word| word.starts_with(prefix));
    let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    let logprobs = logprobs(server, json!({"text": text}), &words).await;
    let mut all: Vec<(String, f64)> = words.into_iter().zip(logprobs).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

#[tokio::test]
async fn words_that_begin_with_the_prefix_come_by_falling_probability() {
    let server = Server::start().await;
    for (text, before, prefix, append_from) in [
        ("the old s", "the old", "s", 1),
        ("the old", "the", "old", 3),
        ("the old ", "the old ", "", 0),
        ("of st", "of", "st", 2),
        ("the", "", "the", 3),
    ] {
        let found = suggest(&server, json!({"text": text, "top_k": 100})).await;
        let expected = expected(&server, before, prefix).await;
        assert_eq!(found.len(), expected.len(), "{text}");
        for (one, (word, logprob)) in found.iter().zip(expected) {
            assert_eq!((&one["text"], &one["logprob"]), (&json!(word), &json!(logprob)), "{text}");
            assert_eq!(one["append"], word[append_from..], "{text}");
            assert_eq!(one["tokens"], json!([VOCABULARY.iter().position(|entry| *entry == word).unwrap()]));
            assert!((libm::log(one["prob"].as_f64().unwrap()) - logprob).abs() < 1e-12);
        }
    }
    assert_eq!(suggest(&server, json!({"text": "the old s"})).await.len(), 3, "three are the default");
    assert_eq!(suggest(&server, json!({"text": "the old zzz"})).await.len(), 0);
    assert_eq!(suggest(&server, json!({"text": "the <"})).await.len(), 0, "special tokens are never shown");
}

#[tokio::test]
async fn the_text_and_what_to_append_are_one_text() {
    let server = Server::start().await;
    for text in ["the ol", "the old ", "the old", "a ship of the st", "the\n"] {
        for one in suggest(&server, json!({"text": text, "top_k": 5})).await {
            let whole = format!("{text}{}", one["append"].as_str().unwrap());
            let pieces = server.post("/v1/tokenize", json!({"text": whole})).await.expect(200);
            let last = pieces["tokens"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(json!([last]), one["tokens"], "{whole:?}");
        }
    }
}

#[tokio::test]
async fn case_is_ignored_unless_it_is_to_match() {
    let server = Server::start().await;
    let ask = |ignore_case: bool| json!({"text": "the old", "prefix": " SE", "ignore_case": ignore_case});
    let found = suggest(&server, ask(true)).await;
    assert_eq!((texts(&found), &found[0]["append"]), (vec!["sea"], &json!("a")));
    assert_eq!(suggest(&server, ask(false)).await.len(), 0);
}

#[tokio::test]
async fn a_session_is_asked_by_prefix_and_does_not_move() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let ask = async |body: Value| server.post("/v1/sessions/s/suggest", body).await.expect(200);
    let found = ask(json!({"prefix": " s", "top_k": 2})).await;
    assert_eq!(found["suggestions"], json!(suggest(&server, json!({"text": "the old s", "top_k": 2})).await));
    assert_eq!((&found["position"], &found["model"]), (&json!(2), &json!("words")));
    let next = ask(json!({})).await["suggestions"].as_array().unwrap().clone();
    for one in &next {
        assert_eq!(one["append"], format!(" {}", one["text"].as_str().unwrap()));
    }
    // A text is read ahead on a copy.
    let ahead = ask(json!({"text": "man and the st"})).await;
    let whole = suggest(&server, json!({"text": "the old man and the st"})).await;
    assert_eq!(ahead["suggestions"], json!(whole));
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 2);
}

#[tokio::test]
async fn phrases_have_the_joint_probability_of_their_words() {
    let server = Server::start().await;
    let found = suggest(&server, json!({"text": "the old s", "top_k": 4, "next_words": 3})).await;
    let single = suggest(&server, json!({"text": "the old s", "top_k": 4})).await;
    for (phrase, word) in found.iter().zip(&single) {
        let text = phrase["text"].as_str().unwrap();
        assert!(text.starts_with(word["text"].as_str().unwrap()));
        assert_eq!((text.split(' ').count(), phrase["tokens"].as_array().unwrap().len()), (3, 3));
        assert_eq!(phrase["append"], text[1..]);
        let joint = logprobs(&server, json!({"text": "the old"}), &[text.to_owned()]).await[0];
        assert!((phrase["logprob"].as_f64().unwrap() - joint).abs() < 1e-9, "{phrase} {joint}");
    }
    assert_eq!(found.len(), 4);
}

/// Every word of at most three letters that begins with `prefix`, over the letters of the model `letters`.
fn words_of_letters(prefix: &str) -> Vec<String> {
    let mut all = vec![prefix.to_owned()];
    let mut last = all.clone();
    for _ in prefix.chars().count()..3 {
        last = last.iter().flat_map(|word| "abcdeé".chars().map(move |c| format!("{word}{c}"))).collect();
        all.extend(last.clone());
    }
    all.retain(|word| !word.is_empty());
    all
}

#[tokio::test]
async fn words_of_characters_are_those_that_an_exhaustive_search_finds() {
    let server = Server::start().await;
    for (before, prefix) in [("a bad ", "b"), ("dé", ""), ("e ", ""), ("ab\n", "cc"), ("c", " é")] {
        let body = json!({"model": "letters", "text": before, "prefix": prefix, "top_k": 5});
        let found = suggest(&server, body).await;
        assert_eq!(found.len(), 5);
        let space = if before == "dé" { " " } else { "" };
        let lead = prefix.len() - prefix.trim_start().len();
        let words = words_of_letters(prefix.trim_start());
        // A word ends before a space or a line end.
        let ended: Vec<String> = words
            .iter()
            .flat_map(|word| [" ", "\n"].map(|end| format!("{space}{}{word}{end}", &prefix[..lead])))
            .collect();
        let after = json!({"model": "letters", "text": before});
        let logprobs = logprobs(&server, after, &ended).await;
        let probs = logprobs.chunks(2).map(|pair| libm::exp(pair[0]) + libm::exp(pair[1]));
        let mut reference: Vec<(f64, &String)> = probs.zip(&words).collect();
        reference.sort_by(|a, b| b.0.total_cmp(&a.0));
        let short = found.iter().filter(|one| one["text"].as_str().unwrap().chars().count() <= 3);
        for (one, (prob, word)) in short.zip(&reference) {
            assert_eq!(one["text"], **word, "{before:?} {prefix:?} {found:?}");
            assert!((one["prob"].as_f64().unwrap() / prob - 1.0).abs() < 1e-9, "{one} {prob}");
            let appended = word.chars().skip(prefix.trim_start().chars().count()).collect::<String>();
            assert_eq!(one["append"], format!("{space}{appended}"));
        }
        let listed: Vec<f64> = found.iter().map(|one| one["prob"].as_f64().unwrap()).collect();
        assert!(listed.is_sorted_by(|a, b| a >= b), "{listed:?}");
    }
}

#[tokio::test]
async fn words_of_subwords_continue_the_text() {
    let file = include_bytes!("../../data/tokenizer-byte-level.json");
    let tokenizer = Tokenizer::new(&TokenizerSpec::new(TokenizerKind::HuggingFace), file).unwrap();
    let parts = Parts {
        name: "subwords".into(),
        model: Arc::new(Fake::new(tokenizer.vocab_size())),
        tokenizer: Arc::new(tokenizer),
        identity: "subwords".into(),
        created: UNIX_EPOCH,
        understanding: None,
    };
    let server = Setup::over(vec![Served::new(parts, vec![0]).unwrap()]).start().await;
    for text in ["the ol", "the old ", "the old", "the old\n", "o"] {
        let found = suggest(&server, json!({"text": text, "top_k": 8})).await;
        assert_eq!(found.len(), 8, "{text}");
        let typed = text.rsplit([' ', '\n']).next().unwrap();
        for one in &found {
            let word = one["text"].as_str().unwrap();
            // `ignore_case` is on: `O` is suggested for `o`.
            let completed = format!("{typed}{}", one["append"].as_str().unwrap());
            assert_eq!(completed.to_lowercase(), word.to_lowercase(), "{text}");
            assert!(!word.is_empty(), "{text}");
        }
        let words = texts(&found);
        assert!((1..8).all(|at| !words[..at].contains(&words[at])), "{words:?}");
    }
}

#[tokio::test]
async fn one_call_moves_a_session_and_suggests() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old", "rewind_tokens": 8})).await.expect(201);
    let ask = json!({"prefix": " s", "top_k": 2});
    let appended = json!({"text": "man and", "suggest": ask});
    let answer = server.post("/v1/sessions/s/append", appended).await.expect(200);
    let expected = suggest(&server, json!({"text": "the old man and s", "top_k": 2})).await;
    assert_eq!((&answer["position"], &answer["suggest"]["suggestions"]), (&json!(4), &json!(expected)));
    // The half-typed word is not in the session.
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 4);
    let back = json!({"position": 3, "suggest": ask});
    let answer = server.post("/v1/sessions/s/rewind", back).await.expect(200);
    let expected = suggest(&server, json!({"text": "the old man s", "top_k": 2})).await;
    assert_eq!((&answer["position"], &answer["suggest"]["suggestions"]), (&json!(3), &json!(expected)));

    for (target, body) in [
        ("append", json!({"text": "sea", "suggest": {"top_k": 0}})),
        ("rewind", json!({"position": 1, "suggest": {"top_k": 0}})),
    ] {
        let refused = server.post(&format!("/v1/sessions/s/{target}"), body).await;
        assert_eq!(refused.refused(422, "invalid_value").0, "suggest.top_k");
    }
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 3);
}

#[tokio::test]
async fn a_key_takes_one_run_of_the_model() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let model = scripted(move |fake| fake.before_run(move |_| _ = counted.fetch_add(1, Ordering::Relaxed)));
    let server = Setup::over(vec![model]).start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "b", "rewind_tokens": 8})).await.expect(201);
    let mut before = runs.load(Ordering::Relaxed);
    for (verb, body) in [
        ("suggest", json!({"prefix": " c"})),
        ("append", json!({"text": " c", "suggest": {"prefix": " "}})),
        ("append", json!({"text": " d", "next": {}})),
        ("rewind", json!({"position": 1, "suggest": {"prefix": " c"}})),
        ("rewind", json!({"position": 1, "next": {}})),
    ] {
        server.post(&format!("/v1/sessions/s/{verb}"), body.clone()).await.expect(200);
        let after = runs.load(Ordering::Relaxed);
        assert_eq!(after - before, 1, "{verb} {body}");
        before = after;
    }
}

#[tokio::test]
async fn extra_words_share_the_probability_of_the_unknown_token() {
    let server = Server::start().await;
    let extra = json!([{"text": "Saskia", "weight": 3}, {"text": "Sven"}, {"text": "sea", "weight": 100}]);
    let unk = logprobs(&server, json!({"text": "the old"}), &["<unk>".to_owned()]).await[0];
    let is_right = |found: &[Value]| {
        let find = |text: &str| found.iter().find(|one| one["text"] == text).unwrap();
        for (text, share) in [("Saskia", 0.75f64), ("Sven", 0.25)] {
            let one = find(text);
            assert!((one["logprob"].as_f64().unwrap() - unk - libm::log(share)).abs() < 1e-9, "{one}");
            assert_eq!(
                (&one["unknown"], &one["append"], &one["tokens"]),
                (&json!(true), &json!(text[1..]), &json!([0]))
            );
        }
        assert_eq!(find("sea").get("unknown"), None, "a word of the vocabulary keeps its own probability");
        let probs: Vec<f64> = found.iter().map(|one| one["prob"].as_f64().unwrap()).collect();
        assert!(probs.is_sorted_by(|a, b| a >= b), "{probs:?}");
        assert_eq!(found.len(), 6);
    };
    is_right(&suggest(&server, json!({"text": "the old s", "top_k": 9, "extra_words": extra})).await);

    // Those of a session, of its fork, and of a request instead.
    server
        .post("/v1/sessions", json!({"id": "s", "text": "the old", "extra_words": extra}))
        .await
        .expect(201);
    server.post("/v1/sessions/s/fork", json!({"id": "f"})).await.expect(201);
    for id in ["s", "f"] {
        let path = format!("/v1/sessions/{id}/suggest");
        let answer = server.post(&path, json!({"prefix": " s", "top_k": 9})).await.expect(200);
        is_right(answer["suggestions"].as_array().unwrap());
        let other = json!({"prefix": " sv", "extra_words": [{"text": "svelte"}]});
        let answer = server.post(&path, other).await.expect(200);
        assert_eq!(texts(answer["suggestions"].as_array().unwrap()), ["svelte"]);
    }
    let next = server.post("/v1/sessions/s/suggest", json!({"top_k": 100})).await.expect(200);
    let sven =
        next["suggestions"].as_array().unwrap().iter().find(|one| one["text"] == "Sven").unwrap().clone();
    assert_eq!(sven["append"], " Sven");
}

#[tokio::test]
async fn wrong_extra_words_are_refused() {
    let server = Setup::configured(|config| config.limits.max_extra_words = 2).start().await;
    let word = |text: &str, weight: f64| json!({"text": text, "weight": weight});
    for (extra, param) in [
        (json!([word("a b", 1.0)]), "extra_words[0].text"),
        (json!([word("x", 1.0), word("", 1.0)]), "extra_words[1].text"),
        (json!([word("x", 0.0)]), "extra_words[0].weight"),
        (json!([word("x", -1.0)]), "extra_words[0].weight"),
        (json!([word(&"x".repeat(257), 1.0)]), "extra_words[0].text"),
        (json!([word("x", 1.0), word("y", 1.0), word("z", 1.0)]), "extra_words"),
    ] {
        for target in ["/v1/suggest", "/v1/sessions"] {
            let refused = server.post(target, json!({"text": "the", "extra_words": extra})).await;
            assert_eq!(refused.refused(422, "invalid_value").0, param, "{target} {extra}");
        }
    }
    let body = json!({"model": "letters", "text": "a b", "extra_words": [word("x", 1.0)]});
    assert_eq!(server.post("/v1/suggest", body).await.refused(422, "invalid_value").0, "extra_words");
}

#[tokio::test]
async fn a_wrong_request_is_refused_by_the_name_of_its_field() {
    let server = Setup::configured(|config| {
        config.limits.max_suggestions = 9;
        config.limits.max_next_words = 2;
        config.limits.max_prefix_length.0 = 5;
    })
    .start()
    .await;
    for (body, param, option) in [
        (json!({"top_k": 0}), "top_k", ""),
        (json!({"top_k": 10}), "top_k", "--max-suggestions"),
        (json!({"next_words": 0}), "next_words", ""),
        (json!({"next_words": 3}), "next_words", "--max-next-words"),
    ] {
        let (found, message) = server.post("/v1/suggest", body).await.refused(422, "invalid_value");
        assert_eq!(found, param);
        assert!(message.contains(option), "{message}");
    }
    let long = server.post("/v1/suggest", json!({"prefix": "sixsix"})).await;
    let (param, message) = long.refused(422, "text_too_long");
    assert_eq!(param, "prefix");
    assert!(message.contains("`--max-prefix-length`"), "{message}");
    let empty = json!({"model": "letters", "text": "ab"});
    server.post("/v1/suggest", empty).await.refused(422, "empty_context");
    server.post("/v1/sessions/none/suggest", json!({})).await.refused(404, "session_not_found");
}

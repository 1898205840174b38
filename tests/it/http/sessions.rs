//! `/v1/sessions`: sessions are created, listed, appended to, forked, reset and deleted.

use std::time::Duration;

use rnnlm_server::clock::Clock;
use serde_json::{Value, json};

use super::gate::gated;
use crate::harness::client::Request;
use crate::harness::server::{Server, Setup};

async fn create(server: &Server, body: Value) -> Value {
    server.post("/v1/sessions", body).await.expect(201)
}

/// The full next-token distribution of the session `id`. Equal answers mean equal states.
async fn next(server: &Server, id: &str) -> Value {
    let mut answer = server.post(&format!("/v1/sessions/{id}/next"), json!({"full": true})).await.expect(200);
    answer.as_object_mut().unwrap().remove("unknown_count");
    answer
}

async fn append(server: &Server, id: &str, body: Value) -> Value {
    server.post(&format!("/v1/sessions/{id}/append"), body).await.expect(200)
}

#[tokio::test]
async fn a_session_is_created_described_and_deleted() {
    let server = Server::start().await;
    let answer = server.post("/v1/sessions", json!({"id": "a:b.c-1", "text": "the old submarine"})).await;
    assert_eq!(answer.header("location"), "/v1/sessions/a:b.c-1");
    assert_eq!(answer.header("x-session-id"), "a:b.c-1");
    let mut made = answer.expect(201);
    assert_eq!(made.as_object_mut().unwrap().remove("unknown_count"), Some(json!(1)));
    assert_eq!(
        (&made["id"], &made["model"], &made["position"], &made["busy"]),
        (&json!("a:b.c-1"), &json!("words"), &json!(3), &json!(false))
    );
    // Two LSTM layers of 8 and 5 units, h and c each.
    assert_eq!(made["state_bytes"], (8 + 5) * 2 * 4);
    let time = |field: &str| humantime::parse_rfc3339(made[field].as_str().unwrap()).unwrap();
    assert_eq!(time("expires_at").duration_since(time("last_used_at")).unwrap().as_secs(), 3600);
    assert!(time("created_at") <= time("last_used_at"));

    let found = server.get("/v1/sessions/a:b.c-1").await;
    assert_eq!(found.header("x-session-id"), "a:b.c-1");
    assert_eq!(found.expect(200), made);
    assert_eq!(server.delete("/v1/sessions/a:b.c-1").await.expect(204), Value::Null);
    server.get("/v1/sessions/a:b.c-1").await.refused(404, "session_not_found");
}

#[tokio::test]
async fn an_id_is_generated_or_taken_from_the_header() {
    let server = Server::start().await;
    let made_up = create(&server, json!({})).await;
    assert_eq!((made_up["id"].as_str().unwrap().len(), &made_up["position"]), (36, &json!(0)));
    let with_header = |id: &str, body: Value| {
        server.send(Request::new("POST", "/v1/sessions").header("x-session-id", id).json(&body))
    };
    assert_eq!(with_header("h", json!({})).await.expect(201)["id"], "h");
    assert_eq!(with_header("i", json!({"id": "i"})).await.expect(201)["id"], "i");
    let (param, message) = with_header("k", json!({"id": "j"})).await.refused(422, "invalid_value");
    assert_eq!(param, "id");
    assert!(message.contains("`j`") && message.contains("`k`"), "{message}");
    assert_eq!(with_header("a b", json!({})).await.refused(422, "invalid_value").0, "x-session-id");
}

#[tokio::test]
async fn an_id_that_exists_is_refused_or_replaced() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "text": "the old"})).await;
    let refused = server.post("/v1/sessions", json!({"id": "s"})).await;
    refused.refused(409, "session_exists");
    assert_eq!(refused.header("x-should-retry"), "false");
    // A replacement that fails does not change the old session.
    let failed = server.post("/v1/sessions", json!({"id": "s", "replace": true, "tokens": [99]})).await;
    failed.refused(422, "token_out_of_range");
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 2);
    assert_eq!(create(&server, json!({"id": "s", "replace": true, "text": "a"})).await["position"], 1);
}

#[tokio::test]
async fn a_session_answers_a_question_in_the_call_that_creates_it() {
    let server = Server::start().await;
    let question = json!({"top_k": 3, "candidates": ["sea"], "sampling": {"temperature": 0.5}});
    let made = create(&server, json!({"id": "s", "text": "the old", "next": question})).await;
    let asked = server.post("/v1/sessions/s/next", question).await.expect(200);
    for field in ["distribution", "candidates", "entropy", "top_mass", "logsumexp", "view"] {
        assert_eq!(made["next"][field], asked[field], "{field}");
    }
    assert_eq!(create(&server, json!({})).await.get("next"), None);
}

#[tokio::test]
async fn a_text_appended_in_pieces_gives_the_state_of_the_whole() {
    let server = Server::start().await;
    create(&server, json!({"id": "whole", "text": "the old man and the sea"})).await;
    create(&server, json!({"id": "pieces"})).await;
    let first = append(&server, "pieces", json!({"text": "the old"})).await;
    assert_eq!(first, json!({"position": 2, "token_count": 2, "unknown_count": 0}));
    append(&server, "pieces", json!({"tokens": [9, 10], "expected_position": 2})).await;
    append(&server, "pieces", json!({"text": "the"})).await;
    append(&server, "pieces", json!({"text": "sea"})).await;
    assert_eq!(next(&server, "pieces").await, next(&server, "whole").await);
    let all =
        server.post("/v1/next", json!({"text": "the old man and the sea", "full": true})).await.expect(200);
    assert_eq!(next(&server, "whole").await["logprobs"], all["logprobs"]);
}

#[tokio::test]
async fn appended_tokens_are_scored_if_asked() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "text": "the"})).await;
    let body = json!({"text": "old  submarine", "token_logprobs": true, "next": {"top_k": 2}});
    let expected: Vec<Value> = {
        let ask = async |body| {
            server.post("/v1/sessions/s/next", body).await.expect(200)["candidates"][0]["logprob"].clone()
        };
        vec![ask(json!({"candidates": [8]})).await, ask(json!({"text": "old", "candidates": [0]})).await]
    };
    let answer = append(&server, "s", body).await;
    assert_eq!(
        (&answer["position"], &answer["token_count"], &answer["unknown_count"]),
        (&json!(3), &json!(2), &json!(1))
    );
    let tokens = answer["token_logprobs"].as_array().unwrap();
    assert_eq!(tokens.iter().map(|token| token["logprob"].clone()).collect::<Vec<_>>(), expected);
    let sum: f64 = expected.iter().map(|logprob| logprob.as_f64().unwrap()).sum();
    assert_eq!(answer["logprob"], sum);
    let place = |token: &Value| {
        (token["token"].clone(), token["start"].clone(), token["end"].clone(), token["unknown"].clone())
    };
    assert_eq!(place(&tokens[0]), (json!("old"), json!(0), json!(3), json!(false)));
    assert_eq!(place(&tokens[1]), (json!("<unk>"), json!(5), json!(14), json!(true)));
    assert_eq!(
        answer["next"]["distribution"],
        server.post("/v1/sessions/s/next", json!({"top_k": 2})).await.expect(200)["distribution"]
    );
}

#[tokio::test]
async fn a_first_token_without_context_has_no_logprob() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "model": "letters"})).await;
    let answer =
        append(&server, "s", json!({"text": "ab", "token_logprobs": true, "model": "letters"})).await;
    let logprobs: Vec<&Value> =
        answer["token_logprobs"].as_array().unwrap().iter().map(|token| &token["logprob"]).collect();
    assert_eq!(logprobs[0], &Value::Null);
    assert_eq!(logprobs[1], &answer["logprob"]);
}

#[tokio::test]
async fn a_fork_does_not_move_the_parent_and_a_reset_returns_to_the_start() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "text": "the old"})).await;
    let fork = server.post("/v1/sessions/s/fork", json!({"id": "f", "ttl_seconds": 60})).await;
    assert_eq!((fork.header("location"), fork.header("x-session-id")), ("/v1/sessions/f", "f"));
    assert_eq!(fork.expect(201)["position"], 2);
    let before = next(&server, "s").await;
    assert_eq!(next(&server, "f").await, before);
    append(&server, "f", json!({"text": "man"})).await;
    assert_eq!(next(&server, "s").await, before);
    append(&server, "s", json!({"text": "man"})).await;
    assert_eq!(next(&server, "f").await, next(&server, "s").await);
    server.post("/v1/sessions/s/fork", json!({"id": "f"})).await.refused(409, "session_exists");
    assert_eq!(server.post("/v1/sessions/s/fork", json!({})).await.expect(201)["position"], 3);

    assert_eq!(server.post("/v1/sessions/s/reset", json!({})).await.expect(200)["position"], 0);
    create(&server, json!({"id": "fresh"})).await;
    assert_eq!(next(&server, "s").await, next(&server, "fresh").await);
    append(&server, "s", json!({"text": "the old"})).await;
    assert_eq!(next(&server, "s").await, before);
}

#[tokio::test]
async fn two_interleaved_sessions_have_the_states_of_each_alone() {
    let server = Server::start().await;
    let texts = [("p", ["the", "old man", "and"]), ("q", ["a ship", "of", "the stars"])];
    for (id, _) in texts {
        create(&server, json!({"id": id})).await;
    }
    for step in 0..3 {
        let [p, q] = texts.map(|(id, pieces)| append(&server, id, json!({"text": pieces[step]})));
        tokio::join!(p, q);
    }
    for (id, pieces) in texts {
        let alone = format!("{id}-alone");
        create(&server, json!({"id": alone, "text": pieces.join(" ")})).await;
        assert_eq!(next(&server, id).await, next(&server, &alone).await);
    }
}

#[tokio::test]
async fn a_write_at_another_position_than_expected_is_refused() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "text": "the"})).await;
    let wrong = json!({"text": "old", "expected_position": 7});
    let (_, message) = server.post("/v1/sessions/s/append", wrong).await.refused(412, "position_mismatch");
    assert!(message.contains("position 1") && message.contains('7'), "{message}");
    let reset = json!({"expected_position": 0});
    server.post("/v1/sessions/s/reset", reset).await.refused(412, "position_mismatch");
    server.delete("/v1/sessions/s?expected_position=2").await.refused(412, "position_mismatch");
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1);
    server.post("/v1/sessions/s/reset", json!({"expected_position": 1})).await.expect(200);
    server.delete("/v1/sessions/s?expected_position=0").await.expect(204);
}

#[tokio::test]
async fn during_a_write_reads_see_the_state_before_it_and_writes_are_refused() {
    let (served, mut gate) = gated();
    let server = Setup::over(vec![served]).start().await;
    let made = tokio::join!(create(&server, json!({"id": "s", "text": "b"})), async {
        gate.entered().await;
        gate.pass();
    });
    assert_eq!(made.0["position"], 1);

    let meanwhile = async {
        assert_eq!(gate.entered().await, [2]);
        let info = server.get("/v1/sessions/s").await.expect(200);
        assert_eq!((&info["busy"], &info["position"]), (&json!(true), &json!(1)));
        assert_eq!(server.post("/v1/sessions/s/fork", json!({"id": "f"})).await.expect(201)["position"], 1);
        for refused in [
            server.post("/v1/sessions/s/append", json!({"text": "d"})).await,
            server.post("/v1/sessions/s/reset", json!({})).await,
            server.delete("/v1/sessions/s").await,
            server.post("/v1/sessions", json!({"id": "s", "replace": true})).await,
        ] {
            refused.refused(409, "session_busy");
            assert_eq!(refused.header("x-should-retry"), "true");
        }
        let released = async {
            server.until_jobs(2).await;
            drop(gate);
        };
        tokio::join!(next(&server, "s"), released).0
    };
    let (written, before) = tokio::join!(append(&server, "s", json!({"text": "c d"})), meanwhile);
    assert_eq!(written["position"], 3);
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["busy"], false);
    assert_eq!(before, next(&server, "f").await);
    assert_ne!(before, next(&server, "s").await);
}

#[tokio::test]
async fn a_request_that_is_refused_does_not_extend_the_life_of_its_session() {
    let server = Setup { clock: Clock::manual(), ..Setup::default() }.start().await;
    let made = create(&server, json!({"id": "s", "text": "the"})).await;
    let expires = |session: &Value| session["expires_at"].as_str().unwrap().to_owned();
    server.advance(Duration::from_secs(10));
    for (target, body) in [
        ("append", json!({})),
        ("append", json!({"text": ""})),
        ("append", json!({"tokens": [99]})),
        ("append", json!({"text": "sea", "tokens": [1]})),
        ("append", json!({"text": "sea", "model": "letters"})),
        ("append", json!({"text": "sea", "next": {"top_k": 9999}})),
        ("append", json!({"text": "sea", "next": {"candidates": [99]}})),
        ("generate", json!({"text": "sea", "max_tokens": 99999})),
        ("generate", json!({"text": "the sea", "banned": (0..12).collect::<Vec<u32>>()})),
        ("append", json!({"text": "sea", "next": {"sampling": {"banned": (0..12).collect::<Vec<u32>>()}}})),
        ("generate", json!({"temperature": -1})),
        ("generate", json!({"banned": ["submarine"]})),
        ("generate", json!({"tokens": [99]})),
        ("generate", json!({"tokens": [99], "commit": false})),
        ("generate", json!({"timeout_ms": 0})),
        ("reset", json!({"expected_position": -1})),
        ("next", json!({"tokens": [99]})),
        ("next", json!({"top_k": 9999})),
        ("score", json!({"continuations": ["the", ""]})),
        ("fork", json!({"ttl_seconds": 0})),
        ("fork", json!({"id": "a b"})),
    ] {
        let answer = server.post(&format!("/v1/sessions/s/{target}"), body.clone()).await;
        assert_eq!(answer.status, 422, "{target} {body}: {}", answer.text());
        let session = server.get("/v1/sessions/s").await.expect(200);
        assert_eq!(expires(&session), expires(&made), "{target} {body}");
    }
    append(&server, "s", json!({"text": "sea"})).await;
    assert_ne!(expires(&server.get("/v1/sessions/s").await.expect(200)), expires(&made));
}

#[tokio::test]
async fn a_write_that_will_be_refused_does_not_stand_in_the_way_of_another() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "model": "letters"})).await;
    // Long enough to be tokenised beside the other writes, and refused for its last character.
    let text = "ab ".repeat(1 << 20) + "x";
    let refused = server.post("/v1/sessions/s/append", json!({"text": text}));
    let others = async {
        for position in 1..=50 {
            assert_eq!(append(&server, "s", json!({"text": "a"})).await["position"], position);
        }
    };
    let (refused, ()) = tokio::join!(refused, others);
    refused.refused(422, "unknown_token");
}

#[tokio::test]
async fn every_answer_of_a_session_says_where_it_stands() {
    let server = Server::start().await;
    let position = async |target: &str, body: Value| {
        let answer = server.post(target, body).await;
        answer.header("x-session-position").to_owned()
    };
    assert_eq!(position("/v1/sessions", json!({"id": "s", "text": "the old"})).await, "2");
    for (target, body, expected) in [
        ("append", json!({"text": "man"}), "3"),
        ("append", json!({"text": "man", "expected_position": 9}), "3"),
        ("append", json!({}), "3"),
        ("next", json!({"text": "and"}), "3"),
        ("score", json!({"continuations": ["and"]}), "3"),
        ("generate", json!({"max_tokens": 4, "stop_at_eos": false}), "7"),
        ("fork", json!({"id": "copy"}), "7"),
        ("reset", json!({}), "0"),
    ] {
        assert_eq!(position(&format!("/v1/sessions/s/{target}"), body).await, expected, "{target}");
    }
    assert_eq!(server.get("/v1/sessions/copy").await.header("x-session-position"), "7");
    let refused = server.delete("/v1/sessions/copy?expected_position=1").await;
    refused.refused(412, "position_mismatch");
    assert_eq!(refused.header("x-session-position"), "7");
    assert_eq!(server.delete("/v1/sessions/copy").await.header("x-session-position"), "");
    assert_eq!(position("/v1/sessions/copy/append", json!({"text": "a"})).await, "");
    assert_eq!(position("/v1/sessions/s/generate", json!({"max_tokens": 1, "stream": true})).await, "");
}

#[tokio::test]
async fn a_fork_lives_as_long_as_its_parent_unless_it_says_otherwise_and_takes_its_id_from_the_header() {
    let server = Setup { clock: Clock::manual(), ..Setup::default() }.start().await;
    server.post("/v1/sessions", json!({"id": "s", "ttl_seconds": 60})).await.expect(201);
    let fork = |id: &str, body: Value| {
        server.send(Request::new("POST", "/v1/sessions/s/fork").header("x-session-id", id).json(&body))
    };
    let inherits = fork("inherits", json!({})).await;
    assert_eq!(
        (&inherits.expect(201)["id"], inherits.header("x-session-id")),
        (&json!("inherits"), "inherits")
    );
    fork("longer", json!({"ttl_seconds": 120})).await.expect(201);
    fork("a b", json!({})).await.refused(422, "invalid_value");
    fork("other", json!({"id": "another"})).await.refused(422, "invalid_value");
    server.advance(Duration::from_secs(61));
    server.get("/v1/sessions/inherits").await.refused(410, "session_expired");
    server.get("/v1/sessions/longer").await.expect(200);
}

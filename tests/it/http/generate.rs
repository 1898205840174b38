//! Generation that is answered as a whole, not as a stream.

use rnnlm_server::session::SessionId;
use serde_json::{Value, json};

use super::gate::{Gate, gated};
use crate::harness::client::Request;
use crate::harness::models::{VOCABULARY, letters, scripted};
use crate::harness::server::{Server, Setup};

const GENERATE: &str = "/v1/generate";

/// A session that has read `text`, by its path.
pub(crate) async fn session(server: &Server, text: &str) -> String {
    let created = server.post("/v1/sessions", json!({"text": text})).await.expect(201);
    format!("/v1/sessions/{}", created["id"].as_str().unwrap())
}

/// The position of the session at `path`, and whether it is busy.
pub(crate) fn standing(server: &Server, path: &str) -> (u64, bool) {
    let id = SessionId::parse(path.rsplit('/').next().unwrap()).unwrap();
    let info = server.app.service().unwrap().sessions().info(&id).unwrap();
    (info.position, info.busy)
}

fn choice(answer: &Value) -> &Value {
    &answer["choices"][0]
}

fn ids(choice: &Value) -> Vec<u64> {
    choice["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// The names of an object's fields, sorted.
#[track_caller]
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn an_answer_has_the_documented_fields() {
    let server = Server::start().await;
    let body = json!({"text": "the old zebra", "max_tokens": 5, "seed": 7, "top_logprobs": 2});
    let answer = server.post(GENERATE, body).await.expect(200);
    assert_eq!(keys(&answer), ["choices", "model", "seed", "unknown_count", "usage"]);
    assert_eq!(
        (&answer["model"], &answer["seed"], &answer["unknown_count"]),
        (&json!("words"), &json!(7), &json!(1))
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}));
    let choice = choice(&answer);
    let expected = ["finish_reason", "index", "logprob", "text", "token_count", "token_logprobs", "tokens"];
    assert_eq!(keys(choice), expected);
    assert_eq!((&choice["finish_reason"], &choice["token_count"]), (&json!("length"), &json!(5)));

    let listed = choice["token_logprobs"].as_array().unwrap();
    let sum: f64 = listed.iter().map(|token| token["logprob"].as_f64().unwrap()).sum();
    assert_eq!(choice["logprob"].as_f64(), Some(sum), "summed in the same order: the same number");
    let joined: String = listed.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(choice["text"], json!(joined));
    for (token, id) in listed.iter().zip(ids(choice)) {
        assert_eq!(keys(token), ["id", "logprob", "text", "token", "top_logprobs"]);
        assert_eq!((token["id"].as_u64(), &token["token"]), (Some(id), &json!(VOCABULARY[id as usize])));
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!((top.len(), keys(&top[0])), (2, vec!["id", "logprob", "text", "token"]));
        assert!(top[0]["logprob"].as_f64() >= top[1]["logprob"].as_f64(), "{token}");
    }
    let plain = server.post(GENERATE, json!({"text": "the", "max_tokens": 1})).await.expect(200);
    assert_eq!(plain["choices"][0].get("token_logprobs"), None, "it was not asked for");
}

#[tokio::test]
async fn a_seed_repeats_the_text_and_a_generated_seed_is_returned() {
    let server = Server::start().await;
    let drawn = async |seed: Option<u64>| {
        let answer = server
            .post(GENERATE, json!({"text": "the sea", "max_tokens": 40, "seed": seed}))
            .await
            .expect(200);
        (answer["seed"].as_u64().unwrap(), choice(&answer).clone())
    };
    assert_eq!(drawn(Some(3)).await, drawn(Some(3)).await);
    assert_ne!(drawn(Some(3)).await.1, drawn(Some(4)).await.1);
    let (seed, text) = drawn(None).await;
    assert!(seed < 1 << 53);
    assert_eq!(drawn(Some(seed)).await, (seed, text));
}

#[tokio::test]
async fn at_temperature_0_the_most_likely_token_is_drawn_for_any_seed() {
    let server = Server::start().await;
    let mut texts = Vec::new();
    for seed in [1, 2] {
        let body = json!({"text": "a ship", "max_tokens": 20, "temperature": 0, "top_logprobs": 1,
            "allow_unknown": true, "seed": seed});
        let answer = server.post(GENERATE, body).await.expect(200);
        for token in choice(&answer)["token_logprobs"].as_array().unwrap() {
            assert_eq!(
                (&token["id"], &token["logprob"]),
                (&token["top_logprobs"][0]["id"], &token["top_logprobs"][0]["logprob"])
            );
        }
        texts.push(choice(&answer)["text"].clone());
    }
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test]
async fn a_stop_string_over_several_tokens_ends_the_text_before_it() {
    let server = Setup::over(vec![letters()]).start().await;
    let body = |stop: Value| json!({"text": "abc", "max_tokens": 60, "seed": 5, "token_logprobs": true, "stop": stop});
    let free = server.post(GENERATE, body(json!([]))).await.expect(200);
    let whole = choice(&free)["text"].as_str().unwrap();
    let stop: String = whole.chars().skip(20).take(3).collect();
    let at = whole.find(&stop).unwrap();
    let stopped = server.post(GENERATE, body(json!(["no such text", stop]))).await.expect(200);
    let stopped = choice(&stopped);
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&json!(whole[..at]), &json!("stop")));
    let count = whole[..at + stop.len()].chars().count();
    assert_eq!(ids(stopped), ids(choice(&free))[..count], "the tokens of the stop string are among them");
    let listed = stopped["token_logprobs"].as_array().unwrap();
    let joined: String = listed.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(
        joined,
        whole[..at + stop.len()],
        "a listed token has the text that it adds, whether it is shown or not"
    );
}

#[tokio::test]
async fn the_end_of_text_stops_the_generation_if_asked_and_adds_no_text() {
    const EOS: u64 = 1;
    let server = Server::start().await;
    let body = |stop_at_eos: Option<bool>| json!({"max_tokens": 400, "seed": 1, "stop_at_eos": stop_at_eos});
    let by_default = server.post(GENERATE, body(None)).await.expect(200);
    let on = ids(choice(&by_default));
    assert!(on.contains(&EOS), "the end of text is also this model's newline, so the generation continues");
    assert_eq!(choice(&by_default)["finish_reason"], "length");
    let at = on.iter().position(|&id| id == EOS).unwrap();
    let stopped = server.post(GENERATE, body(Some(true))).await.expect(200);
    assert_eq!(
        (&choice(&stopped)["finish_reason"], ids(choice(&stopped))),
        (&json!("eos"), on[..=at].to_vec())
    );
    let whole = choice(&by_default)["text"].as_str().unwrap();
    assert_eq!(choice(&stopped)["text"].as_str(), whole.split('\n').next());
}

#[tokio::test]
async fn banned_words_and_the_unknown_token_are_not_drawn() {
    let server = Server::start().await;
    let drawn = async |body: Value| ids(choice(&server.post(GENERATE, body).await.expect(200)));
    let free = drawn(json!({"max_tokens": 400, "seed": 2, "allow_unknown": true})).await;
    assert!(
        [0, 3, 4].iter().all(|id| free.contains(id)),
        "the ban can be tested only if these tokens are drawn without it: {free:?}"
    );
    let held = drawn(json!({"max_tokens": 400, "seed": 2, "banned": ["sea", 4]})).await;
    assert!([0, 3, 4].iter().all(|id| !held.contains(id)), "{held:?}");
}

#[tokio::test]
async fn a_session_generates_the_same_64_tokens_in_one_call_and_in_two() {
    let server = Server::start().await;
    let once = session(&server, "the old man").await;
    let twice = session(&server, "the old man").await;
    let ask = async |path: &str, count: usize| {
        server.post(&format!("{path}/generate"), json!({"max_tokens": count, "seed": 11})).await
    };
    let whole = ask(&once, 64).await;
    assert_eq!(whole.header("x-session-id"), once.rsplit('/').next().unwrap());
    let whole = whole.expect(200);
    let halves = [ask(&twice, 32).await.expect(200), ask(&twice, 32).await.expect(200)];
    assert_eq!(whole["session"]["position"], json!(3 + 64));
    assert_eq!(halves[1]["session"]["position"], json!(3 + 64));
    let joined = halves.iter().map(|half| choice(half)["text"].as_str().unwrap()).collect::<String>();
    assert_eq!(choice(&whole)["text"], json!(joined));
    assert_eq!(ids(choice(&whole)), [ids(choice(&halves[0])), ids(choice(&halves[1]))].concat());
    assert_eq!((standing(&server, &once), standing(&server, &twice)), ((67, false), (67, false)));
}

#[tokio::test]
async fn a_generation_moves_its_session_unless_commit_is_false_or_the_position_differs() {
    let server = Server::start().await;
    let path = session(&server, "the sea").await;
    let generate = format!("{path}/generate");
    let looked =
        server.post(&generate, json!({"max_tokens": 4, "seed": 1, "commit": false})).await.expect(200);
    assert_eq!((looked.get("session"), standing(&server, &path)), (None, (2, false)));
    let (param, _) =
        server.post(&generate, json!({"expected_position": 3})).await.refused(412, "position_mismatch");
    assert_eq!((param, standing(&server, &path)), (json!("expected_position"), (2, false)));
    let guarded = json!({"commit": false, "expected_position": 2});
    server.post(&generate, guarded).await.refused(422, "invalid_value");
    let moved = json!({"max_tokens": 4, "seed": 1, "expected_position": 2});
    let moved = server.post(&generate, moved).await.expect(200);
    assert_eq!(choice(&moved), choice(&looked));
    assert_eq!(standing(&server, &path), (6, false));
    server.post("/v1/sessions/none/generate", json!({})).await.refused(404, "session_not_found");
    server.post("/v1/sessions/a%20b/generate", json!({})).await.refused(422, "invalid_value");
    server.post(&generate, json!({"model": "letters"})).await.refused(422, "invalid_value");
}

#[tokio::test]
async fn an_invalid_request_is_refused_before_any_stream_begins() {
    let server = Server::start().await;
    for (body, code, param) in [
        (json!({"txet": "a"}), "unknown_field", json!("txet")),
        (json!({"n": 17}), "invalid_value", json!("n")),
        (json!({"n": 0}), "invalid_value", json!("n")),
        (json!({"beam": {"depth": 2}}), "unknown_field", json!("beam.depth")),
        (json!({"echo": 1}), "invalid_value", json!("echo")),
        (json!({"commit": true}), "unknown_field", json!("commit")),
        (json!({"expected_position": 1}), "unknown_field", json!("expected_position")),
        (json!({"text": "a", "tokens": [2]}), "invalid_value", json!("tokens")),
        (json!({"tokens": [2, 12]}), "token_out_of_range", json!("tokens[1]")),
        (json!({"tokens": [2, -1]}), "invalid_value", json!("tokens[1]")),
        (json!({"max_tokens": -1}), "invalid_value", json!("max_tokens")),
        (json!({"max_tokens": 4097}), "invalid_value", json!("max_tokens")),
        (json!({"seed": 1u64 << 53}), "invalid_value", json!("seed")),
        (json!({"seed": -1}), "invalid_value", json!("seed")),
        (json!({"temperature": -0.1}), "invalid_value", json!("temperature")),
        (json!({"top_k": -2}), "invalid_value", json!("top_k")),
        (json!({"top_p": 1.5}), "invalid_value", json!("top_p")),
        (json!({"min_p": -1}), "invalid_value", json!("min_p")),
        (json!({"top_logprobs": 1001}), "invalid_value", json!("top_logprobs")),
        (json!({"timeout_ms": 0}), "invalid_value", json!("timeout_ms")),
        (json!({"timeout_ms": 60_001}), "invalid_value", json!("timeout_ms")),
        (json!({"stop": 1}), "invalid_value", json!("stop")),
        (json!({"stop": ""}), "invalid_value", json!("stop[0]")),
        (json!({"stop": ["a", ""]}), "invalid_value", json!("stop[1]")),
        (json!({"banned": ["the", 12]}), "invalid_value", json!("banned[1]")),
        (json!({"banned": [true]}), "invalid_value", json!("banned[0]")),
        (json!({"banned": ["zebra"]}), "invalid_value", json!("banned[0]")),
        (json!({"model": "letters"}), "empty_context", Value::Null),
        (json!({"model": "letters", "text": "x"}), "unknown_token", json!("text")),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = json!(stream);
            let answer = server.post(GENERATE, body.clone()).await;
            let (found, message) = answer.refused(422, code);
            assert_eq!(found, param, "{body}: {message}");
        }
    }
    server.post(GENERATE, json!({"model": "none", "stream": true})).await.refused(404, "model_not_found");
    let text = Request::new("POST", GENERATE).header("content-type", "text/plain").body("the");
    server.send(text).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn banning_every_token_is_refused_also_for_a_stream() {
    let server = Server::start().await;
    let all: Vec<usize> = (0..VOCABULARY.len()).collect();
    for stream in [false, true] {
        server.post(GENERATE, json!({"banned": all, "stream": stream})).await.refused(422, "invalid_value");
    }
}

#[tokio::test]
async fn numbers_that_are_not_finite_fail_only_their_own_request() {
    let server = Setup::over(vec![scripted(|fake| fake.nan_on(3))]).start().await;
    for stream in [false, true] {
        let answer = server.post(GENERATE, json!({"text": "b d", "stream": stream})).await;
        answer.refused(500, "internal");
    }
    server.post(GENERATE, json!({"text": "b", "banned": [3]})).await.expect(200);
}

#[tokio::test]
async fn a_timeout_after_the_first_token_is_an_answer_and_before_it_an_error() {
    let (model, mut gate) = gated();
    let mut setup = Setup { clock: rnnlm_server::clock::Clock::manual(), ..Setup::over(vec![model]) };
    setup.config.engine.turn_steps = 1.0;
    setup.config.engine.turn_steps_idle = 1.0;
    let server = setup.start().await;
    let (path, _) = tokio::join!(session(&server, ""), gate.let_through());
    let generate = format!("{path}/generate");
    let late = async |gate: &mut Gate, server: &Server| {
        gate.entered().await;
        server.advance(std::time::Duration::from_millis(501));
        gate.pass();
    };

    for stream in [false, true] {
        let body = json!({"text": "b c d", "timeout_ms": 500, "stream": stream});
        let (answer, ()) = tokio::join!(server.post(&generate, body), late(&mut gate, &server));
        answer.refused(504, "timeout");
        assert_eq!(answer.header("x-should-retry"), "false", "it moved the session");
    }
    assert_eq!(standing(&server, &path), (2, false), "one token was read each time");

    let body = json!({"text": "b", "timeout_ms": 500});
    let in_time = async {
        gate.let_through().await;
        late(&mut gate, &server).await;
        // The last token drawn is read.
        gate.let_through().await;
    };
    let (answer, ()) = tokio::join!(server.post(&generate, body), in_time);
    let answer = answer.expect(200);
    assert_eq!(choice(&answer)["finish_reason"], "timeout");
    assert_eq!((ids(choice(&answer)).len(), &answer["session"]["position"]), (2, &json!(2 + 1 + 2)));
}

#[tokio::test]
async fn what_users_of_other_servers_write_is_understood() {
    let server = Server::start().await;
    let generate = async |body: Value| server.post(GENERATE, body).await.expect(200);
    let plain = generate(json!({"text": "the", "max_tokens": 20, "seed": 3, "stop": ["sea"]})).await;
    for top_k in [json!(0), json!(-1), json!(1u64 << 62), json!(12.0)] {
        let body =
            json!({"text": "the", "max_tokens": 20.0, "seed": 3, "stop": "sea", "n": 1, "top_k": top_k});
        assert_eq!(generate(body).await, plain, "top_k {top_k}");
    }
    for (field, meant) in [("prompt", "text"), ("n_predict", "max_tokens"), ("max_new_tokens", "max_tokens")]
    {
        let (param, message) = server.post(GENERATE, json!({field: 1})).await.refused(422, "unknown_field");
        assert_eq!(param, field);
        assert!(message.contains(&format!("did you mean `{meant}`?")), "{message}");
    }
    let (_, message) =
        server.post("/v1/tokenize", json!({"n_predict": 1})).await.refused(422, "unknown_field");
    assert!(
        !message.contains("did you mean"),
        "a field that the route does not have is not proposed: {message}"
    );
}

#[tokio::test]
async fn with_max_tokens_0_the_prompt_is_read_and_nothing_is_drawn() {
    let server = Server::start().await;
    let answer =
        server.post(GENERATE, json!({"text": "the sea", "max_tokens": 0, "seed": 1})).await.expect(200);
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["text"], &choice["tokens"], &choice["finish_reason"]),
        (&json!(""), &json!([]), &json!("length"))
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2}));
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    for (body, position) in [(json!({"text": "sea", "max_tokens": 0}), 2), (json!({"max_tokens": 0}), 2)] {
        let moved = server.post("/v1/sessions/s/generate", body).await.expect(200);
        assert_eq!(moved["session"], json!({"id": "s", "position": position}));
    }
    let stream = json!({"text": "sea", "max_tokens": 0, "stream": true});
    let stream = server.post(GENERATE, stream).await;
    assert_eq!(stream.status, 200);
    let events: Vec<String> =
        stream.text().lines().filter_map(|line| Some(line.strip_prefix("event: ")?.to_owned())).collect();
    assert_eq!(events, ["start", "done"]);
}

#[tokio::test]
async fn a_default_is_not_above_the_limit() {
    let setup = Setup::configured(|config| {
        config.limits.max_tokens = 5;
        config.limits.max_top_k = 3;
    });
    let server = setup.start().await;
    let answer = server.post(GENERATE, json!({"text": "the", "stop_at_eos": false})).await.expect(200);
    assert_eq!(answer["usage"]["completion_tokens"], 5);
    let next = server.post("/v1/next", json!({"text": "the"})).await.expect(200);
    assert_eq!(next["distribution"].as_array().unwrap().len(), 3);
    server.post(GENERATE, json!({"max_tokens": 6})).await.refused(422, "invalid_value");
    server.post("/v1/next", json!({"top_k": 4})).await.refused(422, "invalid_value");
    let document = server.get("/openapi.json").await.expect(200);
    let fields = |schema: &str| document["components"]["schemas"][schema]["properties"].clone();
    assert_eq!(fields("GenerateRequest")["max_tokens"]["default"], 5);
    assert_eq!(fields("NextRequest")["top_k"]["default"], 3);
}

//! The dialect of OpenAI: the same numbers as the server's own routes give, in another form.

use rnnlm_server::config::Bytes;
use serde_json::{Value, json};

use super::stream::Failing;
use crate::harness::client::{Answer, Request};
use crate::harness::models::letters;
use crate::harness::server::{Server, Setup};

const COMPLETIONS: &str = "/v1/completions";

async fn complete(server: &Server, body: Value) -> Value {
    server.post(COMPLETIONS, body).await.expect(200)
}

fn choices(answer: &Value) -> &Vec<Value> {
    answer["choices"].as_array().unwrap()
}

/// The field `name` of all entries.
fn column(entries: &Value, name: &str) -> Value {
    entries.as_array().unwrap().iter().map(|entry| entry[name].clone()).collect()
}

/// The chunks of a stream, which has lines of data only and ends as OpenAI's does.
fn chunks(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    let text = answer.text();
    let lines: Vec<&str> = text.split_terminator("\n\n").collect();
    let (last, chunks) = lines.split_last().unwrap();
    assert_eq!(*last, "data: [DONE]");
    chunks.iter().map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_completion_is_a_generation_in_another_form() {
    let server = Server::start().await;
    let own = json!({"text": "the old", "max_tokens": 6, "seed": 4, "n": 2, "top_logprobs": 2, "temperature": 0.9, "logit_bias": {"3": 1}});
    let own = server.post("/v1/generate", own).await.expect(200);
    let body = json!({"prompt": "the old", "max_tokens": 6, "seed": 4, "n": 2, "logprobs": 2, "temperature": 0.9, "logit_bias": {"3": 1}});
    let answer = complete(&server, body).await;
    assert_eq!((&answer["object"], &answer["model"]), (&json!("text_completion"), &json!("words")));
    assert!(
        answer["id"].as_str().unwrap().starts_with("cmpl-")
            && answer["created"].as_u64() > Some(1_700_000_000)
    );
    assert_eq!((&answer["usage"], &answer["seed"]), (&own["usage"], &json!(4)));
    assert_eq!(choices(&answer).len(), 2);
    for (index, (choice, own)) in choices(&answer).iter().zip(choices(&own)).enumerate() {
        assert_eq!((&choice["index"], &choice["text"]), (&json!(index), &own["text"]));
        assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("length"), &json!("length")));
        let listed = &choice["logprobs"];
        assert_eq!(listed["tokens"], column(&own["token_logprobs"], "text"));
        assert_eq!(listed["token_logprobs"], column(&own["token_logprobs"], "logprob"));
        let mut offset = 0;
        for (at, token) in own["token_logprobs"].as_array().unwrap().iter().enumerate() {
            let text = token["text"].as_str().unwrap();
            let top = &listed["top_logprobs"][at];
            assert_eq!((&top[text], &listed["text_offset"][at]), (&token["logprob"], &json!(offset)));
            for other in token["top_logprobs"].as_array().unwrap() {
                assert_eq!(top[other["text"].as_str().unwrap()], other["logprob"]);
            }
            offset += text.chars().count();
        }
    }
    let plain = complete(&server, json!({"prompt": "the old", "seed": 4})).await;
    assert_eq!(choices(&plain)[0]["logprobs"], Value::Null);
    assert_eq!(plain["usage"]["completion_tokens"], 16, "the default of `max_tokens`");
}

#[tokio::test]
async fn each_of_several_prompts_is_completed_as_if_it_were_alone() {
    let server = Server::start().await;
    let body = |prompt: Value| json!({"prompt": prompt, "max_tokens": 5, "seed": 9, "n": 2, "logprobs": 1, "echo": true});
    for prompts in [json!(["the old", "a ship of", ""]), json!([[2, 8], [4, 5, 6], []])] {
        let all = complete(&server, body(prompts.clone())).await;
        let mut usage = 0;
        for (index, prompt) in prompts.as_array().unwrap().iter().enumerate() {
            let alone = complete(&server, body(prompt.clone())).await;
            usage += alone["usage"]["total_tokens"].as_u64().unwrap();
            for (choice, alone) in choices(&all)[index * 2..].iter().zip(choices(&alone)) {
                assert_eq!(choice["index"], alone["index"].as_u64().unwrap() as usize + index * 2);
                assert_eq!((&choice["text"], &choice["logprobs"]), (&alone["text"], &alone["logprobs"]));
            }
        }
        assert_eq!((choices(&all).len(), &all["usage"]["total_tokens"]), (6, &json!(usage)));
    }
    let absent = complete(&server, json!({"seed": 9, "max_tokens": 5})).await;
    let empty = complete(&server, json!({"prompt": [], "seed": 9, "max_tokens": 5})).await;
    assert_eq!(choices(&absent), choices(&empty));
}

#[tokio::test]
async fn an_echoed_prompt_is_scored_like_a_text() {
    let server = Server::start().await;
    let text = "the  old zébra man ";
    let body = json!({"prompt": text, "max_tokens": 0, "echo": true, "logprobs": 1});
    let answer = complete(&server, body).await;
    let choice = &choices(&answer)[0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(text), &json!("length")));
    let listed = &choice["logprobs"];
    assert_eq!(listed["tokens"], json!(["the", " old", " <unk>", " man"]));
    assert_eq!(listed["text_offset"], json!([0, 3, 8, 14]));
    let score = json!({"text": text, "token_logprobs": true});
    let score = server.post("/v1/score", score).await.expect(200);
    assert_eq!(listed["token_logprobs"], column(&score["results"][0]["token_logprobs"], "logprob"));
    for at in 0..4 {
        let text = listed["tokens"][at].as_str().unwrap();
        assert_eq!(listed["top_logprobs"][at][text], listed["token_logprobs"][at]);
    }
    // With a token to come, it begins after the whole prompt.
    let body = json!({"prompt": text, "max_tokens": 1, "echo": true, "logprobs": 0, "seed": 1});
    let listed = &choices(&complete(&server, body).await)[0]["logprobs"].clone();
    assert_eq!((listed["tokens"].as_array().unwrap().len(), &listed["text_offset"][4]), (5, &json!(19)));
    assert!(listed["top_logprobs"].as_array().unwrap().iter().all(|top| top.as_object().unwrap().len() == 1));
}

#[tokio::test]
async fn nothing_precedes_the_first_token_of_a_model_without_initial_tokens() {
    let server = Setup::over(vec![letters()]).start().await;
    let body = json!({"prompt": "abé", "max_tokens": 0, "echo": true, "logprobs": 2});
    let listed = &choices(&complete(&server, body).await)[0]["logprobs"].clone();
    assert_eq!((&listed["token_logprobs"][0], &listed["top_logprobs"][0]), (&Value::Null, &Value::Null));
    assert!(listed["token_logprobs"][1].is_f64() && listed["top_logprobs"][2].is_object());
    assert_eq!(listed["text_offset"], json!([0, 1, 2]));
}

#[tokio::test]
async fn initial_tokens_at_the_beginning_of_ids_are_not_read_twice() {
    let server = Server::start().await;
    let body =
        |prompt: Value| json!({"prompt": prompt, "max_tokens": 3, "echo": true, "logprobs": 1, "seed": 5});
    let with = complete(&server, body(json!([1, 2, 8]))).await;
    let without = complete(&server, body(json!([2, 8]))).await;
    let list = |answer: &Value, name: &str| choices(answer)[0]["logprobs"][name].as_array().unwrap().clone();
    for name in ["tokens", "token_logprobs", "top_logprobs"] {
        assert_eq!(list(&with, name)[1..], list(&without, name), "{name}");
    }
    assert_eq!(
        (&list(&with, "token_logprobs")[0], &list(&with, "top_logprobs")[0]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!((&with["usage"]["prompt_tokens"], &without["usage"]["prompt_tokens"]), (&json!(3), &json!(2)));
    let decoded = server.post("/v1/detokenize", json!({"tokens": [1, 2, 8]})).await.expect(200);
    let prompt = decoded["text"].as_str().unwrap();
    assert!(choices(&with)[0]["text"].as_str().unwrap().starts_with(prompt), "{prompt:?}");
    let start = complete(&server, json!({"prompt": [1], "max_tokens": 4, "seed": 5})).await;
    let absent = complete(&server, json!({"max_tokens": 4, "seed": 5})).await;
    assert_eq!(choices(&start), choices(&absent));
}

#[tokio::test]
async fn a_session_at_its_start_has_read_the_initial_tokens_and_elsewhere_has_not() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    let body = json!({"prompt": [1, 2, 8], "max_tokens": 2, "seed": 5, "echo": true, "logprobs": 1});
    let mut in_session = body.clone();
    in_session["session_id"] = json!("s");
    let first = complete(&server, in_session.clone()).await;
    let alone = complete(&server, body).await;
    assert_eq!((choices(&first), &first["usage"]), (choices(&alone), &alone["usage"]));
    assert_eq!(first["session"], json!({"id": "s", "position": 4}), "two tokens were read and two drawn");
    let later = complete(&server, in_session.clone()).await;
    assert_eq!(later["session"]["position"], 4 + 3 + 2, "within a text, it is a token as any other");
    assert!(choices(&later)[0]["logprobs"]["token_logprobs"][0].is_f64());
    server.post("/v1/sessions/s/reset", json!({})).await.expect(200);
    let again = complete(&server, in_session).await;
    assert_eq!((choices(&again), &again["session"]), (choices(&first), &first["session"]));
}

#[tokio::test]
async fn a_failure_during_a_stream_is_an_error_and_the_stream_ends_as_any_other() {
    let mut body = json!({"max_tokens": 30, "seed": 4});
    let Failing { server, drawn } = Failing::during(&body).await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    body["session_id"] = json!("s");
    body["stream"] = json!(true);
    let chunks = chunks(&server.post(COMPLETIONS, body).await);
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!(chunks.len(), drawn.len());
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert_eq!((&last["error"]["code"], last["error"]["message"].is_string()), (&json!("internal"), true));
    assert_eq!(last["session"], json!({"id": "s", "position": drawn.len() - 1}));
    assert_eq!(last.get("choices"), None, "{last}");
}

#[tokio::test]
async fn a_stream_has_the_choices_of_the_answer_in_one_piece() {
    let server = Setup::over(vec![letters()]).start().await;
    let free =
        json!({"prompt": ["ab", "cab"], "max_tokens": 30, "seed": 9, "n": 2, "logprobs": 2, "echo": true});
    let first = complete(&server, free.clone()).await;
    let stop: String = choices(&first)[2]["text"].as_str().unwrap().chars().skip(12).take(2).collect();
    let mut body = free;
    body["stop"] = json!(stop);
    let whole = complete(&server, body.clone()).await;
    assert!(choices(&whole).iter().any(|choice| choice["finish_reason"] == "stop"));
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let chunks = chunks(&server.post(COMPLETIONS, body).await);
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == last["id"]));
    for choice in choices(&whole) {
        let own =
            chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|own| own["index"] == choice["index"]);
        let own: Vec<&Value> = own.collect();
        let text: String = own.iter().map(|own| own["text"].as_str().unwrap()).collect();
        assert_eq!(choice["text"], json!(text));
        for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
            let listed = own.iter().filter_map(|own| own["logprobs"][name].as_array()).flatten();
            assert_eq!(choice["logprobs"][name], listed.cloned().collect::<Value>(), "{name}");
        }
        let (end, before) = own.split_last().unwrap();
        assert!(before.iter().all(|own| own["finish_reason"].is_null() && own["stop_reason"].is_null()));
        assert_eq!(
            (&end["finish_reason"], &end["stop_reason"]),
            (&choice["finish_reason"], &choice["stop_reason"])
        );
    }
}

#[tokio::test]
async fn a_session_reads_the_prompt_and_moves() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let body =
        json!({"session_id": "s", "prompt": "man", "max_tokens": 3, "seed": 2, "expected_position": 2});
    let answer = server.post(COMPLETIONS, body.clone()).await;
    assert_eq!(answer.expect(200)["session"], json!({"id": "s", "position": 6}));
    assert_eq!((answer.header("x-session-id"), answer.header("x-session-position")), ("s", "6"));
    let alone = complete(&server, json!({"prompt": "the old man", "max_tokens": 3, "seed": 2})).await;
    assert_eq!(choices(&answer.json())[0]["text"], choices(&alone)[0]["text"]);
    let (param, _) = server.post(COMPLETIONS, body).await.refused(412, "position_mismatch");
    assert_eq!(param, "expected_position");
    let body = json!({"session_id": "s", "max_tokens": 2, "stream": true});
    let chunks = chunks(&server.post(COMPLETIONS, body).await);
    assert_eq!(chunks.last().unwrap()["session"], json!({"id": "s", "position": 8}));
    let (param, _) =
        server.post(COMPLETIONS, json!({"session_id": "t"})).await.refused(404, "session_not_found");
    assert_eq!(param, "session_id");
}

#[tokio::test]
async fn invalid_requests_are_answered_with_400_and_name_the_value() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    for (mut body, code, param) in [
        (json!({"suffix": "x"}), "unknown_field", "suffix"),
        (json!({"tools": []}), "unknown_field", "tools"),
        (json!({"response_format": {"type": "text"}}), "unknown_field", "response_format"),
        (json!({"stream_options": {"more": 1}}), "unknown_field", "stream_options.more"),
        (json!({"best_of": 2}), "invalid_value", "best_of"),
        (json!({"n": 2, "best_of": 3}), "invalid_value", "best_of"),
        (json!({"n": 0}), "invalid_value", "n"),
        (json!({"max_tokens": 5000}), "invalid_value", "max_tokens"),
        (json!({"logprobs": 1001}), "invalid_value", "logprobs"),
        (json!({"logprobs": true}), "invalid_value", "logprobs"),
        (json!({"temperature": -1}), "invalid_value", "temperature"),
        (json!({"stop": [""]}), "invalid_value", "stop[0]"),
        (json!({"logit_bias": {"99": 1}}), "invalid_value", "logit_bias.99"),
        (json!({"prompt": 7}), "invalid_value", "prompt"),
        (json!({"prompt": [2, 99]}), "token_out_of_range", "prompt[1]"),
        (json!({"prompt": [1, 99]}), "token_out_of_range", "prompt[1]"),
        (json!({"prompt": [[2], [99]]}), "token_out_of_range", "prompt[1][0]"),
        (json!({"model": "letters", "prompt": ["a", "z"]}), "unknown_token", "prompt[1]"),
        (json!({"expected_position": 1}), "invalid_value", "expected_position"),
        (json!({"session_id": "s", "n": 2}), "invalid_value", "n"),
        (json!({"session_id": "s", "prompt": ["a", "a"]}), "invalid_value", "prompt"),
        (json!({"session_id": ""}), "invalid_value", "session_id"),
    ] {
        for streams in [false, true] {
            body["stream"] = json!(streams);
            let (found, message) = server.post(COMPLETIONS, body.clone()).await.refused(400, code);
            assert_eq!(found, param, "{body}: {message}");
        }
    }
    let (param, _) =
        server.post(COMPLETIONS, json!({"stream_options": {}})).await.refused(400, "invalid_value");
    assert_eq!(param, "stream_options");
    server.post(COMPLETIONS, json!({"model": "letters"})).await.refused(400, "empty_context");
    let (param, _) = server.post(COMPLETIONS, json!({"model": "gpt"})).await.refused(404, "model_not_found");
    assert_eq!(param, "model");
    let (_, message) =
        server.post(COMPLETIONS, json!({"max_completion_tokens": 3})).await.refused(400, "unknown_field");
    assert!(message.contains("did you mean `max_tokens`?"), "{message}");
    let answer = server.post("/v1/completions?prompt=a", json!({})).await;
    assert_eq!(answer.refused(400, "unknown_field").0, "prompt", "whatever refuses it");
}

#[tokio::test]
async fn the_root_routes_have_the_statuses_of_this_dialect_too() {
    let setup = Setup::configured(|config| config.limits.max_text = Bytes(8));
    let server = setup.start().await;
    for (target, body, code, param) in [
        ("/tokenize", json!({"text": "a"}), "unknown_field", "text"),
        ("/tokenize", json!({"prompt": 7}), "invalid_value", "prompt"),
        ("/tokenize", json!({"prompt": "the old man"}), "text_too_long", "prompt"),
        ("/tokenize", json!({"model": "letters", "prompt": "x"}), "unknown_token", "prompt"),
        ("/tokenize?text=a", json!({}), "unknown_field", "text"),
        ("/detokenize", json!({"tokens": [99]}), "token_out_of_range", "tokens[0]"),
        ("/detokenize", json!({"tokens": "a"}), "invalid_value", "tokens"),
    ] {
        let (found, message) = server.post(target, body).await.refused(400, code);
        assert_eq!(found, param, "{target}: {message}");
    }
    let (param, _) = server.get("/tokenizer_info?name=x").await.refused(400, "unknown_field");
    assert_eq!(param, "name");
    let (param, _) = server.post("/tokenize", json!({"model": "x"})).await.refused(404, "model_not_found");
    assert_eq!(param, "model");
    server.send(Request::new("POST", "/tokenize").body("{")).await.refused(400, "invalid_json");
    server.get("/tokenize").await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn limits_are_named_by_the_fields_of_this_dialect() {
    let setup = Setup::configured(|config| {
        config.limits.max_requests = 2;
        config.limits.max_answer = Bytes(20_000);
        config.limits.max_pieces = 3;
    });
    let server = setup.start().await;
    for (body, code, param, part) in [
        (json!({"prompt": ["a", "a", "a"]}), "invalid_value", "prompt", "--max-requests"),
        (json!({"logprobs": 9, "max_tokens": 100}), "invalid_value", "logprobs", "--max-answer"),
        (
            json!({"prompt": "a a a a", "echo": true, "logprobs": 1}),
            "text_too_long",
            "prompt",
            "`prompt` has more than 3 tokens",
        ),
    ] {
        let (found, message) = server.post(COMPLETIONS, body).await.refused(400, code);
        assert!(found == param && message.contains(part), "{found}: {message}");
    }
    // Each choice lists the prompt.
    let body = |n: usize| json!({"prompt": "a a a", "n": n, "echo": true, "logprobs": 9, "max_tokens": 0});
    complete(&server, body(2)).await;
    server.post(COMPLETIONS, body(8)).await.refused(400, "invalid_value");
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_named() {
    let server = Server::start().await;
    let body = json!({"prompt": "the", "max_tokens": 1, "metadata": null, "service tier": 1, "store": true, "user": "me"});
    let answer = server.post(COMPLETIONS, body).await;
    answer.expect(200);
    assert_eq!(answer.header("x-ignored-fields"), "service%20tier, store, user");
    let answer = server.post(COMPLETIONS, json!({"prompt": "the", "max_tokens": 1})).await;
    assert_eq!((answer.status, answer.header("x-ignored-fields")), (200, ""));
}

#[tokio::test]
async fn special_tokens_have_names_in_the_text_of_the_root_routes() {
    let server = Server::start().await;
    let info = server.get("/tokenizer_info").await.expect(200);
    assert_eq!((&info["model"], &info["bos_token"]), (&json!("words"), &json!("<eos>")));
    assert_eq!(
        (&info["eos_token"], &info["unk_token"], &info["vocab_size"]),
        (&json!("<eos>"), &json!("<unk>"), &json!(12))
    );
    let bare = server.get("/tokenizer_info?model=letters").await.expect(200);
    assert_eq!((&bare["bos_token"], &bare["eos_token"]), (&Value::Null, &Value::Null));
    for (body, tokens) in [
        (json!({"prompt": "the<eos>sea <unk> zebra"}), json!([2, 1, 3, 0, 0])),
        (json!({"prompt": "the sea", "add_special_tokens": true}), json!([1, 2, 3])),
        (json!({"prompt": "the sea", "add_special_tokens": false}), json!([2, 3])),
        (json!({}), json!([])),
    ] {
        let answer = server.post("/tokenize", body).await.expect(200);
        assert_eq!(answer, json!({"count": tokens.as_array().unwrap().len(), "tokens": tokens}));
        let text = server.post("/detokenize", json!({"tokens": tokens})).await.expect(200);
        let again = server.post("/tokenize", json!({"prompt": text["prompt"]})).await.expect(200);
        assert_eq!(again["tokens"], tokens);
    }
    let letters =
        server.send(Request::new("POST", "/tokenize?model=letters").json(&json!({"prompt": "ab"}))).await;
    assert_eq!(letters.expect(200)["tokens"], json!([0, 1]));
    let (param, _) = server.get("/tokenizer_info?model=x").await.refused(404, "model_not_found");
    assert_eq!(param, "model");
}

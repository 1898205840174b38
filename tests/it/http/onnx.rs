//! Models from ONNX files: lowered to the native engine, run as they are with a state, and run on a window of the last ids.
//! Clients see no difference between them.

use rnnlm_server::catalog::load_folder;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Dtype, LoadOptions, WeightsType};
use serde_json::{Value, json};

use crate::harness::models::{graph, words, write_graph};
use crate::harness::server::{Server, Setup};

const LOWERED: &str = "lstm-1-layout0-tb";
const STATEFUL: &str = "lstm-residual";
const WINDOWED: &str = "cbow-5";
const ALL: [&str; 3] = [LOWERED, STATEFUL, WINDOWED];

async fn server() -> Server {
    let models = vec![
        words(),
        graph(&format!("by_hand/{LOWERED}.onnx"), &json!({})),
        graph(&format!("unrecognised/{STATEFUL}.onnx"), &json!({})),
        graph(&format!("windows/{WINDOWED}.onnx"), &json!({"pad": "<eos>"})),
    ];
    Setup::over(models).start().await
}

#[tokio::test]
async fn the_description_of_a_model_says_how_its_graph_was_understood() {
    let server = server().await;
    let model = |name: &'static str| {
        let server = &server;
        async move { server.get(&format!("/v1/models/{name}")).await.expect(200) }
    };
    assert!(model("words").await.get("onnx").is_none(), "a model from safetensors has no graph");

    let lowered = model(LOWERED).await;
    assert_eq!((&lowered["backend"], &lowered["cell"]), (&json!("native"), &json!("lstm")));
    let onnx = &lowered["onnx"];
    assert_eq!((&onnx["not_lowered"], &onnx["warnings"]), (&Value::Null, &json!([])));
    assert_eq!(onnx["network"]["hidden_sizes"], lowered["hidden_sizes"]);
    assert_eq!(onnx["layers"][0]["op"], "LSTM");

    let stateful = model(STATEFUL).await;
    assert_eq!((&stateful["backend"], &stateful["cell"]), (&json!("tract"), &Value::Null));
    let onnx = &stateful["onnx"];
    assert!(onnx["not_lowered"].as_str().is_some_and(|why| why.contains("residual0")), "{onnx}");
    assert_eq!(onnx["network"], Value::Null);
    let role = |ports: &Value, name: &str| {
        let port = ports.as_array().unwrap().iter().find(|port| port["name"] == name);
        port.unwrap_or_else(|| panic!("no `{name}` in {ports}"))["role"].clone()
    };
    assert_eq!(role(&onnx["inputs"], "x"), "token ids, one at a time");
    assert_eq!(role(&onnx["inputs"], "c0_in"), "state, from `c0_out`");
    assert_eq!(role(&onnx["outputs"], "y"), "logits");
    assert_eq!(role(&onnx["outputs"], "h0_out"), "state, into `h0_in`");
    // The state twice over, and the last id.
    assert_eq!(stateful["state_bytes"], json!((2 * 10 + 1) * 4));

    let windowed = model(WINDOWED).await;
    assert_eq!((&windowed["backend"], &windowed["state_bytes"]), (&json!("native"), &json!(5 * 4)));
    assert_eq!(role(&windowed["onnx"]["inputs"], "x"), "the last 5 token ids, [B, N]");
    let network = &windowed["onnx"]["feed_forward"];
    assert_eq!((&network["window"], &network["vocab_size"]), (&json!(5), &windowed["vocab_size"]));
    let sizes: Vec<&Value> =
        network["hidden"].as_array().unwrap().iter().map(|layer| &layer["size"]).collect();
    assert_eq!(json!(sizes), windowed["hidden_sizes"]);
}

#[tokio::test]
async fn a_model_that_keeps_the_integers_of_its_file_says_so() {
    let root = tempfile::tempdir().unwrap();
    let folder = write_graph(root.path(), "quantised/lstm-int8.onnx", &json!({}));
    let entries: Vec<String> =
        ["<unk>", "<eos>"].map(String::from).into_iter().chain((2..17).map(|k| format!("word{k}"))).collect();
    std::fs::write(folder.join("vocab.txt"), entries.join("\n")).unwrap();
    let kernel = Kernel::choose(None).unwrap();
    let server = Setup::over(vec![words(), load_folder(&folder, kernel).unwrap()]).start().await;

    let model = server.get("/v1/models/lstm-int8").await.expect(200);
    assert_eq!(model["weights_dtype"], "int8");
    let is_kept = |matrix: &Value| (matrix["matrix"].clone(), matrix["dequantised"].is_null());
    let found: Vec<(Value, bool)> =
        model["onnx"]["quantised"].as_array().unwrap().iter().map(is_kept).collect();
    // ONNX Runtime quantises an embedding with a zero point, like an activation.
    let expected = [
        ("encoder.weight", false),
        ("rnn.weight_ih_l0", true),
        ("rnn.weight_hh_l0", true),
        ("decoder.weight", true),
    ];
    assert_eq!(found, expected.map(|(matrix, is_kept)| (json!(matrix), is_kept)));
    let info = server.get("/v1/info").await.expect(200);
    assert_eq!(info["weights_dtypes"], json!({"words": "f32", "lstm-int8": "int8"}));

    let dequantised = LoadOptions { weights: Some(WeightsType::F32), ..kernel.into() };
    let dequantised = load_folder(&folder, dequantised).unwrap();
    assert_eq!(dequantised.model.info().weights_dtype, Dtype::F32);
    assert_ne!(
        model["identity"],
        dequantised.identity.to_string(),
        "states of one are not states of the other"
    );
}

#[tokio::test]
async fn a_text_read_in_pieces_gives_the_state_of_the_text_read_at_once() {
    let server = server().await;
    for model in ALL {
        let whole = server
            .post("/v1/next", json!({"model": model, "text": "the old man and the sea", "full": true}))
            .await;
        let whole = whole.expect(200);
        server
            .post("/v1/sessions", json!({"id": model, "model": model, "text": "the old"}))
            .await
            .expect(201);
        server.post(&format!("/v1/sessions/{model}/append"), json!({"text": "man"})).await.expect(200);
        let before =
            server.post(&format!("/v1/sessions/{model}/next"), json!({"full": true})).await.expect(200);
        let what_if = json!({"text": "and the sea", "full": true});
        let ahead = server.post(&format!("/v1/sessions/{model}/next"), what_if).await.expect(200);
        assert_eq!(
            ahead["logprobs"], whole["logprobs"],
            "{model}: a question reads ahead on a copy of the state"
        );
        let again =
            server.post(&format!("/v1/sessions/{model}/next"), json!({"full": true})).await.expect(200);
        assert_eq!(again, before, "{model}: a question does not move the session");
        server
            .post(&format!("/v1/sessions/{model}/append"), json!({"text": "and the sea"}))
            .await
            .expect(200);
        let after =
            server.post(&format!("/v1/sessions/{model}/next"), json!({"full": true})).await.expect(200);
        assert_eq!(after["logprobs"], whole["logprobs"], "{model}: read in pieces");
        let fork = json!({"id": format!("{model}-fork")});
        server.post(&format!("/v1/sessions/{model}/fork"), fork).await.expect(201);
        server.post(&format!("/v1/sessions/{model}/reset"), json!({})).await.expect(200);
        let fork = server.post(&format!("/v1/sessions/{model}-fork/next"), json!({"full": true})).await;
        assert_eq!(
            fork.expect(200)["logprobs"],
            whole["logprobs"],
            "{model}: a reset does not change the fork"
        );
        let start =
            server.post(&format!("/v1/sessions/{model}/next"), json!({"full": true})).await.expect(200);
        let fresh = server.post("/v1/next", json!({"model": model, "full": true})).await.expect(200);
        assert_eq!(
            start["logprobs"], fresh["logprobs"],
            "{model}: a reset session is at the start of the model"
        );
    }
}

#[tokio::test]
async fn a_score_lists_the_log_probabilities_that_next_gives() {
    let server = server().await;
    for model in ALL {
        let text = ["old", "man", "of", "the", "stars"];
        let request = json!({"model": model, "text": text.join(" "), "token_logprobs": true});
        let score = server.post("/v1/score", request).await.expect(200);
        let scored = score["results"][0]["token_logprobs"].as_array().unwrap();
        assert_eq!(scored.len(), text.len());
        for (index, token) in scored.iter().enumerate() {
            let request =
                json!({"model": model, "text": text[..index].join(" "), "candidates": [text[index]]});
            let next = server.post("/v1/next", request).await.expect(200);
            assert_eq!(next["candidates"][0]["logprob"], token["logprob"], "{model}: {token}");
        }
        let seeded = json!({"model": model, "text": "the old man", "max_tokens": 12, "seed": 3});
        let first = server.post("/v1/generate", seeded.clone()).await.expect(200);
        assert_eq!(server.post("/v1/generate", seeded).await.expect(200), first, "{model}");
    }
}

#[tokio::test]
async fn a_reset_returns_to_the_learned_start() {
    let names = ["torchscript-lstm-start-expand-tb", "torchscript-lstm-start-joined-tb"];
    let models = names.map(|name| graph(&format!("extended/{name}.onnx"), &json!({})));
    let server = Setup::over(models.into()).start().await;
    let next = |path: String, body: Value| {
        let server = &server;
        async move { server.post(&path, body).await.expect(200)["logprobs"].clone() }
    };
    for name in names {
        let described = server.get(&format!("/v1/models/{name}")).await.expect(200);
        assert_eq!(described["onnx"]["network"]["learned_start"], true, "{name}");
        let fresh = next("/v1/next".into(), json!({"model": name, "full": true})).await;
        server.post("/v1/sessions", json!({"id": name, "model": name, "text": "the old"})).await.expect(201);
        let path = format!("/v1/sessions/{name}/next");
        let moved = next(path.clone(), json!({"full": true})).await;
        assert_ne!(moved, fresh, "{name}");
        server.post(&format!("/v1/sessions/{name}/reset"), json!({})).await.expect(200);
        assert_eq!(next(path.clone(), json!({"full": true})).await, fresh, "{name}: bit for bit");
        server.post(&format!("/v1/sessions/{name}/append"), json!({"text": "the old"})).await.expect(200);
        assert_eq!(next(path, json!({"full": true})).await, moved, "{name}: the same text again");
    }
}

/// The words that `layers/lstm-ruled-out.onnx` rules out.
const RULED_OUT: [&str; 2] = ["<unk>", "stars"];

#[tokio::test]
async fn a_token_that_the_output_bias_rules_out_has_probability_0_everywhere() {
    let server = Setup::over(vec![graph("layers/lstm-ruled-out.onnx", &json!({}))]).start().await;
    let asked =
        json!({"text": "the old", "full": true, "top_k": 11, "candidates": ["stars", "sea", "the stars"]});
    let next = server.post("/v1/next", asked).await.expect(200);
    let logprobs = next["logprobs"].as_array().unwrap();
    let sum: f64 = logprobs.iter().filter_map(Value::as_f64).map(libm::exp).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    assert_eq!([&logprobs[0], &logprobs[7]], [&Value::Null; 2]);
    let listed = next["distribution"].as_array().unwrap();
    assert_eq!(listed.len(), 9, "the tokens that can come");
    assert!(listed.iter().all(|token| !RULED_OUT.contains(&token["token"].as_str().unwrap())), "{next}");
    for (index, prob) in [(0, Some(0.0)), (2, Some(0.0))] {
        let candidate = &next["candidates"][index];
        assert_eq!((candidate["prob"].as_f64(), &candidate["logprob"]), (prob, &Value::Null), "{candidate}");
    }
    assert!(next["candidates"][1]["logprob"].is_f64());

    let biased = json!({"logit_bias": {"7": 100}, "presence_penalty": -2});
    let biased = json!({"text": "the stars", "top_k": 11, "candidates": ["stars"], "sampling": biased});
    let biased = server.post("/v1/next", biased).await.expect(200);
    assert_eq!(biased["distribution"].as_array().unwrap().len(), 9, "no bias makes a token possible");
    assert_eq!([&biased["candidates"][0]["logprob"], &biased["candidates"][0]["rank"]], [&Value::Null; 2]);

    let texts = json!({"texts": ["the stars", "the sea"], "token_logprobs": true});
    let score = server.post("/v1/score", texts).await.expect(200);
    let [ruled_out, possible] = [&score["results"][0], &score["results"][1]];
    for figure in ["logprob", "logprob_base10", "perplexity", "word_perplexity", "bits_per_char"] {
        assert_eq!((&ruled_out[figure], &score["total"][figure]), (&Value::Null, &Value::Null), "{figure}");
        assert!(possible[figure].is_f64(), "{figure}");
    }
    assert_eq!(
        (&ruled_out["scored_count"], &ruled_out["token_logprobs"][1]["logprob"]),
        (&json!(2), &Value::Null)
    );

    let hot = json!({"text": "the", "max_tokens": 200, "temperature": 2.0, "seed": 1, "stop_at_eos": false});
    let drawn = server.post("/v1/generate", hot).await.expect(200);
    let tokens = drawn["choices"][0]["tokens"].as_array().unwrap();
    assert!(tokens.len() == 200 && !tokens.contains(&json!(0)) && !tokens.contains(&json!(7)), "{drawn}");
    let words = server.post("/v1/suggest", json!({"text": "the ", "prefix": "st"})).await.expect(200);
    assert_eq!(words["suggestions"], json!([]), "`stars` is the only word that begins so");
    let (param, message) = server
        .post("/v1/explain", json!({"text": "the", "target": "stars"}))
        .await
        .refused(422, "invalid_value");
    assert_eq!(param, "target");
    assert!(message.contains("rules out"), "{message}");
}

#[tokio::test]
async fn a_hypothesis_of_probability_0_comes_last_and_has_no_total_unless_the_model_has_no_weight() {
    let server = Setup::over(vec![graph("layers/lstm-ruled-out.onnx", &json!({}))]).start().await;
    let hypotheses = json!([{"text": "the stars", "score": 50}, {"text": "the sea", "score": -3}, {"text": "stars", "score": 60}]);
    let ranked = async |more: Value| {
        let mut body = json!({"utterances": [{"hypotheses": hypotheses}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = server.post("/v1/rescore", body).await.expect(200);
        let column = |name: &str| -> Vec<Value> {
            let each = answer["results"][0]["hypotheses"].as_array().unwrap().iter();
            each.map(|hypothesis| hypothesis[name].clone()).collect()
        };
        [column("index"), column("lm_logprob"), column("total")]
    };
    for weight in [0.5, -0.5, 1e-300] {
        let [order, logprobs, totals] = ranked(json!({"lm_weight": weight})).await;
        assert_eq!(order, [json!(1), json!(0), json!(2)], "{weight}");
        assert_eq!([&logprobs[1..], &totals[1..]].concat(), vec![Value::Null; 4], "{weight}");
        let expected = -3.0 + weight * logprobs[0].as_f64().unwrap();
        assert_eq!(totals[0].as_f64(), Some(expected), "{weight}");
    }
    let [order, logprobs, totals] = ranked(json!({"lm_weight": 0})).await;
    assert_eq!(order, [json!(2), json!(0), json!(1)], "the recogniser's scores alone");
    assert_eq!(totals, [json!(60.0), json!(50.0), json!(-3.0)]);
    assert_eq!(logprobs[..2], [Value::Null, Value::Null]);

    // Another model's probability of the word makes the mixture's one positive, unless this model has all of the weight.
    let mixed = async |lambda: f64| {
        let hypothesis = json!({"text": "stars", "word_probs": [0.25, 0.5]});
        let body = json!({"utterances": [{"hypotheses": [hypothesis]}], "lambda": lambda});
        server.post("/v1/rescore", body).await.expect(200)["results"][0]["hypotheses"][0].clone()
    };
    assert!(mixed(0.5).await["total"].is_f64());
    let alone = mixed(1.0).await;
    assert_eq!([&alone["lm_logprob"], &alone["total"]], [&Value::Null; 2]);
}

#[tokio::test]
async fn a_cache_is_refused_by_models_whose_hidden_vectors_are_not_known() {
    let server = server().await;
    let text = |model: &str| json!({"model": model, "text": "the old man", "cache": {}});
    for route in ["next", "score", "generate", "suggest", "sessions"] {
        for model in [STATEFUL, WINDOWED] {
            let refused = server.post(&format!("/v1/{route}"), text(model)).await;
            let (param, message) = refused.refused(422, "not_supported");
            assert_eq!(param, "cache", "{route} {model}");
            assert!(message.contains(model), "{message}");
        }
        let status = if route == "sessions" { 201 } else { 200 };
        server.post(&format!("/v1/{route}"), text(LOWERED)).await.expect(status);
    }
    // The others have created none.
    assert_eq!(server.get("/v1/sessions").await.expect(200)["data"].as_array().map(Vec::len), Some(1));

    // A state with a cache is no state of theirs either, whatever it says of its weights.
    for model in [STATEFUL, WINDOWED] {
        let body = json!({"model": model, "text": "the", "return_state": true});
        let state = server.post("/v1/next", body).await.expect(200)["state"].clone();
        let body = json!({"state": state, "cache": {}});
        let refused = server.post("/v1/next", body).await.refused(422, "not_supported");
        assert_eq!(refused.0, "cache", "{model}");
    }
}

//! The commands on small models: what they print, how they exit, and that they agree with the service.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::program::Ended;
use crate::harness::server::Server;

const TEXT: &str = "the old man and the sea sings\na ship of stars\n\nthe dragon\n";

#[tokio::test]
async fn next_prints_a_table_or_the_json_of_the_route() {
    let folders = Folders::new();
    let table = folders.run(["next", "--model", "words", "the old man", "--top-k", "3"]).succeeded();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "expected a heading, three tokens, an empty line and a summary:\n{table}");
    assert!(rows[1].trim_start().starts_with("1 ") && rows[3].trim_start().starts_with("3 "), "{table}");
    assert!(rows[5].starts_with("position 3, 0 unknown, entropy "), "{table}");
    assert!(!table.contains('█'), "bars are printed only to terminals:\n{table}");

    let answer = folders.run(["next", "--model", "words", "the old man", "--json"]).json();
    let server = Server::start().await;
    assert_eq!(answer, server.post("/v1/next", json!({"text": "the old man"})).await.expect(200));
}

#[tokio::test]
async fn generate_prints_the_text_or_the_json_of_the_route() {
    let folders = Folders::new();
    let args = ["generate", "--model", "words", "the", "--max-tokens", "12", "--seed", "7"];
    let text = folders.run(args).succeeded();
    let answer = folders.run(args.iter().chain(&["--json"])).json();
    assert_eq!(answer["choices"][0]["text"], text.as_str());
    let request = json!({"text": "the", "max_tokens": 12, "seed": 7});
    assert_eq!(answer, Server::start().await.post("/v1/generate", request).await.expect(200));
}

#[test]
fn a_generated_seed_is_printed_and_repeats_the_text() {
    let folders = Folders::new();
    let args = ["generate", "--model", "letters", "abc", "--max-tokens", "30"];
    let first = folders.run(args);
    let seed = first.stderr.trim().strip_prefix("seed ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
    assert_eq!(first.stdout.chars().count(), 30);
    let again = folders.run(args.iter().copied().chain(["--seed", &seed]));
    assert_eq!((again.stdout, again.stderr), (first.stdout, String::new()));
    let greedy = folders.run(args.iter().chain(&["--temperature", "0"]));
    assert_eq!(greedy.stderr, "", "a greedy generation has no seed: {greedy:?}");
}

#[tokio::test]
async fn score_prints_the_answer_of_the_service() {
    let folders = Folders::new();
    let file = folders.file("text", TEXT);
    let answer = folders.run(["score", "--model", "words", &file, "--json"]).json();
    let server = Server::start().await;
    let mut served = server.post("/v1/score", json!({"text": TEXT})).await.expect(200);
    assert_eq!(answer, served, "the two scores must be equal to the bit");

    let summary = folders.run(["score", "--model", "words", &file]).succeeded();
    let perplexity = figure(&summary, "perplexity");
    let expected = served["total"]["perplexity"].take().as_f64().unwrap();
    assert!((perplexity / expected - 1.0).abs() < 1e-8, "{perplexity} is printed for {expected}");
    assert_eq!(figure(&summary, "unknown"), 1.0, "{summary}");
    assert_eq!(folders.run_with(["score", "--model", "words", "-"], TEXT).succeeded(), summary);
}

#[tokio::test]
async fn score_scores_each_line_alone() {
    let folders = Folders::new();
    let file = folders.file("text", TEXT);
    let printed = folders.run(["score", "--model", "words", &file, "--lines"]).succeeded();
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["line", "tokens", "unknown", "logprob", "perplexity"]);
    let counts: Vec<&str> = lines[1..5].iter().map(|line| line[1]).collect();
    assert_eq!(counts, ["7", "4", "0", "2"], "{printed}");

    let answer = folders.run(["score", "--model", "words", &file, "--lines", "--json"]).json();
    let texts: Vec<&str> = TEXT.lines().filter(|line| !line.is_empty()).collect();
    let served = Server::start().await.post("/v1/score", json!({"texts": texts})).await.expect(200);
    assert_eq!(answer["total"], served["total"]);
    assert_eq!(answer["results"][3], served["results"][2], "an empty line has a result too");
    assert_eq!(answer["results"][2]["perplexity"], Value::Null);
}

#[test]
fn score_lists_tokens_whose_log_probabilities_sum_to_the_total() {
    let folders = Folders::new();
    let file = folders.file("text", "abc de\nab");
    let printed = folders.run(["score", "--model", "letters", &file, "--token-logprobs"]).succeeded();
    let tokens: Vec<Vec<&str>> =
        printed.lines().take_while(|line| !line.is_empty()).map(|line| line.split('\t').collect()).collect();
    assert_eq!(tokens.len(), 9);
    assert_eq!(
        tokens[0],
        ["0", "-", "a"],
        "this model has no initial tokens, so its first character has no context"
    );
    assert_eq!(tokens[6][2], "\\n");
    let sum: f64 = tokens[1..].iter().map(|token| token[1].parse::<f64>().unwrap()).sum();
    assert!((sum - figure(&printed, "logprob")).abs() < 1e-6, "{printed}");
    let answer = folders.run(["score", "--model", "letters", &file, "--token-logprobs", "--json"]).json();
    assert_eq!(answer["results"][0]["token_logprobs"].as_array().map(Vec::len), Some(9));
}

#[tokio::test]
async fn inspect_describes_the_model_as_the_server_does() {
    let folders = Folders::new();
    let report = folders.run(["inspect", "words", "--json"]).json();
    let served = Server::start().await.get("/v1/models/words").await.expect(200);
    for key in ["id", "identity", "parameter_count", "state_bytes", "tokenizer_sha256", "weights_dtype"] {
        assert_eq!(report["model"][key], served[key], "{key}");
    }
    assert_eq!(report["manifest"]["architecture"]["hidden_sizes"], json!([8, 5]));
    assert_eq!(report["tensors"].as_array().map(Vec::len), Some(11));
    let page = folders.run(["inspect", "words"]).succeeded();
    for part in ["cell          lstm", "rnn.weight_hh_l1  F32   [20, 5]", "starts after  <eos>"] {
        assert!(page.contains(part), "`{part}` is missing from\n{page}");
    }
    let bare = folders.run(["inspect", "letters/model.safetensors", "--json"]).json();
    assert_eq!(bare["fitting"]["cells"], json!(["gru"]));
}

#[cfg(feature = "onnx")]
#[test]
fn inspect_writes_a_manifest_from_which_a_graph_is_served() {
    let folders = Folders::new();
    let graph = |name: &str| std::fs::read(crate::harness::onnx_files().join(name)).unwrap();
    folders.file("bare.onnx", graph("by_hand/lstm-1-layout0-tb.onnx"));
    let page = folders.run(["inspect", "bare.onnx"]).succeeded();
    for part in [
        "summary       a network with 1 lstm layer and 11 tokens, run by the native engine; its state is kept from token to token; next: put its vocabulary beside it",
        "run by        the native engine",
        "cell          lstm",
        "sizes         11 tokens, embedding 4, hidden 5",
        "input         x: i64[T, B]: token ids",
        "\"file\": \"vocab.txt\"",
    ] {
        assert!(page.contains(part), "`{part}` is missing from\n{page}");
    }
    let ended = folders.run(["inspect", "bare.onnx", "--write-manifest"]);
    assert!(ended.stderr.starts_with("wrote `./config.json`\n"), "{ended:?}");
    assert!(
        ended.stderr.contains("cannot read `vocab.txt`"),
        "what is still missing is said at once: {ended:?}"
    );
    assert_eq!(ended.code, Some(1));
    let message = folders.run(["inspect", "bare.onnx", "--write-manifest"]).failed(1);
    assert!(message.contains("cannot write `./config.json`"), "{message}");

    let words: Vec<String> =
        ["<unk>", "<eos>"].map(String::from).into_iter().chain((0..9).map(|k| format!("word{k}"))).collect();
    folders.file("graph/residual.onnx", graph("unrecognised/lstm-residual.onnx"));
    folders.file("graph/vocab.txt", words.join("\n"));
    let message = folders.run(["next", "--model", "graph", "word1"]).failed(1);
    assert!(message.contains("rnnlm-server inspect graph/residual.onnx --write-manifest"), "{message}");
    folders.run(["inspect", "graph", "--write-manifest"]).succeeded();
    let report = folders.run(["inspect", "graph/residual.onnx", "--json"]).json();
    let summary = report["summary"].as_str().unwrap();
    for part in [
        "not a network of the native engine, run by tract",
        "its state is kept",
        "rnnlm-server serve --models",
    ] {
        assert!(summary.contains(part), "{summary}");
    }
    assert_eq!(report["model"]["backend"], "tract");
    assert_eq!(report["manifest"]["onnx"]["state"], json!([["h0_in", "h0_out"], ["c0_in", "c0_out"]]));
    assert_eq!(report["manifest"]["tokenizer"]["newline"], "<eos>");
    assert!(report["onnx"]["not_lowered"].is_string(), "{report}");
    assert!(folders.run(["next", "--model", "graph", "word1"]).succeeded().contains("position 1"));

    folders.file("refused.onnx", graph("refusals/lstm-clip.onnx"));
    let refused = folders.run(["inspect", "refused.onnx"]);
    assert!(refused.stdout.contains("layer         LSTM, 5 units"), "{refused:?}");
    assert!(refused.stdout.contains("which cannot be served as it is; next: mend what the error names"));
    assert!(refused.failed(1).contains("clip"));
    let message = folders.run(["inspect", "refused.onnx", "--write-manifest"]).failed(1);
    assert!(message.contains("no manifest would make `refused.onnx` load: "), "{message}");
}

#[cfg(feature = "onnx")]
#[test]
fn inspect_says_which_integers_of_a_graph_are_kept_and_that_its_scales_of_activations_are_not_used() {
    let folders = Folders::new();
    let graph = |name: &str| std::fs::read(crate::harness::onnx_files().join(name)).unwrap();
    folders.file("static.onnx", graph("scales/lstm-qdq-per-channel.onnx"));
    let page = folders.run(["inspect", "static.onnx"]).succeeded();
    for part in [
        "int8          decoder.weight",
        "dequantised   encoder.weight: its integers, less their zero point, are not all within -127 to 127",
        "activations   the file's own scales are not used",
    ] {
        assert!(page.contains(part), "`{part}` is missing from\n{page}");
    }
    folders.file("few.onnx", graph("scales/lstm-weights-of-4-bits.onnx"));
    let page = folders.run(["inspect", "few.onnx"]).succeeded();
    assert!(page.contains("dequantised   decoder.weight: its integers have 4 bits"), "{page}");
    let report = folders.run(["inspect", "few.onnx", "--json"]).json();
    let expected = json!([{"matrix": "decoder.weight", "dequantised": "its integers have 4 bits"}]);
    assert_eq!(report["onnx"]["quantised"], expected);
    assert_eq!(report["onnx"]["activation_scales_unused"], false);
}

#[cfg(feature = "onnx")]
#[test]
fn inspect_drafts_a_manifest_for_a_graph_that_only_lacks_one() {
    let folders = Folders::new();
    let graph = |name: &str| std::fs::read(crate::harness::onnx_files().join(name)).unwrap();
    folders.file("lost/keras.onnx", graph("padded/keras-lstm-10-unsaid.onnx"));
    let page = folders.run(["inspect", "lost/keras.onnx"]).succeeded();
    assert!(page.contains("it keeps no state and reads the last 10 tokens at every position"), "{page}");
    assert_eq!(
        folders.run(["inspect", "lost/keras.onnx", "--write-manifest"]).code,
        Some(1),
        "no vocabulary"
    );
    let written = std::fs::read_to_string(folders.path().join("lost/config.json")).unwrap();
    assert!(written.contains("\"window\": 10"), "{written}");
}

#[cfg(feature = "tract")]
#[test]
fn inspect_drafts_what_it_knows_of_a_graph_whose_window_only_its_owner_knows() {
    let folders = Folders::new();
    let graph = std::fs::read(crate::harness::onnx_files().join("checked/convolution-of-any-length.onnx"));
    folders.file("free/convolution.onnx", graph.unwrap());
    let ended = folders.run(["inspect", "free/convolution.onnx"]);
    assert!(ended.stdout.contains("to complete as the error says"), "{ended:?}");
    assert!(ended.failed(1).contains("`onnx.window`"));
    folders.file(
        "mixes.onnx",
        std::fs::read(crate::harness::onnx_files().join("checked/lstm-attention.onnx")).unwrap(),
    );
    let message = folders.run(["inspect", "mixes.onnx", "--write-manifest"]).failed(1);
    assert!(message.contains("no manifest would make `mixes.onnx` load: "), "{message}");
    assert_eq!(folders.run(["inspect", "free/convolution.onnx", "--write-manifest"]).code, Some(1));
    let written = std::fs::read_to_string(folders.path().join("free/config.json")).unwrap();
    assert!(written.contains("\"tokens\": \"x\""), "{written}");
}

#[test]
fn inspect_names_files_that_are_no_models() {
    let folders = Folders::new();
    for (name, content, part) in [
        ("model.safetensors", &b"version https://git-lfs.github.com/spec/v1\n"[..], "`git lfs pull`"),
        ("model.ort", b"\x08\0\0\0ORTM", "`.ort`"),
        ("model.pt", b"PK\x03\x04\0\0\0\0archive/data.pkl", "training/convert.py"),
    ] {
        folders.file(name, content);
        let message = folders.run(["inspect", name]).failed(1);
        assert!(message.contains(name) && message.contains(part), "{message}");
    }
}

#[cfg(feature = "onnx")]
#[test]
fn inspect_names_files_that_are_no_graphs() {
    let folders = Folders::new();
    for (content, part) in
        [(&b"<!DOCTYPE html>"[..], "an HTML page"), (b"\x1f\x8b\x08\0", "gzip"), (b"", "empty")]
    {
        folders.file("model.onnx", content);
        let message = folders.run(["inspect", "model.onnx"]).failed(1);
        assert!(message.contains("not an ONNX file: ") && message.contains(part), "{message}");
    }
}

#[test]
fn inspect_shows_the_readable_part_of_an_invalid_folder() {
    let folders = Folders::new();
    folders.file("words/vocab.txt", "<unk>\n<eos>\n");
    let report = folders.run(["inspect", "words"]);
    assert!(report.stdout.contains("cell          lstm") && report.stdout.contains("[20, 5]"), "{report:?}");
    assert!(report.failed(1).contains("has 2 entries, expected 12"));
}

#[test]
fn bench_measures_every_type_of_weights_once() {
    let folders = Folders::new();
    let args = ["bench", "--model", "words", "--batch", "1,3", "--prompt-tokens", "5", "--time", "1us"];
    let table = folders.run(args);
    assert_eq!(table.stderr, "`f32` holds this model as `as-stored` does: measured once\n");
    let table = table.succeeded();
    let rows: Vec<Vec<&str>> = table.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
    let cases: Vec<_> = rows.iter().map(|row| row[..5].join(" ")).collect();
    let of = |weights: &str| {
        ["step 1 1", "step 3 1", "prompt 1 5", "prompt 3 5"].map(|case| format!("{weights} {case}"))
    };
    assert_eq!(cases, [of("as-stored f32"), of("bf16 bf16"), of("int8 int8")].concat(), "{table}");

    let report = folders.run(args.iter().chain(&["--weights", "int8", "--json"])).json();
    assert_eq!(report["model"], "words");
    let measurements = report["measurements"].as_array().unwrap();
    assert_eq!(measurements.len(), 4, "{report}");
    for measurement in measurements {
        assert_eq!(measurement["weights_dtype"], "int8");
        let time = |key: &str| measurement[key].as_f64().unwrap();
        let [p10, median, p90] = ["p10_us", "median_us", "p90_us"].map(time);
        assert!(0.0 < p10 && p10 <= median && median <= p90, "{measurement}");
        assert!(measurement["runs"].as_u64().unwrap() >= 5, "{measurement}");
        let tokens = (measurement["rows"].as_f64().unwrap()) * measurement["tokens"].as_f64().unwrap();
        let rate = measurement["tokens_per_second"].as_f64().unwrap();
        assert!((rate / (tokens / median * 1e6) - 1.0).abs() < 1e-9, "{measurement}");
    }
}

#[test]
fn a_failure_is_reported_in_one_line() {
    let folders = Folders::new();
    folders.file("dragon", "ab dragon");
    folders.file("empty", "");
    folders.file("latin-1", [b'a', 0xff]);
    for (code, args, part) in [
        (1, &["next", "--model", "nowhere", "a"][..], "nowhere"),
        (1, &["next", "--model", "letters"], "no initial tokens"),
        (1, &["score", "--model", "letters", "dragon"], "not in the vocabulary"),
        (1, &["score", "--model", "letters", "dragon", "--lines"], "line 1"),
        (1, &["score", "--model", "words", "empty"], "no token"),
        (1, &["score", "--model", "words", "latin-1"], "byte 1"),
        (1, &["tokenize", "--model", "words", "latin-1"], "line 1 is not UTF-8 at byte 1"),
        (1, &["score", "--model", "words", "missing"], "missing"),
        (1, &["inspect", "model.onnx"], "`model.onnx`"),
        (1, &["bench", "--model", "."], "config.json"),
        (64, &["bench", "--model", "words", "--weights", "f64"], "f64"),
        (64, &["bench", "--model", "words", "--batch", "0"], "--batch"),
        (64, &["next", "--model", ".", "a"], "`letters`, `words`"),
        (64, &["generate", "--model", "words", "--temperature", "-1"], "`temperature` is -1"),
        (64, &["generate", "--model", "words", "--top-p", "0"], "`top_p` is 0"),
        (64, &["score", "--model", "letters", "dragon", "--add-eos"], "add_eos"),
    ] {
        let message = folders.run(args).failed(code);
        assert!(message.contains(part), "{args:?}: {message}");
    }
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_message() {
    let folders = Folders::new();
    let file = folders.file("text", TEXT.repeat(10_000));
    let ended = folders.run_unread(["tokenize", "--model", "words", &file]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_signal_ends_a_command_without_a_message() {
    let Ended { code, stderr, .. } = Folders::new().terminate(["score", "--model", "words", "-"]);
    assert_eq!((code, stderr.as_str()), (None, ""), "the signal ends the process");
}

/// The value of the figure `name` in a printed summary.
fn figure(summary: &str, name: &str) -> f64 {
    let line = summary.lines().find(|line| line.starts_with(&format!("{name} ")));
    let figure = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    figure.unwrap_or_else(|| panic!("no `{name}` in\n{summary}"))
}

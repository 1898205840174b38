//! The rules of ARCHITECTURE.md that are checked by tests: which module may import which, which words are confined to which
//! folder, and what every file and every dependency must have. A rule here is a plain scan over lines and words; what the
//! compiler or clippy can check is checked there (`[lints]`, `clippy.toml`).
//!
//! Each rule is a function from a file to its offences. `check` runs it over the repository, and a test with an invented offence
//! shows that the rule can fail.

mod arrows;
mod source;

use std::fs;
use std::path::Path;

use source::{Source, words};

use crate::harness::root;

/// A module and those that it may import.
type Arrow = (&'static str, &'static [&'static str]);

/// Which modules a module may import. The longest matching row applies. A module without a row is an offence, and so is an arrow
/// that no file uses.
const ARROWS: &[Arrow] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    // The base, which depends on little or nothing else.
    ("budget", &[]),
    ("clock", &[]),
    ("digest", &[]),
    ("error", &[]),
    ("foreign", &[]),
    ("kernels", &["error"]),
    // Reductions over logits run on the kernel of the process.
    ("lm", &["kernels"]),
    ("probe", &["lm", "error"]),
    ("config", &["probe", "lm", "error"]),
    ("telemetry", &["clock", "config"]),
    // The core, from the model outward.
    ("rnn", &["kernels", "lm", "error"]),
    ("onnx", &["rnn", "probe", "lm", "foreign", "error"]),
    // It runs graphs that are not a known network, so it needs nothing of the native engine.
    ("onnx/tract", &["probe", "lm", "error"]),
    ("text", &["lm", "digest", "error"]),
    ("sampling", &["lm", "error"]),
    ("coding", &["kernels", "lm", "error"]),
    ("catalog", &["rnn", "onnx", "probe", "text", "kernels", "lm", "digest", "foreign", "error"]),
    ("session", &["text", "lm", "clock", "error"]),
    // Who may use a server, and how much.
    ("keys", &["clock", "error"]),
    // It knows keys and bytes only, and when they expire.
    ("store", &["clock", "error"]),
    ("engine", &["session", "sampling", "text", "lm", "clock", "error"]),
    // The contract, and the use cases that take and return it. They know the types of the engine and of the catalog, but not the
    // runtimes behind the catalog.
    ("api", &[]),
    (
        "service",
        &[
            "api",
            "budget",
            "engine",
            "catalog",
            "session",
            "keys",
            "store",
            "sampling",
            "coding",
            "text",
            "kernels",
            "lm",
            "clock",
            "digest",
            "config",
            "error",
            "telemetry",
        ],
    ),
    // Describes what was found in an ONNX file.
    ("service/models", &["api", "catalog", "onnx", "lm", "error"]),
    // The edge carries the contract.
    ("http", &["api", "budget", "service", "keys", "clock", "config", "error", "telemetry"]),
    ("cli", &["api", "service", "clock", "config", "error"]),
    // It reads the frames of a compressed file one by one.
    ("cli/compress", &["coding", "service"]),
    // It runs a model without the service, as an engine does.
    ("cli/bench", &["catalog", "clock", "config", "kernels", "lm", "error"]),
    // It describes files that the service may not be able to load.
    ("cli/inspect", &["api", "service", "catalog", "onnx", "kernels", "lm", "config"]),
    // The child that tries one file needs no service.
    ("cli/probe", &["catalog", "onnx", "probe", "kernels"]),
    ("cli/serve", &["http", "service", "keys", "clock", "config", "telemetry"]),
];

/// Words that are confined to some folders, because only those folders may use what they name.
const CONFINED: &[(&[&str], &[&str])] = &[
    (&["axum", "tower", "tower_http", "utoipa_axum", "StatusCode"], &["src/http/"]),
    (&["utoipa"], &["src/api/", "src/http/"]),
    (&["prost"], &["src/onnx/"]),
    (&["redb"], &["src/store/"]),
    (
        &["opentelemetry", "opentelemetry_http", "opentelemetry_otlp", "opentelemetry_sdk"],
        &["src/telemetry/traces/"],
    ),
    (&["tract_core", "tract_data", "tract_hir", "tract_onnx"], &["src/onnx/tract/"]),
    (&["unsafe"], &["src/kernels/"]),
];

/// Folders whose code runs on a thread that must not block on a runtime, and is tested without one.
const WITHOUT_TOKIO: &[&str] =
    &["kernels", "lm", "rnn", "onnx", "text", "sampling", "session", "keys", "store"];

const LINES_MAX: usize = 400;

/// A place that breaks a rule: where it is, what was found, and what was expected.
type Offence = String;

#[test]
fn imports_follow_the_arrows() {
    check("src", arrows::imports);
}

#[test]
fn no_module_is_imported_through_a_re_export() {
    check("src", arrows::reexports);
}

#[test]
fn every_arrow_is_used() {
    let offences = arrows::unused(ARROWS, &files_of("src"));
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn confined_words_stay_in_their_folders() {
    check("src", confined);
}

#[test]
fn the_core_does_not_use_tokio() {
    check("src", tokio);
}

#[test]
fn channels_are_bounded() {
    check("src", channels);
}

#[test]
fn no_code_is_unfinished() {
    check("src", unfinished);
}

#[test]
fn every_file_has_a_head_comment_and_is_short_enough() {
    for folder in ["src", "tests", "benches"] {
        check(folder, head_and_length);
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is readable");
    let (entries, offences) = dependencies(&manifest);
    assert!(entries > 0, "no dependency was found in Cargo.toml, so this test reads it wrongly");
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

fn confined(file: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    let is_outside = |folders: &[&str]| !folders.iter().any(|folder| file.path.starts_with(folder));
    for (confined, folders) in CONFINED.iter().filter(|(_, folders)| is_outside(folders)) {
        for (at, word) in words(&file.code).filter(|(_, word)| confined.contains(word)) {
            offences.push(format!("{}: found `{word}`, expected only in {folders:?}", file.place(at)));
        }
    }
    offences
}

fn tokio(file: &Source) -> Vec<Offence> {
    if !WITHOUT_TOKIO.contains(&file.module()[0]) {
        return Vec::new();
    }
    let crates = ["tokio", "tokio_stream", "tokio_util"];
    let found = words(&file.code).filter(|(_, word)| crates.contains(word));
    found
        .map(|(at, word)| format!("{}: found `{word}`, expected no async runtime here", file.place(at)))
        .collect()
}

/// Finds `unbounded_channel` and similar functions by name, and `channel()` without arguments, which is std's unbounded channel. The
/// `channel()` of `oneshot` holds one item.
fn channels(file: &Source) -> Vec<Offence> {
    let unbounded = |at: usize, word: &str| match word {
        "unbounded" | "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => true,
        "channel" if file.code[..at].ends_with("oneshot::") => false,
        "channel" => {
            let call = &file.code[at..file.code[at..].find(')').map_or(at, |n| at + n + 1)];
            call.ends_with("()")
        }
        _ => false,
    };
    let found = words(&file.code).filter(|(at, word)| unbounded(*at, word));
    found
        .map(|(at, word)| {
            format!("{}: found `{word}` without a bound, expected a bounded channel", file.place(at))
        })
        .collect()
}

fn unfinished(file: &Source) -> Vec<Offence> {
    let macros = ["todo", "unimplemented", "dbg"];
    let is_call = |at: usize, word: &str| file.code[at + word.len()..].starts_with('!');
    let found = words(&file.code).filter(|(at, word)| macros.contains(word) && is_call(*at, word));
    found.map(|(at, word)| format!("{}: found `{word}!`, expected finished code", file.place(at))).collect()
}

fn head_and_length(file: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    let head = file.text.lines().next().unwrap_or_default();
    if head.strip_prefix("//!").is_none_or(|said| said.trim().is_empty()) {
        let expected = "expected a `//!` comment that says what the file is";
        offences.push(format!("{}:1: found `{head}`, {expected}", file.path));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        offences.push(format!("{}: found {lines} lines, expected at most {LINES_MAX}", file.path));
    }
    offences
}

/// The number of dependencies in a manifest, and an offence for each that has no comment with its reason.
fn dependencies(manifest: &str) -> (usize, Vec<Offence>) {
    let mut entries = 0;
    let mut offences = Vec::new();
    let mut section = "";
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let is_entry = line.contains('=') && !line.starts_with('#') && section.ends_with("dependencies");
        let own_section = section.contains("dependencies.");
        if !is_entry && !own_section {
            continue;
        }
        entries += 1;
        let reason = line.split_once('#').map(|(_, reason)| reason.trim());
        if own_section || reason.is_none_or(str::is_empty) {
            let expected = "expected one line with its reason, `name = ... # why`";
            offences.push(format!("Cargo.toml:{}: found `{line}`, {expected}", number + 1));
        }
    }
    (entries, offences)
}

/// Checks a rule on every Rust file below `folder`.
fn check(folder: &str, rule: fn(&Source) -> Vec<Offence>) {
    let offences: Vec<Offence> = files_of(folder).iter().flat_map(rule).collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

fn files_of(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    read_folder(&root().join(folder), folder, &mut files);
    assert!(files.len() > 1, "too few files were found in {folder}/, so this test reads it wrongly");
    files
}

fn read_folder(folder: &Path, name: &str, files: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the repository is readable").path();
        let name = format!("{name}/{}", path.file_name().expect("entries have names").to_string_lossy());
        if path.is_dir() {
            read_folder(&path, &name, files);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{name}`: {error}"));
            files.push(Source::new(&name, &text));
        }
    }
}

/// Checks of a rule on invented sources: what it must find, and what it must accept.
mod test {
    use super::{Offence, Source};

    #[track_caller]
    pub(super) fn caught(rule: fn(&Source) -> Vec<Offence>, path: &str, text: &str) {
        assert!(!rule(&Source::new(path, text)).is_empty(), "no offence was found in {path}: {text}");
    }

    #[track_caller]
    pub(super) fn passed(rule: fn(&Source) -> Vec<Offence>, path: &str, text: &str) {
        assert_eq!(rule(&Source::new(path, text)), [""; 0], "an offence was wrongly found in {path}: {text}");
    }
}

mod each_rule_can_fail {
    use super::test::{caught, passed};
    use super::*;

    #[test]
    fn a_word_outside_its_folder_is_found() {
        caught(confined, "src/service/next.rs", "use axum::Json;");
        caught(confined, "src/error.rs", "fn status() -> http::StatusCode { s }");
        caught(confined, "src/cli/serve.rs", "use tower_http::cors;");
        caught(confined, "src/service/next.rs", "use utoipa::ToSchema;");
        caught(confined, "src/catalog/load.rs", "use prost::Message;");
        caught(confined, "src/onnx/tensor.rs", "use tract_onnx::prelude::*;");
        caught(confined, "src/rnn/pack.rs", "unsafe { *p }");
        passed(confined, "src/kernels/avx2.rs", "unsafe { *p }");
        passed(confined, "src/rnn/pack.rs", "#![deny(unsafe_op_in_unsafe_fn)] // unsafe \nf(\"unsafe\")");
        passed(confined, "src/http/next.rs", "use axum::{Json, http::StatusCode};");
        passed(confined, "src/api/next.rs", "use utoipa::ToSchema;");
    }

    #[test]
    fn tokio_in_the_core_is_found() {
        caught(tokio, "src/session/table.rs", "use tokio::sync::Mutex;");
        caught(tokio, "src/lm/fake.rs", "#[cfg(test)] mod tests { #[tokio::test] async fn f() {} }");
        passed(tokio, "src/engine/inbox.rs", "use tokio::sync::mpsc;");
    }

    #[test]
    fn a_channel_without_a_bound_is_found() {
        caught(channels, "src/engine/inbox.rs", "let (to, from) = mpsc::unbounded_channel();");
        caught(channels, "src/engine/inbox.rs", "let (to, from) = mpsc::channel();");
        caught(channels, "src/engine/inbox.rs", "let (to, from) = channel::<Job>();");
        passed(channels, "src/engine/inbox.rs", "let (to, from) = mpsc::channel(config.stream_buffer);");
        passed(channels, "src/engine/outlet.rs", "let (to, from) = oneshot::channel();");
        passed(channels, "src/engine/inbox.rs", "let (to, from) = mpsc::sync_channel::<Job>(8);");
    }

    #[test]
    fn unfinished_code_is_found() {
        caught(unfinished, "src/lm/state.rs", "fn f() { todo!() }");
        caught(unfinished, "src/lm/state.rs", "fn f() { unimplemented!(\"later\") }");
        caught(unfinished, "src/lm/state.rs", "fn f() { g(dbg!(x)) }");
        passed(unfinished, "src/lm/state.rs", "// todo!\nfn todo(dbg: u8) -> bool { dbg != 1 }");
    }

    #[test]
    fn a_file_without_a_head_comment_or_too_long_is_found() {
        caught(head_and_length, "src/lm/state.rs", "use std::fmt;");
        caught(head_and_length, "src/lm/state.rs", "//!\nuse std::fmt;");
        caught(head_and_length, "src/lm/state.rs", "");
        caught(head_and_length, "src/lm/state.rs", &format!("//! Long.\n{}", "\n".repeat(LINES_MAX)));
        passed(head_and_length, "src/lm/state.rs", &format!("//! Fits.\n{}", "\n".repeat(LINES_MAX - 1)));
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let offences = |manifest| dependencies(manifest).1.len();
        assert_eq!(offences("[dependencies]\naxum = \"0.8\""), 1);
        assert_eq!(offences("[dependencies]\naxum = \"0.8\" #"), 1);
        assert_eq!(offences("[dev-dependencies]\na = \"1\" # why\nb = { version = \"1\" }"), 1);
        assert_eq!(offences("[target.'cfg(unix)'.dependencies]\na = \"1\""), 1);
        assert_eq!(offences("[dependencies.axum]\nversion = \"0.8\" # HTTP"), 1);
        assert_eq!(offences("[dependencies]\n# all of them\na = \"1\" # why\n[lints]\nb = 1"), 0);
    }
}

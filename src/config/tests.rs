//! Every option is documented, the sources take precedence in order, and wrong values are refused.

use std::time::Duration;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn message(args: &[&str]) -> String {
    let error = Config::from_args(args).expect_err("the arguments should have been refused");
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(!error.message.contains('\n'), "the message has more than one line: {}", error.message);
    error.message
}

#[test]
fn every_option_has_a_variable_a_help_text_and_a_documented_default() {
    let table = markdown_table();
    for option in options() {
        let long = option.get_long().unwrap();
        let variable = format!("RNNLM_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(option.get_env().unwrap().to_str().unwrap(), variable);
        let help = option.get_help().unwrap_or_else(|| panic!("--{long} has no help")).to_string();
        let takes_value = option.get_action().takes_values();
        assert!(
            !takes_value
                || !option.get_default_values().is_empty()
                || help.contains("by default")
                || long == "config",
            "--{long} has no default value, and its help text names none"
        );
        assert!(table.contains(&format!("| `--{long}")), "--{long} is missing from the table");
    }
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    let config = Config::default();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.sessions.session_ttl, Duration::from_secs(3600));
    assert_eq!(config.limits.max_tokens, 4096);
    assert!(config.http.max_body <= Bytes(16 << 20), "less only on a machine of little memory");
    assert_eq!(config.http.request_timeout, Duration::from_secs(60));
    assert_eq!(config.http.shutdown_grace, Duration::from_secs(25));
    assert_eq!(config.engine.max_batch, 256);
    assert_eq!(config.load.max_weights, Bytes(8 << 30));
    assert_eq!(config.load.onnx_probe_timeout, Duration::from_secs(30));
    assert_eq!(config.sessions.evict, Evict::Lru);
    assert!(config.http.enable.is_empty());
    assert_eq!(config.observing.slow_request, Duration::from_secs(10));
    assert_eq!(config.observing.otlp_endpoint, None);
    assert_eq!((config.observing.otlp_ratio, config.observing.otlp_queue_max), (1.0, 2048));
    assert!(!config.strict && config.http.cors_origins.is_empty() && config.default_model.is_none());
}

#[test]
fn the_command_line_overrides_the_file_and_the_file_overrides_the_default() {
    let file = file(
        "max-batch = 8\nsession-ttl = '5m'\nsessions-max-bytes = '64MiB'\nstrict = true\nlog = 'json'\n\
         cors-origins = ['https://a.example', 'http://b.example:3000']\n",
    );
    let path = file.path().to_str().unwrap();
    let config = Config::from_args(&["--config", path, "--max-batch", "4"]).unwrap();
    assert_eq!(config.engine.max_batch, 4);
    assert_eq!(config.sessions.session_ttl, Duration::from_secs(300));
    assert_eq!(config.sessions.sessions_max_bytes, Bytes(64 << 20));
    assert!(config.strict);
    assert_eq!(config.log, LogFormat::Json);
    assert_eq!(config.http.cors_origins, ["https://a.example", "http://b.example:3000"]);
    assert_eq!(config.limits.max_tokens, 4096);
}

#[test]
fn a_wrong_value_is_refused_with_the_option_what_was_found_and_what_is_expected() {
    for (args, parts) in [
        (["--max-batch", "0"], ["--max-batch", "0", "1.."]),
        (["--session-ttl", "60"], ["--session-ttl", "60", "expected a duration"]),
        (["--max-body", "much"], ["--max-body", "much", "expected a number of bytes"]),
        (["--evict", "all"], ["--evict", "all", "lru"]),
        (["--listen", "8080"], ["--listen", "8080", "invalid"]),
        (["--max-header", "1KiB"], ["--max-header", "1KiB", "8KiB"]),
        (["--cors-origins", "example.org"], ["--cors-origins", "example.org", "expected `*`"]),
        (["--enable", "aac,mail"], ["--enable", "mail", "aac"]),
        (["--memory-max", "1MiB"], ["--memory-max", "1MiB", "at least 64MiB"]),
        (["--sessions-max-bytes", "8000GiB"], ["--sessions-max-bytes", "8000GiB", "--memory-max"]),
        (["--max-prompt-tokens", "0"], ["--max-prompt-tokens", "0", "expected `auto` or a number"]),
        (["--max-text", "1GiB"], ["--max-text", "1GiB", "--max-body"]),
        (["--max-answer", "1GiB"], ["--max-answer", "1GiB", "--answers-max-bytes"]),
        (["--queue-bytes-max", "1KiB"], ["--queue-bytes-max", "1KiB", "--max-prompt-tokens"]),
        (["--turn-steps", "0.5"], ["--turn-steps", "0.5", "expected a number from 1"]),
        (["--slow-request", "10"], ["--slow-request", "10", "expected a duration"]),
        (
            ["--otlp-endpoint", "collector:4318"],
            ["--otlp-endpoint", "collector:4318", "`http://127.0.0.1:4318`"],
        ),
        (["--otlp-ratio", "2"], ["--otlp-ratio", "2", "expected a number from 0 to 1"]),
        (["--otlp-service-name", " "], ["--otlp-service-name", "", "expected a name"]),
        (["--otlp-queue-max", "0"], ["--otlp-queue-max", "0", "1.."]),
        (["--turn-steps", "NaN"], ["--turn-steps", "NaN", "expected a number from 1"]),
        (["--turn-steps", "32"], ["--turn-steps", "32", "--turn-steps-idle"]),
    ] {
        let message = message(&args);
        for part in parts {
            assert!(message.contains(part), "{args:?}: {message}");
        }
    }
}

#[test]
fn what_is_not_built_yet_is_refused_as_unknown() {
    for option in ["--weights", "--session-store"] {
        assert!(message(&[option, "1"]).contains(option));
    }
}

#[test]
fn limits_that_are_not_given_follow_from_the_memory() {
    let large = Config::from_args(&["--memory-max", "8GiB"]).unwrap();
    assert_eq!(large.sessions.sessions_max_bytes, Bytes(2 << 30));
    assert_eq!(large.load.onnx_probe_memory, Bytes(2 << 30));
    assert_eq!((large.http.max_body, large.limits.max_text), (Bytes(16 << 20), Bytes(16 << 20)));
    assert_eq!(large.limits.max_prompt_tokens, 16 << 20);
    assert_eq!((large.limits.max_answer, large.http.answers_max_bytes), (Bytes(16 << 20), Bytes(256 << 20)));
    assert_eq!(large.engine.queue_bytes_max, Bytes(256 << 20));
    let small = Config::from_args(&["--memory-max", "192MiB"]).unwrap();
    assert_eq!(small.sessions.sessions_max_bytes, Bytes(48 << 20));
    assert_eq!(small.load.onnx_probe_memory, Bytes(192 << 20));
    assert_eq!((small.http.max_body, small.limits.max_text), (Bytes(4 << 20), Bytes(4 << 20)));
    assert_eq!(small.limits.max_prompt_tokens, 4 << 20);
    assert_eq!((small.limits.max_answer, small.http.answers_max_bytes), (Bytes(4 << 20), Bytes(24 << 20)));
    assert_eq!(small.engine.queue_bytes_max, Bytes(24 << 20));
    let given = ["--memory-max", "192MiB", "--max-body", "1MiB", "--sessions-max-bytes", "8MiB"];
    let given = Config::from_args(&given).unwrap();
    assert_eq!((given.http.max_body, given.limits.max_text), (Bytes(1 << 20), Bytes(1 << 20)));
    assert_eq!(given.sessions.sessions_max_bytes, Bytes(8 << 20));
}

#[test]
fn what_bounds_a_key_needs_keys() {
    let bounds = [
        ("--key-requests-per-second", "2"),
        ("--key-jobs-max", "2"),
        ("--key-sessions-max", "2"),
        ("--key-sessions-bytes-max", "2MiB"),
    ];
    for (option, value) in bounds {
        let found = message(&[option, value]);
        assert!(found.contains(option) && found.contains("`--api-keys`"), "{found}");
        assert!(Config::from_args(&["--api-keys", "keys", option, value]).is_ok(), "{option}");
    }
    let burst = message(&["--api-keys", "keys", "--key-requests-burst", "2"]);
    assert!(burst.contains("`--key-requests-per-second`"), "{burst}");
    for rate in ["0", "-1", "nan", "inf", "often"] {
        let rate = format!("--key-requests-per-second={rate}");
        assert!(message(&["--api-keys", "keys", &rate]).contains("0.001"), "{rate}");
    }
}

#[test]
fn an_interface_is_enabled_by_its_name() {
    let config = Config::from_args(&["--enable", "aac"]).unwrap();
    assert!(config.http.enables(Interface::Aac));
    assert!(!Config::default().http.enables(Interface::Aac));
}

#[test]
fn a_wrong_file_is_refused_with_its_name_and_the_key_or_line() {
    for (text, part) in [
        ("max-batsh = 1", "unknown key `max-batsh`"),
        ("config = 'other.toml'", "unknown key `config`"),
        ("[http]\nmax-body = 1", "`http` is a table"),
        ("max-batch = 0", "--max-batch"),
        ("strict = 'perhaps'", "--strict"),
        ("max-batch = 1\nmax-batch = 2", "line 2"),
        ("max-batch =", "line 1"),
    ] {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let message = message(&["--config", path]);
        assert!(message.contains(path) && message.contains(part), "{text}: {message}");
    }
    assert!(message(&["--config", "/nowhere.toml"]).contains("/nowhere.toml"));
}

//! The program's options: help, wrong usage, and the precedence of the sources that set them.

use crate::harness::program::{Ended, program};

fn run(args: &[&str], environment: &[(&str, &str)]) -> Ended {
    Ended::run(program().args(args).envs(environment.iter().copied()))
}

/// The exit code and the message on stderr.
fn failed(args: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let ended = run(args, environment);
    assert!(ended.stdout.is_empty(), "{args:?}: errors are not printed on stdout");
    (ended.code.expect("the program exits by itself"), ended.stderr)
}

#[test]
fn help_and_version_are_printed_on_stdout() {
    let version = run(&["--version"], &[]).succeeded();
    assert_eq!(version, concat!("rnnlm-server ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&["serve", "--help"], &[]).succeeded();
    for part in ["--session-ttl", "[env: RNNLM_SESSION_TTL]", "[default: 1h]"] {
        assert!(help.contains(part), "`{part}` is missing from\n{help}");
    }
}

#[test]
fn wrong_usage_exits_with_64_and_one_line() {
    for args in [
        &["--weights", "f64"][..],
        &["serve", "--max-batch", "none"],
        &["sevre"],
        &["next"],
        &["healthcheck", "--url", "ftp://example.org"],
        &["--config", "/nowhere.toml"],
        &["--max-text", "1GiB"],
    ] {
        let (code, message) = failed(args, &[]);
        assert_eq!(code, 64, "{args:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
    }
}

/// `healthcheck` reads the whole configuration and then fails, with exit code 1, to reach an address where no server listens. So
/// an exit code of 1 means that the configuration was accepted.
#[test]
fn the_environment_overrides_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let with_file = ("RNNLM_CONFIG", file.path().to_str().unwrap());
    let here = ("RNNLM_LISTEN", "127.0.0.1:1");
    std::fs::write(file.path(), "max-batch = 'none'\n").unwrap();
    let (code, message) = failed(&["healthcheck"], &[with_file, here]);
    assert_eq!(code, 64, "{message}");
    assert!(message.contains("--max-batch") && message.contains(with_file.1), "{message}");
    let (code, message) = failed(&["healthcheck"], &[with_file, here, ("RNNLM_MAX_BATCH", "8")]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("http://127.0.0.1:1/health"), "{message}");
}

/// A server when it has begun to listen, as the system shows it.
#[cfg(target_os = "linux")]
struct Listening {
    /// On stderr, from its start to its end.
    said: String,
    /// Its limits.
    limits: String,
    /// Its environment.
    environment: String,
}

/// Starts `serve` with the shell command `before` run first, and ends it as soon as it listens.
#[cfg(target_os = "linux")]
fn served(before: &str, environment: &[(&str, &str)]) -> Listening {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let models = tempfile::tempdir().unwrap();
    let folder = crate::harness::models::write_words(models.path());
    let script =
        format!("{before} && exec \"$0\" serve --listen 127.0.0.1:0 --max-connections 500 --models \"$1\"");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script, crate::harness::program::PROGRAM]).arg(&folder);
    shell.env_clear().envs(environment.iter().copied());
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut listening = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut listening).unwrap();
    let shown = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let (limits, environment) = (shown("limits"), shown("environ"));
    child.kill().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(listening.starts_with("listening on"), "{said}");
    Listening { said, limits, environment }
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_open_files_is_raised_or_said_to_be_too_low() {
    let limit = |served: &Listening| {
        let of_files = served.limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        of_files.split_whitespace().nth(3).unwrap().to_owned()
    };
    let soft = served("ulimit -S -n 128", &[]);
    assert!(!soft.said.contains("ulimit"), "{}", soft.said);
    assert_eq!(limit(&soft), "564", "500 connections and 64 other files");
    let hard = served("ulimit -n 128", &[]);
    let said = &hard.said;
    assert!(said.contains("ulimit -n") && said.contains("--max-connections"), "{said}");
    assert!(said.contains("connections") && said.contains("64"), "128 files, 64 of them connections: {said}");
    assert_eq!(limit(&hard), "128");
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_allocator_gives_memory_back_unless_the_environment_says_otherwise() {
    let setting = |environment: &[(&str, &str)]| {
        let shown = served("true", environment).environment;
        let own = shown.split('\0').find_map(|variable| variable.strip_prefix("MALLOC_TRIM_THRESHOLD_="));
        own.map(str::to_owned)
    };
    assert_eq!(setting(&[]).as_deref(), Some("131072"));
    assert_eq!(setting(&[("MALLOC_TRIM_THRESHOLD_", "262144")]).as_deref(), Some("262144"));
    assert_eq!(setting(&[("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")]), None);
}

#[test]
fn the_command_line_overrides_the_environment() {
    let environment = [("RNNLM_HEALTHCHECK_URL", "ftp://example.org")];
    assert_eq!(failed(&["healthcheck"], &environment).0, 64);
    assert_eq!(failed(&["healthcheck", "--url", "http://127.0.0.1:1"], &environment).0, 1);
}

#[test]
fn a_file_of_keys_that_is_wrong_exits_with_64_and_names_the_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "alice:one\nbob one\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (code, message) = failed(&["--listen", "127.0.0.1:0", "--api-keys", path], &[]);
    assert_eq!((code, message.lines().count()), (64, 1), "{message}");
    assert!(message.contains(path) && message.contains("line 2"), "{message}");
    for args in [&["--key-jobs-max", "1"][..], &["--api-keys", path, "--key-requests-burst", "2"]] {
        let (code, message) = failed(args, &[]);
        assert_eq!(code, 64, "{message}");
        assert!(message.contains("is given without"), "{message}");
    }
}

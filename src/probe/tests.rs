//! Children that fail in every way, played by the shell.

use super::*;
use crate::error::ErrorKind;

fn probe(timeout: Duration) -> Probe {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scripted-child");
    Probe { program: program.into(), memory_max: 1 << 30, timeout }
}

/// What `probe` says whose child runs `script`.
fn probed(probe: &Probe, script: &str) -> Result<()> {
    probe.run(&Trial { kind: "graph", path: Path::new("model.onnx"), input: script.as_bytes() })
}

#[track_caller]
fn refused(script: &str) -> String {
    let error = probed(&probe(Duration::from_secs(600)), script).expect_err("the child failed");
    assert_eq!(error.kind, ErrorKind::Load);
    error.message
}

#[test]
fn a_child_that_passes_passes() {
    let script = r#"[ "$*" = "probe --memory-max=1073741824 --cpu-seconds-max=600 graph -- model.onnx" ] && echo '"passed"'"#;
    probed(&probe(Duration::from_secs(600)), script).unwrap();
}

#[test]
fn the_reason_of_the_child_is_the_reason() {
    assert_eq!(refused(r#"echo '{"at":"node `a`"}'; echo '{"refused":"it is odd"}'"#), "it is odd");
}

#[test]
fn a_child_that_ends_early_is_a_refusal_that_says_what_it_did() {
    let message = refused(r#"echo '{"at":"node `a`"}'; echo '{"at":"node `b`"}'; kill -ABRT $$"#);
    assert!(message.contains("signal 6 at node `b`") && message.contains("--onnx-probe-memory"), "{message}");
    let message = refused(r#"echo '{"at":"node `a`"}'; kill -XCPU $$"#);
    assert!(message.contains("10m (`--onnx-probe-timeout`) at node `a`"), "{message}");
    assert!(refused("exit 0").contains("without a result"));
    // What it says before it dies is not believed.
    assert!(refused(r#"echo '"passed"'; kill -SEGV $$"#).contains("signal 11"));
}

#[test]
fn a_child_that_takes_too_long_is_stopped() {
    let error = probed(&probe(Duration::from_millis(100)), "exec sleep 1000").unwrap_err();
    assert!(error.message.contains("100ms (`--onnx-probe-timeout`)"), "{}", error.message);
}

#[test]
fn output_that_is_no_answer_is_skipped() {
    let noise = vec![b'x'; 1 << 20];
    let heard = Heard::of(&*[b"{\"at\":\"a\"}\n", &*noise, b"\n\"passed\"\n"].concat());
    assert_eq!(heard, Heard { at: Some("a".into()), verdict: Some(Said::Passed) });
}

#[test]
fn a_program_that_is_missing_is_no_fault_of_the_file() {
    let probe = Probe { program: "/nowhere/rnnlm-server".into(), ..probe(Duration::from_secs(1)) };
    let error = probed(&probe, "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("/nowhere/rnnlm-server"), "{}", error.message);
}

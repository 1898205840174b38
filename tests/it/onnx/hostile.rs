//! Malicious and truncated files: an error at a bounded cost, and no panic.
//!
//! The cost is what loading allocates, not the time that it takes: bytes are the same on every machine and under any load.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use allocation_counter::{AllocationInfo, measure};
use rnnlm_server::error::ErrorKind;
use rnnlm_server::onnx::{self, Hints};

use super::fixtures::{Case, Outcome, cases, each, kernel};
use crate::harness::onnx_files;

/// At one time, for a file of any content.
const HELD_BYTES_MAX: u64 = 64 << 20;

/// In all, for a file of any content: it bounds the work, since loading allocates whatever it computes.
const ALLOCATED_BYTES_MAX: u64 = 128 << 20;

#[test]
fn a_hostile_file_is_refused_at_a_bounded_cost() {
    each(
        |case| family(case) == "hostile",
        |case| {
            let mut outcome = None;
            bounded(measure(|| outcome = Some(case.load(kernel()))))?;
            match outcome {
                Some(Err(_)) => Ok(()),
                _ => Err("served".into()),
            }
        },
    );
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let cases = cases();
    let served: Vec<_> = cases.iter().filter(|case| case.outcome != Outcome::Refused).collect();
    // A prime, so that the cuts fall everywhere.
    for case in served.iter().step_by(17) {
        let whole = std::fs::read(&case.path).expect("a readable file");
        for len in (0..whole.len()).step_by(37) {
            survives(&whole[..len], &format!("{} cut at {len}", case.name));
        }
    }
}

/// Bytes of good files replaced: what comes of it is served or refused, never a panic.
#[test]
fn a_file_with_random_bytes_in_it_does_no_harm() {
    let cases = cases();
    let mut random = 0x2026_1124_u64;
    let mut draw = |below: usize| {
        // Xorshift (Marsaglia 2003): the same files on every machine.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for case in cases.iter().filter(|case| case.outcome != Outcome::Refused).step_by(7) {
        let whole = std::fs::read(&case.path).expect("a readable file");
        for round in 0..20 {
            let mut spoiled = whole.clone();
            for _ in 0..1 + round {
                let at = draw(spoiled.len());
                spoiled[at] = draw(256) as u8;
            }
            survives(&spoiled, &format!("{} with {} bytes changed, round {round}", case.name, 1 + round));
        }
    }
}

/// A chain of nodes longer than any stack is deep.
#[test]
fn a_long_chain_of_nodes_is_no_deep_recursion() {
    let base = std::fs::read(onnx_files().join("by_hand/lstm-1-layout0-tb.onnx")).expect("a readable file");
    let mut nodes = Vec::new();
    for k in 0..20_000 {
        let from = if k == 0 { "W0".to_owned() } else { format!("chain{k}") };
        let node = [
            field(1, from.as_bytes()),
            field(2, format!("chain{}", k + 1).as_bytes()),
            field(4, b"Identity"),
        ];
        nodes.extend(field(1, &node.concat()));
    }
    let output = [field(1, b"end"), field(2, b"")].concat();
    let last = [field(1, b"chain20000"), field(2, b"end"), field(4, b"Identity")].concat();
    nodes.extend([field(1, &last), field(12, &output)].concat());
    // A graph given twice is one graph with the fields of both.
    let file = [base, field(7, &nodes)].concat();
    survives(&file, "a chain of 20,000 nodes");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, data) = ("lstm-external.onnx", "lstm-external.bin");
    std::fs::copy(onnx_files().join("by_hand").join(model), folder.path().join(model)).expect("a copy");
    std::os::unix::fs::symlink(onnx_files().join("by_hand").join(data), folder.path().join(data))
        .expect("a link");
    let error = onnx::load(&folder.path().join(model), &Hints::default(), kernel()).err();
    assert!(error.is_some_and(|error| error.message.contains(data)), "data outside of the folder was read");
}

/// Loads `bytes`: an error of the right kind or a model, at a bounded cost.
fn survives(bytes: &[u8], what: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("a file");
    let mut outcome = Ok(None);
    let cost = measure(|| outcome = catch_unwind(AssertUnwindSafe(|| load(&path))));
    let outcome = outcome.unwrap_or_else(|_| panic!("{what}: panicked"));
    assert!(outcome.is_none_or(|kind| kind == ErrorKind::Load), "{what}: {outcome:?}");
    bounded(cost).unwrap_or_else(|error| panic!("{what}: {error}"));
}

fn load(path: &Path) -> Option<ErrorKind> {
    onnx::load(path, &Hints::default(), kernel()).err().map(|error| error.kind)
}

fn family(case: &Case) -> &str {
    let folder = case.path.parent().and_then(Path::file_name);
    folder.and_then(|name| name.to_str()).expect("a family's folder")
}

fn bounded(cost: AllocationInfo) -> Result<(), String> {
    let AllocationInfo { bytes_max: held, bytes_total: allocated, .. } = cost;
    if held > HELD_BYTES_MAX {
        return Err(format!("held {held} bytes at one time, expected at most {HELD_BYTES_MAX}"));
    }
    if allocated > ALLOCATED_BYTES_MAX {
        return Err(format!("allocated {allocated} bytes in all, expected at most {ALLOCATED_BYTES_MAX}"));
    }
    Ok(())
}

/// A protobuf field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = content.len();
    while len > 127 {
        bytes.push(len as u8 | 128);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(content);
    bytes
}

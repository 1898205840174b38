//! Malicious and truncated files cause an error at a bounded cost, and no panic.
//!
//! The cost is the number of bytes that loading allocates, not its time, because bytes are the same on every machine and under
//! any load.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use allocation_counter::{AllocationInfo, measure};
use rnnlm_server::error::ErrorKind;
use rnnlm_server::onnx::{self, Hints};

use super::fixtures::{Case, Outcome, cases, each, kernel};
use crate::harness::onnx_files;

/// The maximum that loading holds at one time, for a file with any content.
const HELD_BYTES_MAX: u64 = 64 << 20;

/// The maximum that loading allocates in total, for a file with any content. It bounds the work too, because loading allocates
/// everything that it computes.
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
fn a_truncated_file_causes_no_panic() {
    let cases = cases();
    let served: Vec<_> = cases.iter().filter(|case| case.outcome != Outcome::Refused).collect();
    // The step of the lengths is a prime, so that the cuts fall on all kinds of places.
    for case in served.iter().step_by(17) {
        let whole = std::fs::read(&case.path).expect("a readable file");
        for len in (0..whole.len()).step_by(37) {
            survives(&whole[..len], &format!("{} cut at {len}", case.name));
        }
    }
}

/// A valid file with some of its bytes replaced is served or refused, but never causes a panic.
#[test]
fn a_file_with_random_bytes_causes_no_panic() {
    let cases = cases();
    let mut random = 0x2026_1124_u64;
    let mut draw = |below: usize| {
        // Xorshift (Marsaglia 2003), so that the files are the same on every machine.
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

/// The chain is longer than the deepest recursion that any stack allows.
#[test]
fn a_long_chain_of_nodes_causes_no_deep_recursion() {
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
    // In protobuf, a message that occurs twice is merged, so the graph has the nodes of both.
    let file = [base, field(7, &nodes)].concat();
    survives(&file, "a chain of 20,000 nodes");
}

/// What a node reads within nested graphs is looked at once to find a cycle, however many nodes wait for it.
#[test]
fn a_cycle_is_found_without_looking_at_a_node_twice() {
    let base = std::fs::read(onnx_files().join("by_hand/lstm-1-layout0-tb.onnx")).expect("a readable file");
    let node = |fields: &[Vec<u8>]| field(1, &fields.concat());
    let reader = |from: &str| {
        let mut nested: Vec<u8> = (0..2000).flat_map(|_| node(&[])).collect();
        nested.extend(node(&[field(1, from.as_bytes())]));
        // An attribute of type 5, a graph.
        [field(1, b"body"), vec![160, 1, 5], field(6, &nested)].concat()
    };
    let mut nodes = Vec::new();
    for (from, to) in [("there", "here"), ("here", "there")] {
        nodes.extend(node(&[field(2, to.as_bytes()), field(4, b"If"), field(5, &reader(from))]));
    }
    for k in 0..4000 {
        nodes.extend(node(&[field(1, b"W0"), field(2, format!("n{k}").as_bytes()), field(4, b"Identity")]));
    }
    survives(&[base, field(7, &nodes)].concat(), "a cycle through nested graphs");
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_out_of_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = "lstm-external.onnx";
    let data = "lstm-external.bin";
    std::fs::copy(onnx_files().join("by_hand").join(model), folder.path().join(model)).expect("a copy");
    std::os::unix::fs::symlink(onnx_files().join("by_hand").join(data), folder.path().join(data))
        .expect("a link");
    let error = onnx::load(&folder.path().join(model), &Hints::default(), kernel()).err();
    assert!(error.is_some_and(|error| error.message.contains(data)), "data outside of the folder was read");
}

/// Checks that loading `bytes` gives an error of the right kind or a model, at a bounded cost.
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
        return Err(format!("allocated {allocated} bytes in total, expected at most {ALLOCATED_BYTES_MAX}"));
    }
    Ok(())
}

/// A protobuf field whose content is bytes.
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

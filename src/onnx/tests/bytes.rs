//! Files that nobody wrote: cut short, spoiled, cyclic, or larger than they look.

use std::fs;
use std::path::Path;

use crate::onnx::file::schema as pb;
use proptest::prelude::*;

use super::{EMBEDDING, VOCAB, counted, floats, network};
use crate::onnx::file::{decode, read_graph};
use crate::onnx::graph::Graph;
use crate::onnx::recognise::recognise;

/// All that is done to a file before anything runs.
fn understand(bytes: Vec<u8>) {
    if let Ok(graph) = decode(bytes, Path::new("/nowhere"), u64::MAX) {
        let _ = crate::onnx::allow::check(&graph);
        let _ = recognise(&graph)
            .map(|found| found.logits(None).and_then(|logits| found.network(&logits)).is_ok());
    }
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        understand(bytes);
    }

    #[test]
    fn a_file_cut_short_or_spoiled_does_no_harm(
        cut in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let whole = network("LSTM", &[]).bytes();
        understand(whole[..cut.index(whole.len())].to_vec());
        let mut spoiled = whole;
        for (at, byte) in changes {
            let at = at.index(spoiled.len());
            spoiled[at] = byte;
        }
        understand(spoiled);
    }
}

#[track_caller]
fn refused(outcome: crate::error::Result<Graph>, part: &str) {
    let message = outcome.expect_err("an error").message;
    assert!(message.contains(part), "found `{message}`, expected `{part}` in it");
}

#[test]
fn shapes_are_believed_after_their_bytes() {
    let with = |tensor: pb::TensorProto| {
        let mut model = network("LSTM", &[]);
        model.constant("other", tensor);
        model.read()
    };
    let raw =
        |shape: &[i64]| pb::TensorProto { float_data: vec![], raw_data: vec![0; 8], ..floats(shape, &[]) };
    refused(with(floats(&[1 << 31], &[1.0])), "tensor `other`: found 1 elements, expected 2147483648");
    refused(with(raw(&[1 << 20, 1 << 20])), "tensor `other`");
    refused(with(raw(&[i64::MAX, 4])), "larger than any machine's memory");
    refused(with(raw(&[0, i64::MAX, 4])), "larger than any machine's memory");
    refused(with(raw(&[-1])), "a negative size");
    refused(with(raw(&[1; 17])), "17 dimensions");
    refused(with(pb::TensorProto { data_type: 11, ..raw(&[2]) }), "found 8 bytes, expected 16 for f64 [2]");
    assert!(with(raw(&[2])).is_ok());
}

#[test]
fn decoding_is_counted_before_it_is_done() {
    let mut file = network("LSTM", &[]).bytes();
    // A graph of a million empty nodes, in two megabytes.
    let nodes = [0x0a, 0x00].repeat(1 << 20);
    file.push(0x3a);
    prost::encode_length_delimiter(nodes.len(), &mut file).unwrap();
    file.extend(nodes);
    refused(decode(file, Path::new("/nowhere"), u64::MAX), "bytes of memory");
}

#[test]
fn a_node_has_a_few_inputs_and_outputs_and_a_file_not_too_many() {
    let with = |inputs: usize, outputs: usize| {
        let mut model = network("LSTM", &[]);
        let outputs: Vec<String> = (0..outputs).map(|k| format!("o{k}")).collect();
        model.node("Sum", &format!("{}-> {}", "y ".repeat(inputs), outputs.join(" ")), &[]);
        model.read()
    };
    assert!(with(4096, 4096).is_ok());
    refused(with(4097, 1), "node `o0` has 4097 inputs, expected at most 4096");
    refused(with(1, 4097), "node `o0` has 4097 outputs, expected at most 4096");
    let mut wide = network("LSTM", &[]);
    for k in 0..200 {
        let outputs: Vec<String> = (0..4000).map(|output| format!("{k}.{output}")).collect();
        wide.node("Split", &format!("y -> {}", outputs.join(" ")), &[]);
    }
    refused(wide.read(), "bytes of memory");
}

#[test]
fn names_must_be_written_once_and_before_they_are_read() {
    let mut cycle = network("LSTM", &[]);
    cycle.node("Add", "embedded b -> a", &[]).node("Identity", "a -> b", &[]).node("Identity", "b -> c", &[]);
    let message = cycle.read().unwrap_err().message;
    assert!(message.contains("cycle") && (message.contains("`a`") || message.contains("`b`")), "{message}");
    let mut twice = network("LSTM", &[]);
    refused(twice.node("Identity", "h -> y", &[]).read(), "node `y` writes `y`, which already exists");
    let mut unwritten = network("LSTM", &[]);
    refused(unwritten.node("Identity", "nothing -> z", &[]).read(), "node `z` reads `nothing`");
    let mut missing = network("LSTM", &[]);
    refused(missing.output("z").read(), "nothing writes the output `z`");
    let mut constants = network("LSTM", &[]);
    refused(constants.constant("W", floats(&[], &[0.0])).read(), "two tensors named `W`");
}

#[test]
fn nodes_in_any_order_are_put_in_order() {
    let mut model = network("LSTM", &[]);
    model.graph().node.reverse();
    let ops: Vec<String> = model.read().unwrap().nodes.into_iter().map(|node| node.op).collect();
    assert_eq!(ops, ["Gather", "LSTM", "Squeeze", "MatMul"]);
    assert!(model.lowered().is_ok());
}

/// The network with its embedding in a file of that name, from byte 4 on.
fn external(location: &str, length: usize) -> Vec<u8> {
    let mut model = network("LSTM", &[]);
    let encoder = &mut model.graph().initializer[0];
    encoder.float_data.clear();
    encoder.data_location = 1;
    let entry = |key: &str, value: String| pb::StringStringEntryProto { key: key.into(), value };
    encoder.external_data = vec![
        entry("location", location.into()),
        entry("offset", "4".into()),
        entry("length", length.to_string()),
    ];
    model.bytes()
}

#[test]
fn external_data_stays_in_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    let expected = counted(&[VOCAB, EMBEDDING], 0).float_data;
    let bytes: Vec<u8> = [9.0].iter().chain(&expected).flat_map(|value: &f32| value.to_le_bytes()).collect();
    fs::write(folder.join("data.bin"), &bytes).unwrap();
    fs::write(place.path().join("outside.bin"), &bytes).unwrap();
    let path = folder.join("model.onnx");
    let read = |location: &str, length: usize| {
        fs::write(&path, external(location, length)).unwrap();
        read_graph(&path, 1000)
    };
    let len = expected.len() * 4;
    let graph = read("./data.bin", len).unwrap();
    assert_eq!(graph.constants["encoder"].as_floats().unwrap(), expected);
    let absolute = place.path().join("outside.bin");
    for location in ["../outside.bin", absolute.to_str().unwrap(), "", "a/../../outside.bin"] {
        refused(read(location, len), "outside the model's folder");
    }
    refused(read("data.bin", len + 4), "expected 84");
    refused(read("missing.bin", len), "`missing.bin`");
    fs::write(folder.join("data.bin"), &bytes[..len]).unwrap();
    refused(read("data.bin", len), "found 84 bytes, expected 84 from byte 4 on");
    // A sparse file takes no disk, and all memory.
    fs::File::create(folder.join("sparse.bin")).unwrap().set_len(1 << 40).unwrap();
    refused(read("sparse.bin", len), "it has 1099511627776 bytes; the maximum is 1000 (`--max-weights`)");
    fs::create_dir(folder.join("folder")).unwrap();
    refused(read("folder", len), "not a regular file");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../outside.bin", folder.join("link")).unwrap();
        refused(read("link", len), "outside the model's folder");
    }
}

#[test]
fn external_data_is_not_multiplied() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("data.bin"), [0u8; 400]).unwrap();
    let mut model = network("LSTM", &[]);
    let location = pb::StringStringEntryProto { key: "location".into(), value: "data.bin".into() };
    let all = pb::TensorProto { data_location: 1, external_data: vec![location], ..floats(&[100], &[]) };
    let path = place.path().join("model.onnx");
    for (copy, is_read) in [("one", true), ("two", true), ("three", false)] {
        model.constant(copy, all.clone());
        fs::write(&path, model.bytes()).unwrap();
        assert_eq!(read_graph(&path, 400).is_ok(), is_read, "{copy}");
    }
}

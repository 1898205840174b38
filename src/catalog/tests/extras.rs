//! Projections, learned states and normalisations of safetensors files, and what is said about wrong ones.

use super::super::{Served, load_folder};
use super::*;
use crate::kernels::Kernel;
use crate::rnn::{NormForm, Scaled, Statistics};

/// The folder with a projection of 1 value, and each kind of norm.
fn extended() -> Folder {
    let mut folder = Folder::new();
    *folder.key("/initial_tokens") = json!([]);
    *folder.key("/architecture/proj_size") = json!(1);
    *folder.key("/architecture/norms") = json!(["batch", "layer"]);
    *folder.tensor("rnn.weight_hh_l0") = Tensor::f32("rnn.weight_hh_l0", &[8, 1]);
    *folder.tensor("decoder.weight") = Tensor::f32("decoder.weight", &[4, 1]);
    let named: [(&str, &[usize]); 9] = [
        ("rnn.weight_hr_l0", &[1, 2]),
        ("rnn.h0_l0", &[1]),
        ("rnn.c0_l0", &[2]),
        ("norm.0.weight", &[3]),
        ("norm.0.bias", &[3]),
        ("norm.0.running_mean", &[3]),
        ("norm.0.running_var", &[3]),
        ("norm.1.weight", &[1]),
        ("norm.1.bias", &[1]),
    ];
    folder.tensors.extend(named.map(|(name, shape)| Tensor::f32(name, shape)));
    set(&mut folder, "norm.0.running_var", &[0.5, 1.0, 2.0]);
    folder.tensors.push(Tensor {
        name: "norm.0.num_batches_tracked".into(),
        dtype: Dtype::I64,
        shape: Vec::new(),
        data: vec![7, 0, 0, 0, 0, 0, 0, 0],
    });
    folder
}

fn set(folder: &mut Folder, name: &str, values: &[f32]) {
    folder.tensor(name).data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
}

fn load(folder: &Folder) -> crate::error::Result<Served> {
    let place = temporary();
    let path = place.path().join("sea");
    folder.write(&path);
    load_folder(&path, Kernel::Portable)
}

#[test]
fn a_session_starts_from_the_learned_state() {
    let mut folder = extended();
    set(&mut folder, "rnn.h0_l0", &[0.25]);
    set(&mut folder, "rnn.c0_l0", &[-0.5, 2.0]);
    let served = load(&folder).unwrap();
    assert_eq!(served.start.as_slice(), [0.25, -0.5, 2.0]);
    assert_eq!(served.model.info().state_len, 3);
    folder.tensors.retain(|tensor| tensor.name != "rnn.h0_l0");
    let without_h0 = load(&folder).unwrap();
    assert_eq!(without_h0.start.as_slice(), [0.0, -0.5, 2.0]);
    assert_ne!(served.identity, without_h0.identity);
}

#[test]
fn norms_read_their_tensors_under_the_names_of_pytorch() {
    let folder = extended();
    let manifest = super::super::Manifest::parse(folder.manifest.to_string().as_bytes()).unwrap();
    let super::super::NetworkSpec::Declared(network) = manifest.network else { panic!("a safetensors file") };
    let weights = super::super::read_weights(&file_of(&folder.tensors), &network).unwrap();
    let numbers = || vec![-0.03, -0.02, -0.01];
    let scaled = Scaled { scale: numbers(), shift: numbers() };
    let statistics = Statistics { mean: numbers(), variance: vec![0.5, 1.0, 2.0], epsilon: 1e-5 };
    assert_eq!(weights.layers[0].norms, [crate::rnn::Norm::of_statistics(scaled, &statistics)]);
    assert_eq!(weights.output_norms[0].form, NormForm::OfVector { epsilon: 1e-5 });
    assert_eq!(weights.output_norms[0].scale, [-0.03]);
}

#[test]
fn the_identity_tells_norms_and_their_epsilon_apart() {
    let identity = |key: &str, value: Value| {
        let mut folder = extended();
        // With these, the tensors are those of both.
        folder.tensors.retain(|tensor| !tensor.name.starts_with("norm.0"));
        *folder.key("/architecture/norms") = json!(["none", "layer"]);
        *folder.key(key) = value;
        load(&folder).unwrap().identity
    };
    let default = identity("/architecture/norm_epsilon", json!(1e-5));
    assert_ne!(default, identity("/architecture/norm_epsilon", json!(1e-3)));
    assert_eq!(default, identity("/architecture/norms", json!(["none", "layer"])));
}

#[test]
fn wrong_keys_and_tensors_are_named_with_what_was_found_and_expected() {
    type Change = fn(&mut Folder);
    let table: [(Change, &str); 12] = [
        (
            |folder| *folder.key("/architecture/cell") = json!("gru"),
            "`config.json`: `architecture.proj_size` was found with the cell `gru`; only `lstm` has it",
        ),
        (
            |folder| *folder.key("/architecture/proj_size") = json!(3),
            "`config.json`: `architecture.proj_size` is 3, expected at most 2, the smallest of `hidden_sizes`",
        ),
        (
            |folder| *folder.key("/architecture/tie_weights") = json!(true),
            "`config.json`: `architecture.tie_weights` is true and `embedding_size` is 3, expected 1, `proj_size`",
        ),
        (
            |folder| *folder.key("/architecture/norms") = json!(["layer"]),
            "`config.json`: `architecture.norms` has 1 entries, expected 2: one for each of `hidden_sizes`, and one for the output layer",
        ),
        (
            |folder| *folder.key("/architecture/norms") = json!(["batch", "group"]),
            "`config.json`: `architecture.norms[1]`: unknown variant `group`, expected one of `none`, `layer`, `batch`",
        ),
        (
            |folder| *folder.key("/architecture/norm_epsilon") = json!(0.0),
            "`config.json`: `architecture.norm_epsilon` is 0, expected a number above 0, at most 1",
        ),
        (
            |folder| {
                *folder.key("/architecture/norms") = Value::Null;
                *folder.key("/architecture/norm_epsilon") = json!(0.1);
            },
            "`config.json`: `architecture.norm_epsilon` was found without `architecture.norms`",
        ),
        (
            |folder| folder.tensors.retain(|tensor| tensor.name != "rnn.weight_hr_l0"),
            "`model.safetensors`: tensor `rnn.weight_hr_l0` is missing, expected one of shape [1, 2]",
        ),
        (
            |folder| folder.tensors.retain(|tensor| tensor.name != "norm.0.running_mean"),
            "`model.safetensors`: tensor `norm.0.running_mean` is missing, expected one of shape [3]",
        ),
        (
            |folder| set(folder, "norm.0.running_var", &[1.0, -1.0, 1.0]),
            "`model.safetensors`: tensor `norm.0.running_var` has -1, expected numbers of at least 0",
        ),
        (
            |folder| *folder.tensor("rnn.c0_l0") = Tensor::f32("rnn.c0_l0", &[1]),
            "`model.safetensors`: tensor `rnn.c0_l0` has the shape [1], expected [2]",
        ),
        (
            |folder| *folder.key("/architecture/norms") = json!(["none", "layer"]),
            "`model.safetensors`: tensor `norm.0.bias` was found, but `architecture` has no such tensor",
        ),
    ];
    for (change, expected) in table {
        let mut folder = extended();
        change(&mut folder);
        let message = load(&folder).err().expect("a folder that is wrong").message;
        assert!(message.starts_with(expected), "{message}, expected {expected}");
    }
}

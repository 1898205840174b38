//! Wrong, damaged and lying weights, each with what is said about it; and the exact widening of the shorter types.

use half::{bf16, f16};
use proptest::prelude::*;

use super::super::{DeclaredNetwork, Norms, load_folder, read_weights};
use super::*;
use crate::error::Error;
use crate::kernels::Kernel;
use crate::lm::{Cell, Dtype as Stored};
use crate::rnn::{Architecture, GateActivation, GruForm, Values};

fn refusal(change: impl FnOnce(&mut Folder)) -> String {
    let mut folder = Folder::new();
    change(&mut folder);
    let place = temporary();
    folder.write(place.path());
    load_folder(place.path(), Kernel::Portable).err().expect("a folder that is wrong").message
}

/// A file of the header `header` and `len` bytes after it.
fn lying(header: &str, len: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; len]].concat()
}

fn refused_file(file: Vec<u8>) -> String {
    refusal(|folder| folder.weights = Some(file))
}

#[test]
fn wrong_shapes_types_and_names_are_named_with_what_was_found_and_expected() {
    type Change = fn(&mut Folder);
    let table: [(Change, &str); 7] = [
        (
            |folder| folder.tensors.retain(|tensor| tensor.name != "decoder.weight"),
            "`model.safetensors`: tensor `decoder.weight` is missing, expected one of shape [4, 2]",
        ),
        (
            |folder| *folder.tensor("encoder.weight") = Tensor::f32("encoder.weight", &[5, 3]),
            "`model.safetensors`: tensor `encoder.weight` has the shape [5, 3], expected [4, 3]",
        ),
        (
            |folder| folder.tensor("rnn.weight_hh_l0").shape = vec![2, 8],
            "`model.safetensors`: tensor `rnn.weight_hh_l0` has the shape [2, 8], expected [8, 2]",
        ),
        (
            |folder| folder.tensor("decoder.bias").dtype = Dtype::I32,
            "`model.safetensors`: tensor `decoder.bias` is of type I32, expected F32, F16 or BF16",
        ),
        (
            |folder| folder.tensors.push(Tensor::f32("rnn.weight_ih_l1", &[8, 2])),
            "`model.safetensors`: tensor `rnn.weight_ih_l1` was found, but `architecture` has no such tensor",
        ),
        (
            |folder| *folder.key("/architecture/cell") = json!("gru"),
            "`model.safetensors`: tensor `rnn.weight_ih_l0` has the shape [8, 3], expected [6, 3]",
        ),
        (
            |folder| {
                *folder.key("/architecture/embedding_size") = json!(2);
                *folder.key("/architecture/tie_weights") = json!(true);
                *folder.tensor("encoder.weight") = Tensor::f32("encoder.weight", &[4, 2]);
                *folder.tensor("rnn.weight_ih_l0") = Tensor::f32("rnn.weight_ih_l0", &[8, 2]);
            },
            "`model.safetensors`: tensor `decoder.weight` was found, but `architecture.tie_weights` is true",
        ),
    ];
    for (change, expected) in table {
        assert_eq!(refusal(change), expected);
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for (name, value) in [
        ("decoder.bias", f32::NAN),
        ("decoder.bias", f32::INFINITY),
        ("decoder.weight", f32::NEG_INFINITY),
        ("rnn.bias_ih_l0", f32::NEG_INFINITY),
    ] {
        let message = refusal(|folder| folder.tensor(name).data[8..12].copy_from_slice(&value.to_le_bytes()));
        let expected = format!("`model.safetensors`: `{name}`: found {value} at ");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn damaged_and_lying_files_are_refused() {
    let whole = file_of(&Folder::new().tensors);
    let len = whole.len();
    let expected = "`model.safetensors`: not a safetensors file: ";
    let info = |dtype: &str, shape: &str, start: usize, end: usize| {
        format!(r#"{{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{start}, {end}]}}"#)
    };
    let one = |info: String| format!(r#"{{"encoder.weight": {info}}}"#);
    let table = [
        (Vec::new(), "found 0 bytes, expected at least the 8 of the header's length".to_owned()),
        (whole[..5].into(), "found 5 bytes, expected at least the 8 of the header's length".to_owned()),
        (whole[..100].into(), format!("the header claims {} bytes, the file has 100", header_len(&whole))),
        (u64::MAX.to_le_bytes().into(), format!("the header claims {} bytes, the file has 8", u64::MAX)),
        (
            whole[..len - 1].into(),
            format!("the tensors of the header do not end where the file of {} bytes does", len - 1),
        ),
        (
            [&whole[..], b"x"].concat(),
            format!("the tensors of the header do not end where the file of {} bytes does", len + 1),
        ),
        (lying("{", 0), "invalid JSON in header: ".into()),
        (lying("\u{1}", 0), "invalid JSON in header: ".into()),
        (
            lying(&one(info("F32", "[2, 3]", 0, 20)), 20),
            "tensor `encoder.weight` has 20 bytes, expected 24 for F32 [2, 3]".into(),
        ),
        (
            lying(&one(info("F16", "[2, 3]", 0, 24)), 24),
            "tensor `encoder.weight` has 24 bytes, expected 12 for F16 [2, 3]".into(),
        ),
        (lying(&one(info("F32", "[4294967296, 4294967296]", 0, 24)), 24), "overflow computing".into()),
        (
            lying(&one(info("F32", "[1]", 4, 8)), 8),
            "tensor `encoder.weight` does not begin where the one before it ends".into(),
        ),
        (
            lying(&one(info("F32", "[1]", 8, 4)), 8),
            "tensor `encoder.weight` does not begin where the one before it ends".into(),
        ),
        (
            lying(
                &format!(r#"{{"a": {}, "b": {}}}"#, info("F32", "[2]", 0, 8), info("F32", "[2]", 4, 12)),
                12,
            ),
            "tensor `b` does not begin where the one before it ends".into(),
        ),
    ];
    for (file, why) in table {
        let message = refused_file(file);
        assert!(message.starts_with(&format!("{expected}{why}")), "{message}; expected {why}");
    }
}

fn header_len(file: &[u8]) -> u64 {
    u64::from_le_bytes(*file.first_chunk().unwrap())
}

/// An Elman network whose embedding is as wide as `values`, in `dtype`; everything else zero.
fn embedding(values: &[u16], dtype: Dtype) -> Result<Values, Error> {
    let zeros = |name: &str, shape: &[usize]| Tensor {
        name: name.into(),
        dtype,
        shape: shape.to_owned(),
        data: vec![0; 2 * shape.iter().product::<usize>()],
    };
    let width = values.len();
    let hidden = 1;
    let mut tensors = vec![
        zeros("encoder.weight", &[1, width]),
        zeros("rnn.weight_ih_l0", &[hidden, width]),
        zeros("rnn.weight_hh_l0", &[hidden, hidden]),
        zeros("decoder.weight", &[1, hidden]),
    ];
    tensors[0].data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let architecture = Architecture {
        cell: Cell::RnnTanh,
        vocab_size: 1,
        embedding_size: width,
        hidden_sizes: vec![hidden],
        gru_form: GruForm::default(),
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    let network = DeclaredNetwork { architecture, tie_weights: false, norms: Norms::none(1) };
    read_weights(&file_of(&tensors), &network).map(|weights| weights.embedding)
}

#[test]
fn every_half_and_bfloat_is_widened_exactly() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let halves = embedding(&all, Dtype::F16).unwrap();
    assert_eq!(halves.dtype(), Stored::F16);
    let bfloats = embedding(&all, Dtype::BF16).unwrap();
    assert_eq!(bfloats.dtype(), Stored::Bf16);
    for ((&bits, half), bfloat) in all.iter().zip(halves.widened()).zip(bfloats.widened()) {
        if f16::from_bits(bits).is_finite() {
            assert_eq!(
                f16::from_f32(half).to_bits(),
                bits,
                "{half}: the way back is exact only if the way there was"
            );
            assert_eq!(f64::from(half), value_of_half(bits));
        }
        if bf16::from_bits(bits).is_finite() {
            assert_eq!(bfloat.to_bits(), u32::from(bits) << 16);
        }
    }
}

/// IEEE 754 binary16, by its definition.
fn value_of_half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 31);
    let fraction = f64::from(bits & 1023);
    sign * match exponent {
        0 => fraction * libm::ldexp(1.0, -24),
        _ => (1.0 + fraction / 1024.0) * libm::ldexp(1.0, exponent - 15),
    }
}

#[test]
fn tensors_of_several_types_count_as_the_widest() {
    let mut folder = Folder::new();
    let bias = folder.tensor("decoder.bias");
    (bias.dtype, bias.data) = (Dtype::BF16, vec![0; 8]);
    let place = temporary();
    folder.write(place.path());
    let served = load_folder(place.path(), Kernel::Portable).unwrap();
    assert_eq!(served.model.info().weights_dtype, Stored::F32);
}

fn small_lstm() -> DeclaredNetwork {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 4,
        embedding_size: 3,
        hidden_sizes: vec![2],
        gru_form: GruForm::default(),
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    DeclaredNetwork { architecture, tie_weights: false, norms: Norms::none(1) }
}

proptest! {
    #[test]
    fn no_bytes_panic(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..16), len in 0usize..16) {
        let folder = Folder::new();
        let mut file = file_of(&folder.tensors);
        let at = at.index(file.len());
        file.splice(at..(at + len).min(file.len()), with);
        let _ = read_weights(&file, &small_lstm());
    }

    #[test]
    fn no_header_panics(header in r#"(?:[{}\[\],:"0-9]|"dtype"|"F32"|"I4"|"shape"|"data_offsets"|\PC){0,30}"#, len in 0usize..64) {
        prop_assert!(read_weights(&lying(&header, len), &small_lstm()).is_err());
    }
}

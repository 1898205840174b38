//! `model.safetensors`: the tensors of an architecture under the names of PyTorch's `word_language_model`, widened to `f32`.
//!
//! The file is trusted in nothing: names, types and shapes are checked here, the numbers themselves by [`Rnn::new`](crate::rnn::Rnn::new).

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype as Stored, SafeTensorError, SafeTensors};

use super::manifest::OutputWeights;
use crate::error::{Error, Result};
use crate::lm::Dtype;
use crate::rnn::{Architecture, LayerWeights, Weights};

/// The weights of `architecture` in a safetensors `file`, and the type they are stored in: `f32` where tensors differ in theirs.
///
/// # Errors
/// `Load` naming the tensor at fault, what was found and what was expected.
pub fn read_weights(
    file: &[u8],
    architecture: &Architecture,
    output: OutputWeights,
) -> Result<(Weights, Dtype)> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| unreadable(file, error))?;
    let mut reader = Reader { tensors, read: BTreeMap::new() };
    let weights = reader.weights(architecture, output)?;
    let stored = reader.finish(output)?;
    Ok((weights, stored))
}

/// Takes tensors out of a file by their names and the shapes they must have.
struct Reader<'f> {
    tensors: SafeTensors<'f>,
    /// The types of those that were read, by name.
    read: BTreeMap<String, Dtype>,
}

impl Reader<'_> {
    fn weights(&mut self, architecture: &Architecture, output: OutputWeights) -> Result<Weights> {
        let &Architecture { cell, vocab_size, embedding_size, ref hidden_sizes, .. } = architecture;
        let embedding = self.required("encoder.weight", &[vocab_size, embedding_size])?;
        let mut layers = Vec::new();
        let mut input = embedding_size;
        for (k, &hidden) in hidden_sizes.iter().enumerate() {
            let gates = cell.gates() * hidden;
            layers.push(LayerWeights {
                w_ih: self.required(&format!("rnn.weight_ih_l{k}"), &[gates, input])?,
                w_hh: self.required(&format!("rnn.weight_hh_l{k}"), &[gates, hidden])?,
                b_ih: self.optional(&format!("rnn.bias_ih_l{k}"), &[gates])?,
                b_hh: self.optional(&format!("rnn.bias_hh_l{k}"), &[gates])?,
            });
            input = hidden;
        }
        let output = match output {
            OutputWeights::Tied => None,
            OutputWeights::Own => Some(self.required("decoder.weight", &[vocab_size, input])?),
        };
        let output_bias = self.optional("decoder.bias", &[vocab_size])?;
        Ok(Weights { embedding, layers, output, output_bias })
    }

    fn required(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing =
            || Error::load(format!("tensor `{name}` is missing, expected it with the shape {shape:?}"));
        self.optional(name, shape)?.ok_or_else(missing)
    }

    fn optional(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let Ok(tensor) = self.tensors.tensor(name) else { return Ok(None) };
        if tensor.shape() != shape {
            let found = tensor.shape();
            return Err(Error::load(format!("tensor `{name}` has the shape {found:?}, expected {shape:?}")));
        }
        let (dtype, values) = match tensor.dtype() {
            Stored::F32 => (Dtype::F32, widen(tensor.data(), f32::from_le_bytes)),
            Stored::F16 => (Dtype::F16, widen(tensor.data(), |bytes| f16::from_le_bytes(bytes).to_f32())),
            Stored::BF16 => (Dtype::Bf16, widen(tensor.data(), |bytes| bf16::from_le_bytes(bytes).to_f32())),
            found => {
                let message = format!("tensor `{name}` is of type {found}, expected F32, F16 or BF16");
                return Err(Error::load(message));
            }
        };
        self.read.insert(name.to_owned(), dtype);
        Ok(Some(values))
    }

    /// The type of all tensors, once none is left that the architecture does not have.
    fn finish(self, output: OutputWeights) -> Result<Dtype> {
        let mut left: Vec<&str> = self.tensors.names();
        left.retain(|&name| !self.read.contains_key(name));
        left.sort_unstable();
        if let Some(name) = left.first() {
            let why = match *name {
                "decoder.weight" if output == OutputWeights::Tied => "`architecture.tie_weights` is true",
                _ => "`architecture` has no such tensor",
            };
            return Err(Error::load(format!("tensor `{name}` is there, but {why}")));
        }
        let mut types = self.read.into_values();
        let first = types.next().unwrap_or(Dtype::F32);
        Ok(if types.all(|dtype| dtype == first) { first } else { Dtype::F32 })
    }
}

fn widen<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, rest) = data.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "the reader has checked length against type");
    values.iter().map(|&bytes| value(bytes)).collect()
}

/// Why `file` is no safetensors file, in numbers where the crate gives none.
pub(super) fn unreadable(file: &[u8], error: SafeTensorError) -> Error {
    let found = file.len();
    let header = file.first_chunk::<8>().map(|&bytes| u64::from_le_bytes(bytes));
    let why = match (error, header) {
        (SafeTensorError::HeaderTooSmall, _) | (_, None) => {
            format!("found {found} bytes, expected at least the 8 of the header's length")
        }
        (SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength, Some(len)) => {
            format!("the header claims {len} bytes, the file has {found}")
        }
        (SafeTensorError::MetadataIncompleteBuffer, _) => {
            format!("the tensors of the header do not end where the file of {found} bytes does")
        }
        (SafeTensorError::InvalidOffset(name), _) => {
            format!("tensor `{name}` does not begin where the one before it ends")
        }
        (SafeTensorError::TensorInvalidInfo, _) => match wrong_length(file) {
            Some(why) => why,
            None => "a tensor's length is not that of its type and shape".into(),
        },
        (error, _) => error.to_string(),
    };
    Error::load(format!("not a safetensors file: {why}"))
}

/// The first tensor of the header whose bytes are not as many as its type and shape need.
fn wrong_length(file: &[u8]) -> Option<String> {
    let (&len, rest) = file.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(len)).ok()?)?;
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    header.remove("__metadata__");
    header.into_iter().find_map(|(name, info)| {
        let TensorInfo { dtype, shape, data_offsets: (start, end) } = serde_json::from_value(info).ok()?;
        let values = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
        let expected = values.checked_mul(dtype.bitsize())? / 8;
        let found = end.checked_sub(start)?;
        let why = format!("tensor `{name}` has {found} bytes, expected {expected} for {dtype} {shape:?}");
        (found != expected).then_some(why)
    })
}

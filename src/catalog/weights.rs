//! `model.safetensors`: the tensors of an architecture, under the names of PyTorch's `word_language_model`, as stored.
//!
//! Nothing in the file is trusted: names, types and shapes are checked here, the numbers by [`Rnn::new`](crate::rnn::Rnn::new).

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::manifest::{DeclaredNetwork, NormKind};
use crate::error::{Error, Result};
use crate::foreign::kind_of;
use crate::lm::Cell;
use crate::rnn::{Architecture, LayerWeights, Norm, NormForm, Scaled, Statistics, Values, Weights};

/// Reads the weights of `network` from a safetensors `file`.
///
/// # Errors
/// `Load` naming the tensor at fault, what was found and what was expected.
pub fn read_weights(file: &[u8], network: &DeclaredNetwork) -> Result<Weights> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| unreadable(file, error))?;
    let mut reader = Reader { tensors, read: BTreeSet::new() };
    let weights = reader.weights(network)?;
    reader.finish(network)?;
    Ok(weights)
}

/// Takes tensors out of a file by their names and the shapes they must have.
struct Reader<'f> {
    tensors: SafeTensors<'f>,
    /// The names of those that were read.
    read: BTreeSet<String>,
}

impl Reader<'_> {
    fn weights(&mut self, network: &DeclaredNetwork) -> Result<Weights> {
        let architecture = &network.architecture;
        let &Architecture { cell, vocab_size, embedding_size, ref hidden_sizes, .. } = architecture;
        let embedding = self.required("encoder.weight", &[vocab_size, embedding_size])?;
        let mut layers = Vec::new();
        let mut input = embedding_size;
        for (k, &hidden) in hidden_sizes.iter().enumerate() {
            let gates = cell.gates() * hidden;
            let width = architecture.width(hidden);
            layers.push(LayerWeights {
                w_ih: self.required(&format!("rnn.weight_ih_l{k}"), &[gates, input])?,
                w_hh: self.required(&format!("rnn.weight_hh_l{k}"), &[gates, width])?,
                b_ih: self.optional(&format!("rnn.bias_ih_l{k}"), &[gates])?,
                b_hh: self.optional(&format!("rnn.bias_hh_l{k}"), &[gates])?,
                w_hr: match architecture.proj_size {
                    Some(_) => Some(self.required(&format!("rnn.weight_hr_l{k}"), &[width, hidden])?),
                    None => None,
                },
                h0: self.optional(&format!("rnn.h0_l{k}"), &[width])?,
                c0: match cell {
                    Cell::Lstm => self.optional(&format!("rnn.c0_l{k}"), &[hidden])?,
                    Cell::RnnTanh | Cell::RnnRelu | Cell::RnnSigmoid | Cell::Gru => None,
                },
                norms: self.norms(network, k, input)?,
            });
            input = width;
        }
        let output_norms = self.norms(network, hidden_sizes.len(), input)?;
        let output = match network.tie_weights {
            true => None,
            false => Some(self.required("decoder.weight", &[vocab_size, input])?),
        };
        let output_bias = self.optional("decoder.bias", &[vocab_size])?;
        Ok(Weights { embedding, layers, output, output_bias, output_norms })
    }

    /// What stands before layer `k`, or before the output layer, whose input is `width` wide.
    fn norms(&mut self, network: &DeclaredNetwork, k: usize, width: usize) -> Result<Vec<Norm>> {
        let kind = network.norms.kinds[k];
        if kind == NormKind::None {
            return Ok(Vec::new());
        }
        let mut part = |part: &str| self.optional(&format!("norm.{k}.{part}"), &[width]);
        let scale = part("weight")?.map_or_else(|| vec![1.0; width], Values::widened);
        let shift = part("bias")?.map_or_else(|| vec![0.0; width], Values::widened);
        let epsilon = network.norms.epsilon;
        if kind == NormKind::Layer {
            return Ok(vec![Norm { form: NormForm::OfVector { epsilon }, scale, shift }]);
        }
        let mean = self.required(&format!("norm.{k}.running_mean"), &[width])?.widened();
        let name = format!("norm.{k}.running_var");
        let variance = self.required(&name, &[width])?.widened();
        if let Some(value) = variance.iter().find(|&&value| value.is_nan() || value < 0.0) {
            return Err(Error::load(format!("tensor `{name}` has {value}, expected numbers of at least 0")));
        }
        // PyTorch counts the batches of the training, which nothing depends on.
        self.read.insert(format!("norm.{k}.num_batches_tracked"));
        Ok(vec![Norm::of_statistics(Scaled { scale, shift }, &Statistics { mean, variance, epsilon })])
    }

    fn required(&mut self, name: &str, shape: &[usize]) -> Result<Values> {
        let missing = || Error::load(format!("tensor `{name}` is missing, expected one of shape {shape:?}"));
        self.optional(name, shape)?.ok_or_else(missing)
    }

    fn optional(&mut self, name: &str, shape: &[usize]) -> Result<Option<Values>> {
        let Ok(tensor) = self.tensors.tensor(name) else { return Ok(None) };
        if tensor.shape() != shape {
            let found = tensor.shape();
            return Err(Error::load(format!("tensor `{name}` has the shape {found:?}, expected {shape:?}")));
        }
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F32 => Values::F32(each(data, f32::from_le_bytes)),
            Dtype::F16 => Values::F16(each(data, f16::from_le_bytes)),
            Dtype::BF16 => Values::Bf16(each(data, bf16::from_le_bytes)),
            found => {
                let message = format!("tensor `{name}` is of type {found}, expected F32, F16 or BF16");
                return Err(Error::load(message));
            }
        };
        self.read.insert(name.to_owned());
        Ok(Some(values))
    }

    /// Refuses a tensor that is left over: one that the network does not have.
    fn finish(self, network: &DeclaredNetwork) -> Result<()> {
        let names = self.tensors.names().into_iter();
        let Some(name) = names.filter(|&name| !self.read.contains(name)).min() else { return Ok(()) };
        let why = match name {
            "decoder.weight" if network.tie_weights => "`architecture.tie_weights` is true",
            _ => "`architecture` has no such tensor",
        };
        Err(Error::load(format!("tensor `{name}` was found, but {why}")))
    }
}

fn each<const N: usize, T>(data: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
    let (values, rest) = data.as_chunks::<N>();
    assert!(
        rest.is_empty(),
        "a tensor whose length does not fit its type gets past the safetensors crate: a bug"
    );
    values.iter().map(|&bytes| value(bytes)).collect()
}

/// Why `file` is not a safetensors file, with the numbers that the crate leaves out.
pub(super) fn unreadable(file: &[u8], error: SafeTensorError) -> Error {
    if let Some(kind) = kind_of(file).filter(|_| !file.is_empty()) {
        return Error::load(format!("not a safetensors file: {kind}"));
    }
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
            None => "a tensor's length does not follow from its type and shape".into(),
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

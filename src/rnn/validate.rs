//! The checks between the numbers of a file and the engine, which trusts what it is given.

use super::architecture::{Architecture, LayerWeights, Weights};
use super::feed_forward::{FeedForwardArchitecture, FeedForwardWeights};
use super::norm::{Norm, NormForm};
use super::values::Values;
use crate::error::{Error, Result};
use crate::kernels::DEPTH_MAX;
use crate::lm::Cell;

/// Checks that every tensor has the length that follows from `architecture`, and holds finite numbers only. The output layer's bias may
/// be negative infinity for tokens that never come.
pub(super) fn validate(architecture: &Architecture, weights: &Weights) -> Result<()> {
    validate_sizes(architecture)?;
    let &Architecture { vocab_size, embedding_size, ref hidden_sizes, .. } = architecture;
    if weights.layers.len() != hidden_sizes.len() {
        let found = weights.layers.len();
        let expected = hidden_sizes.len();
        return Err(Error::load(format!("found weights of {found} recurrent layers, expected {expected}")));
    }

    Tensor { name: "encoder.weight", shape: [vocab_size, embedding_size] }.check(&weights.embedding)?;
    let mut input = embedding_size;
    for (k, (layer, &hidden)) in weights.layers.iter().zip(hidden_sizes).enumerate() {
        let shape =
            LayerShape { k, cell: architecture.cell, input, hidden, width: architecture.width(hidden) };
        shape.check(layer, architecture.proj_size)?;
        check_norms(k, &layer.norms, input)?;
        input = shape.width;
    }
    check_norms(hidden_sizes.len(), &weights.output_norms, input)?;
    match &weights.output {
        Some(values) => Tensor { name: "decoder.weight", shape: [vocab_size, input] }.check(values)?,
        None if embedding_size != input => {
            return Err(Error::load(format!(
                "`encoder.weight` is tied to the output layer and {embedding_size} wide, expected {input}, the size of the last hidden layer"
            )));
        }
        None => {}
    }
    check_output_bias(weights.output_bias.as_ref(), vocab_size)
}

/// The same for a feed-forward network.
pub(super) fn validate_feed_forward(
    architecture: &FeedForwardArchitecture,
    weights: &FeedForwardWeights,
) -> Result<()> {
    let &FeedForwardArchitecture { vocab_size, embedding_size, window, ref hidden_sizes, .. } = architecture;
    let named = [("vocab_size", &vocab_size), ("embedding_size", &embedding_size), ("window", &window.len)];
    check_sizes(named.into_iter().chain(hidden_sizes.iter().map(|size| ("hidden_sizes", size))))?;
    if weights.hidden.len() != hidden_sizes.len() {
        let found = weights.hidden.len();
        let expected = hidden_sizes.len();
        return Err(Error::load(format!("found weights of {found} hidden layers, expected {expected}")));
    }
    Tensor { name: "encoder.weight", shape: [vocab_size, embedding_size] }.check(&weights.embedding)?;
    let mut input = architecture.input_size();
    for (k, (layer, &size)) in weights.hidden.iter().zip(hidden_sizes).enumerate() {
        Tensor { name: &format!("hidden.{k}.weight"), shape: [size, input] }.check(&layer.weights)?;
        let bias = layer.bias.as_ref();
        Tensor { name: &format!("hidden.{k}.bias"), shape: [size, 1] }.check_optional(bias)?;
        input = size;
    }
    let decoder = weights.output.as_ref().unwrap_or(&weights.embedding);
    Tensor { name: "decoder.weight", shape: [vocab_size, input] }.check(decoder)?;
    check_output_bias(weights.output_bias.as_ref(), vocab_size)
}

/// Checks the bias of the output layer, where negative infinity rules a token out, but not every token.
fn check_output_bias(bias: Option<&Values>, vocab_size: usize) -> Result<()> {
    let Some(bias) = bias else { return Ok(()) };
    let tensor = Tensor { name: "decoder.bias", shape: [vocab_size, 1] };
    tensor.check_len(bias)?;
    let is_ruled_out = |&index: &usize| bias.get(index) == f32::NEG_INFINITY;
    let mut possible = (0..vocab_size).filter(|index| !is_ruled_out(index)).peekable();
    if possible.peek().is_none() {
        return Err(Error::load(
            "`decoder.bias`: every value is -inf, expected a finite number for one token at least",
        ));
    }
    possible.find(|&index| !bias.get(index).is_finite()).map_or(Ok(()), |index| tensor.refuse(bias, index))
}

/// Checks that no size is zero, nor so large that the product of any two overflows.
fn validate_sizes(architecture: &Architecture) -> Result<()> {
    let Architecture { vocab_size, embedding_size, hidden_sizes, .. } = architecture;
    if hidden_sizes.is_empty() {
        return Err(Error::load("`hidden_sizes`: found no layer, expected at least one"));
    }
    let named = [("vocab_size", vocab_size), ("embedding_size", embedding_size)];
    let hidden = hidden_sizes.iter().map(|size| ("hidden_sizes", size));
    check_sizes(named.into_iter().chain(hidden))?;
    let Some(size) = architecture.proj_size else { return Ok(()) };
    let cell = architecture.cell;
    if cell != Cell::Lstm {
        let found = cell.name();
        return Err(Error::load(format!(
            "`proj_size` was found with the cell `{found}`; only `lstm` has it"
        )));
    }
    match hidden_sizes.iter().find(|&&hidden| !(1..=hidden).contains(&size)) {
        Some(hidden) => Err(Error::load(format!(
            "`proj_size`: found {size}, expected 1 to {hidden}, the units of a layer"
        ))),
        None => Ok(()),
    }
}

fn check_sizes<'a>(mut sizes: impl Iterator<Item = (&'a str, &'a usize)>) -> Result<()> {
    const SIZE_MAX: usize = 1 << 28;

    match sizes.find(|&(_, size)| !(1..=SIZE_MAX).contains(size)) {
        Some((name, size)) => Err(Error::load(format!("`{name}`: found {size}, expected 1 to {SIZE_MAX}"))),
        None => Ok(()),
    }
}

/// Checks that no product is so deep that its integer sums overflow.
pub(super) fn validate_depths(architecture: &Architecture) -> Result<()> {
    let Architecture { embedding_size, hidden_sizes, .. } = architecture;
    check_depths([embedding_size].into_iter().chain(hidden_sizes))
}

/// Checks that no vector has more values than integer sums allow.
pub(super) fn check_depths<'a>(mut sizes: impl Iterator<Item = &'a usize>) -> Result<()> {
    match sizes.find(|&&size| size > DEPTH_MAX) {
        Some(size) => Err(Error::load(format!(
            "found a vector of {size} values, expected at most {DEPTH_MAX} with int8 weights"
        ))),
        None => Ok(()),
    }
}

/// The sizes of recurrent layer `k`.
struct LayerShape {
    k: usize,
    cell: Cell,
    input: usize,
    hidden: usize,
    /// Of its h.
    width: usize,
}

impl LayerShape {
    fn check(&self, layer: &LayerWeights, proj_size: Option<usize>) -> Result<()> {
        let &Self { k, cell, input, hidden, width } = self;
        let gates = cell.gates() * hidden;
        Tensor { name: &format!("rnn.weight_ih_l{k}"), shape: [gates, input] }.check(&layer.w_ih)?;
        Tensor { name: &format!("rnn.weight_hh_l{k}"), shape: [gates, width] }.check(&layer.w_hh)?;
        for (part, bias) in [("bias_ih", &layer.b_ih), ("bias_hh", &layer.b_hh)] {
            Tensor { name: &format!("rnn.{part}_l{k}"), shape: [gates, 1] }.check_optional(bias.as_ref())?;
        }
        let name = format!("rnn.weight_hr_l{k}");
        match (&layer.w_hr, proj_size) {
            (Some(w_hr), Some(_)) => Tensor { name: &name, shape: [width, hidden] }.check(w_hr)?,
            (None, None) => {}
            (Some(_), None) => return Err(Error::load(format!("`{name}` was found without a `proj_size`"))),
            (None, Some(size)) => {
                let expected = format!("expected {size} x {hidden}");
                return Err(Error::load(format!("`{name}` is missing with `proj_size`, {expected}")));
            }
        }
        let c_width = if cell == Cell::Lstm { hidden } else { 0 };
        Tensor { name: &format!("rnn.h0_l{k}"), shape: [width, 1] }.check_optional(layer.h0.as_ref())?;
        Tensor { name: &format!("rnn.c0_l{k}"), shape: [c_width, 1] }.check_optional(layer.c0.as_ref())
    }
}

/// Checks what stands before layer `k`, the output layer being the one after the last: that it is as wide as the vectors there, and
/// finite.
fn check_norms(k: usize, norms: &[Norm], width: usize) -> Result<()> {
    for norm in norms {
        for (part, values) in [("weight", &norm.scale), ("bias", &norm.shift)] {
            let name = format!("norm.{k}.{part}");
            if values.len() != width {
                let found = values.len();
                return Err(Error::load(format!("`{name}`: found {found} values, expected {width}")));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::load(format!("`{name}`: found {value}, expected finite numbers")));
            }
        }
        match norm.form {
            NormForm::OfVector { epsilon } if !(0.0..f32::INFINITY).contains(&epsilon) => {
                return Err(Error::load(format!(
                    "the epsilon of `norm.{k}` is {epsilon}, expected a finite number of at least 0"
                )));
            }
            NormForm::OfVector { .. } | NormForm::Constants => {}
        }
    }
    Ok(())
}

/// A tensor as it should be; `shape` ends in 1 for a vector.
struct Tensor<'a> {
    name: &'a str,
    shape: [usize; 2],
}

impl Tensor<'_> {
    fn check(&self, values: &Values) -> Result<()> {
        self.check_len(values)?;
        values.first_not_finite().map_or(Ok(()), |index| self.refuse(values, index))
    }

    fn check_len(&self, values: &Values) -> Result<()> {
        let name = self.name;
        let [rows, columns] = self.shape;
        if values.len() != rows * columns {
            let found = values.len();
            return Err(Error::load(format!("`{name}`: found {found} values, expected {rows} x {columns}")));
        }
        match values.scaled_rows().filter(|&scales| scales != rows) {
            Some(scales) => Err(Error::load(format!("`{name}`: found {scales} scales, expected {rows}"))),
            None => Ok(()),
        }
    }

    /// Refuses the value at `index`.
    fn refuse(&self, values: &Values, index: usize) -> Result<()> {
        let name = self.name;
        let [_, columns] = self.shape;
        let value = values.get(index);
        let row = index / columns;
        let column = index % columns;
        Err(Error::load(format!("`{name}`: found {value} at [{row}, {column}], expected a finite number")))
    }

    fn check_optional(&self, values: Option<&Values>) -> Result<()> {
        values.map_or(Ok(()), |values| self.check(values))
    }
}

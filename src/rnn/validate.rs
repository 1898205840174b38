//! The checks between a file's numbers and the engine, which trusts what it is given.

use super::architecture::{Architecture, Weights};
use crate::error::{Error, Result};

/// Checks that every tensor has the length that follows from `architecture`, and holds finite numbers only.
pub(super) fn validate(architecture: &Architecture, weights: &Weights) -> Result<()> {
    validate_sizes(architecture)?;
    let &Architecture { cell, vocab_size, embedding_size, ref hidden_sizes, .. } = architecture;
    if weights.layers.len() != hidden_sizes.len() {
        let (found, expected) = (weights.layers.len(), hidden_sizes.len());
        return Err(Error::load(format!("found weights of {found} recurrent layers, expected {expected}")));
    }

    Tensor { name: "encoder.weight", shape: [vocab_size, embedding_size] }.check(&weights.embedding)?;
    let mut input = embedding_size;
    for (k, (layer, &hidden)) in weights.layers.iter().zip(hidden_sizes).enumerate() {
        let gates = cell.gates() * hidden;
        let check = |part: &str, width, values: &[f32]| {
            Tensor { name: &format!("rnn.{part}_l{k}"), shape: [gates, width] }.check(values)
        };
        check("weight_ih", input, &layer.w_ih)?;
        check("weight_hh", hidden, &layer.w_hh)?;
        layer.b_ih.as_ref().map_or(Ok(()), |values| check("bias_ih", 1, values))?;
        layer.b_hh.as_ref().map_or(Ok(()), |values| check("bias_hh", 1, values))?;
        input = hidden;
    }
    match &weights.output {
        Some(values) => Tensor { name: "decoder.weight", shape: [vocab_size, input] }.check(values)?,
        None if embedding_size != input => {
            return Err(Error::load(format!(
                "`encoder.weight` is tied to the output layer and {embedding_size} wide, expected {input}, the size of the last hidden layer"
            )));
        }
        None => {}
    }
    let bias = Tensor { name: "decoder.bias", shape: [vocab_size, 1] };
    weights.output_bias.as_ref().map_or(Ok(()), |values| bias.check(values))
}

/// No size is zero, nor so large that the product of any two overflows.
fn validate_sizes(architecture: &Architecture) -> Result<()> {
    const SIZE_MAX: usize = 1 << 28;

    let Architecture { vocab_size, embedding_size, hidden_sizes, .. } = architecture;
    if hidden_sizes.is_empty() {
        return Err(Error::load("`hidden_sizes`: found no layer, expected one at least"));
    }
    let named = [("vocab_size", vocab_size), ("embedding_size", embedding_size)];
    let hidden = hidden_sizes.iter().map(|size| ("hidden_sizes", size));
    match named.into_iter().chain(hidden).find(|&(_, size)| !(1..=SIZE_MAX).contains(size)) {
        Some((name, size)) => Err(Error::load(format!("`{name}`: found {size}, expected 1 to {SIZE_MAX}"))),
        None => Ok(()),
    }
}

/// A tensor as it should be; `shape` ends in 1 for a vector.
struct Tensor<'a> {
    name: &'a str,
    shape: [usize; 2],
}

impl Tensor<'_> {
    fn check(&self, values: &[f32]) -> Result<()> {
        let (name, [rows, columns]) = (self.name, self.shape);
        if values.len() != rows * columns {
            let found = values.len();
            return Err(Error::load(format!("`{name}`: found {found} values, expected {rows} x {columns}")));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                let (row, column, value) = (index / columns, index % columns, values[index]);
                Err(Error::load(format!(
                    "`{name}`: found {value} at [{row}, {column}], expected a finite number"
                )))
            }
            None => Ok(()),
        }
    }
}

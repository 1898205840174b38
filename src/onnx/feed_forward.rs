//! A feed-forward network of a graph, as the engine's: how it reads its tokens, and its weights.

use std::sync::Arc;

use super::finite::check_finite;
use super::fold::Why;
use super::graph::Graph;
use super::hints::WindowHint;
use super::lower::same_bits;
use super::recognise::{Dense, DenseLayer, Found};
use super::stored::Stored;
use super::{Examined, GraphFeedForward, GraphHidden, Hints, Reads, Understanding};
use crate::error::{Error, Result};
use crate::lm::{LoadOptions, Model, TokenId, Window};
use crate::rnn::{
    DenseWeights, FeedForward, FeedForwardArchitecture, FeedForwardWeights, Values, WindowInput,
};

/// What a feed-forward network was found in, and how it is to be loaded.
pub(super) struct Given<'a> {
    pub(super) found: &'a Found<'a>,
    pub(super) graph: &'a Graph,
    pub(super) hints: &'a Hints,
    pub(super) options: LoadOptions,
}

/// The network as a model; `understanding` gets how it reads its tokens.
pub(super) fn examine(dense: &Dense, given: &Given<'_>, mut understanding: Understanding) -> Examined {
    let &Given { found, graph, hints, options } = given;
    let len = found.check_hints(hints).and_then(|()| len(dense, hints));
    let window = len.clone().and_then(|len| Ok(Window { len, pad: pad(len, hints, dense.table.shape[0])? }));
    let len = len.ok();
    understanding.inputs = found.inputs(len);
    understanding.outputs = found.dense_outputs_used();
    understanding.interface = len.map(Hints::windowed);
    understanding.reads = window.as_ref().ok().map(|window| Reads::Window(window.len));
    understanding.feed_forward = described(dense, len);
    let mut stored = Stored::default();
    let weights = weights(dense, &mut stored);
    understanding.quantised = stored.quantised;
    let model = window.and_then(|window| {
        let model = FeedForward::new(&architecture(dense, window), weights?, options);
        // The engine has names of its own for the weights.
        let model = model.map_err(|error| check_finite(graph).err().unwrap_or(error));
        Ok(Arc::new(model?) as Arc<dyn Model>)
    });
    Examined { model, understanding }
}

/// The number of ids that `dense` reads, by the graph and by the manifest.
///
/// # Errors
/// `Load` where they contradict each other, or leave it open.
fn len(dense: &Dense, hints: &Hints) -> Result<usize> {
    let fixed = match &dense.window {
        None => Some(1),
        Some(window) => window.len,
    };
    let len = match (fixed, hints.window) {
        (Some(fixed), None) => fixed,
        (None, Some(WindowHint::Len(len))) => len,
        (Some(fixed), Some(WindowHint::Len(len))) if len == fixed => len,
        (Some(fixed), Some(WindowHint::Len(len))) => {
            return Err(Error::load(format!(
                "`onnx.window` is {len}, but the graph reads {fixed} token ids at once"
            )));
        }
        (_, Some(WindowHint::Unlimited)) => {
            return Err(Error::load(
                "`onnx.window` is \"none\", but the graph has no recurrent layer: it reads a window of token ids",
            ));
        }
        (None, None) => {
            return Err(Error::load(
                "the graph reads any number of token ids at once: `onnx.window` in the manifest says how many",
            ));
        }
    };
    if !(1..=Window::LEN_MAX).contains(&len) {
        return Err(Error::load(format!("`onnx.window` is {len}, expected 1 to {}", Window::LEN_MAX)));
    }
    Ok(len)
}

/// What stands in a window of `len` ids before the first token.
fn pad(len: usize, hints: &Hints, vocab_size: usize) -> Result<TokenId> {
    // A window of one id is full after the first token, and before it there is nothing to predict from.
    match hints.pad.or((len == 1).then_some(0)) {
        None => Err(Error::load(format!(
            "the graph reads the last {len} token ids: `onnx.pad` in the manifest names the entry that stands before the first"
        ))),
        Some(pad) if pad as usize >= vocab_size => {
            Err(Error::load(format!("`onnx.pad` is the id {pad}, expected one below {vocab_size}")))
        }
        Some(pad) => Ok(pad),
    }
}

/// What `inspect` says of a network that reads `window` ids; `None` without an output layer.
fn described(dense: &Dense, window: Option<usize>) -> Option<GraphFeedForward> {
    let &[vocab_size, embedding_size] = dense.table.shape.as_slice() else { return None };
    let (output, hidden) = dense.layers.split_last()?;
    let hidden = hidden.iter();
    Some(GraphFeedForward {
        vocab_size,
        embedding_size,
        window,
        input: input(dense),
        hidden: hidden
            .map(|layer| GraphHidden { size: layer.weights.shape[0], activation: layer.activation })
            .collect(),
        tie_weights: is_tied(dense, output),
    })
}

/// What the first layer reads.
fn input(dense: &Dense) -> WindowInput {
    dense.window.as_ref().map_or(WindowInput::Concatenated, |window| window.input)
}

/// Whether the weights of `output` are the embedding: those that are the same numbers twice were tied before they were exported.
fn is_tied(dense: &Dense, output: &DenseLayer) -> bool {
    let (Some(table), Some(weights)) = (dense.table.as_floats(), output.weights.as_floats()) else {
        return false;
    };
    output.weights.shape == dense.table.shape && same_bits(weights, table)
}

/// The weights as the engine has them.
///
/// # Errors
/// `Load` for what has none.
fn weights(dense: &Dense, stored: &mut Stored) -> Result<FeedForwardWeights> {
    let refused = |why: Why| Error::load(why);
    let (&[vocab_size, _], Some(_)) = (dense.table.shape.as_slice(), dense.table.as_floats()) else {
        return Err(refused("its embedding is no table of floats".into()));
    };
    let Some((last, hidden)) = dense.layers.split_last() else {
        return Err(refused("it has no output layer".into()));
    };
    if last.weights.shape[0] != vocab_size {
        let found = last.weights.shape[0];
        return Err(refused(format!("its embedding has {vocab_size} tokens, and its output {found}")));
    }
    let embedding = stored.matrix("encoder.weight".into(), &dense.table, &[0]);
    let hidden = hidden.iter().enumerate().map(|(k, layer)| DenseWeights {
        weights: stored.matrix(format!("hidden.{k}.weight"), &layer.weights, &[0]),
        bias: layer.bias.clone().map(Values::from),
        activation: layer.activation,
    });
    let hidden = hidden.collect();
    let is_tied = is_tied(dense, last);
    let output = (!is_tied).then(|| stored.matrix("decoder.weight".into(), &last.weights, &[0]));
    Ok(FeedForwardWeights { embedding, hidden, output, output_bias: last.bias.clone().map(Values::from) })
}

/// The sizes of the network that reads `window`. Its last layer is the output layer.
fn architecture(dense: &Dense, window: Window) -> FeedForwardArchitecture {
    let hidden = dense.layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
    FeedForwardArchitecture {
        vocab_size: dense.table.shape[0],
        embedding_size: dense.table.shape[1],
        window,
        input: input(dense),
        hidden_sizes: hidden.iter().map(|layer| layer.weights.shape[0]).collect(),
    }
}

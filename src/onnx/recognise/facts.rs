//! What the pass knows of any graph, also of one that is not a known network: how its token ids come in.

use super::Found;
use super::axes::Along;
use crate::error::{Error, Result};
use crate::onnx::graph::Dim;
use crate::onnx::names::is_batch;

/// How the token ids of a graph come in, as far as the pass knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::onnx) struct Facts {
    /// The input that has them.
    pub(in crate::onnx) tokens: Option<usize>,
    /// The dimension of that input that its layers recur along.
    pub(in crate::onnx) time_axis: Option<usize>,
    /// What they are looked up in.
    pub(in crate::onnx) tables: Vec<Table>,
}

/// An embedding, or one-hot vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::onnx) struct Table {
    /// The node that looks ids up.
    pub(in crate::onnx) node: String,
    /// How many ids it has something for.
    pub(in crate::onnx) entries: usize,
}

impl Facts {
    /// Checks that every table has an entry for each of the `vocab_size` tokens that the output `logits` scores, and no other.
    ///
    /// # Errors
    /// `Load` naming the node that looks ids up in another number of entries.
    pub(in crate::onnx) fn check_sizes(&self, vocab_size: usize, logits: &str) -> Result<()> {
        match self.tables.iter().find(|table| table.entries != vocab_size) {
            None => Ok(()),
            Some(Table { node, entries }) => Err(Error::load(format!(
                "node `{node}` looks token ids up in a table of {entries}, and the output `{logits}` has {vocab_size} values; expected one size for the embedding, the output and the vocabulary"
            ))),
        }
    }
}

impl Found<'_> {
    /// The warning that layers recur along the dimension whose name says sequences: `[batch, seq]` was given to layers that read `[T, B]`.
    pub(in crate::onnx) fn turned_warning(&self) -> Option<String> {
        let Some(Some(Along::Input { input, axis })) = self.time else { return None };
        let port = &self.graph.inputs[input];
        let Dim::Symbol(along) = port.shape.as_ref()?.get(axis)? else { return None };
        let is_named_time = |dim: &Dim| matches!(dim, Dim::Symbol(name) if !is_batch(name));
        let other = port.shape.iter().flatten().find(|dim| is_named_time(dim))?;
        is_batch(along).then(|| {
            format!(
                "the layers of `{port}` read along `{along}`, which by its name counts sequences, and not along `{other}`: the module was most likely given `[batch, time]` without `batch_first=True`, and then each position depends on other sequences and not on the tokens before it"
            )
        })
    }

    /// What is known of the token ids. That an input has one-hot vectors is only settled with the rest of a network.
    pub(in crate::onnx) fn facts(&self) -> Facts {
        let tokens = self.tokens.filter(|_| self.one_hot.is_none());
        let time_axis = match self.time {
            Some(Some(Along::Input { input, axis })) if tokens == Some(input) => Some(axis),
            _ => None,
        };
        Facts { tokens, time_axis, tables: self.tables.clone() }
    }
}

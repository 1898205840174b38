//! Which input of a graph that is run as it is takes the token ids.

use super::GLUE;
use super::named::{Named, listed};
use crate::error::{Error, Result};
use crate::onnx::Candidate;
use crate::onnx::graph::Graph;

/// The input that takes ids: the one named, or that a table of vectors is looked up with, or the only one it could be.
///
/// # Errors
/// `Load` when no input is surely the one, or another is than the manifest names.
pub(super) fn tokens(candidate: &Candidate<'_>) -> Result<usize> {
    let Candidate { graph, hints, ref facts, .. } = *candidate;
    if let Some(name) = &hints.tokens {
        let named = Named { key: "onnx.tokens", name }.input(graph)?;
        return match facts.tokens.filter(|&tokens| tokens != named) {
            None => Ok(named),
            Some(tokens) => Err(Error::load(format!(
                "`onnx.tokens` is `{name}`, but the token ids come in by `{}`",
                graph.inputs[tokens].name
            ))),
        };
    }
    if let Some(tokens) = facts.tokens {
        return Ok(tokens);
    }
    let all = || 0..graph.inputs.len();
    let only = |found: Vec<usize>| match found[..] {
        [one] => Some(one),
        _ => None,
    };
    let is_integer = |index: &usize| {
        let element = graph.inputs[*index].element;
        !element.is_float() && element.bytes().is_some()
    };
    let looked_up: Vec<usize> =
        all().filter(|&index| is_looked_up(graph, &graph.inputs[index].name)).collect();
    let found = only(looked_up.clone())
        .or_else(|| only(looked_up.into_iter().filter(is_integer).collect()))
        .or_else(|| only(all().filter(is_integer).collect()))
        .or_else(|| only(all().collect()));
    found.ok_or_else(|| {
        Error::load(format!(
            "no input is surely the token ids, found {}; `onnx.tokens` in the manifest names it",
            listed(&graph.inputs)
        ))
    })
}

/// Whether the values of `name` end up as indices of a table.
fn is_looked_up(graph: &Graph, name: &str) -> bool {
    let mut carried = vec![name];
    for node in &graph.nodes {
        let takes = |index: usize| node.input(index).is_some_and(|input| carried.contains(&input));
        match node.op.as_str() {
            "Gather" if takes(1) => return true,
            "OneHot" if takes(0) => return true,
            // A column of the ids is still ids.
            "Gather" if takes(0) => carried.extend(node.outputs.first().map(String::as_str)),
            op if (GLUE.contains(&op) || matches!(op, "Clip" | "Expand" | "Concat" | "Split"))
                && takes(0) =>
            {
                carried.extend(node.outputs.iter().map(String::as_str));
            }
            _ => {}
        }
    }
    false
}

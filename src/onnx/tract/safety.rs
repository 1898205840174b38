//! Nodes that tract must not run: those that it would compute wrongly, not twice alike, or with more memory than any language model
//! needs.

use std::collections::BTreeSet;

use super::sizes::ELEMENTS_MAX;
use crate::error::{Error, Result};
use crate::onnx::allow::{Activation, Recurrent, has_usual_gates};
use crate::onnx::graph::{Graph, Node};

/// Bounds what tract has to go over again and again: unrolled networks have a few thousand nodes.
const NODES_MAX: usize = 20_000;

/// Refuses a graph with a node that tract must not run; `operators` are those that tract has.
///
/// # Errors
/// `Load` naming the node.
pub(super) fn check_safe(graph: &Graph, operators: &BTreeSet<String>) -> Result<()> {
    fn check(graph: &Graph, operators: &BTreeSet<String>, node: &Node) -> Result<()> {
        let Node { name, op, domain, .. } = node;
        // tract goes by names only, and would take an operator of another set for the standard one.
        if !node.is_standard() || !operators.contains(op) {
            let op = if node.is_standard() { op.clone() } else { format!("{domain}.{op}") };
            return Err(Error::load(format!(
                "node `{name}` is of the operator `{op}`, which tract does not implement"
            )));
        }
        check_node(graph, node)?;
        node.nested().try_for_each(|node| check(graph, operators, node))
    }
    let found = graph.nodes.len();
    if found > NODES_MAX {
        return Err(Error::load(format!("found {found} nodes, expected at most {NODES_MAX}")));
    }
    graph.nodes.iter().try_for_each(|node| check(graph, operators, node))
}

fn check_node(graph: &Graph, node: &Node) -> Result<()> {
    let Node { name, op, .. } = node;
    let declared = node.int("hidden_size").ok().flatten();
    let hidden = || graph.constants.get(node.input(2)?)?.shape.last().copied();
    if let (Some(declared), true) = (declared, Recurrent::of(node).is_some())
        && let Some(hidden) = hidden().filter(|&hidden| i64::try_from(hidden) != Ok(declared))
    {
        return Err(Error::load(format!(
            "node `{name}` ({op}) has `hidden_size` {declared}, and an `R` for {hidden} units"
        )));
    }
    match op.as_str() {
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Multinomial"
        | "Bernoulli" => Err(Error::load(format!(
            "node `{name}` ({op}) draws random numbers; expected a graph that gives the same result every time"
        ))),
        "RNN" if Activation::of(node) != Some(Activation::Tanh) => Err(Error::load(format!(
            "node `{name}` (RNN) has an activation other than Tanh, which tract ignores; only a graph that is a known network may have it"
        ))),
        "GRU" | "LSTM" if !has_usual_gates(node) => Err(Error::load(format!(
            "node `{name}` ({op}) has gates other than Sigmoid, which tract ignores; only a graph that is a known network may have them"
        ))),
        "ConstantOfShape" | "Expand" | "Tile" | "Range" => {
            let shape = node.inputs.iter().filter_map(|input| graph.constants.get(input)?.as_ints());
            let mut sizes = shape.flatten().map(|&size| usize::try_from(size).unwrap_or(1));
            let size = sizes.try_fold(1usize, |elements, size| elements.checked_mul(size.max(1)));
            match size.is_some_and(|size| size <= ELEMENTS_MAX) {
                true => Ok(()),
                false => Err(Error::load(format!(
                    "node `{name}` ({op}) makes a tensor of more than {ELEMENTS_MAX} elements"
                ))),
            }
        }
        _ => Ok(()),
    }
}

//! Which vectors of which recurrent nodes an input starts, and which an output gives back: what the operators say, whatever the names
//! and the order of inputs and outputs suggest.

use std::collections::{BTreeSet, HashMap};

use crate::onnx::allow::{Recurrent, input};
use crate::onnx::graph::{Graph, Node};

/// A vector that a recurrent node carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Carried {
    /// The node's place in the graph.
    node: usize,
    vector: Vector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Vector {
    H,
    C,
}

/// The vectors that each input starts and each output gives back, by their places; none where operators do not tell.
pub(super) struct Cells {
    pub(super) starts: Vec<BTreeSet<Carried>>,
    pub(super) ends: Vec<BTreeSet<Carried>>,
}

/// Operators that move the elements of their inputs and change none.
const MOVES: [&str; 10] = [
    "Identity",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Transpose",
    "Flatten",
    "Slice",
    "Gather",
    "Split",
    "Cast",
];

/// Bounds what one tensor is made of.
const MEMBERS_MAX: usize = 256;

impl Cells {
    /// Follows states from the inputs into recurrent nodes, and out of them to the outputs.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut inputs: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        for (index, port) in graph.inputs.iter().enumerate().filter(|(_, port)| port.element.is_float()) {
            inputs.insert(&port.name, [index].into());
        }
        let mut ends: HashMap<&str, BTreeSet<Carried>> = HashMap::new();
        let mut starts = vec![BTreeSet::new(); graph.inputs.len()];
        for (place, node) in graph.nodes.iter().enumerate() {
            if Recurrent::of(node).is_none() {
                carry(node, &mut inputs);
                carry(node, &mut ends);
                continue;
            }
            let slots = [(Vector::H, input::INITIAL_H, 1), (Vector::C, input::INITIAL_C, 2)];
            for (vector, slot, output) in slots {
                let carried = Carried { node: place, vector };
                let from = node.input(slot).and_then(|name| inputs.get(name));
                for &index in from.into_iter().flatten() {
                    starts[index].insert(carried);
                }
                if let Some(name) = node.outputs.get(output).filter(|name| !name.is_empty()) {
                    ends.insert(name, [carried].into());
                }
            }
        }
        let outputs = graph.outputs.iter();
        let ends = outputs.map(|port| ends.get(port.name.as_str()).cloned().unwrap_or_default());
        Self { starts, ends: ends.collect() }
    }
}

/// Hands what `node` moves from its inputs to its outputs.
fn carry<'g, T: Ord + Copy>(node: &'g Node, known: &mut HashMap<&'g str, BTreeSet<T>>) {
    let moved = match node.op.as_str() {
        "Concat" => {
            let parts = node.inputs.iter().map(|name| known.get(name.as_str()));
            let Some(parts) = parts.collect::<Option<Vec<_>>>() else { return };
            parts.into_iter().flatten().copied().collect()
        }
        op if MOVES.contains(&op) => match node.input(0).and_then(|name| known.get(name)) {
            Some(moved) => moved.clone(),
            None => return,
        },
        _ => return,
    };
    if moved.len() <= MEMBERS_MAX {
        for output in &node.outputs {
            known.insert(output, moved.clone());
        }
    }
}

/// `h of node `lstm` and c of node `lstm``.
pub(super) fn described(carried: &BTreeSet<Carried>, graph: &Graph) -> String {
    let each = carried.iter().map(|Carried { node, vector }| {
        let vector = match vector {
            Vector::H => "h",
            Vector::C => "c",
        };
        format!("{vector} of node `{}`", graph.nodes[*node].name)
    });
    each.collect::<Vec<_>>().join(" and ")
}

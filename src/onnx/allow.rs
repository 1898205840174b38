//! The allowlist: what a recurrent node may ask for. It is checked before anything runs.
//!
//! tract ignores `activations`, `clip` and `input_forget`, derives `direction` from the shape of the weights, and identifies operators by
//! name without their domain. It would silently compute such nodes as if these attributes were absent, so whatever is not on the list
//! is refused here. `sequence_lens` is checked in `recognise`, except where T cannot be known.

use std::collections::HashSet;

use super::graph::{Attribute, Function, Graph, Node};
use crate::error::{Error, Result};
use crate::rnn::GateActivation;

/// Which recurrent operator a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recurrent {
    Rnn,
    Gru,
    Lstm,
    /// ONNX Runtime's LSTM with weights of 8 bits, which are the transpose of the standard one's.
    QuantisedLstm,
}

/// Where a node's inputs are.
pub(super) mod input {
    pub(crate) const SEQUENCE_LENS: usize = 4;
    pub(crate) const INITIAL_H: usize = 5;
    pub(crate) const INITIAL_C: usize = 6;
    pub(crate) const PEEPHOLES: usize = 7;
}

impl Recurrent {
    /// `None` for any other operator.
    pub(super) fn of(node: &Node) -> Option<Self> {
        match node.op.as_str() {
            "RNN" => Some(Recurrent::Rnn),
            "GRU" => Some(Recurrent::Gru),
            "LSTM" => Some(Recurrent::Lstm),
            "DynamicQuantizeLSTM" => Some(Recurrent::QuantisedLstm),
            _ => None,
        }
    }

    fn domain(self) -> &'static str {
        match self {
            Recurrent::QuantisedLstm => "com.microsoft",
            Recurrent::Rnn | Recurrent::Gru | Recurrent::Lstm => "",
        }
    }
}

/// The activation of a plain RNN that the list allows, under any case, as the operator's text has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Tanh,
    Relu,
    Sigmoid,
}

impl Activation {
    /// That of an RNN `node`; `None` for one that is not on the list.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let Some(attribute) = node.attribute("activations") else { return Some(Activation::Tanh) };
        let Attribute::Texts(names) = attribute else { return None };
        match names.as_slice() {
            [] => Some(Activation::Tanh),
            [name] if name.eq_ignore_ascii_case("Tanh") => Some(Activation::Tanh),
            [name] if name.eq_ignore_ascii_case("Relu") => Some(Activation::Relu),
            [name] if name.eq_ignore_ascii_case("Sigmoid") => Some(Activation::Sigmoid),
            _ => None,
        }
    }
}

/// The function of the gates of a GRU or LSTM `node`; `None` for one that the engine does not have.
pub(super) fn gates(node: &Node) -> Option<GateActivation> {
    let name = match node.attribute("activations") {
        None => "Sigmoid",
        Some(Attribute::Texts(names)) => names.first().map_or("Sigmoid", String::as_str),
        Some(_) => return None,
    };
    // A node that says nothing means the slope 0.2 and the shift 0.5.
    let number = |name: &str, default: f32| match node.attribute(name) {
        None => Some(default),
        Some(Attribute::Floats(values)) => Some(values.first().copied().unwrap_or(default)),
        Some(_) => None,
    };
    if name.eq_ignore_ascii_case("Sigmoid") {
        return Some(GateActivation::Sigmoid);
    }
    let is_hard = name.eq_ignore_ascii_case("HardSigmoid") && number("activation_beta", 0.5)? == 0.5;
    GateActivation::of_slope(number("activation_alpha", 0.2)?).filter(|_| is_hard)
}

/// Whether the gates of a GRU or LSTM `node` have their usual function, the only one that tract computes.
#[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only the runtime asks"))]
pub(super) fn has_usual_gates(node: &Node) -> bool {
    gates(node) == Some(GateActivation::Sigmoid)
}

/// Checks every recurrent node of `graph`, also in nested graphs and in functions.
///
/// # Errors
/// `Load` naming the node, what it asks for, what is expected and what to do.
pub(super) fn check(graph: &Graph) -> Result<()> {
    let functions: HashSet<(&str, &str)> = graph
        .functions
        .iter()
        .map(|Function { domain, name, .. }| (domain.as_str(), name.as_str()))
        .collect();
    graph.nodes.iter().try_for_each(|node| {
        if functions.contains(&(node.domain.as_str(), node.op.as_str())) {
            let found = "the operator is a function that the file defines, which is not supported";
            return Err(refusal(node, found, "inline it with `onnx.inliner.inline_local_functions`"));
        }
        allow(node)?;
        node.nested().try_for_each(allow_hidden)
    })?;
    graph.functions.iter().flat_map(|function| &function.nodes).try_for_each(allow_hidden)
}

/// Checks a node of a nested graph, where the length of its input is not known.
fn allow_hidden(node: &Node) -> Result<()> {
    allow(node)?;
    if Recurrent::of(node).is_some() && node.input(input::SEQUENCE_LENS).is_some() {
        return Err(refusal(
            node,
            "the input `sequence_lens` is given inside a nested graph",
            "export without lengths",
        ));
    }
    node.nested().try_for_each(allow_hidden)
}

fn allow(node: &Node) -> Result<()> {
    let Some(kind) = Recurrent::of(node) else { return Ok(()) };
    let domain = if node.is_standard() { "" } else { node.domain.as_str() };
    if domain != kind.domain() {
        let found = format!(
            "the operator is `{}.{}`, which shares its name with a standard one but is not known",
            domain, node.op
        );
        return Err(refusal(node, &found, "export with standard operators"));
    }
    for (name, value) in &node.attributes {
        attribute(node, kind, name, value).map_err(|Refused { expected, remedy }| {
            refusal(node, &format!("attribute `{name}` is {value}, expected {expected}"), remedy)
        })?;
    }
    if node.input(input::PEEPHOLES).is_some() && matches!(kind, Recurrent::Lstm | Recurrent::QuantisedLstm) {
        let found = "the input `P` (peephole weights) is given, expected none";
        return Err(refusal(node, found, "train and export an LSTM without peepholes"));
    }
    Ok(())
}

struct Refused {
    expected: &'static str,
    remedy: &'static str,
}

fn attribute(node: &Node, kind: Recurrent, name: &str, value: &Attribute) -> Result<(), Refused> {
    let plain = "export the layer without it: its numbers would be wrong here";
    let (is_allowed, expected, remedy) = match name {
        "hidden_size" => {
            (matches!(value, Attribute::Int(1..)), "a number of units", "export the model again")
        }
        "direction" => (
            matches!(value, Attribute::Text(text) if text.eq_ignore_ascii_case("forward")),
            "`forward`",
            "a language model reads forward: export one direction",
        ),
        "activations" => activations(node, kind, value),
        "activation_alpha" | "activation_beta" => {
            let is_none = matches!(value, Attribute::Floats(values) if values.is_empty());
            let is_slope =
                kind != Recurrent::Rnn && gates(node).is_some_and(|gates| gates != GateActivation::Sigmoid);
            (is_none || is_slope, "none, or those of HardSigmoid: 0.2 or 1/6, and 0.5", plain)
        }
        "input_forget" => (matches!(value, Attribute::Int(0)), "0", plain),
        "layout" => (matches!(value, Attribute::Int(0 | 1)), "0 or 1", "export the model again"),
        "linear_before_reset" if kind == Recurrent::Gru => {
            (matches!(value, Attribute::Int(0 | 1)), "0 or 1", "export the model again")
        }
        _ => (false, "none", plain),
    };
    if is_allowed { Ok(()) } else { Err(Refused { expected, remedy }) }
}

fn activations(node: &Node, kind: Recurrent, value: &Attribute) -> (bool, &'static str, &'static str) {
    let equal = |names: &[String], expected: &[&str]| {
        names.len() == expected.len()
            && names.iter().zip(expected).all(|(name, expected)| name.eq_ignore_ascii_case(expected))
    };
    let one_of = |lists: &[&[&str]]| match value {
        // An empty list asks for the default.
        Attribute::Texts(names) => names.is_empty() || lists.iter().any(|list| equal(names, list)),
        _ => false,
    };
    let remedy = "train and export the layer with its usual activations";
    match kind {
        Recurrent::Rnn => {
            (one_of(&[&["Tanh"], &["Relu"], &["Sigmoid"]]), "one of Tanh, Relu and Sigmoid", remedy)
        }
        Recurrent::Gru => {
            let lists: [&[&str]; 2] = [&["Sigmoid", "Tanh"], &["HardSigmoid", "Tanh"]];
            (one_of(&lists) && gates(node).is_some(), "Sigmoid or HardSigmoid, Tanh", remedy)
        }
        Recurrent::Lstm | Recurrent::QuantisedLstm => {
            let lists: [&[&str]; 2] = [&["Sigmoid", "Tanh", "Tanh"], &["HardSigmoid", "Tanh", "Tanh"]];
            (one_of(&lists) && gates(node).is_some(), "Sigmoid or HardSigmoid, Tanh, Tanh", remedy)
        }
    }
}

/// The error for what `node` asks for.
pub(super) fn refusal(node: &Node, found: &str, remedy: &str) -> Error {
    Error::load(format!("node `{}` ({}): {found}; {remedy}", node.name, node.op))
}

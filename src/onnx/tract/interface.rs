//! What the inputs and outputs of a graph that is run as it is are for: token ids, state in and out, logits.
//!
//! The manifest decides; then the way that ids take through the graph, names, shapes, and last the order, which exporters keep.

use super::feeding::Feeding;
use super::stems::{bare_stem, stem};
use crate::error::{Error, Result};
use crate::onnx::graph::{Dim, Graph, Node, Port};
use crate::onnx::names::is_logits;
use crate::onnx::scores::Scores;
use crate::onnx::{Hints, PortUse, WindowHint};

/// Inputs and outputs by their places in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) tokens: usize,
    pub(super) states: Vec<Pair>,
    pub(super) logits: usize,
    pub(super) feeding: Feeding,
    /// What only the order of inputs and outputs told.
    pub(super) warnings: Vec<String>,
}

/// A state: the input that takes what the output gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) input: usize,
    pub(super) output: usize,
}

impl Interface {
    /// Finds out what is for what.
    ///
    /// # Errors
    /// `Load` naming the input or output that is not understood, and the key of the manifest that would tell.
    pub(super) fn detect(graph: &Graph, hints: &Hints) -> Result<Self> {
        let tokens = tokens(graph, hints)?;
        let mut search = Search::new(graph, tokens, hints)?;
        search.pair_by(stem);
        search.pair_by(bare_stem);
        let logits = search.logits()?;
        search.pair_by_order(logits)?;
        let Search { mut pairs, warnings, .. } = search;
        pairs.sort_by_key(|pair| pair.input);
        let port = &graph.inputs[tokens];
        let feeding =
            if pairs.is_empty() { Feeding::window(port, hints)? } else { Feeding::steps(port, hints)? };
        Ok(Self { tokens, states: pairs, logits, feeding, warnings })
    }

    /// The same as the manifest would say it.
    pub(super) fn hints(&self, graph: &Graph) -> Hints {
        let input = |index: usize| graph.inputs[index].name.clone();
        let output = |index: usize| graph.outputs[index].name.clone();
        Hints {
            tokens: Some(input(self.tokens)),
            state: self.states.iter().map(|pair| (input(pair.input), output(pair.output))).collect(),
            logits: Some(output(self.logits)),
            window: match self.feeding {
                Feeding::Steps { .. } => None,
                Feeding::Window { len, .. } => Some(WindowHint::Len(len)),
            },
            ..Hints::default()
        }
    }

    /// What each input is taken for.
    pub(super) fn inputs(&self, graph: &Graph) -> Vec<PortUse> {
        let role = |index: usize| {
            if index == self.tokens {
                return match self.feeding {
                    Feeding::Steps { .. } => "token ids, one at a time".to_owned(),
                    Feeding::Window { len, .. } => format!("the last {len} token ids"),
                };
            }
            let pair = self.states.iter().find(|pair| pair.input == index);
            pair.map_or_else(unused, |pair| format!("state, from `{}`", graph.outputs[pair.output].name))
        };
        PortUse::of_each(&graph.inputs, role)
    }

    /// What each output is taken for; `scores` is what the one with logits holds.
    pub(super) fn outputs(&self, graph: &Graph, scores: Scores) -> Vec<PortUse> {
        let role = |index: usize| {
            if index == self.logits {
                return scores.name().to_owned();
            }
            let pair = self.states.iter().find(|pair| pair.output == index);
            pair.map_or_else(unused, |pair| format!("state, into `{}`", graph.inputs[pair.input].name))
        };
        PortUse::of_each(&graph.outputs, role)
    }
}

fn unused() -> String {
    "not used".to_owned()
}

/// The input that takes ids: the one named, or that a table of vectors is looked up with, or the only one it could be.
fn tokens(graph: &Graph, hints: &Hints) -> Result<usize> {
    if let Some(name) = &hints.tokens {
        return Named { key: "onnx.tokens", name }.input(graph);
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

/// The node that makes probabilities, or their logarithms, of what comes out of the output `name`.
pub(super) fn normaliser<'g>(graph: &'g Graph, name: &'g str) -> Option<&'g Node> {
    const GLUE: [&str; 9] =
        ["Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice", "Gather", "Cast"];
    let mut name = name;
    for node in graph.nodes.iter().rev().filter(|node| !node.outputs.is_empty()) {
        if node.outputs.iter().all(|output| output != name) {
            continue;
        }
        match node.op.as_str() {
            "Softmax" | "LogSoftmax" => return Some(node),
            op if GLUE.contains(&op) => name = node.input(0)?,
            _ => return None,
        }
    }
    None
}

/// Whether the values of `name` end up as indices of a table.
fn is_looked_up(graph: &Graph, name: &str) -> bool {
    const GLUE: [&str; 12] = [
        "Cast",
        "Identity",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Flatten",
        "Slice",
        "Clip",
        "Expand",
        "Concat",
        "Split",
    ];
    let mut carried = vec![name];
    for node in &graph.nodes {
        let takes = |index: usize| node.input(index).is_some_and(|input| carried.contains(&input));
        match node.op.as_str() {
            "Gather" if takes(1) => return true,
            "OneHot" if takes(0) => return true,
            // A column of the ids is still ids.
            "Gather" if takes(0) => carried.extend(node.outputs.first().map(String::as_str)),
            op if GLUE.contains(&op) && takes(0) => carried.extend(node.outputs.iter().map(String::as_str)),
            _ => {}
        }
    }
    false
}

/// Inputs and outputs that are still to be paired.
struct Search<'g> {
    graph: &'g Graph,
    tokens: usize,
    /// The output that the manifest names.
    logits: Option<usize>,
    pairs: Vec<Pair>,
    warnings: Vec<String>,
}

impl<'g> Search<'g> {
    /// Begins with the pairs of the manifest.
    fn new(graph: &'g Graph, tokens: usize, hints: &Hints) -> Result<Self> {
        let pair = |(input, output): &(String, String)| {
            Ok(Pair {
                input: Named { key: "onnx.state", name: input }.input(graph)?,
                output: Named { key: "onnx.state", name: output }.output(graph)?,
            })
        };
        let pairs: Vec<Pair> = hints.state.iter().map(pair).collect::<Result<_>>()?;
        let named = |name: &String| Named { key: "onnx.logits", name }.output(graph);
        let logits = hints.logits.as_ref().map(named).transpose()?;
        for (index, pair) in pairs.iter().enumerate() {
            let input = &graph.inputs[pair.input];
            let output = &graph.outputs[pair.output];
            if !fit(input, output) {
                return Err(Error::load(format!(
                    "`onnx.state` feeds `{input}` from `{output}`, expected one type and shape"
                )));
            }
            let is_taken =
                Some(pair.output) == logits || pairs[..index].iter().any(|other| other.output == pair.output);
            if pair.input == tokens || is_taken {
                let name = if is_taken { &output.name } else { &input.name };
                return Err(Error::load(format!("`onnx.state` names `{name}`, which is for something else")));
            }
        }
        Ok(Self { graph, tokens, logits, pairs, warnings: Vec::new() })
    }

    fn inputs_left(&self) -> Vec<usize> {
        let is_left =
            |index: &usize| *index != self.tokens && !self.pairs.iter().any(|pair| pair.input == *index);
        (0..self.graph.inputs.len()).filter(is_left).collect()
    }

    fn outputs_left(&self) -> Vec<usize> {
        let is_left = |index: &usize| {
            Some(*index) != self.logits && !self.pairs.iter().any(|pair| pair.output == *index)
        };
        (0..self.graph.outputs.len()).filter(is_left).collect()
    }

    fn fits(&self, input: usize, output: usize) -> bool {
        fit(&self.graph.inputs[input], &self.graph.outputs[output])
    }

    /// Pairs each input with the one output that fits and has the same stem.
    fn pair_by(&mut self, stem: fn(&str) -> Vec<String>) {
        for input in self.inputs_left() {
            let wanted = stem(&self.graph.inputs[input].name);
            let alike = |&output: &usize| {
                self.fits(input, output) && stem(&self.graph.outputs[output].name) == wanted
            };
            let found: Vec<usize> = self.outputs_left().into_iter().filter(alike).collect();
            if let (false, &[output]) = (wanted.is_empty(), &found[..]) {
                self.pairs.push(Pair { input, output });
            }
        }
    }

    /// The output with logits: the one named, or that is left, or that is no state by its shape, or the first.
    fn logits(&mut self) -> Result<usize> {
        let outputs = &self.graph.outputs;
        if let Some(named) = self.logits {
            return Ok(named);
        }
        let inputs = self.inputs_left();
        let mut left = self.outputs_left();
        left.retain(|&output| outputs[output].element.is_float());
        let Some(&first) = left.first() else {
            return Err(Error::load(format!(
                "no output is left for the logits, found {}; `onnx.logits` in the manifest names it",
                listed(outputs)
            )));
        };
        let only = |is: &dyn Fn(usize) -> bool| {
            let mut found = left.iter().copied().filter(|&output| is(output));
            found.next().filter(|_| found.next().is_none())
        };
        let named = only(&|output| is_logits(&outputs[output].name));
        let found = only(&|_| true)
            .or(named)
            .or_else(|| only(&|output| !inputs.iter().any(|&input| self.fits(input, output))));
        Ok(found.unwrap_or_else(|| {
            self.warnings.push(format!(
                "`{}` is taken for the logits because it comes first; `onnx.logits` in the manifest names another",
                outputs[first].name
            ));
            first
        }))
    }

    /// Pairs what is left, each input with the first output of its type and shape.
    fn pair_by_order(&mut self, logits: usize) -> Result<()> {
        for input in self.inputs_left() {
            let port = &self.graph.inputs[input];
            let mut fitting = self.outputs_left();
            fitting.retain(|&output| output != logits && self.fits(input, output));
            let Some(&output) = fitting.first().filter(|_| port.element.is_float()) else {
                return Err(Error::load(format!(
                    "the input `{port}` is neither the token ids nor a state that an output of its type and shape gives back, found the outputs {}; `onnx.state` in the manifest names them",
                    listed(&self.graph.outputs)
                )));
            };
            if fitting.len() > 1 {
                self.warnings.push(format!(
                    "`{}` is fed from `{}` by their order alone; `onnx.state` in the manifest names another",
                    port.name, self.graph.outputs[output].name
                ));
            }
            self.pairs.push(Pair { input, output });
        }
        Ok(())
    }
}

/// Whether a state may come out of `output` and go into `input`.
fn fit(input: &Port, output: &Port) -> bool {
    let shapes = match (&input.shape, &output.shape) {
        (Some(input), Some(output)) => {
            input.len() == output.len()
                && input.iter().zip(output).all(|dims| match dims {
                    (Dim::Fixed(input), Dim::Fixed(output)) => input == output,
                    _ => true,
                })
        }
        _ => true,
    };
    shapes && input.element == output.element && input.element.is_float()
}

/// A name that the manifest gives.
struct Named<'a> {
    /// The manifest's key.
    key: &'static str,
    name: &'a str,
}

impl Named<'_> {
    fn input(&self, graph: &Graph) -> Result<usize> {
        self.place_among(&graph.inputs, "input")
    }

    fn output(&self, graph: &Graph) -> Result<usize> {
        self.place_among(&graph.outputs, "output")
    }

    fn place_among(&self, ports: &[Port], kind: &str) -> Result<usize> {
        let Self { key, name } = self;
        ports.iter().position(|port| port.name == *name).ok_or_else(|| {
            Error::load(format!(
                "`{key}` names the {kind} `{name}`, which does not exist; found {}",
                listed(ports)
            ))
        })
    }
}

fn listed(ports: &[Port]) -> String {
    let each: Vec<String> = ports.iter().map(|port| format!("`{port}`")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::file::read_graph;
    use std::path::Path;

    fn detected(file: &str, hints: &Hints) -> Result<Hints, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/files/unrecognised").join(file);
        let graph = read_graph(&path).unwrap();
        let interface = Interface::detect(&graph, hints).map_err(|error| error.message)?;
        Ok(interface.hints(&graph))
    }

    fn pairs(pairs: &[[&str; 2]]) -> Vec<(String, String)> {
        pairs.iter().map(|&[input, output]| (input.into(), output.into())).collect()
    }

    #[test]
    fn states_are_paired_by_name_and_then_by_order() {
        let state = |file: &str| detected(file, &Hints::default()).unwrap().state;
        assert_eq!(state("lstm-residual.onnx"), pairs(&[["h0_in", "h0_out"], ["c0_in", "c0_out"]]));
        assert_eq!(state("lstm-named-by-order.onnx"), pairs(&[["1", "7"], ["2", "8"]]));
        assert_eq!(
            state("lstm-then-gru.onnx"),
            pairs(&[["LSTM_h", "LSTM_h_next"], ["LSTM_c", "LSTM_c_next"], ["GRU_h", "GRU_h_next"]])
        );
    }

    #[test]
    fn the_manifest_decides_and_must_name_what_is_there() {
        let hints = |state: &[[&str; 2]], logits: Option<&str>| Hints {
            state: pairs(state),
            logits: logits.map(str::to_owned),
            ..Hints::default()
        };
        let file = "lstm-residual.onnx";
        let crossed = hints(&[["h0_in", "c0_out"]], None);
        assert_eq!(
            detected(file, &crossed).unwrap().state,
            pairs(&[["h0_in", "c0_out"], ["c0_in", "h0_out"]])
        );
        for (hints, part) in [
            (hints(&[["h0_in", "nowhere"]], None), "the output `nowhere`, which does not exist"),
            (hints(&[["nowhere", "c0_out"]], None), "the input `nowhere`, which does not exist"),
            (hints(&[["h0_in", "y"]], None), "expected one type and shape"),
            (
                hints(&[["h0_in", "c0_out"], ["c0_in", "c0_out"]], None),
                "names `c0_out`, which is for something else",
            ),
            (hints(&[["h0_in", "h0_out"]], Some("h0_out")), "names `h0_out`, which is for something else"),
            (hints(&[], Some("h0_out")), "the input `h0_in: f32[1, B, 5]` is neither"),
        ] {
            let message = detected(file, &hints).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}

//! What the inputs and outputs of a graph that is run as it is are for: token ids, state in and out, logits.
//!
//! The manifest decides; then the way that ids take through the graph, names, shapes, and last the order, which exporters keep.

use super::batch::{Batch, Fed};
use super::feeding::Feeding;
use super::search::{Logits, Search};
use super::tokens::tokens;
use crate::error::Result;
use crate::onnx::graph::Graph;
use crate::onnx::scores::Scores;
use crate::onnx::{Candidate, Hints, PortUse, Reads, WindowHint};

/// Inputs and outputs by their places in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) tokens: usize,
    pub(super) states: Vec<Pair>,
    pub(super) logits: usize,
    pub(super) logits_basis: Basis,
    /// The batch of several rows that the file fixes.
    pub(super) batch: Option<Batch>,
    /// How ids are fed, or what the manifest has to say for that.
    pub(super) feeding: Result<Feeding>,
    /// What its owner should know, above all what is a guess.
    pub(super) warnings: Vec<String>,
}

/// A state: the input that takes what the output gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) basis: Basis,
}

/// What a role rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The manifest, the operators, the names, or that nothing else is possible.
    Known,
    /// The order of inputs or outputs, which exporters mostly keep.
    Guessed,
}

impl Interface {
    /// Finds out what is for what.
    ///
    /// # Errors
    /// `Load` naming the input or output that is not understood, and the key of the manifest that would tell.
    pub(super) fn detect(candidate: &Candidate<'_>) -> Result<Self> {
        let tokens = tokens(candidate)?;
        let mut search = Search::new(candidate, tokens)?;
        search.pair_by_graph_and_names();
        let Logits { output: logits, basis: logits_basis } = search.logits()?;
        search.pair_by_order(logits)?;
        let Search { mut pairs, warnings, .. } = search;
        pairs.sort_by_key(|pair| pair.input);
        let states: Vec<usize> = pairs.iter().map(|pair| pair.input).collect();
        let fed = Fed { tokens, states: &states };
        let batch = Batch::of(candidate, fed)?;
        let feeding = Feeding::choose(candidate, fed, batch.as_ref());
        Ok(Self { tokens, states: pairs, logits, logits_basis, batch, feeding, warnings })
    }

    /// What of it the manifest may say. A guess is left out, so that it stays one, with its warning, for whoever loads the file with
    /// this manifest.
    pub(super) fn hints(&self, graph: &Graph) -> Hints {
        let input = |index: usize| graph.inputs[index].name.clone();
        let output = |index: usize| graph.outputs[index].name.clone();
        let known = self.states.iter().filter(|pair| pair.basis == Basis::Known);
        Hints {
            tokens: Some(input(self.tokens)),
            state: known.map(|pair| (input(pair.input), output(pair.output))).collect(),
            logits: Some(output(self.logits)).filter(|_| self.logits_basis == Basis::Known),
            window: match self.feeding {
                Ok(Feeding::Window { len, .. }) => Some(WindowHint::Len(len)),
                Ok(Feeding::Steps(_)) | Err(_) => None,
            },
            ..Hints::default()
        }
    }

    /// How tokens are read.
    pub(super) fn reads(&self) -> Option<Reads> {
        match self.feeding {
            Ok(Feeding::Steps(_)) => Some(Reads::State),
            Ok(Feeding::Window { len, .. }) => Some(Reads::Window(len)),
            Err(_) => None,
        }
    }

    /// What each input is taken for.
    pub(super) fn inputs(&self, graph: &Graph) -> Vec<PortUse> {
        let role = |index: usize| {
            if index == self.tokens {
                let ids = match self.feeding {
                    Ok(Feeding::Steps(_)) => "token ids, one at a time".to_owned(),
                    Ok(Feeding::Window { len, .. }) => format!("the last {len} token ids"),
                    Err(_) => "token ids".to_owned(),
                };
                let batch = self.batch.as_ref();
                return ids
                    + &batch
                        .map_or_else(String::new, |batch| format!(", of one sequence of {}", batch.rows));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::file::read_graph;
    use crate::onnx::recognise::recognise;
    use std::path::Path;

    fn detected(file: &str, hints: &Hints) -> Result<Hints, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/files/unrecognised").join(file);
        let graph = read_graph(&path, u64::MAX).unwrap();
        let facts = recognise(&graph).unwrap().facts();
        let candidate = Candidate { path: &path, graph: &graph, file: &graph, hints, facts, probe: None };
        let interface = Interface::detect(&candidate).map_err(|error| error.message)?;
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
        for (hints, part) in [
            (hints(&[["h0_in", "nowhere"]], None), "the output `nowhere`, which does not exist"),
            (hints(&[["nowhere", "c0_out"]], None), "the input `nowhere`, which does not exist"),
            (hints(&[["h0_in", "y"]], None), "expected one type and shape"),
            (
                hints(&[["c0_in", "c0_out"], ["h0_in", "c0_out"]], None),
                "names `c0_out`, which is for something else",
            ),
            (
                hints(&[["h0_in", "c0_out"]], None),
                "`h0_in` is h of node `layer0`, and `c0_out` is c of node `layer0`",
            ),
            (hints(&[["h0_in", "h0_out"]], Some("h0_out")), "names `h0_out`, which is for something else"),
            (hints(&[], Some("h0_out")), "the input `h0_in: f32[1, B, 5]` is neither"),
        ] {
            let message = detected(file, &hints).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}

//! The search for what the inputs and outputs of a graph belong to: states to their inputs, and the logits.

use super::cells::{Cells, described};
use super::interface::{Basis, Pair};
use super::named::{Named, listed};
use super::stems::{bare_stem, stem};
use crate::error::{Error, Result};
use crate::onnx::Candidate;
use crate::onnx::graph::{Dim, Graph, Port};
use crate::onnx::names::{is_logits, logits_rank};

/// Inputs and outputs that are still to be paired.
pub(super) struct Search<'g> {
    graph: &'g Graph,
    tokens: usize,
    /// How many tokens the embedding has, where that is known.
    entries: Option<usize>,
    /// The output that the manifest names.
    logits: Option<usize>,
    cells: Cells,
    pub(super) pairs: Vec<Pair>,
    pub(super) warnings: Vec<String>,
}

/// The output that has the logits.
pub(super) struct Logits {
    pub(super) output: usize,
    pub(super) basis: Basis,
}

impl<'g> Search<'g> {
    /// Begins with the pairs of the manifest.
    ///
    /// # Errors
    /// `Load` when the manifest names what does not exist, or contradicts the graph.
    pub(super) fn new(candidate: &Candidate<'g>, tokens: usize) -> Result<Self> {
        let Candidate { graph, hints, ref facts, .. } = *candidate;
        let pair = |(input, output): &(String, String)| {
            Ok(Pair {
                input: Named { key: "onnx.state", name: input }.input(graph)?,
                output: Named { key: "onnx.state", name: output }.output(graph)?,
                basis: Basis::Known,
            })
        };
        let pairs: Vec<Pair> = hints.state.iter().map(pair).collect::<Result<_>>()?;
        let named = |name: &String| Named { key: "onnx.logits", name }.output(graph);
        let logits = hints.logits.as_ref().map(named).transpose()?;
        let entries = facts.tables.first().map(|table| table.entries);
        let cells = Cells::of(graph);
        let search = Self { graph, tokens, entries, logits, cells, pairs, warnings: Vec::new() };
        (0..search.pairs.len()).try_for_each(|index| search.check_named(index))?;
        Ok(search)
    }

    /// Checks a pair of the manifest.
    fn check_named(&self, index: usize) -> Result<()> {
        let (before, Some(pair)) = (&self.pairs[..index], self.pairs.get(index)) else { return Ok(()) };
        let input = &self.graph.inputs[pair.input];
        let output = &self.graph.outputs[pair.output];
        if !self.fits(pair.input, pair.output) {
            return Err(Error::load(format!(
                "`onnx.state` feeds `{input}` from `{output}`, expected one type and shape"
            )));
        }
        let is_taken =
            Some(pair.output) == self.logits || before.iter().any(|other| other.output == pair.output);
        if pair.input == self.tokens || is_taken {
            let name = if is_taken { &output.name } else { &input.name };
            return Err(Error::load(format!("`onnx.state` names `{name}`, which is for something else")));
        }
        let starts = &self.cells.starts[pair.input];
        let ends = &self.cells.ends[pair.output];
        if starts.is_empty() || ends.is_empty() || starts == ends {
            return Ok(());
        }
        Err(Error::load(format!(
            "`onnx.state` feeds `{}` from `{}`, but in the graph `{}` is {}, and `{}` is {}",
            input.name,
            output.name,
            input.name,
            described(starts, self.graph),
            output.name,
            described(ends, self.graph)
        )))
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

    /// Pairs what surely belongs together: by the vectors of recurrent nodes, and then by names.
    pub(super) fn pair_by_graph_and_names(&mut self) {
        self.pair_by(|search, input, output| {
            let starts = &search.cells.starts[input];
            !starts.is_empty() && *starts == search.cells.ends[output]
        });
        for stem in [stem, bare_stem] {
            self.pair_by(|search, input, output| {
                let wanted = stem(&search.graph.inputs[input].name);
                !wanted.is_empty()
                    && !search.is_crossed(input, output)
                    && stem(&search.graph.outputs[output].name) == wanted
            });
        }
    }

    /// Pairs each input with the one output that fits and `belongs` to it.
    fn pair_by(&mut self, belongs: impl Fn(&Self, usize, usize) -> bool) {
        for input in self.inputs_left() {
            let mut found = self.outputs_left();
            found.retain(|&output| self.fits(input, output) && belongs(self, input, output));
            if let [output] = found[..] {
                self.pairs.push(Pair { input, output, basis: Basis::Known });
            }
        }
    }

    /// Whether the graph says that they do not belong together.
    fn is_crossed(&self, input: usize, output: usize) -> bool {
        let starts = &self.cells.starts[input];
        let ends = &self.cells.ends[output];
        !starts.is_empty() && !ends.is_empty() && starts != ends
    }

    /// The output with logits: the one named, or that is left; else by name, by shape, and last by the order.
    ///
    /// # Errors
    /// `Load` when none is left.
    pub(super) fn logits(&mut self) -> Result<Logits> {
        if let Some(output) = self.logits {
            return Ok(Logits { output, basis: Basis::Known });
        }
        let outputs = &self.graph.outputs;
        let mut left = self.outputs_left();
        left.retain(|&output| outputs[output].element.is_float());
        let heads = self.heads(&left);
        let rank = |output: usize| logits_rank(&outputs[output].name);
        let Some(&best) = heads.iter().min_by_key(|&&output| rank(output)) else {
            return Err(Error::load(format!(
                "no output is left for the logits, found {}; `onnx.logits` in the manifest names it",
                listed(outputs)
            )));
        };
        let other = heads.iter().copied().find(|&output| output != best);
        let is_guess =
            other.is_some_and(|other| !is_logits(&outputs[best].name) || rank(other) == rank(best));
        if let Some(other) = other {
            let name = &outputs[best].name;
            self.warnings.push(format!(
                "both `{name}` and `{}` could be the logits; `{name}` is used; `\"onnx\": {{\"logits\": ...}}` in config.json names the one that is meant",
                outputs[other].name
            ));
        }
        Ok(Logits { output: best, basis: if is_guess { Basis::Guessed } else { Basis::Known } })
    }

    /// The outputs among `left` that are no states, as far as shapes tell, and have the embedding's number of tokens, if some have.
    fn heads(&self, left: &[usize]) -> Vec<usize> {
        let outputs = &self.graph.outputs;
        let inputs = self.inputs_left();
        let narrowed = |heads: Vec<usize>, is_head: &dyn Fn(usize) -> bool| {
            let narrow: Vec<usize> = heads.iter().copied().filter(|&output| is_head(output)).collect();
            if narrow.is_empty() { heads } else { narrow }
        };
        let is_no_state = |output: usize| {
            self.cells.ends[output].is_empty() && !inputs.iter().any(|&input| self.fits(input, output))
        };
        let named: Vec<usize> =
            left.iter().copied().filter(|&output| is_logits(&outputs[output].name)).collect();
        let heads = match named[..] {
            // A state of unknown shape fits anything.
            [named] if !inputs.is_empty() && self.cells.ends[named].is_empty() => vec![named],
            _ => narrowed(left.to_vec(), &is_no_state),
        };
        narrowed(heads, &|output| {
            let last = outputs[output].shape.as_ref().and_then(|shape| shape.last());
            self.entries.is_some_and(|entries| last == Some(&Dim::Fixed(entries)))
        })
    }

    /// Pairs what is left, each input with the first output of its type and shape.
    ///
    /// # Errors
    /// `Load` naming an input that no output fits.
    pub(super) fn pair_by_order(&mut self, logits: usize) -> Result<()> {
        let mut open = self.outputs_left();
        open.retain(|&output| output != logits);
        for input in self.inputs_left() {
            let port = &self.graph.inputs[input];
            let is_possible = |&&output: &&usize| self.fits(input, output) && !self.is_crossed(input, output);
            let possible = open.iter().filter(is_possible).count();
            let mut fitting = self.outputs_left();
            fitting.retain(|output| open.contains(output) && is_possible(&output));
            let Some(&output) = fitting.first().filter(|_| port.element.is_float()) else {
                return Err(Error::load(format!(
                    "the input `{port}` is neither the token ids nor a state that an output of its type and shape gives back, found the outputs {}; `onnx.state` in the manifest names them, and `onnx.inputs` has the value of an input that always has one",
                    listed(&self.graph.outputs)
                )));
            };
            let basis = if possible > 1 { Basis::Guessed } else { Basis::Known };
            if basis == Basis::Guessed {
                self.warnings.push(format!(
                    "`{}` is fed from `{}` by their order alone; `\"onnx\": {{\"state\": ...}}` in config.json says what belongs together",
                    port.name, self.graph.outputs[output].name
                ));
            }
            self.pairs.push(Pair { input, output, basis });
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

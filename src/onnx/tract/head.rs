//! What an output is, by the nodes that make it, and by what they give in a first run: a distribution over the vocabulary, or the
//! numbers of an affine layer. Anything else is no language model's output, though softmax would make probabilities of it too.

use std::collections::{HashMap, HashSet};

use super::GLUE;
use crate::error::{Error, Result};
use crate::lm::math;
use crate::onnx::graph::{Graph, Node};
use crate::onnx::scores::Scores;

/// An output as its nodes make it.
pub(super) struct Head<'g> {
    /// The output's name.
    output: &'g str,
    maker: Maker<'g>,
    /// The step between two values, where the values are rounded to a few bits.
    step: Option<f32>,
}

/// What makes the values of an output, behind operators that only move or round them.
enum Maker<'g> {
    /// `Softmax` or `LogSoftmax`.
    Normaliser { node: &'g Node, scores: Scores },
    /// Products with constants.
    Affine,
    /// Another node; `None` for an input or a constant.
    Other(Option<&'g Node>),
}

/// Whether an operator only moves elements or changes their type.
fn is_glue(op: &str) -> bool {
    GLUE.contains(&op) || matches!(op, "Gather" | "Dropout")
}

/// The sides of a product, by the places of the inputs; `None` for other operators. One is constant in an affine layer.
fn sides(op: &str) -> Option<[usize; 2]> {
    match op {
        "MatMul" | "Gemm" | "Einsum" | "Conv" | "MatMulInteger" => Some([0, 1]),
        "QLinearMatMul" => Some([0, 3]),
        _ => None,
    }
}

/// A graph that is walked from its outputs back.
struct Walk<'g> {
    makers: HashMap<&'g str, &'g Node>,
    /// Tensors that no input affects.
    constants: HashSet<&'g str>,
    graph: &'g Graph,
}

impl<'g> Head<'g> {
    /// Finds out what makes the output at this place.
    pub(super) fn of(graph: &'g Graph, output: usize) -> Self {
        let walk = Walk::new(graph);
        let output = graph.outputs[output].name.as_str();
        let (maker, step) = walk.maker(output);
        Self { output, maker, step }
    }

    /// What the values are, where `rows` are what first runs gave, each over the whole vocabulary.
    ///
    /// # Errors
    /// `Load` when they are neither a distribution nor the logits of an affine layer, or not finite.
    pub(super) fn scores(&self, rows: &[Vec<f32>]) -> Result<Scores> {
        let output = self.output;
        if rows.iter().flatten().any(|value| !value.is_finite()) {
            return Err(Error::load(format!("a first run gives values of `{output}` that are not finite")));
        }
        let measured = Scores::of_rows(rows);
        match self.maker {
            Maker::Normaliser { scores, .. } if scores == measured => Ok(scores),
            Maker::Normaliser { scores, .. } if self.step.is_some_and(|step| fits(scores, step, rows)) => {
                Ok(scores)
            }
            Maker::Normaliser { node, .. } => Err(Error::load(format!(
                "node `{}` ({}) does not normalise over the vocabulary, the last dimension of `{output}`",
                node.name, node.op
            ))),
            Maker::Affine | Maker::Other(_) if measured != Scores::Logits => Ok(measured),
            Maker::Affine => Ok(Scores::Logits),
            Maker::Other(node) => {
                let made =
                    node.map_or("no node".to_owned(), |node| format!("node `{}` ({})", node.name, node.op));
                Err(Error::load(format!(
                    "`{output}` is the output of {made}, whose values are no probabilities (they do not sum to one, and neither do their exponentials) and no logits (only a product with a constant matrix gives these); `\"onnx\": {{\"logits\": ...}}` in config.json can name another output"
                )))
            }
        }
    }
}

/// Whether `rows` are `scores`, apart from having been rounded to multiples of `step`.
fn fits(scores: Scores, step: f32, rows: &[Vec<f32>]) -> bool {
    const SUM_TOLERANCE: f64 = 1e-2;

    let half = f64::from(step) / 2.0;
    rows.iter().all(|row| match scores {
        Scores::Probabilities => {
            let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
            let is_near = (sum - 1.0).abs() <= SUM_TOLERANCE + half * row.len() as f64;
            row.iter().all(|&value| value >= 0.0) && sum > 0.0 && is_near
        }
        Scores::LogProbabilities => {
            let sum: f64 = row.iter().map(|&value| f64::from(math::exp(value))).sum();
            row.iter().all(|&value| f64::from(value) <= half) && libm::log(sum).abs() <= SUM_TOLERANCE + half
        }
        Scores::Logits => false,
    })
}

impl<'g> Walk<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut constants: HashSet<&str> = graph.constants.keys().map(String::as_str).collect();
        let mut makers = HashMap::new();
        for node in &graph.nodes {
            let mut read = node.inputs.iter().filter(|name| !name.is_empty());
            let is_constant =
                read.all(|name| constants.contains(name.as_str())) && node.nested().next().is_none();
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                makers.insert(output.as_str(), node);
                if is_constant {
                    constants.insert(output);
                }
            }
        }
        Self { makers, constants, graph }
    }

    fn is_constant(&self, name: &str) -> bool {
        self.constants.contains(name)
    }

    /// What makes `name`, and the step that its values are rounded to on the way.
    fn maker(&self, name: &'g str) -> (Maker<'g>, Option<f32>) {
        if self.is_affine(name) {
            return (Maker::Affine, None);
        }
        let mut name = name;
        let mut step = None;
        let mut is_log = false;
        loop {
            let Some(&node) = self.makers.get(name) else { return (Maker::Other(None), step) };
            let scores = match node.op.as_str() {
                "Softmax" if is_log => Scores::LogProbabilities,
                "Softmax" => Scores::Probabilities,
                "LogSoftmax" if !is_log => Scores::LogProbabilities,
                op => {
                    let is_moved = is_glue(op);
                    let is_rounded = matches!(op, "QuantizeLinear" | "DequantizeLinear");
                    let from = node.input(0).filter(|_| is_moved || is_rounded || (op == "Log" && !is_log));
                    let Some(from) = from.filter(|from| !self.is_constant(from)) else {
                        return (Maker::Other(Some(node)), step);
                    };
                    if is_rounded {
                        step = self.scale(node).or(step);
                    }
                    is_log |= op == "Log";
                    name = from;
                    continue;
                }
            };
            return (Maker::Normaliser { node, scores }, step);
        }
    }

    /// The scale of a quantising node, where it is one number.
    fn scale(&self, node: &Node) -> Option<f32> {
        let scale = self.graph.constants.get(node.input(1)?)?;
        match scale.as_floats()? {
            &[scale] => Some(scale),
            _ => None,
        }
    }

    /// Whether `name` is made of products with constants, their sums and their multiples.
    fn is_affine(&self, name: &'g str) -> bool {
        let mut open = vec![name];
        let mut seen = HashSet::new();
        let mut has_product = false;
        while let Some(name) = open.pop() {
            if self.is_constant(name) || !seen.insert(name) {
                continue;
            }
            let Some(&node) = self.makers.get(name) else { return false };
            let inputs = || node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty());
            let first = node.input(0);
            if let Some(sides) = sides(&node.op) {
                let is_constant = |&side: &usize| node.input(side).is_some_and(|side| self.is_constant(side));
                if !sides.iter().any(is_constant) {
                    return false;
                }
                has_product = true;
                continue;
            }
            match node.op.as_str() {
                // A row of a table is a product of it and a one-hot vector.
                "Gather" if first.is_some_and(|table| self.is_constant(table)) => has_product = true,
                op if is_glue(op) || matches!(op, "QuantizeLinear" | "DequantizeLinear") => {
                    open.extend(first);
                }
                "Add" | "Sub" | "Sum" | "Concat" => open.extend(inputs()),
                "Where" => open.extend(inputs().skip(1)),
                "Mul" => {
                    let mut values = inputs().filter(|name| !self.is_scale(name));
                    open.extend(values.next());
                    if values.next().is_some() {
                        return false;
                    }
                }
                "Div" if inputs().skip(1).all(|divisor| self.is_constant(divisor)) => open.extend(first),
                _ => return false,
            }
        }
        has_product
    }

    /// Whether `name` is a factor that no position has for itself: a constant, or the scale of a quantised tensor.
    fn is_scale(&self, name: &str) -> bool {
        let mut open = vec![name];
        for _ in 0..8 {
            let Some(name) = open.pop() else { return true };
            if self.is_constant(name) {
                continue;
            }
            match self.makers.get(name) {
                Some(node)
                    if node.op == "DynamicQuantizeLinear"
                        && node.outputs.get(1).is_some_and(|to| to == name) => {}
                Some(node) if node.op == "Mul" => open.extend(node.inputs.iter().map(String::as_str)),
                _ => return false,
            }
        }
        open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_probabilities_sum_to_about_one() {
        let rows = |rows: &[&[f32]]| rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        let step = 1.0 / 16.0;
        assert!(fits(Scores::Probabilities, step, &rows(&[&[0.5, 0.4375, 0.0], &[0.5, 0.5, 0.0625]])));
        assert!(
            !fits(Scores::Probabilities, step, &rows(&[&[0.5, 0.375, 0.0]])),
            "off by more than rounding"
        );
        assert!(!fits(Scores::Probabilities, 1.0, &rows(&[&[0.0, 0.0, 0.0]])), "rounded to nothing");
        let half = -std::f32::consts::LN_2;
        assert!(fits(Scores::LogProbabilities, 0.25, &rows(&[&[half + 0.1, half + 0.1, -90.0]])));
        assert!(!fits(Scores::LogProbabilities, 0.25, &rows(&[&[half + 0.2, half + 0.2, -90.0]])));
    }
}

//! The result of the pass: the network between the token ids and the logits, and the meaning of the other inputs and outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Found;
use super::axes::{Along, Axis};
use super::heads::Chosen;
use super::usage::Usage;
use super::value::{Carried, Content, Flow, Position, Value, Vector};
use crate::lm::Cell;
use crate::onnx::fold::Why;
use crate::onnx::graph::Port;
use crate::onnx::tensor::Tensor;
use crate::onnx::understanding::PortUse;
use crate::rnn::{GateActivation, GruForm, Norm};

/// A recurrent layer with its weights as the operator has them.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct FoundLayer {
    /// The node.
    pub(in crate::onnx) node: String,
    /// Its operator.
    pub(in crate::onnx) op: String,
    pub(in crate::onnx) cell: Cell,
    /// Nothing to cells other than the GRU.
    pub(in crate::onnx) gru_form: GruForm,
    /// Nothing to an RNN.
    pub(in crate::onnx) gate_activation: GateActivation,
    pub(in crate::onnx) hidden_size: usize,
    pub(in crate::onnx) input_size: usize,
    pub(in crate::onnx) source: LayerInput,
    /// `[1, gates * hidden, input]`.
    pub(in crate::onnx) w: Arc<Tensor>,
    /// `[1, gates * hidden, width]`.
    pub(in crate::onnx) r: Arc<Tensor>,
    /// `[1, 2 * gates * hidden]`.
    pub(in crate::onnx) b: Option<Arc<Tensor>>,
    /// `[width, hidden]`: what makes an LSTM's h of the output of its cell.
    pub(in crate::onnx) projection: Option<Arc<Tensor>>,
    /// `[width]`: h before the first position; `None` is zeros, or what callers feed.
    pub(in crate::onnx) h0: Option<Vec<f32>>,
    /// `[hidden]`: the same for an LSTM's c.
    pub(in crate::onnx) c0: Option<Vec<f32>>,
}

impl FoundLayer {
    /// Width of its h.
    pub(in crate::onnx) fn width(&self) -> usize {
        self.projection.as_ref().map_or(self.hidden_size, |projection| projection.shape[0])
    }

    /// The size of a vector that it carries.
    pub(super) fn size_of(&self, vector: Vector) -> usize {
        match vector {
            Vector::H => self.width(),
            Vector::C => self.hidden_size,
        }
    }
}

/// What a layer reads.
#[derive(Clone, Debug)]
pub(in crate::onnx) enum LayerInput {
    /// The token's row of a table `[vocab, features]`.
    Table(Arc<Tensor>),
    OneHot {
        vocab_size: usize,
    },
    /// The h of another layer, which may be normalised first.
    Layer {
        place: usize,
        norms: Vec<Norm>,
    },
}

/// `embedding -> recurrent layers -> affine`, as a graph has it.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct FoundNetwork {
    /// The embedding: a table or one-hot.
    pub(in crate::onnx) embedding: LayerInput,
    /// The first layer first.
    pub(in crate::onnx) layers: Vec<FoundLayer>,
    /// What h goes through before the output layer.
    pub(in crate::onnx) output_norms: Vec<Norm>,
    /// `[vocab, hidden]`.
    pub(in crate::onnx) output: Arc<Tensor>,
    /// `[vocab]`.
    pub(in crate::onnx) output_bias: Option<Vec<f32>>,
    pub(in crate::onnx) usage: Usage,
}

impl Found<'_> {
    /// The network whose logits, or what softmax makes of them, the output `logits` has.
    ///
    /// # Errors
    /// The node or output that is not understood.
    pub(in crate::onnx) fn network(&self, logits: &Chosen) -> Result<FoundNetwork, Why> {
        const OPSET_MIN: i64 = 7;

        if self.graph.opset < OPSET_MIN {
            let found = self.graph.opset;
            return Err(format!("its operators are of opset {found}, expected {OPSET_MIN} or later"));
        }
        let head = &logits.head;
        if let Some(start) = self.starts.iter().find(|start| self.tokens == Some(start.input)) {
            let (name, layer) =
                (&self.graph.inputs[start.input].name, &self.layers[start.carried.layer].node);
            return Err(format!("`{name}` has both token ids and the state of node `{layer}`"));
        }
        let mut places = vec![head.layer];
        let mut at = head.layer;
        let embedding = loop {
            match &self.layers[at].source {
                LayerInput::Layer { place, .. } => at = *place,
                source => break source.clone(),
            }
            places.push(at);
        };
        places.reverse();
        Ok(FoundNetwork {
            embedding,
            layers: places.iter().map(|&place| self.layers[place].clone()).collect(),
            output_norms: head.norms.clone(),
            output: head.weights.clone(),
            output_bias: head.bias.clone(),
            usage: self.usage(&places),
        })
    }

    pub(super) fn value(&self, output: &Port) -> &Value {
        &self.values[output.name.as_str()]
    }

    /// What each input is taken for, where `window` ids are read at once.
    pub(in crate::onnx) fn inputs(&self, window: Option<usize>) -> Vec<PortUse> {
        let started = self.started();
        let outputs = self.graph.outputs.iter().rev();
        let ends: BTreeMap<BTreeSet<Carried>, &str> =
            outputs.map(|output| (self.carried_by(output), output.name.as_str())).collect();
        let role = |(index, port): (usize, &Port)| match started.get(&index) {
            _ if self.tokens == Some(index) => {
                let ids = window.map_or("token ids".to_owned(), |len| format!("the last {len} token ids"));
                let form = if self.one_hot.is_some() { ", one-hot" } else { "" };
                format!("{ids}{form}, {}", self.shape(&self.values[port.name.as_str()]))
            }
            None => "not used".into(),
            Some(carried) => {
                let from = ends.get(carried).map_or(String::new(), |output| format!(", from `{output}`"));
                format!("state {}{from}", names(carried))
            }
        };
        let ports = self.graph.inputs.iter().enumerate();
        ports.map(|(index, port)| PortUse { port: port.clone(), role: role((index, port)) }).collect()
    }

    /// What each output is taken for.
    pub(in crate::onnx) fn outputs_used(&self) -> Vec<PortUse> {
        let role = |port: &Port| {
            let carried = self.carried_by(port);
            match self.value(port) {
                Value::Flow(Flow { content: Content::Output(_, scores), position, .. }) => {
                    let which = match position {
                        Position::All => "",
                        Position::First => " after the first position",
                        Position::Last => " after the last position",
                        Position::At(_) => " after one position",
                    };
                    format!("{}{which}, {}", scores.name(), self.shape(self.value(port)))
                }
                _ if !carried.is_empty() => format!("state {}", names(&carried)),
                _ => "not used".into(),
            }
        };
        self.graph.outputs.iter().map(|port| PortUse { port: port.clone(), role: role(port) }).collect()
    }

    /// The states that start from each input.
    pub(super) fn started(&self) -> BTreeMap<usize, BTreeSet<Carried>> {
        let mut started: BTreeMap<usize, BTreeSet<Carried>> = BTreeMap::new();
        for start in &self.starts {
            started.entry(start.input).or_default().insert(start.carried);
        }
        started
    }

    /// The states of an output.
    pub(super) fn carried_by(&self, output: &Port) -> BTreeSet<Carried> {
        self.as_final(self.value(output)).unwrap_or_default()
    }

    /// Axes in letters: N along a window, T along which layers recur, B rows, V the features.
    fn shape(&self, value: &Value) -> String {
        let Value::Flow(flow) = value else { return String::new() };
        let part = |along: Along| match along {
            Along::Features => "V",
            along if self.one_hot == Some(along) => "V",
            along if self.is_window(along) => "N",
            along if self.time == Some(Some(along)) => "T",
            Along::Input { .. } | Along::Step => "B",
        };
        let axis = |axis: &Axis| {
            let parts: Vec<&str> = axis.iter().map(|axis| part(axis.along)).collect();
            if parts.is_empty() { "1".to_owned() } else { parts.join("*") }
        };
        let axes: Vec<String> = flow.axes.iter().map(axis).collect();
        format!("[{}]", axes.join(", "))
    }
}

/// `h of layers 0 and 1`.
pub(super) fn names(carried: &BTreeSet<Carried>) -> String {
    let of = |vector: Vector| {
        let layers = carried.iter().filter(|carried| carried.vector == vector);
        layers.map(|carried| carried.layer.to_string()).collect::<Vec<_>>()
    };
    let vectors = [("h", of(Vector::H)), ("c", of(Vector::C))];
    let named = vectors.iter().filter(|(_, layers)| !layers.is_empty()).map(|(name, layers)| {
        let plural = if layers.len() == 1 { "" } else { "s" };
        format!("{name} of layer{plural} {}", layers.join(", "))
    });
    named.collect::<Vec<_>>().join(" and ")
}

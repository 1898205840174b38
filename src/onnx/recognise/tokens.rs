//! Token ids and what they select: a row of a table, or a place in a one-hot vector; or an input of one-hot vectors.

use super::axes::{Along, Part};
use super::facts::Table;
use super::value::{Content, Flow, Form, MovedInput, Position, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::graph::Element;
use crate::onnx::tensor::Tensor;

impl Found<'_> {
    /// `Gather` of a constant by token ids.
    pub(super) fn embed(&mut self, known: &Known<'_>) -> Result<Value, Why> {
        let (Value::Constant(table), Value::Flow(ids)) = (known.value(0)?, known.value(1)?) else {
            let found = known.value(0)?.describe();
            return Err(format!("it selects from {found}, expected an embedding [vocab, features]"));
        };
        let &[vocab, features] = table.shape.as_slice() else {
            return Err(format!("its table is {:?}, expected [vocab, features]", table.shape));
        };
        if axis_of(known.node.int("axis")?.unwrap_or(0), 2)? != 0 {
            return Err("it selects columns of its table, expected rows".into());
        }
        self.take_ids(ids, Table { node: known.node.name.clone(), entries: vocab })?;
        let axes = [ids.axes.as_slice(), &[vec![along_features(features)]]].concat();
        Ok(Value::Flow(Flow { axes, content: Content::Row(table.clone()), position: ids.position }))
    }

    /// `OneHot` of token ids, with 1 at the token and 0 elsewhere, along a new last axis.
    pub(super) fn one_hot(&mut self, known: &Known<'_>) -> Result<Value, Why> {
        let (Value::Flow(ids), Value::Constant(depth), Value::Constant(values)) =
            (known.value(0)?, known.value(1)?, known.value(2)?)
        else {
            return Err("its depth or its values are not constant".into());
        };
        let float = || depth.as_floats()?.first().map(|&depth| depth as i64);
        let depth = depth.as_ints().and_then(|depth| depth.first().copied()).or_else(float);
        let Some(vocab) = depth.and_then(|depth| usize::try_from(depth).ok()).filter(|&depth| depth > 0)
        else {
            return Err(format!("its depth is {depth:?}, expected the size of the vocabulary"));
        };
        if !is_zero_one(values) {
            return Err("its values are not 0 and 1".into());
        }
        let axis = axis_of(known.node.int("axis")?.unwrap_or(-1), ids.axes.len() + 1)?;
        if axis != ids.axes.len() {
            return Err(format!("its new axis is {axis}, expected the last"));
        }
        self.take_ids(ids, Table { node: known.node.name.clone(), entries: vocab })?;
        let axes = [ids.axes.as_slice(), &[vec![along_features(vocab)]]].concat();
        Ok(Value::Flow(Flow { axes, content: Content::OneHot, position: ids.position }))
    }

    /// Takes an input whose vectors a node multiplies for one-hot vectors of the tokens: their length is then that of the vocabulary,
    /// which the size of the output has to confirm.
    pub(super) fn take_vectors(&mut self, known: &mut Known<'_>) {
        let multiplies = matches!(
            known.node.op.as_str(),
            "MatMul"
                | "Gemm"
                | "Einsum"
                | "FusedMatMul"
                | "FusedGemm"
                | "DynamicQuantizeMatMul"
                | "DynamicQuantizeLinear"
                | "RNN"
                | "GRU"
                | "LSTM"
                | "DynamicQuantizeLSTM"
        );
        let Some(Some(Value::Flow(flow))) = known.inputs.first_mut().filter(|_| multiplies) else { return };
        self.vectors(flow);
    }

    /// Makes one-hot vectors of what is an input of vectors.
    pub(super) fn vectors(&mut self, flow: &mut Flow) {
        let Content::Input(MovedInput { index, form: Form::Raw, .. }) = flow.content else { return };
        let Some(&[Part { along: along @ Along::Input { input, .. }, size: Some(vocab) }]) =
            flow.axes.last().map(Vec::as_slice)
        else {
            return;
        };
        let is_same = self.one_hot.is_none_or(|before| before == along);
        // Where there are ids, vectors are no tokens.
        let mut others = self.graph.inputs.iter().enumerate().filter(|&(other, _)| other != index);
        let has_ids = others.any(|(_, port)| matches!(port.element, Element::I64 | Element::I32));
        let is_free =
            (self.tokens.is_none() && !has_ids) || (self.tokens == Some(index) && self.one_hot.is_some());
        if input == index && is_same && is_free && flow.position == Position::All {
            self.tokens = Some(index);
            self.one_hot = Some(along);
            flow.content = Content::OneHot;
            flow.axes.pop();
            flow.axes.push(vec![along_features(vocab)]);
        }
    }

    /// Checks that `ids` are one input, whole, in types that have every id of `table`.
    fn take_ids(&mut self, ids: &Flow, table: Table) -> Result<(), Why> {
        let Content::Input(MovedInput { index, exact_below, form: Form::Raw | Form::Ids, .. }) = ids.content
        else {
            return Err(format!("it selects by {}, expected token ids", ids.content.describe()));
        };
        let name = &self.graph.inputs[index].name;
        if let Some(before) = self.tokens.filter(|&before| before != index) {
            let before = &self.graph.inputs[before].name;
            return Err(format!("it selects by `{name}`, and another node by `{before}`"));
        }
        if self.one_hot.is_some() {
            return Err(format!("it selects by `{name}`, which another node takes for one-hot vectors"));
        }
        if table.entries as i64 > exact_below {
            return Err(format!("`{name}` is cast to a type without all ids below {}", table.entries));
        }
        self.tokens = Some(index);
        self.tables.push(table);
        Ok(())
    }
}

pub(super) fn along_features(size: usize) -> Part {
    Part { along: Along::Features, size: Some(size) }
}

fn is_zero_one(values: &Tensor) -> bool {
    let is = values.as_floats().map(|values| values == [0.0, 1.0]);
    is.or(values.as_ints().map(|values| values == [0, 1])).unwrap_or(false)
}

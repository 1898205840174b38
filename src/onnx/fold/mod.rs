//! Operators over constants, computed at load: exporters slice, join and transpose weights in the graph.
//!
//! What is folded is what exporters put around weights, shapes and states. All of it together makes a bounded number
//! of elements.

mod arithmetic;
mod layout;
mod quantised;
mod view;
mod whole;

use std::sync::Arc;

use super::graph::{Attribute, Element, Graph, Node};
use super::tensor::{Data, Dequantised, RANK_MAX, Tensor, elements};
use view::View;

pub(super) use layout::{flatten_axis, joined_floats, permutation, shape_range};
pub(super) use quantised::dequantise;
pub(super) use whole::folded;

/// Why a node was not computed, without its name.
pub(super) type Why = String;

/// Computes nodes, as long as there is room for what they make.
pub(super) struct Folder {
    /// The version of the standard operators.
    opset: i64,
    /// Elements that may still be made.
    left: usize,
}

/// A node with its constant inputs.
pub(super) struct Constants<'a> {
    pub(super) node: &'a Node,
    pub(super) inputs: Vec<Option<Arc<Tensor>>>,
}

impl<'a> Constants<'a> {
    fn tensor(&self, index: usize) -> Result<&Tensor, Why> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    fn optional(&self, index: usize) -> Option<&Tensor> {
        self.inputs.get(index)?.as_deref()
    }

    /// The integers of an input; older operators have them as the attribute `name`.
    fn ints(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>, Why> {
        match self.optional(index) {
            Some(tensor) => {
                let ints = tensor.as_list().ok_or_else(|| format!("input {index} is no list of integers"))?;
                Ok(Some(ints.to_vec()))
            }
            None => self.node.ints(name),
        }
    }
}

impl Node {
    /// The attribute `name` as one integer.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Why> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("attribute `{name}` is {other}, expected an integer")),
        }
    }

    /// The attribute `name` as integers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Why> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values.clone())),
            Some(other) => Err(format!("attribute `{name}` is {other}, expected integers")),
        }
    }

    /// The attribute `name` as a float.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, Why> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("attribute `{name}` is {other}, expected a float")),
        }
    }
}

/// `axis` of a tensor of `rank` dimensions, counted from the end when negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Why> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    let is_inside = (0..rank as i64).contains(&counted);
    if is_inside { Ok(counted as usize) } else { Err(format!("axis {axis} of {rank} dimensions")) }
}

/// The number of dimensions of a tensor of `rank` when `added` more were named, as far as tensors have so many.
pub(super) fn rank_with(rank: usize, added: usize) -> Result<usize, Why> {
    let found = rank + added;
    if found > RANK_MAX {
        Err(format!("it makes {found} dimensions, expected at most {RANK_MAX}"))
    } else {
        Ok(found)
    }
}

impl Folder {
    /// With room for a few copies of all constants of `graph`.
    pub(super) fn of(graph: &Graph) -> Self {
        let nested = graph.nodes.iter().flat_map(Node::graphs).flat_map(|nested| nested.constants.values());
        let elements = graph.constants.values().chain(nested).map(|tensor| tensor.len()).sum();
        Self::new(graph.opset, elements)
    }

    /// For a graph of standard operators `opset`, whose constants have `elements` elements.
    pub(super) fn new(opset: i64, elements: usize) -> Self {
        const ROOM_MIN: usize = 1 << 22;
        const COPIES_MAX: usize = 8;

        Self { opset, left: elements.saturating_mul(COPIES_MAX).max(ROOM_MIN) }
    }

    /// The outputs of a node all of whose inputs are constants.
    pub(super) fn fold(&mut self, from: &Constants<'_>) -> Result<Vec<Arc<Tensor>>, Why> {
        let node = from.node;
        if !node.is_standard() {
            return Err(format!("`{}.{}` over constants is not known", node.domain, node.op));
        }
        let made = match node.op.as_str() {
            "Constant" => vec![constant(node)?],
            "Identity" | "Dropout" => vec![same(from)?],
            "Split" => {
                let parts = layout::split(from)?.into_iter().map(|view| self.view(from, view).map(Arc::new));
                parts.collect::<Result<_, Why>>()?
            }
            _ => {
                let computed = match self.moved(from)? {
                    Some(tensor) => tensor,
                    None => self.computed(from)?,
                };
                vec![Arc::new(computed)]
            }
        };
        let rank = made.iter().map(|tensor| tensor.shape.len()).max().unwrap_or(0);
        rank_with(rank, 0).map(|_| made)
    }

    /// What an operator makes that moves elements; `None` for any other.
    fn moved(&mut self, from: &Constants<'_>) -> Result<Option<Tensor>, Why> {
        Ok(Some(match from.node.op.as_str() {
            "Slice" => self.view(from, layout::slice(from, self.opset)?)?,
            "Transpose" => self.view(from, layout::transpose(from)?)?,
            "Expand" => self.view(from, layout::expand(from)?)?,
            "Squeeze" => self.reshaped(from, layout::squeeze(from)?)?,
            "Unsqueeze" => self.reshaped(from, layout::unsqueeze(from)?)?,
            "Reshape" => self.reshaped(from, layout::reshape(from)?)?,
            "Flatten" => self.reshaped(from, layout::flatten(from)?)?,
            "Concat" => {
                self.room(from.inputs.iter().flatten().map(|tensor| tensor.len()).sum())?;
                layout::concat(from)?
            }
            "Gather" => {
                self.room(product(&layout::gathered(from)?)?)?;
                layout::gather(from)?
            }
            _ => return Ok(None),
        }))
    }

    /// What an operator makes of numbers.
    fn computed(&mut self, from: &Constants<'_>) -> Result<Tensor, Why> {
        let node = from.node;
        Ok(match node.op.as_str() {
            "Shape" => layout::shape(from)?,
            "Cast" => {
                self.room(from.tensor(0)?.len())?;
                cast(from.tensor(0)?, target_type(node)?)?
            }
            "ConstantOfShape" => {
                let shape = layout::sizes(from.tensor(0)?)?;
                self.room(product(&shape)?)?;
                layout::filled(node, shape)?
            }
            "Range" => {
                self.room(arithmetic::range_len(from)?)?;
                arithmetic::range(from)?
            }
            "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Less" | "Greater" | "And" => {
                let shape = arithmetic::shape(from)?;
                self.room(product(&shape)?)?;
                arithmetic::binary(from, shape)?
            }
            "Where" => {
                let shape = arithmetic::where_shape(from)?;
                self.room(product(&shape)?)?;
                arithmetic::choose(from, shape)?
            }
            "Neg" => {
                self.room(from.tensor(0)?.len())?;
                arithmetic::negate(from.tensor(0)?)
            }
            "Sqrt" | "Reciprocal" => {
                self.room(from.tensor(0)?.len())?;
                arithmetic::root_or_reciprocal(from)?
            }
            "DequantizeLinear" => {
                self.room(from.tensor(0)?.len())?;
                let axis = node.int("axis")?.unwrap_or(1);
                dequantise(from.tensor(0)?, from.tensor(1)?, from.optional(2), axis)?
            }
            op => return Err(format!("`{op}` over constants is not known")),
        })
    }

    fn reshaped(&mut self, from: &Constants<'_>, shape: Vec<usize>) -> Result<Tensor, Why> {
        let tensor = from.tensor(0)?;
        self.room(tensor.len())?;
        Ok(Tensor { shape, ..tensor.clone() })
    }

    /// Takes room for `len` elements.
    pub(super) fn room(&mut self, len: usize) -> Result<(), Why> {
        self.left = self.left.checked_sub(len).ok_or("what it makes grows beyond what weights need")?;
        Ok(())
    }

    /// Takes room for asking whether all of `tensor` is 0. That is less work than making as many elements.
    pub(super) fn look_through(&mut self, tensor: &Tensor) -> Result<(), Why> {
        const LOOKS_PER_ELEMENT: usize = 16;

        let looks_max = self.left.saturating_mul(LOOKS_PER_ELEMENT);
        let looks = tensor.leading_zeros(looks_max);
        if looks == looks_max {
            self.left = 0;
        }
        // With the element that is not 0.
        self.room(looks.saturating_add(1).div_ceil(LOOKS_PER_ELEMENT))
    }

    fn view(&mut self, from: &Constants<'_>, view: View) -> Result<Tensor, Why> {
        self.room(product(&view.shape)?)?;
        Ok(view.of(from.tensor(0)?))
    }
}

fn product(shape: &[usize]) -> Result<usize, Why> {
    elements(shape).ok_or_else(|| format!("the shape {shape:?} is larger than any machine's memory"))
}

fn same(from: &Constants<'_>) -> Result<Arc<Tensor>, Why> {
    from.inputs.first().cloned().flatten().ok_or_else(|| "input 0 is missing".into())
}

/// The value of a `Constant`.
fn constant(node: &Node) -> Result<Arc<Tensor>, Why> {
    let [(name, value)] = node.attributes.as_slice() else {
        return Err(format!("found {} attributes, expected only the value", node.attributes.len()));
    };
    Ok(match (name.as_str(), value) {
        ("value", Attribute::Tensor(tensor)) => Arc::clone(tensor),
        ("value_int", Attribute::Int(value)) => Arc::new(Tensor::ints(vec![], vec![*value])),
        ("value_ints", Attribute::Ints(values)) => Arc::new(Tensor::vector(values.clone())),
        ("value_float", Attribute::Float(value)) => Arc::new(Tensor::floats(vec![], vec![*value])),
        ("value_floats", Attribute::Floats(values)) => {
            Arc::new(Tensor::floats(vec![values.len()], values.clone()))
        }
        _ => return Err(format!("`{name}` is {value}, expected numbers")),
    })
}

/// The type that a `Cast` is to.
pub(super) fn target_type(node: &Node) -> Result<Element, Why> {
    let number = node.int("to")?.and_then(|number| i32::try_from(number).ok());
    match number.map(Element::from_number) {
        Some(element) if element.bytes().is_some() => Ok(element),
        Some(element) => Err(format!("it casts to {element}")),
        None => Err("attribute `to` is missing".into()),
    }
}

/// `tensor` in another type.
pub(super) fn cast(tensor: &Tensor, element: Element) -> Result<Tensor, Why> {
    let data = match &tensor.data {
        Data::Dequantised(_) if element == Element::F32 => tensor.data.clone(),
        Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) if element.is_float() => {
            Data::Floats(arithmetic::rounded(values.clone(), element))
        }
        Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) if element == Element::Bool => {
            Data::Ints(values.iter().map(|&value| i64::from(value != 0.0)).collect())
        }
        Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) => {
            Data::Ints(values.iter().map(|&value| value as i64).collect())
        }
        Data::Ints(values) if element.is_float() => {
            let floats = values.iter().map(|&value| value as f32).collect();
            Data::Floats(arithmetic::rounded(floats, element))
        }
        Data::Ints(values) if element == Element::Bool => {
            Data::Ints(values.iter().map(|&value| i64::from(value != 0)).collect())
        }
        Data::Ints(values) => Data::Ints(values.clone()),
        Data::Unread => return Err(format!("it casts from {}", tensor.element)),
    };
    let is_within = match (&data, integer_range(element)) {
        (Data::Ints(values), Some(range)) => values.iter().all(|value| range.contains(value)),
        _ => true,
    };
    if !is_within {
        return Err(format!("it casts a number to {element}, which has no such number"));
    }
    Ok(Tensor { shape: tensor.shape.clone(), element, stored: tensor.stored, data })
}

/// The integers that a type has; `None` for floats.
pub(super) fn integer_range(element: Element) -> Option<std::ops::RangeInclusive<i64>> {
    Some(match element {
        Element::I8 => i8::MIN.into()..=i8::MAX.into(),
        Element::U8 => 0..=u8::MAX.into(),
        Element::I16 => i16::MIN.into()..=i16::MAX.into(),
        Element::U16 => 0..=u16::MAX.into(),
        Element::I32 => i32::MIN.into()..=i32::MAX.into(),
        Element::U32 => 0..=u32::MAX.into(),
        Element::I64 => i64::MIN..=i64::MAX,
        Element::U64 => 0..=i64::MAX,
        Element::Bool => 0..=1,
        _ => return None,
    })
}

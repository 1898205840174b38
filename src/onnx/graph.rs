//! A graph as the rest of this module sees it: nodes, constants, inputs and outputs, checked and bounded.

use std::fmt;

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// Its shape; `None` where the file does not say.
    pub shape: Option<Vec<Dim>>,
}

/// One dimension of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A size.
    Fixed(usize),
    /// A size that callers choose, by the file's name for it.
    Symbol(String),
    /// A size that the file does not tell.
    Unknown,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE double precision.
    F64,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
    /// Truth values.
    Bool,
    /// Another type, by its number in `TensorProto.DataType`.
    Other(i32),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
            Element::F64 => "f64",
            Element::I64 => "i64",
            Element::I32 => "i32",
            Element::I8 => "i8",
            Element::U8 => "u8",
            Element::Bool => "bool",
            Element::Other(number) => return write!(f, "type {number}"),
        })
    }
}

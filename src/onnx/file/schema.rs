//! The messages of an ONNX file, as far as they are read here.
//!
//! Names and field numbers are those of `onnx.proto` (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>); a field that is not
//! listed is skipped when a file is decoded. Floats and integers of repeated fields may be packed or not: prost reads both.

use prost::{Enumeration, Message};

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct ModelProto {
    #[prost(string, tag = "2")]
    pub(in crate::onnx) producer_name: String,
    #[prost(string, tag = "3")]
    pub(in crate::onnx) producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub(in crate::onnx) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::onnx) opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub(in crate::onnx) metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "25")]
    pub(in crate::onnx) functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct OperatorSetIdProto {
    /// Empty for the standard operators.
    #[prost(string, tag = "1")]
    pub(in crate::onnx) domain: String,
    #[prost(int64, tag = "2")]
    pub(in crate::onnx) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(in crate::onnx) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::onnx) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct FunctionProto {
    #[prost(string, tag = "1")]
    pub(in crate::onnx) name: String,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::onnx) node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    pub(in crate::onnx) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::onnx) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::onnx) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::onnx) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(in crate::onnx) output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "15")]
    pub(in crate::onnx) sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct NodeProto {
    /// An empty name is an optional input that is absent.
    #[prost(string, repeated, tag = "1")]
    pub(in crate::onnx) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::onnx) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(in crate::onnx) name: String,
    #[prost(string, tag = "4")]
    pub(in crate::onnx) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::onnx) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(in crate::onnx) domain: String,
}

/// The value is in the field that `type` tells.
#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(in crate::onnx) name: String,
    #[prost(float, tag = "2")]
    pub(in crate::onnx) f: f32,
    #[prost(int64, tag = "3")]
    pub(in crate::onnx) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(in crate::onnx) s: Vec<u8>,
    #[prost(message, optional, boxed, tag = "5")]
    pub(in crate::onnx) t: Option<Box<TensorProto>>,
    #[prost(message, optional, boxed, tag = "6")]
    pub(in crate::onnx) g: Option<Box<GraphProto>>,
    #[prost(float, repeated, tag = "7")]
    pub(in crate::onnx) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(in crate::onnx) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(in crate::onnx) strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::onnx) graphs: Vec<GraphProto>,
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub(in crate::onnx) r#type: i32,
    /// In a function's node, the name of the function's argument that gives the value.
    #[prost(string, tag = "21")]
    pub(in crate::onnx) ref_attr_name: String,
}

/// `AttributeProto.AttributeType`, without those that no operator here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(in crate::onnx) enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Graphs = 10,
}

/// The elements are in `raw_data`, in the field of their type, or in a file of their own.
#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(in crate::onnx) dims: Vec<i64>,
    /// `TensorProto.DataType`.
    #[prost(int32, tag = "2")]
    pub(in crate::onnx) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(in crate::onnx) float_data: Vec<f32>,
    /// Also truth values, integers of 8 and 16 bits, and the bits of floats of 16.
    #[prost(int32, repeated, tag = "5")]
    pub(in crate::onnx) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(in crate::onnx) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(in crate::onnx) name: String,
    /// Little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub(in crate::onnx) raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub(in crate::onnx) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(in crate::onnx) uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub(in crate::onnx) external_data: Vec<StringStringEntryProto>,
    #[prost(enumeration = "DataLocation", tag = "14")]
    pub(in crate::onnx) data_location: i32,
}

/// `TensorProto.DataLocation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(in crate::onnx) enum DataLocation {
    Default = 0,
    External = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    pub(in crate::onnx) values: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(in crate::onnx) name: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::onnx) r#type: Option<TypeProto>,
}

/// `TypeProto`, without the types that no input here has: sequences, maps, optional ones.
#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(in crate::onnx) tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct TensorType {
    /// `TensorProto.DataType`.
    #[prost(int32, tag = "1")]
    pub(in crate::onnx) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(in crate::onnx) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::onnx) dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`: one of both, or neither.
#[derive(Clone, PartialEq, Message)]
pub(in crate::onnx) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(in crate::onnx) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(in crate::onnx) dim_param: Option<String>,
}

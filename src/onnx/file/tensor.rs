//! The elements of a tensor, which a file may keep in one of six fields or in a file beside it.

use half::{bf16, f16};

use super::external::External;
use super::schema::{DataLocation, TensorProto};
use crate::error::{Error, Result};
use crate::onnx::graph::Element;
use crate::onnx::tensor::{Data, Dequantised, RANK_MAX, Tensor, elements};

/// Reads `proto`, whose bytes may lie in a file of their own.
///
/// # Errors
/// `Load` naming the tensor when the number of its elements differs from what its shape says. Nothing is allocated for a shape before that.
pub(super) fn read(proto: TensorProto, external: &mut External) -> Result<Tensor> {
    let name = proto.name.clone();
    decode(proto, external).map_err(|error| error.within(format!("tensor `{name}`")))
}

fn decode(mut proto: TensorProto, external: &mut External) -> Result<Tensor> {
    let element = Element::from_number(proto.data_type);
    if proto.dims.len() > RANK_MAX {
        let found = proto.dims.len();
        return Err(Error::load(format!("found {found} dimensions, expected at most {RANK_MAX}")));
    }
    let mut shape = Vec::new();
    for &dim in &proto.dims {
        let size = usize::try_from(dim);
        shape.push(size.map_err(|_| Error::load(format!("its shape {:?} has a negative size", proto.dims)))?);
    }
    let Some(width) = element.bytes() else {
        return Ok(Tensor { shape, element, stored: element, data: Data::Unread });
    };
    let Some(len) = elements(&shape) else {
        return Err(Error::load(format!("its shape {shape:?} is larger than any machine's memory")));
    };
    let bytes = len * width;
    let expected = Expected { shape: &shape, element, len, bytes };
    let data = if proto.data_location == DataLocation::External as i32 {
        widen(element, &external.read(&proto.external_data, bytes)?)
    } else if proto.raw_data.is_empty() {
        typed(&mut proto, &expected)?
    } else {
        expected.hold(proto.raw_data.len(), bytes, "bytes")?;
        widen(element, &proto.raw_data)
    };
    Ok(Tensor { shape, element, stored: element, data })
}

/// What a shape and a type require.
struct Expected<'a> {
    shape: &'a [usize],
    element: Element,
    len: usize,
    bytes: usize,
}

impl Expected<'_> {
    fn hold(&self, found: usize, expected: usize, unit: &str) -> Result<()> {
        let Self { shape, element, .. } = self;
        if found == expected {
            return Ok(());
        }
        Err(Error::load(format!("found {found} {unit}, expected {expected} for {element} {shape:?}")))
    }
}

/// The elements of a tensor without `raw_data`: each type is in one of five fields.
fn typed(proto: &mut TensorProto, expected: &Expected<'_>) -> Result<Data> {
    let narrow = |values: &[i32]| values.iter().map(|&bits| bits as u16).collect::<Vec<u16>>();
    let data = match expected.element {
        Element::F32 => Data::Floats(std::mem::take(&mut proto.float_data)),
        Element::F64 => Data::Floats(proto.double_data.iter().map(|&value| value as f32).collect()),
        Element::F16 => {
            let bits = narrow(&proto.int32_data);
            Data::Floats(bits.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect())
        }
        Element::Bf16 => {
            let bits = narrow(&proto.int32_data);
            Data::Floats(bits.into_iter().map(|bits| bf16::from_bits(bits).to_f32()).collect())
        }
        Element::I64 => Data::Ints(std::mem::take(&mut proto.int64_data)),
        Element::U32 | Element::U64 => {
            Data::Ints(proto.uint64_data.iter().map(|&value| clamp(value)).collect())
        }
        _ => Data::Ints(proto.int32_data.iter().map(|&value| i64::from(value)).collect()),
    };
    let found = match &data {
        Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) => values.len(),
        Data::Ints(values) => values.len(),
        Data::Unread => 0,
    };
    expected.hold(found, expected.len, "elements")?;
    assert!(expected.bytes >= found, "no element is narrower than a byte");
    Ok(data)
}

/// Little-endian `bytes` as elements; their number has been checked.
fn widen(element: Element, bytes: &[u8]) -> Data {
    let floats = Data::Floats;
    let ints = Data::Ints;
    match element {
        Element::F32 => floats(each(bytes, f32::from_le_bytes)),
        Element::F16 => floats(each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Element::Bf16 => floats(each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Element::F64 => floats(each(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        Element::I64 => ints(each(bytes, i64::from_le_bytes)),
        Element::I32 => ints(each(bytes, |bytes| i32::from_le_bytes(bytes).into())),
        Element::I16 => ints(each(bytes, |bytes| i16::from_le_bytes(bytes).into())),
        Element::I8 => ints(each(bytes, |bytes| i8::from_le_bytes(bytes).into())),
        Element::U64 => ints(each(bytes, |bytes| clamp(u64::from_le_bytes(bytes)))),
        Element::U32 => ints(each(bytes, |bytes| u32::from_le_bytes(bytes).into())),
        Element::U16 => ints(each(bytes, |bytes| u16::from_le_bytes(bytes).into())),
        Element::U8 => ints(each(bytes, |bytes| u8::from_le_bytes(bytes).into())),
        Element::Bool => ints(each(bytes, |[byte]| i64::from(byte != 0))),
        Element::Other(_) => Data::Unread,
    }
}

fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "the length has been checked against the type");
    values.iter().map(|&bytes| value(bytes)).collect()
}

/// Indices and sizes above `i64::MAX` mean the end of whatever they point into.
fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

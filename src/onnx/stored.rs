//! Weights in the type that a file stores them in, and what becomes of those that it stores as integers.
//!
//! The engine has integers of 8 bits with one scale for each output. A matrix of a file is kept so where that gives exactly the numbers
//! that the graph multiplies with; otherwise these numbers are taken.

use super::graph::Element;
use super::tensor::{Data, Dequantised, Tensor};
use super::understanding::QuantisedMatrix;
use crate::lm::Dtype;
use crate::rnn::Values;

/// Takes the weights of a network, one after the other.
#[derive(Default)]
pub(super) struct Stored {
    /// The matrices that the file has in integers, so far.
    pub(super) quantised: Vec<QuantisedMatrix>,
}

impl Stored {
    /// `tensor` as the matrix `name`, whose rows are its last dimension, with blocks of rows in `order`. They are in the type of the file,
    /// unless the graph computes others from them.
    pub(super) fn matrix(&mut self, name: String, tensor: &Tensor, order: &[usize]) -> Values {
        let data = ordered(tensor, order);
        let Data::Dequantised(dequantised) = data else {
            return narrowed(data, tensor.stored);
        };
        let width = tensor.shape.last().copied().unwrap_or(1);
        let kept = kept(&dequantised, width);
        self.quantised.push(QuantisedMatrix { name, dequantised: kept.as_ref().err().copied() });
        kept.unwrap_or(Values::F32(dequantised.values))
    }
}

/// The elements, with equal blocks of them in `order`.
fn ordered(tensor: &Tensor, order: &[usize]) -> Data {
    let len = tensor.len() / order.len();
    tensor.data.at(order.iter().flat_map(|block| block * len..(block + 1) * len))
}

fn narrowed(data: Data, stored: Element) -> Values {
    let Data::Floats(values) = data else {
        unreachable!("the pass has checked that weights are floats: a bug")
    };
    let dtype = match stored {
        Element::F16 => Dtype::F16,
        Element::Bf16 => Dtype::Bf16,
        _ => Dtype::F32,
    };
    Values::narrowed(values, dtype)
}

/// Rows of `width` as integers with a scale for each row.
///
/// # Errors
/// Why their numbers are taken instead.
fn kept(dequantised: &Dequantised, width: usize) -> Result<Values, &'static str> {
    let Dequantised { values, scales, bits } = dequantised;
    if *bits != 8 {
        return Err("its integers have 4 bits");
    }
    let rows = scales.chunks(width.max(1));
    let is_one = |row: &[f32]| row.iter().all(|scale| scale.to_bits() == row[0].to_bits());
    if !rows.clone().all(is_one) {
        return Err("the weights of one output have several scales");
    }
    let of_rows: Vec<f32> = rows.map(|row| row[0]).collect();
    Values::int8(values, &of_rows)
        .ok_or("its integers, less their zero point, are not all within -127 to 127")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::fold::dequantise;

    /// `[2, 2]` integers of a type, with a scale for each row.
    fn matrix(element: Element, integers: [i64; 4], zero: i64) -> Tensor {
        let scales = Tensor::floats(vec![2], vec![0.1, 0.3]);
        let zeros = Tensor::vector(vec![zero; 2]);
        let integers = Tensor { element, ..Tensor::ints(vec![2, 2], integers.into()) };
        dequantise(&integers, &scales, Some(&zeros), 0).expect("integers, scales and zero points that fit")
    }

    /// The weights, and why they are not the integers of the file.
    fn stored(tensor: &Tensor, order: &[usize]) -> (Values, Option<&'static str>) {
        let mut stored = Stored::default();
        let values = stored.matrix("decoder.weight".into(), tensor, order);
        let [QuantisedMatrix { dequantised, .. }] = stored.quantised[..] else { panic!("one matrix") };
        (values, dequantised)
    }

    fn is_beyond(dequantised: Option<&str>) -> bool {
        dequantised.is_some_and(|why| why.contains("zero point"))
    }

    #[test]
    fn integers_are_kept_after_their_zero_point_is_subtracted_unless_one_is_beyond_the_range() {
        let expected = [12.7f32, -0.1, 0.0, 0.3];
        let signed = matrix(Element::I8, [127, -1, 0, 1], 0);
        let unsigned = matrix(Element::U8, [255, 127, 128, 129], 128);
        for tensor in [signed, unsigned] {
            let (values, dequantised) = stored(&tensor, &[0]);
            assert_eq!((values.dtype(), dequantised), (Dtype::Int8, None));
            assert_eq!(values.widened(), tensor.as_floats().expect("floats"));
            let distances = tensor.as_floats().expect("floats").iter().zip(expected);
            assert!(
                distances.map(|(found, expected)| (found - expected).abs()).all(|distance| distance < 1e-5)
            );
        }
        for beyond in [matrix(Element::I8, [-128, 0, 0, 0], 0), matrix(Element::U8, [0, 255, 3, 4], 100)] {
            let (values, dequantised) = stored(&beyond, &[0]);
            assert!(is_beyond(dequantised), "{dequantised:?}");
            assert_eq!(values, Values::F32(beyond.as_floats().expect("floats").to_vec()));
        }
    }

    #[test]
    fn blocks_of_rows_move_with_their_scales() {
        let tensor = matrix(Element::I8, [1, 2, 3, 4], 0);
        let (values, dequantised) = stored(&tensor, &[1, 0]);
        assert_eq!(dequantised, None);
        let floats = tensor.as_floats().expect("floats");
        assert_eq!(values.widened(), [&floats[2..], &floats[..2]].concat());
        let columns = Tensor { data: tensor.data.at([0, 2, 1, 3].into_iter()), ..tensor };
        assert!(stored(&columns, &[0]).1.is_some_and(|why| why.contains("several scales")));
    }
}

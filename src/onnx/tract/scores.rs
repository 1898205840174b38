//! What the numbers of an output are, found out by running the graph.

use crate::lm::math;
use crate::onnx::scores::Scores;

/// How far a sum of probabilities may be from one; sums of half-precision numbers over a large vocabulary are that far.
const SUM_TOLERANCE: f64 = 1e-2;

impl Scores {
    /// What all of `rows` are, each over the whole vocabulary.
    pub(super) fn of_rows(rows: &[Vec<f32>]) -> Self {
        let sums_to_one = |row: &Vec<f32>, value: fn(f32) -> f32| {
            (row.iter().map(|&x| f64::from(value(x))).sum::<f64>() - 1.0).abs() < SUM_TOLERANCE
        };
        let all = |is: &dyn Fn(&Vec<f32>) -> bool| rows.iter().all(is);
        if all(&|row| row.iter().all(|&x| x >= 0.0) && sums_to_one(row, |x| x)) {
            Scores::Probabilities
        } else if all(&|row| row.iter().all(|&x| x <= 0.0) && sums_to_one(row, math::exp)) {
            Scores::LogProbabilities
        } else {
            Scores::Logits
        }
    }

    /// Turns `values`, which are finite, into logits. A probability of zero counts as the smallest number above it.
    pub(super) fn make_logits(self, values: &mut [f32]) {
        if self == Scores::Probabilities {
            let smallest = f64::from(f32::from_bits(1));
            values.iter_mut().for_each(|value| *value = libm::log(f64::from(*value).max(smallest)) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_what_they_are() {
        let scores =
            |rows: &[&[f32]]| Scores::of_rows(&rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>());
        assert_eq!(scores(&[&[0.25, 0.75, 0.0], &[0.5, 0.25, 0.25]]), Scores::Probabilities);
        let half = -std::f32::consts::LN_2;
        assert_eq!(scores(&[&[half, half, -90.0]]), Scores::LogProbabilities);
        assert_eq!(scores(&[&[0.25, 0.75], &[0.5, 0.25]]), Scores::Logits, "one row alone could be chance");
        assert_eq!(scores(&[&[-0.5, -0.5]]), Scores::Logits);
    }

    #[test]
    fn a_probability_of_zero_has_a_finite_logarithm() {
        let mut values = [1.0, 0.5, 0.0];
        Scores::Probabilities.make_logits(&mut values);
        assert_eq!(values[..2], [0.0, -std::f32::consts::LN_2]);
        assert!((-104.0..-103.0).contains(&values[2]), "{}", values[2]);
    }
}

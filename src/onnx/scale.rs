//! What the numbers of a logits output are: found out by looking at them.

use crate::lm::math;

/// What a graph gives for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Scores of any size.
    Logits,
    /// Scores whose exponentials sum to one: logits as well.
    LogProbabilities,
    /// Their logarithms are logits.
    Probabilities,
}

/// How far a sum of probabilities may be from one: that of half-precision numbers over a large vocabulary is.
const SUM_TOLERANCE: f64 = 1e-2;

impl Scale {
    /// The scale of all of `rows`, each over the whole vocabulary.
    pub(super) fn of(rows: &[Vec<f32>]) -> Self {
        let sums_to_one = |row: &Vec<f32>, value: fn(f32) -> f32| {
            (row.iter().map(|&x| f64::from(value(x))).sum::<f64>() - 1.0).abs() < SUM_TOLERANCE
        };
        let all = |is: &dyn Fn(&Vec<f32>) -> bool| rows.iter().all(is);
        if all(&|row| row.iter().all(|&x| x >= 0.0) && sums_to_one(row, |x| x)) {
            Scale::Probabilities
        } else if all(&|row| row.iter().all(|&x| x <= 0.0) && sums_to_one(row, math::exp)) {
            Scale::LogProbabilities
        } else {
            Scale::Logits
        }
    }

    /// In a few words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scale::Logits => "logits",
            Scale::LogProbabilities => "log-probabilities",
            Scale::Probabilities => "probabilities, whose logarithm is taken",
        }
    }

    /// Makes logits of `values`, which are finite. A probability that is too small for its type counts as the smallest that is not.
    pub(super) fn make_logits(self, values: &mut [f32]) {
        if self == Scale::Probabilities {
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
        let scale = |rows: &[&[f32]]| Scale::of(&rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>());
        assert_eq!(scale(&[&[0.25, 0.75, 0.0], &[0.5, 0.25, 0.25]]), Scale::Probabilities);
        let half = -std::f32::consts::LN_2;
        assert_eq!(scale(&[&[half, half, -90.0]]), Scale::LogProbabilities);
        assert_eq!(scale(&[&[0.25, 0.75], &[0.5, 0.25]]), Scale::Logits, "one row alone could be chance");
        assert_eq!(scale(&[&[-0.5, -0.5]]), Scale::Logits);
    }

    #[test]
    fn a_probability_of_zero_has_a_finite_logarithm() {
        let mut values = [1.0, 0.5, 0.0];
        Scale::Probabilities.make_logits(&mut values);
        assert_eq!(values[..2], [0.0, -std::f32::consts::LN_2]);
        assert!((-104.0..-103.0).contains(&values[2]), "{}", values[2]);
    }
}

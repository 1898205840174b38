//! What stands between two layers: a normalisation of each vector on its way.

use super::cells::AllFinite;
use crate::kernels::{Isa, Kernel, Task};
use crate::lm::reduce::sum_of_lanes;

/// A normalisation, `y = scale * n(x) + shift` for each vector `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// What n is.
    pub form: NormForm,
    /// `[width]`.
    pub scale: Vec<f32>,
    /// `[width]`.
    pub shift: Vec<f32>,
}

/// What a vector is normalised by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormForm {
    /// By constants, which are in the scale and the shift: `n(x) = x`. Batch normalisation (Ioffe & Szegedy 2015) once a network is
    /// trained.
    Constants,
    /// By its own mean and variance: `n(x) = (x - mean(x)) / sqrt(variance(x) + epsilon)`. Layer normalisation (Ba et al. 2016),
    /// ONNX operator LayerNormalization, PyTorch's `nn.LayerNorm`. The variance is that of the values themselves, not an estimate of
    /// that of others: it divides by their number.
    OfVector {
        /// Keeps the quotient finite where all values are equal.
        epsilon: f32,
    },
}

impl NormForm {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            NormForm::Constants => "scale",
            NormForm::OfVector { .. } => "layer",
        }
    }
}

impl Norm {
    /// Batch normalisation by the statistics of the training data, all `[width]`: `(x - mean) / sqrt(variance + epsilon) * scale + shift`.
    pub fn of_statistics(scaled: Scaled, statistics: &Statistics) -> Self {
        let Scaled { scale, shift } = scaled;
        let Statistics { mean, variance, epsilon } = statistics;
        let divide = |(scale, variance): (f32, &f32)| {
            f64::from(scale) / (f64::from(*variance) + f64::from(*epsilon)).sqrt()
        };
        let factors: Vec<f64> = scale.into_iter().zip(variance).map(divide).collect();
        let moved = shift.into_iter().zip(mean).zip(&factors);
        let shift =
            moved.map(|((shift, mean), factor)| (f64::from(shift) - f64::from(*mean) * factor) as f32);
        Self {
            form: NormForm::Constants,
            shift: shift.collect(),
            scale: factors.into_iter().map(|factor| factor as f32).collect(),
        }
    }

    /// Normalises each of `vectors` `[.., width]` in place, for readers of files: the bits are those of every kernel.
    pub fn apply(&self, vectors: &mut [f32]) {
        self.run(Kernel::Portable, vectors);
    }

    /// Normalises each of `vectors` `[.., width]` in place. One whose numbers are not finite has some that are not finite afterwards.
    pub(super) fn run(&self, kernel: Kernel, vectors: &mut [f32]) {
        kernel.run(Normalise { norm: self, vectors });
    }
}

/// A scale and a shift, `[width]` each.
pub struct Scaled {
    /// What normalised values are multiplied by.
    pub scale: Vec<f32>,
    /// What is added to them.
    pub shift: Vec<f32>,
}

/// The statistics of a batch normalisation.
pub struct Statistics {
    /// `[width]`.
    pub mean: Vec<f32>,
    /// `[width]`.
    pub variance: Vec<f32>,
    /// What is added to each variance.
    pub epsilon: f32,
}

/// Normalises `vectors` by all of `norms`, the first one first. Each must be as wide as a vector.
pub(super) fn normalise(norms: &[Norm], kernel: Kernel, vectors: &mut [f32]) {
    norms.iter().for_each(|norm| norm.run(kernel, vectors));
}

/// Whether every vector that `norms` gave is finite; not asked where nothing was normalised.
pub(super) fn stayed_finite(norms: &[Norm], kernel: Kernel, vectors: &[f32]) -> bool {
    norms.is_empty() || kernel.run(AllFinite(vectors))
}

/// The sums of a vector are those of [`sum_of_lanes`], whose order is fixed, so a vector's numbers depend on nothing but the vector. The rest
/// is plain `*` and `+`, and a division and a root that IEEE 754 defines to the last bit.
struct Normalise<'a> {
    norm: &'a Norm,
    vectors: &'a mut [f32],
}

impl Task for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Norm { form, scale, shift } = self.norm;
        for vector in self.vectors.chunks_exact_mut(scale.len()) {
            if let NormForm::OfVector { epsilon } = *form {
                standardise(vector, epsilon);
            }
            for ((value, scale), shift) in vector.iter_mut().zip(scale).zip(shift) {
                *value = *value * scale + shift;
            }
        }
    }
}

/// Subtracts the mean and divides by the standard deviation.
#[inline(always)]
fn standardise(vector: &mut [f32], epsilon: f32) {
    let len = vector.len() as f64;
    let mean = (sum_of_lanes(vector, |value| value) / len) as f32;
    let square = |value: f32| (value - mean) * (value - mean);
    let variance = sum_of_lanes(vector, square) / len;
    let inverse = (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32;
    // A variance that overflows would make zeros of all values, which look right.
    let inverse = if variance.is_finite() { inverse } else { f32::NAN };
    for value in vector {
        *value = (*value - mean) * inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer_norm(width: usize, epsilon: f32) -> Norm {
        Norm { form: NormForm::OfVector { epsilon }, scale: vec![1.0; width], shift: vec![0.0; width] }
    }

    #[test]
    fn a_vector_that_overflows_does_not_look_right_afterwards() {
        let mut vector = [f32::MAX, -f32::MAX, 0.0];
        layer_norm(3, 1e-5).run(Kernel::Portable, &mut vector);
        assert!(vector.iter().all(|value| value.is_nan()), "{vector:?}");
        let mut vector = [f32::NAN, 1.0, 2.0];
        layer_norm(3, 1e-5).run(Kernel::Portable, &mut vector);
        assert!(vector.iter().all(|value| value.is_nan()), "{vector:?}");
    }

    #[test]
    fn equal_values_become_the_shift() {
        let mut vector = [7.5; 20];
        let norm = Norm { shift: vec![0.25; 20], ..layer_norm(20, 1e-5) };
        norm.run(Kernel::Portable, &mut vector);
        assert_eq!(vector, [0.25; 20]);
    }

    #[test]
    fn statistics_become_a_scale_and_a_shift() {
        let scaled = Scaled { scale: vec![2.0, 3.0], shift: vec![1.0, -1.0] };
        let statistics = Statistics { mean: vec![4.0, 0.5], variance: vec![3.0, 0.0], epsilon: 1.0 };
        let norm = Norm::of_statistics(scaled, &statistics);
        assert_eq!((norm.scale, norm.shift), (vec![1.0, 3.0], vec![-3.0, -2.5]));
    }
}

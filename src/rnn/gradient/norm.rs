//! Normalisations, backwards: from the gradient by what they gave to the gradient by what they were given.

use crate::kernels::Kernel;
use crate::rnn::norm::{Norm, NormForm};

/// Vectors, and what they went through.
pub(super) struct Normalised<'a> {
    /// The first one first.
    pub(super) norms: &'a [Norm],
    /// Before the first one, `[.., width]`.
    pub(super) vectors: &'a [f32],
}

/// Turns `gradients` `[.., width]`, by the normalised vectors, into those by the vectors before.
pub(super) fn backwards(normalised: Normalised<'_>, kernel: Kernel, gradients: &mut [f32]) {
    let Normalised { norms, vectors } = normalised;
    // What each of the norms was given.
    let mut given = Vec::with_capacity(norms.len());
    let mut vectors = vectors.to_vec();
    for norm in norms {
        given.push(vectors.clone());
        norm.run(kernel, &mut vectors);
    }
    for (norm, vectors) in norms.iter().zip(&given).rev() {
        let width = norm.scale.len();
        let each = vectors.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        each.for_each(|(vector, gradient)| one(norm, vector, gradient));
    }
}

/// With `g = gradient * scale` and `n` the normalised vector, `(g - mean(g) - n * mean(g * n)) / deviation`; only `g` if the norm is by
/// constants.
fn one(norm: &Norm, vector: &[f32], gradient: &mut [f32]) {
    gradient.iter_mut().zip(&norm.scale).for_each(|(gradient, scale)| *gradient *= scale);
    let NormForm::OfVector { epsilon } = norm.form else { return };
    let len = vector.len() as f64;
    let mean_of = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / len;
    let mean = mean_of(&mut vector.iter().map(|&x| f64::from(x)));
    let centred: Vec<f64> = vector.iter().map(|&x| f64::from(x) - mean).collect();
    let variance = mean_of(&mut centred.iter().map(|x| x * x));
    let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
    let shared = mean_of(&mut gradient.iter().map(|&g| f64::from(g)));
    let along = mean_of(&mut gradient.iter().zip(&centred).map(|(&g, x)| f64::from(g) * x * inverse));
    for (gradient, x) in gradient.iter_mut().zip(&centred) {
        *gradient = ((f64::from(*gradient) - shared - x * inverse * along) * inverse) as f32;
    }
}

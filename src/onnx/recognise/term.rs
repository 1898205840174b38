//! What one step of a cell computes from the vectors at its position, as a term over features.
//!
//! Exporters that have no recurrent node for a layer write its step out, in the body of a loop. A slice of a term is a term
//! over fewer columns of the same weights, so gates are found whether a graph splits the sums or the weights.

use std::ops::Range;
use std::sync::Arc;

use super::block::Block;
use crate::onnx::fold::Why;

/// A vector of one position, and what it is computed from.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) kind: Kind,
    /// Terms in it, those that occur twice counted twice.
    size: usize,
    /// Terms in each other. What follows a term calls itself that often.
    depth: usize,
    /// Numbers in biases, those of a term that occurs twice counted twice: a slice copies so many at most.
    numbers: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// What the layer reads.
    Input,
    /// What a step of an unrolled layer reads, by its place among all that such steps read.
    Read(usize),
    /// Zeros, where the state of an unrolled layer begins.
    Zero,
    /// A vector that the step before left, by its place among those that the loop, or all unrolled layers, carry.
    State(usize),
    /// Vectors side by side.
    Joined(Vec<Joint>),
    Affine(Affine),
    /// `factor * of + shift`.
    Scaled {
        of: Arc<Term>,
        factor: f32,
        shift: f32,
    },
    /// `of`, bounded.
    Clipped {
        of: Arc<Term>,
        min: f32,
        max: f32,
    },
    Activated(Function, Arc<Term>),
    Product(Arc<Term>, Arc<Term>),
    Sum(Arc<Term>, Arc<Term>),
    /// `1 - of`.
    Complement(Arc<Term>),
}

/// One of several vectors side by side.
#[derive(Clone, Debug)]
pub(super) struct Joint {
    pub(super) term: Arc<Term>,
    pub(super) width: usize,
}

/// `W input + R recurrent + bias`.
#[derive(Clone, Debug, Default)]
pub(super) struct Affine {
    /// A product with what the step reads.
    pub(super) input: Option<Matrix>,
    /// A product with what is computed from the state.
    pub(super) recurrent: Option<Matrix>,
    /// `[columns]`.
    pub(super) bias: Option<Vec<f32>>,
}

/// A vector times `[features, columns]`.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) of: Arc<Term>,
    pub(super) weights: Block,
}

/// A function of each feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Sigmoid,
    Tanh,
    Relu,
    /// `min(max(slope * x + 0.5, 0), 1)`.
    HardSigmoid {
        slope: f32,
    },
}

impl Term {
    /// A term of this kind.
    ///
    /// # Errors
    /// When it is larger than any cell.
    pub(super) fn new(kind: Kind) -> Result<Arc<Self>, Why> {
        const SIZE_MAX: usize = 1 << 14;
        const DEPTH_MAX: usize = 128;
        const NUMBERS_MAX: usize = 1 << 22;

        let mut size = 1usize;
        let mut depth = 0;
        let mut numbers = kind.bias_len();
        kind.each_part(&mut |part| {
            size += part.size;
            depth = depth.max(part.depth);
            numbers += part.numbers;
        });
        match depth < DEPTH_MAX && size <= SIZE_MAX && numbers <= NUMBERS_MAX {
            true => Ok(Arc::new(Self { kind, size, depth: depth + 1, numbers })),
            false => Err("its step is larger than that of any known cell".into()),
        }
    }

    /// Numbers in biases that no other term has.
    pub(super) fn own_len(self: &Arc<Self>) -> usize {
        if Arc::strong_count(self) > 1 {
            return 0;
        }
        let mut len = self.kind.bias_len();
        self.kind.each_part(&mut |part| len += part.own_len());
        len
    }
}

impl Kind {
    fn bias_len(&self) -> usize {
        match self {
            Kind::Affine(Affine { bias: Some(bias), .. }) => bias.len(),
            _ => 0,
        }
    }

    /// Calls `each` with the terms that this one is made of.
    pub(super) fn each_part(&self, each: &mut dyn FnMut(&Arc<Term>)) {
        match self {
            Kind::Input | Kind::Read(_) | Kind::Zero | Kind::State(_) => {}
            Kind::Joined(joints) => joints.iter().for_each(|joint| each(&joint.term)),
            Kind::Affine(affine) => {
                affine.input.iter().chain(&affine.recurrent).for_each(|matrix| each(&matrix.of));
            }
            Kind::Scaled { of, .. } | Kind::Clipped { of, .. } => each(of),
            Kind::Activated(_, of) | Kind::Complement(of) => each(of),
            Kind::Product(a, b) | Kind::Sum(a, b) => {
                each(a);
                each(b);
            }
        }
    }
}

impl Matrix {
    fn columns(&self, range: &Range<usize>) -> Result<Self, Why> {
        Ok(Self { of: self.of.clone(), weights: self.weights.columns(range)? })
    }
}

/// `term` times `[in, out]`.
pub(super) fn product(term: &Arc<Term>, weights: &Block) -> Result<Arc<Term>, Why> {
    let matrix = || Some(Matrix { of: term.clone(), weights: weights.clone() });
    let affine = match &term.kind {
        Kind::Zero => return Ok(term.clone()),
        Kind::Input | Kind::Read(_) => Affine { input: matrix(), ..Affine::default() },
        Kind::Joined(joints) => joined_product(joints, weights)?,
        Kind::Affine(_) => return Err("it multiplies a sum of products, which no known cell does".into()),
        _ => Affine { recurrent: matrix(), ..Affine::default() },
    };
    Term::new(Kind::Affine(affine))
}

/// Each of the vectors side by side times its rows of the weights.
fn joined_product(joints: &[Joint], weights: &Block) -> Result<Affine, Why> {
    let mut sum = Affine::default();
    let mut row = 0;
    for Joint { term, width } in joints {
        let part = product(term, &weights.rows(&(row..row + width))?)?;
        row += width;
        sum = match &part.kind {
            Kind::Zero => sum,
            Kind::Affine(part) => merged(&sum, part).ok_or("it multiplies two vectors of one kind")?,
            _ => return Err("it multiplies vectors in vectors".into()),
        };
    }
    Ok(sum)
}

/// The sum of two terms.
pub(super) fn sum(a: &Arc<Term>, b: &Arc<Term>) -> Result<Arc<Term>, Why> {
    match (&a.kind, &b.kind) {
        (Kind::Zero, _) => return Ok(b.clone()),
        (_, Kind::Zero) => return Ok(a.clone()),
        _ => {}
    }
    if let (Kind::Affine(a), Kind::Affine(b)) = (&a.kind, &b.kind)
        && let Some(sum) = merged(a, b)
    {
        return Term::new(Kind::Affine(sum));
    }
    Term::new(Kind::Sum(a.clone(), b.clone()))
}

/// The sum of two affine terms; `None` where both have a product of the same kind.
fn merged(a: &Affine, b: &Affine) -> Option<Affine> {
    let bias = match (&a.bias, &b.bias) {
        (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a + b).collect()),
        (bias, None) | (None, bias) => bias.clone(),
    };
    let share_input = a.input.is_some() && b.input.is_some();
    let share_recurrent = a.recurrent.is_some() && b.recurrent.is_some();
    let is_apart = !share_input && !share_recurrent;
    is_apart.then(|| Affine {
        input: a.input.clone().or_else(|| b.input.clone()),
        recurrent: a.recurrent.clone().or_else(|| b.recurrent.clone()),
        bias,
    })
}

/// The product of two terms, feature by feature.
pub(super) fn times(a: &Arc<Term>, b: &Arc<Term>) -> Result<Arc<Term>, Why> {
    match (&a.kind, &b.kind) {
        (Kind::Zero, _) => Ok(a.clone()),
        (_, Kind::Zero) => Ok(b.clone()),
        _ => Term::new(Kind::Product(a.clone(), b.clone())),
    }
}

/// A function of each feature of a term.
pub(super) fn activated(function: Function, of: &Arc<Term>) -> Result<Arc<Term>, Why> {
    match (&of.kind, function) {
        (Kind::Zero, Function::Tanh | Function::Relu) => Ok(of.clone()),
        _ => Term::new(Kind::Activated(function, of.clone())),
    }
}

/// `term` plus a constant vector.
pub(super) fn biased(term: &Arc<Term>, bias: Vec<f32>) -> Result<Arc<Term>, Why> {
    match &term.kind {
        Kind::Affine(affine) => {
            let bias = Affine { bias: Some(bias), ..Affine::default() };
            let sum = merged(affine, &bias).ok_or("it adds a bias to no product")?;
            Term::new(Kind::Affine(sum))
        }
        Kind::Zero => Term::new(Kind::Affine(Affine { bias: Some(bias), ..Affine::default() })),
        // Either of two products that are added.
        Kind::Sum(a, b) if matches!(b.kind, Kind::Affine(_)) => sum(a, &biased(b, bias)?),
        Kind::Sum(a, b) if matches!(a.kind, Kind::Affine(_)) => sum(&biased(a, bias)?, b),
        _ => Err("it adds a bias to what is no product".into()),
    }
}

/// `factor * term + shift`, or the hard sigmoid that it completes.
pub(super) fn scaled(term: &Arc<Term>, factor: f32, shift: f32) -> Result<Arc<Term>, Why> {
    match &term.kind {
        // min(max(x + 3, 0), 6) / 6, as Keras 3 has it.
        Kind::Clipped { of, min: 0.0, max } if shift == 0.0 && (factor * max - 1.0).abs() <= f32::EPSILON => {
            match &of.kind {
                Kind::Scaled { of, factor: inner, shift } if shift * 2.0 == *max => {
                    Term::new(Kind::Activated(Function::HardSigmoid { slope: inner * factor }, of.clone()))
                }
                _ => Err("it scales a clipped sum, which no known cell does".into()),
            }
        }
        Kind::Scaled { of, factor: inner, shift: before } => {
            Term::new(Kind::Scaled { of: of.clone(), factor: inner * factor, shift: before * factor + shift })
        }
        Kind::Zero if shift == 0.0 => Ok(term.clone()),
        _ => Term::new(Kind::Scaled { of: term.clone(), factor, shift }),
    }
}

/// `term` between two bounds, or the hard sigmoid that it completes.
pub(super) fn clipped(term: &Arc<Term>, min: f32, max: f32) -> Result<Arc<Term>, Why> {
    match &term.kind {
        Kind::Scaled { of, factor, shift: 0.5 } if min == 0.0 && max == 1.0 => {
            Term::new(Kind::Activated(Function::HardSigmoid { slope: *factor }, of.clone()))
        }
        _ => Term::new(Kind::Clipped { of: term.clone(), min, max }),
    }
}

/// The features `range` of a term.
pub(super) fn slice(term: &Arc<Term>, range: &Range<usize>) -> Result<Arc<Term>, Why> {
    let of = |term: &Arc<Term>| slice(term, range);
    let kind = match &term.kind {
        Kind::Zero => return Ok(term.clone()),
        Kind::Input | Kind::Read(_) | Kind::State(_) => {
            return Err("it takes a part of a vector, which no known cell does".into());
        }
        Kind::Joined(joints) => {
            let mut start = 0;
            for Joint { term, width } in joints {
                if (start..start + width) == *range {
                    return Ok(term.clone());
                }
                start += width;
            }
            return Err("it takes parts of vectors side by side".into());
        }
        Kind::Affine(Affine { input, recurrent, bias }) => Kind::Affine(Affine {
            input: input.as_ref().map(|matrix| matrix.columns(range)).transpose()?,
            recurrent: recurrent.as_ref().map(|matrix| matrix.columns(range)).transpose()?,
            bias: bias.as_ref().map(|bias| bias[range.clone()].to_vec()),
        }),
        &Kind::Scaled { of: ref term, factor, shift } => Kind::Scaled { of: of(term)?, factor, shift },
        &Kind::Clipped { of: ref term, min, max } => Kind::Clipped { of: of(term)?, min, max },
        Kind::Activated(function, term) => Kind::Activated(*function, of(term)?),
        Kind::Product(a, b) => Kind::Product(of(a)?, of(b)?),
        Kind::Sum(a, b) => Kind::Sum(of(a)?, of(b)?),
        Kind::Complement(term) => Kind::Complement(of(term)?),
    };
    Term::new(kind)
}

//! What one step of a cell computes from the vectors at its position, as a term over features.
//!
//! Exporters that have no recurrent node for a layer write its step out, in the body of a loop. A slice of a term is a term
//! over fewer columns of the same weights, so gates are found whether a graph splits the sums or the weights.

use std::ops::Range;
use std::sync::Arc;

use super::affine::transposed;
use crate::onnx::fold::Why;
use crate::onnx::tensor::{Data, Tensor};

/// A vector of one position, and what it is computed from.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) kind: Kind,
    /// Terms in it, those that occur twice counted twice.
    size: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// What the layer reads.
    Input,
    /// A vector that the step before left, by its place among those that the loop carries.
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
    /// `[input, columns]`.
    pub(super) input: Option<Arc<Tensor>>,
    pub(super) recurrent: Option<Recurrent>,
    /// `[columns]`.
    pub(super) bias: Option<Vec<f32>>,
}

/// A product with a vector that is computed from the state.
#[derive(Clone, Debug)]
pub(super) struct Recurrent {
    pub(super) of: Arc<Term>,
    /// `[hidden, columns]`.
    pub(super) weights: Arc<Tensor>,
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
        const SIZE_MAX: usize = 256;

        let parts = match &kind {
            Kind::Input | Kind::State(_) => 0,
            Kind::Joined(joints) => joints.iter().map(|joint| joint.term.size).sum(),
            Kind::Affine(affine) => affine.recurrent.as_ref().map_or(0, |recurrent| recurrent.of.size),
            Kind::Scaled { of, .. } | Kind::Clipped { of, .. } => of.size,
            Kind::Activated(_, of) | Kind::Complement(of) => of.size,
            Kind::Product(a, b) | Kind::Sum(a, b) => a.size + b.size,
        };
        match parts + 1 {
            size if size <= SIZE_MAX => Ok(Arc::new(Self { kind, size })),
            _ => Err("its step is larger than that of any known cell".into()),
        }
    }

    /// Elements of the weights that a slice or a sum may copy.
    pub(super) fn table_len(&self) -> usize {
        match &self.kind {
            Kind::Input | Kind::State(_) => 0,
            Kind::Joined(joints) => joints.iter().map(|joint| joint.term.table_len()).sum(),
            Kind::Affine(Affine { input, recurrent, .. }) => {
                let recurrent = recurrent.iter().map(|recurrent| recurrent.weights.len());
                input.iter().map(|input| input.len()).chain(recurrent).sum()
            }
            Kind::Scaled { of, .. } | Kind::Clipped { of, .. } => of.table_len(),
            Kind::Activated(_, of) | Kind::Complement(of) => of.table_len(),
            Kind::Product(a, b) | Kind::Sum(a, b) => a.table_len() + b.table_len(),
        }
    }
}

/// `term` times `[in, out]`.
pub(super) fn product(term: &Arc<Term>, weights: &Arc<Tensor>) -> Result<Arc<Term>, Why> {
    let affine = match &term.kind {
        Kind::Input => Affine { input: Some(weights.clone()), ..Affine::default() },
        Kind::Joined(joints) => joined_product(joints, weights)?,
        Kind::Affine(_) => return Err("it multiplies a sum of products, which no known cell does".into()),
        _ => {
            let recurrent = Recurrent { of: term.clone(), weights: weights.clone() };
            Affine { recurrent: Some(recurrent), ..Affine::default() }
        }
    };
    Term::new(Kind::Affine(affine))
}

/// Each of the vectors side by side times its rows of the weights.
fn joined_product(joints: &[Joint], weights: &Tensor) -> Result<Affine, Why> {
    let mut sum = Affine::default();
    let mut row = 0;
    for Joint { term, width } in joints {
        let rows = Arc::new(rows_of(weights, row..row + width)?);
        row += width;
        let part = product(term, &rows)?;
        let Kind::Affine(part) = &part.kind else { return Err("it multiplies vectors in vectors".into()) };
        sum = merged(&sum, part).ok_or("it multiplies two vectors of one kind")?;
    }
    Ok(sum)
}

/// The sum of two terms.
pub(super) fn sum(a: &Arc<Term>, b: &Arc<Term>) -> Result<Arc<Term>, Why> {
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
    let is_apart =
        !(a.input.is_some() && b.input.is_some() || a.recurrent.is_some() && b.recurrent.is_some());
    is_apart.then(|| Affine {
        input: a.input.clone().or_else(|| b.input.clone()),
        recurrent: a.recurrent.clone().or_else(|| b.recurrent.clone()),
        bias,
    })
}

/// `term` plus a constant vector.
pub(super) fn biased(term: &Arc<Term>, bias: Vec<f32>) -> Result<Arc<Term>, Why> {
    match &term.kind {
        Kind::Affine(affine) => {
            let bias = Affine { bias: Some(bias), ..Affine::default() };
            let sum = merged(affine, &bias).ok_or("it adds a bias to no product")?;
            Term::new(Kind::Affine(sum))
        }
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
        Kind::Input | Kind::State(_) => {
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
            input: input.as_ref().map(|weights| columns_of(weights, range)).transpose()?.map(Arc::new),
            recurrent: match recurrent {
                Some(Recurrent { of, weights }) => {
                    Some(Recurrent { of: of.clone(), weights: Arc::new(columns_of(weights, range)?) })
                }
                None => None,
            },
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

fn sizes_of(weights: &Tensor) -> Result<[usize; 2], Why> {
    match *weights.shape.as_slice() {
        [rows, columns] if weights.as_floats().is_some() => Ok([rows, columns]),
        _ => Err(format!("its matrix is {} {:?}, expected floats [in, out]", weights.element, weights.shape)),
    }
}

fn rows_of(weights: &Tensor, range: Range<usize>) -> Result<Tensor, Why> {
    let [_, columns] = sizes_of(weights)?;
    let values =
        weights.as_floats().and_then(|values| values.get(range.start * columns..range.end * columns));
    let values = values.ok_or("its matrix has other rows than its input has features")?.to_vec();
    Ok(Tensor { shape: vec![range.len(), columns], data: Data::Floats(values), ..*weights })
}

fn columns_of(weights: &Tensor, range: &Range<usize>) -> Result<Tensor, Why> {
    let [rows, columns] = sizes_of(weights)?;
    let values =
        weights.as_floats().filter(|_| range.end <= columns).ok_or("it takes columns that are not there")?;
    let values = values.chunks_exact(columns).flat_map(|row| &row[range.clone()]).copied().collect();
    Ok(Tensor { shape: vec![rows, range.len()], data: Data::Floats(values), ..*weights })
}

/// `[columns, rows]` of a matrix `[rows, columns]`.
pub(super) fn turned(weights: &Tensor) -> Result<Tensor, Why> {
    let [_, columns] = sizes_of(weights)?;
    transposed(weights, columns)
}

//! Steps of an unrolled layer as terms: written anew with other leaves, and held against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::onnx::fold::Why;
use crate::onnx::lower::same_bits;
use crate::onnx::recognise::term::{self, Affine, Joint, Kind, Matrix, Term};

/// A term with other leaves. What occurs twice is written once.
pub(super) struct Rewriter<'r> {
    /// What stands for a term, in place of what it is made of.
    pub(super) replace: &'r dyn Fn(&Arc<Term>) -> Option<Kind>,
    done: HashMap<*const Term, Arc<Term>>,
}

impl<'r> Rewriter<'r> {
    pub(super) fn new(replace: &'r dyn Fn(&Arc<Term>) -> Option<Kind>) -> Self {
        Self { replace, done: HashMap::new() }
    }

    /// `of` with its leaves replaced.
    pub(super) fn rewritten(&mut self, of: &Arc<Term>) -> Result<Arc<Term>, Why> {
        if let Some(done) = self.done.get(&Arc::as_ptr(of)) {
            return Ok(done.clone());
        }
        let new = match (self.replace)(of) {
            Some(kind) => Term::new(kind)?,
            None => self.inside(of)?,
        };
        self.done.insert(Arc::as_ptr(of), new.clone());
        Ok(new)
    }

    fn inside(&mut self, of: &Arc<Term>) -> Result<Arc<Term>, Why> {
        match &of.kind {
            Kind::Input | Kind::Read(_) | Kind::Zero | Kind::State(_) => Ok(of.clone()),
            Kind::Joined(joints) => {
                let joint = |joint: &Joint| {
                    Ok::<_, Why>(Joint { term: self.rewritten(&joint.term)?, width: joint.width })
                };
                Term::new(Kind::Joined(joints.iter().map(joint).collect::<Result<_, _>>()?))
            }
            Kind::Affine(Affine { input, recurrent, bias }) => {
                let mut sum = Term::new(Kind::Zero)?;
                for Matrix { of, weights } in input.iter().chain(recurrent) {
                    sum = term::sum(&sum, &term::product(&self.rewritten(of)?, weights)?)?;
                }
                match bias {
                    Some(bias) => term::biased(&sum, bias.clone()),
                    None => Ok(sum),
                }
            }
            Kind::Scaled { of, factor, shift } => term::scaled(&self.rewritten(of)?, *factor, *shift),
            Kind::Clipped { of, min, max } => term::clipped(&self.rewritten(of)?, *min, *max),
            Kind::Activated(function, of) => term::activated(*function, &self.rewritten(of)?),
            Kind::Complement(of) => Term::new(Kind::Complement(self.rewritten(of)?)),
            Kind::Product(a, b) => {
                let a = self.rewritten(a)?;
                term::times(&a, &self.rewritten(b)?)
            }
            Kind::Sum(a, b) => {
                let a = self.rewritten(a)?;
                term::sum(&a, &self.rewritten(b)?)
            }
        }
    }
}

/// The leaves of a term, and what it multiplies by matrices.
#[derive(Default)]
pub(super) struct Leaves {
    pub(super) reads: BTreeSet<usize>,
    pub(super) states: BTreeSet<usize>,
    /// Other vectors than those of the step before.
    pub(super) multiplied: Vec<Arc<Term>>,
    seen: HashSet<*const Term>,
}

impl Leaves {
    pub(super) fn of(term: &Arc<Term>) -> Self {
        let mut leaves = Self::default();
        leaves.add(term);
        leaves
    }

    fn add(&mut self, term: &Arc<Term>) {
        if !self.seen.insert(Arc::as_ptr(term)) {
            return;
        }
        match &term.kind {
            Kind::Read(read) => drop(self.reads.insert(*read)),
            Kind::State(state) => drop(self.states.insert(*state)),
            Kind::Affine(affine) => {
                let multiplied = affine.input.iter().chain(&affine.recurrent).map(|matrix| &matrix.of);
                let is_leaf = |of: &&Arc<Term>| matches!(of.kind, Kind::State(_) | Kind::Read(_));
                self.multiplied.extend(multiplied.filter(|of| !is_leaf(of)).cloned());
            }
            _ => {}
        }
        term.kind.each_part(&mut |part| self.add(part));
    }
}

/// Which state of a step stands where another has a state, as two steps are held against each other.
#[derive(Default)]
pub(super) struct Unified {
    /// The state of the other step by that of the first.
    pub(super) states: BTreeMap<usize, usize>,
    seen: HashSet<[*const Term; 2]>,
}

impl Unified {
    /// Whether `b` is `a` but for its states.
    pub(super) fn unify(&mut self, a: &Arc<Term>, b: &Arc<Term>) -> bool {
        if !self.seen.insert([Arc::as_ptr(a), Arc::as_ptr(b)]) {
            return true;
        }
        match (&a.kind, &b.kind) {
            (Kind::Input, Kind::Input) | (Kind::Zero, Kind::Zero) => true,
            (Kind::Read(a), Kind::Read(b)) => a == b,
            (Kind::State(a), Kind::State(b)) => *self.states.entry(*a).or_insert(*b) == *b,
            (Kind::Joined(a), Kind::Joined(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| a.width == b.width && self.unify(&a.term, &b.term))
            }
            (Kind::Affine(a), Kind::Affine(b)) => {
                self.matrices(a.input.as_ref(), b.input.as_ref())
                    && self.matrices(a.recurrent.as_ref(), b.recurrent.as_ref())
                    && same_bias(a.bias.as_deref(), b.bias.as_deref())
            }
            (
                Kind::Scaled { of: a, factor, shift },
                Kind::Scaled { of: b, factor: other_factor, shift: other_shift },
            ) => same_bits(&[*factor, *shift], &[*other_factor, *other_shift]) && self.unify(a, b),
            (Kind::Clipped { of: a, min, max }, Kind::Clipped { of: b, min: other_min, max: other_max }) => {
                same_bits(&[*min, *max], &[*other_min, *other_max]) && self.unify(a, b)
            }
            (Kind::Activated(function, a), Kind::Activated(other, b)) => {
                function == other && self.unify(a, b)
            }
            (Kind::Complement(a), Kind::Complement(b)) => self.unify(a, b),
            (Kind::Product(a, b), Kind::Product(c, d)) | (Kind::Sum(a, b), Kind::Sum(c, d)) => {
                self.unify(a, c) && self.unify(b, d)
            }
            _ => false,
        }
    }

    fn matrices(&mut self, a: Option<&Matrix>, b: Option<&Matrix>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => self.unify(&a.of, &b.of) && a.weights.same(&b.weights),
            _ => false,
        }
    }
}

/// Whether two biases are the same; none is zeros.
pub(super) fn same_bias(a: Option<&[f32]>, b: Option<&[f32]>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b),
        (Some(one), None) | (None, Some(one)) => one.iter().all(|&value| value == 0.0),
    }
}

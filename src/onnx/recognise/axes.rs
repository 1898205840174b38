//! Which axes a tensor has, by what runs along them rather than by their sizes.
//!
//! A transpose, squeeze or reshape is followed by moving axes about. One that mixes two axes, so that numbers of one
//! position or row would end up in another's, has no result here, and the graph is not lowered.

use crate::onnx::fold::Why;
use crate::onnx::tensor::RANK_MAX;

/// What runs along a part of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Along {
    /// An axis of a graph's input: time or rows, for the token ids.
    Input { input: usize, axis: usize },
    /// The features of one position: an embedding, a layer's h, logits.
    Features,
    /// No axis: the number of a loop's current step, as a size.
    Step,
}

/// A part of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) along: Along,
    /// `None` where callers choose it.
    pub(super) size: Option<usize>,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.along == other.along
    }
}

/// The parts of one axis, the slowest first. None is an axis of size 1: an input's axis whose size is fixed at 1 has no part either.
pub(super) type Axis = Vec<Part>;

/// A size as far as the graph tells: `fixed * symbols + plus`, every symbol the size of an input's axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) fixed: i64,
    /// Sorted.
    pub(super) symbols: Vec<Along>,
    pub(super) plus: i64,
}

impl Size {
    pub(super) fn fixed(size: i64) -> Self {
        Self { fixed: size, symbols: Vec::new(), plus: 0 }
    }

    /// The size of `axis`.
    pub(super) fn of(axis: &[Part]) -> Self {
        let mut size = Self::fixed(1);
        for part in axis {
            match part.size {
                Some(fixed) => size.fixed = size.fixed.saturating_mul(fixed as i64),
                None => size.symbols.push(part.along),
            }
        }
        size.symbols.sort_unstable();
        size
    }

    /// The number, where no caller chooses it.
    pub(super) fn number(&self) -> Option<i64> {
        if self.symbols.is_empty() { self.fixed.checked_add(self.plus) } else { None }
    }

    /// Whether it is made of the sizes of inputs alone.
    pub(super) fn is_of_inputs(&self) -> bool {
        self.symbols.iter().all(|symbol| matches!(symbol, Along::Input { .. }))
    }

    /// `None` where it is no such size, or of more axes than a tensor has.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        let (fixed, symbols) = match (self.number(), other.number()) {
            (Some(a), Some(b)) => (a.checked_mul(b)?, Vec::new()),
            (None, None)
                if self.plus == 0
                    && other.plus == 0
                    && self.symbols.len() + other.symbols.len() <= RANK_MAX =>
            {
                let mut symbols = [self.symbols.as_slice(), &other.symbols].concat();
                symbols.sort_unstable();
                (self.fixed.checked_mul(other.fixed)?, symbols)
            }
            (Some(number), None) if other.plus == 0 => {
                (other.fixed.checked_mul(number)?, other.symbols.clone())
            }
            (None, Some(number)) if self.plus == 0 => (self.fixed.checked_mul(number)?, self.symbols.clone()),
            _ => return None,
        };
        Some(Self { fixed, symbols, plus: 0 })
    }

    pub(super) fn plus(&self, number: i64) -> Option<Self> {
        Some(Self { plus: self.plus.checked_add(number)?, ..self.clone() })
    }
}

/// What one size of a reshape's target asks for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// The axis that is at this place already.
    Same,
    /// Whatever the other sizes leave.
    Rest,
    Size(Size),
}

/// The axes after a reshape to `wanted`, if it only joins, splits, adds and drops axes.
pub(super) fn reshape(axes: &[Axis], wanted: &[Wanted]) -> Result<Vec<Axis>, Why> {
    let parts: Vec<Part> = axes.iter().flatten().copied().collect();
    let mut rests = wanted.iter().enumerate().filter(|(_, wanted)| matches!(wanted, Wanted::Rest));
    let rest = rests.next().map(|(at, _)| at);
    let second = rests.next();
    if second.is_some() {
        return Err("it reshapes to sizes that the graph does not tell".into());
    }
    let mut left = parts.as_slice();
    let (front, back) = wanted.split_at(rest.unwrap_or(wanted.len()));
    let mut shape = Vec::new();
    for (at, wanted) in front.iter().enumerate() {
        let (axis, others) = take(left, wanted, axes.get(at))?;
        left = others;
        shape.push(axis);
    }
    // What stands behind the rest is taken from the end.
    let mut reversed: Vec<Part> = left.iter().rev().copied().collect();
    let mut tail = Vec::new();
    for (from_end, wanted) in back.iter().skip(1).rev().enumerate() {
        let same = axes.len().checked_sub(from_end + 1).map(|at| &axes[at]);
        let same = same.map(|axis| axis.iter().rev().copied().collect());
        let (mut axis, others) = take(&reversed, wanted, same.as_ref())?;
        axis.reverse();
        tail.push(axis);
        reversed = others.to_vec();
    }
    reversed.reverse();
    match rest {
        Some(_) => shape.push(reversed),
        None if reversed.is_empty() => {}
        None => return Err("it reshapes to fewer elements than its input may have".into()),
    }
    shape.extend(tail.into_iter().rev());
    Ok(shape)
}

/// Takes the parts of one axis from the front of `left`.
fn take<'p>(left: &'p [Part], wanted: &Wanted, same: Option<&Axis>) -> Result<(Axis, &'p [Part]), Why> {
    let mixes = || String::from("it reshapes across positions, rows or features");
    match wanted {
        Wanted::Rest => Err(mixes()),
        Wanted::Same => {
            let axis = same.ok_or_else(mixes)?;
            let rest = left.strip_prefix(axis.as_slice()).ok_or_else(mixes)?;
            Ok((left[..axis.len()].to_vec(), rest))
        }
        Wanted::Size(size) => {
            let mut number = size.fixed;
            let mut symbols = size.symbols.clone();
            if size.plus != 0 {
                return Err(mixes());
            }
            let mut axis = Vec::new();
            let mut rest = left;
            while number != 1 || !symbols.is_empty() {
                let (&part, others) = rest.split_first().ok_or_else(mixes)?;
                match part.size.map(|size| size as i64) {
                    Some(size) if size > 0 && number % size == 0 => number /= size,
                    Some(_) => return Err(mixes()),
                    None => match symbols.iter().position(|&symbol| symbol == part.along) {
                        Some(at) => drop(symbols.remove(at)),
                        // A size that tracing has fixed, where there is no doubt which axis it is.
                        None if axis.is_empty() && symbols.is_empty() && same == Some(&vec![part]) => {
                            let size = usize::try_from(number).ok();
                            return Ok((vec![Part { size, ..part }], others));
                        }
                        None => return Err(mixes()),
                    },
                }
                axis.push(part);
                rest = others;
            }
            Ok((axis, rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(axis: usize, size: Option<usize>) -> Part {
        Part { along: Along::Input { input: 0, axis }, size }
    }

    fn features(size: usize) -> Part {
        Part { along: Along::Features, size: Some(size) }
    }

    fn sizes(sizes: &[i64]) -> Vec<Wanted> {
        let wanted = |&size: &i64| match size {
            0 => Wanted::Same,
            -1 => Wanted::Rest,
            size => Wanted::Size(Size::fixed(size)),
        };
        sizes.iter().map(wanted).collect()
    }

    #[test]
    fn reshapes_that_keep_axes_whole() {
        let t = part(0, None);
        let b = part(1, None);
        let h = features(6);
        let axes = [vec![t], vec![], vec![b], vec![h]];
        assert_eq!(reshape(&axes, &sizes(&[-1, 6])).unwrap(), [vec![t, b], vec![h]]);
        assert_eq!(
            reshape(&[vec![t], vec![b], vec![], vec![h]], &sizes(&[0, 0, -1])).unwrap(),
            [vec![t], vec![b], vec![h]]
        );
        let joined = [vec![t, b], vec![h]];
        let symbolic = [Wanted::Size(Size::of(&[t])), Wanted::Size(Size::of(&[b])), Wanted::Rest];
        assert_eq!(reshape(&joined, &symbolic).unwrap(), [vec![t], vec![b], vec![h]]);
        let frozen = [vec![part(0, Some(35))], vec![], vec![], vec![h]];
        assert_eq!(reshape(&frozen, &sizes(&[35, 1, 6])).unwrap(), [vec![t], vec![], vec![h]]);
        assert_eq!(reshape(&frozen, &sizes(&[35, 6])).unwrap(), [vec![t], vec![h]]);
        assert_eq!(reshape(&[vec![t], vec![b], vec![h]], &sizes(&[5, 3, 6])).unwrap()[0][0].size, Some(5));
    }

    #[test]
    fn reshapes_that_mix_axes() {
        let t = part(0, None);
        let b = part(1, None);
        let h = features(6);
        let axes = [vec![t], vec![b], vec![h]];
        let swapped = [Wanted::Size(Size::of(&[b])), Wanted::Size(Size::of(&[t])), Wanted::Rest];
        for wanted in [&swapped[..], &sizes(&[-1, 3]), &sizes(&[15, 6]), &sizes(&[0, -1, -1])] {
            assert!(reshape(&axes, wanted).is_err(), "{wanted:?}");
        }
        let frozen = [vec![part(0, Some(35))], vec![part(1, Some(2))], vec![h]];
        assert!(reshape(&frozen, &sizes(&[2, 35, 6])).is_err());
    }
}

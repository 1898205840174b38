//! The filters: which tokens a draw may give, and how the rest is weighted.
//!
//! They apply in one order, that of Hugging Face transformers:
//!
//! 1. tokens ruled out (banned ones, the unknown token) leave;
//! 2. `temperature` divides the logits;
//! 3. `top_k` keeps the k most likely tokens;
//! 4. `top_p` keeps the fewest most likely of those that hold this share of their mass (Holtzman et al. 2020);
//! 5. `min_p` keeps those of them at least this fraction as likely as the most likely one (Nguyen et al. 2025).
//!
//! llama.cpp divides by the temperature last, so that a high temperature lets no more tokens in; vLLM applies `min_p` before
//! `top_k`. What acts on single logits (penalties, biases) would come between 1 and 2.

use std::fmt;
use std::sync::Arc;

use super::kept::Kept;
use crate::error::{Error, Result};
use crate::lm::{Distribution, TokenId};

/// Filters whose values have been checked.
#[derive(Clone, Debug)]
pub struct Filters {
    ruled_out: Arc<[TokenId]>,
    /// Above 0: greedy is `top_k` 1 at any temperature, and held as such.
    pub(super) temperature: f32,
    pub(super) top_k: Option<usize>,
    /// Below 1: 1 would keep everything, whatever the roundings.
    pub(super) top_p: Option<f64>,
    pub(super) min_p: f64,
}

impl Filters {
    /// The highest `temperature`: every distribution is flat long before.
    pub const TEMPERATURE_MAX: f64 = 100.0;

    /// Checks the values; the error names the field at fault.
    pub fn new(spec: FilterSpec) -> Result<Self> {
        let FilterSpec { ruled_out, temperature, top_k, top_p, min_p } = spec;
        let invalid = |name: &str, found: &dyn fmt::Display, expected: &str| {
            Err(Error::invalid(name, format!("`{name}` is {found}, expected {expected}")))
        };
        if !(0.0..=Self::TEMPERATURE_MAX).contains(&temperature) {
            let expected = format!("a number from 0 (greedy) to {}", Self::TEMPERATURE_MAX);
            return invalid("temperature", &temperature, &expected);
        }
        if top_k == Some(0) {
            return invalid("top_k", &0, "at least 1");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return invalid("top_p", &top_p, "a number above 0 and up to 1");
        }
        if !(0.0..=1.0).contains(&min_p) {
            return invalid("min_p", &min_p, "a number from 0 to 1");
        }
        let greedy = temperature as f32 == 0.0;
        Ok(Self {
            ruled_out,
            temperature: if greedy { 1.0 } else { temperature as f32 },
            top_k: if greedy { Some(1) } else { top_k },
            top_p: (top_p < 1.0).then_some(top_p),
            min_p,
        })
    }

    /// Overwrites `logits` `[vocab_size]` with what the filters make of them, and gives the distribution to draw from:
    /// tokens filtered out have the logit `-inf`, the others are renormalised over themselves.
    pub fn apply<'a>(&self, logits: &'a mut [f32]) -> Result<Distribution<'a>, NothingLeft> {
        self.rule_out(logits);
        Kept::new(self, logits)?.write(logits);
        Ok(Distribution::new(logits))
    }

    /// Sets the logits of the tokens ruled out to `-inf`. Ids beyond the vocabulary have nothing to lose.
    pub(super) fn rule_out(&self, logits: &mut [f32]) {
        for &token in &*self.ruled_out {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Filters as a request asks for them. The default filters nothing.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// Tokens that are never drawn, in any order.
    pub ruled_out: Arc<[TokenId]>,
    /// `0..=`[`Filters::TEMPERATURE_MAX`]; 0 keeps the most likely token alone.
    pub temperature: f64,
    /// At least 1; `None` keeps all.
    pub top_k: Option<usize>,
    /// Above 0, up to 1, which keeps all.
    pub top_p: f64,
    /// `0..=1`; 0 keeps all.
    pub min_p: f64,
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self { ruled_out: Arc::default(), temperature: 1.0, top_k: None, top_p: 1.0, min_p: 0.0 }
    }
}

/// Every token is ruled out: there is nothing to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingLeft;

impl fmt::Display for NothingLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every token of the vocabulary is ruled out, expected at least one that may be drawn")
    }
}

impl std::error::Error for NothingLeft {}

impl From<NothingLeft> for Error {
    fn from(error: NothingLeft) -> Self {
        Error::invalid("banned", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refused(spec: FilterSpec) -> (ErrorKind, String, String) {
        let error = Filters::new(spec).unwrap_err();
        (error.kind, error.param.unwrap(), error.message)
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let spec = FilterSpec::default;
        for temperature in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(FilterSpec { temperature, ..spec() }).1, "temperature");
        }
        for top_p in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(refused(FilterSpec { top_p, ..spec() }).1, "top_p");
        }
        for min_p in [-0.1, 1.1, f64::NAN] {
            assert_eq!(refused(FilterSpec { min_p, ..spec() }).1, "min_p");
        }
        assert_eq!(
            refused(FilterSpec { top_k: Some(0), ..spec() }),
            (ErrorKind::InvalidValue, "top_k".into(), "`top_k` is 0, expected at least 1".into())
        );
    }

    #[test]
    fn the_ends_of_the_ranges_are_accepted() {
        for temperature in [0.0, -0.0, 1e-300, 100.0] {
            for (top_p, min_p) in [(1e-300, 0.0), (1.0, 1.0)] {
                let spec =
                    FilterSpec { temperature, top_p, min_p, top_k: Some(usize::MAX), ..Default::default() };
                assert!(Filters::new(spec).is_ok());
            }
        }
    }

    #[test]
    fn a_view_holds_what_is_kept_and_nothing_else() {
        let filters = Filters::new(FilterSpec {
            ruled_out: [3, 99].into(),
            temperature: 0.5,
            top_k: Some(2),
            ..Default::default()
        });
        let mut logits = [1.0, 3.0, 2.0, 4.0];
        let view = filters.unwrap().apply(&mut logits).unwrap();
        assert_eq!(view.top_k(9), [1, 2]);
        // Half the temperature doubles the distance of 1.
        assert!((view.logprob(1) - view.logprob(2) - 2.0).abs() < 1e-12);
        assert!((view.mass(&[1, 2]) - 1.0).abs() < 1e-7);
        assert_eq!([view.logprob(0), view.logprob(3)], [f64::NEG_INFINITY; 2]);
        assert!(view.entropy() > 0.0);
    }

    #[test]
    fn nothing_left_is_an_error() {
        let filters = Filters::new(FilterSpec { ruled_out: [0, 1].into(), ..Default::default() }).unwrap();
        assert_eq!(filters.apply(&mut [1.0, 2.0]).unwrap_err(), NothingLeft);
        assert_eq!(Error::from(NothingLeft).kind, ErrorKind::InvalidValue);
    }
}

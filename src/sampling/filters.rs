//! The filters: which tokens may be drawn, and with what probability.
//!
//! They apply in the order that Hugging Face transformers uses:
//!
//! 1. tokens that are ruled out (banned tokens, the unknown token) are removed;
//! 2. `temperature` divides the logits;
//! 3. `top_k` keeps the k most likely tokens;
//! 4. `top_p` keeps the smallest set of the most likely remaining tokens that holds at least this share of the remaining
//!    probability (nucleus sampling; Holtzman et al. 2020);
//! 5. `min_p` keeps the remaining tokens that are at least this fraction as likely as the most likely one (Nguyen et al. 2025).
//!
//! llama.cpp instead divides by the temperature last, so that a high temperature admits no further tokens, and vLLM applies
//! `min_p` before `top_k`. Filters that change single logits (penalties, biases) would come between 1 and 2.

use std::fmt;
use std::sync::Arc;

use super::filtered::Filtered;
use crate::error::{Error, Result};
use crate::lm::{Distribution, TokenId};

/// Filters whose values have been checked.
#[derive(Clone, Debug)]
pub struct Filters {
    ruled_out: Arc<[TokenId]>,
    /// Always above 0: a temperature of 0 (greedy) is stored as `top_k` 1 at temperature 1.
    pub(super) temperature: f32,
    pub(super) top_k: Option<usize>,
    /// Always below 1: a `top_p` of 1 is stored as `None`, so that rounding cannot make it drop a token.
    pub(super) top_p: Option<f64>,
    pub(super) min_p: f64,
}

impl Filters {
    /// The highest `temperature` accepted; the distribution is practically uniform well below it.
    pub const TEMPERATURE_MAX: f64 = 100.0;

    /// Checks the values.
    ///
    /// # Errors
    /// `InvalidValue`, naming the field at fault.
    pub fn new(spec: FilterSpec) -> Result<Self> {
        let FilterSpec { ruled_out, temperature, top_k, top_p, min_p } = spec;
        let invalid = |name: &str, found: &dyn fmt::Display, expected: &str| {
            Err(Error::invalid(name, format!("`{name}` is {found}; expected {expected}")))
        };
        if !(0.0..=Self::TEMPERATURE_MAX).contains(&temperature) {
            let expected = format!("a number from 0 (greedy) to {}", Self::TEMPERATURE_MAX);
            return invalid("temperature", &temperature, &expected);
        }
        if top_k == Some(0) {
            return invalid("top_k", &0, "at least 1");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return invalid("top_p", &top_p, "a number above 0 and at most 1");
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

    /// Overwrites `logits` `[vocab_size]` with the filtered logits, and returns the distribution that tokens are drawn from.
    /// Tokens that were filtered out have the logit `-inf`; the probabilities of the others sum to 1.
    pub fn apply<'a>(&self, logits: &'a mut [f32]) -> Result<Distribution<'a>, NothingLeft> {
        self.rule_out(logits);
        let filtered = Filtered::new(self, logits)?;
        filtered.write(logits);
        Ok(Distribution::shifted(logits, filtered.shift()))
    }

    /// Sets the logits of the tokens that are ruled out to `-inf`. Ids outside the vocabulary are ignored.
    pub(super) fn rule_out(&self, logits: &mut [f32]) {
        for &token in &*self.ruled_out {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Filters as a request asks for them, not yet checked. The default filters nothing.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// Tokens that are never drawn, in any order.
    pub ruled_out: Arc<[TokenId]>,
    /// From 0 to [`Filters::TEMPERATURE_MAX`]; 0 keeps only the most likely token.
    pub temperature: f64,
    /// At least 1; `None` keeps all tokens.
    pub top_k: Option<usize>,
    /// Above 0 and at most 1; 1 keeps all tokens.
    pub top_p: f64,
    /// From 0 to 1; 0 keeps all tokens.
    pub min_p: f64,
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self { ruled_out: Arc::default(), temperature: 1.0, top_k: None, top_p: 1.0, min_p: 0.0 }
    }
}

/// The error that every token is ruled out, so that none can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingLeft;

impl fmt::Display for NothingLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every token of the vocabulary is ruled out; expected at least one that may be drawn")
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

    fn refused(spec: FilterSpec) -> Error {
        Filters::new(spec).unwrap_err()
    }

    fn refused_param(spec: FilterSpec) -> String {
        refused(spec).param.unwrap()
    }

    #[test]
    fn a_value_out_of_range_is_refused_and_its_field_is_named() {
        let spec = FilterSpec::default;
        for temperature in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(refused_param(FilterSpec { temperature, ..spec() }), "temperature");
        }
        for top_p in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(refused_param(FilterSpec { top_p, ..spec() }), "top_p");
        }
        for min_p in [-0.1, 1.1, f64::NAN] {
            assert_eq!(refused_param(FilterSpec { min_p, ..spec() }), "min_p");
        }
        assert_eq!(
            refused(FilterSpec { top_k: Some(0), ..spec() }),
            Error::invalid("top_k", "`top_k` is 0; expected at least 1")
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
    fn the_filtered_distribution_covers_only_the_tokens_kept() {
        let filters = Filters::new(FilterSpec {
            ruled_out: [3, 99].into(),
            temperature: 0.5,
            top_k: Some(2),
            ..Default::default()
        });
        let mut logits = [1.0, 3.0, 2.0, 4.0];
        let filtered = filters.unwrap().apply(&mut logits).unwrap();
        assert_eq!(filtered.top_k(9), [1, 2]);
        // The two logits differ by 1; a temperature of 0.5 doubles the difference.
        assert!((filtered.logprob(1) - filtered.logprob(2) - 2.0).abs() < 1e-12);
        let kept = libm::exp(filtered.logprob(1)) + libm::exp(filtered.logprob(2));
        assert!((kept - 1.0).abs() < 1e-7);
        assert_eq!([filtered.logprob(0), filtered.logprob(3)], [f64::NEG_INFINITY; 2]);
        assert!(filtered.entropy() > 0.0);
        // Of the logits 3 and 2 at that temperature, although those that were written begin at 0.
        let expected = libm::log(libm::exp(6.0) + libm::exp(4.0));
        assert!((filtered.logsumexp() - expected).abs() < 1e-7);
    }

    #[test]
    fn ruling_out_every_token_is_an_error() {
        let filters = Filters::new(FilterSpec { ruled_out: [0, 1].into(), ..Default::default() }).unwrap();
        assert_eq!(filters.apply(&mut [1.0, 2.0]).unwrap_err(), NothingLeft);
        assert_eq!(Error::from(NothingLeft).kind, ErrorKind::InvalidValue);
    }
}

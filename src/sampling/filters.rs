//! The filters: which tokens may be drawn, and with what probability.
//!
//! They apply in the order that Hugging Face transformers uses:
//!
//! 1. biases are added to logits;
//! 2. penalties lower the logits of tokens that occurred: first `repetition`, then `presence` and `frequency`;
//! 3. tokens that are ruled out (banned tokens, the unknown token) are removed;
//! 4. `temperature` divides the logits;
//! 5. `top_k` keeps the k most likely tokens;
//! 6. `top_p` keeps the smallest set of the most likely remaining tokens that holds at least this share of the remaining
//!    probability (nucleus sampling; Holtzman et al. 2020);
//! 7. `min_p` keeps the remaining tokens that are at least this fraction as likely as the most likely one (Nguyen et al. 2025);
//! 8. `typical_p` keeps the smallest set of the most typical remaining tokens that holds at least this share of the remaining
//!    probability. A token is the more typical the closer its surprise `-ln p` is to the entropy (Meister et al. 2023).
//!
//! llama.cpp instead divides by the temperature last, so that a high temperature admits no further tokens, and vLLM applies
//! `min_p` before `top_k`.

use std::fmt;
use std::sync::Arc;

use super::{Bias, Penalties};
use crate::error::{Error, Result};
use crate::lm::TokenId;

/// Filters whose values have been checked.
#[derive(Clone, Debug)]
pub struct Filters {
    pub(super) ruled_out: Arc<[TokenId]>,
    pub(super) biases: Arc<[Bias]>,
    pub(super) penalties: Penalties,
    /// Always above 0: a temperature of 0 (greedy) is stored as `top_k` 1 at temperature 1.
    pub(super) temperature: f32,
    pub(super) top_k: Option<usize>,
    /// Always below 1: a `top_p` of 1 is stored as `None`, so that rounding cannot make it drop a token.
    pub(super) top_p: Option<f64>,
    pub(super) min_p: f64,
    /// Always below 1, like `top_p`.
    pub(super) typical_p: Option<f64>,
}

impl Filters {
    /// The highest `temperature` accepted; the distribution is practically uniform well below it.
    pub const TEMPERATURE_MAX: f64 = 100.0;

    /// The lowest `repetition_penalty` accepted, which makes repetitions more likely.
    pub const REPETITION_MIN: f64 = 0.01;

    /// The highest `repetition_penalty` accepted.
    pub const REPETITION_MAX: f64 = 100.0;

    /// The largest absolute value of a bias, of `presence_penalty` and of `frequency_penalty`. Probabilities e^100 apart are as good as
    /// 0 and 1.
    pub const SHIFT_MAX: f64 = 100.0;

    /// Checks the values.
    ///
    /// # Errors
    /// `InvalidValue`, naming the field at fault.
    pub fn new(spec: FilterSpec) -> Result<Self> {
        let FilterSpec { ruled_out, biases, penalties, temperature, top_k, top_p, min_p, typical_p } = spec;
        let invalid = |name: &str, found: &dyn fmt::Display, expected: &str| {
            Err(Error::invalid(name, format!("`{name}` is {found}; expected {expected}")))
        };
        if !(0.0..=Self::TEMPERATURE_MAX).contains(&temperature) {
            let expected = format!("a number from 0 (greedy) to {}", Self::TEMPERATURE_MAX);
            return invalid("temperature", &temperature, &expected);
        }
        let Penalties { repetition, presence, frequency } = penalties;
        if !(Self::REPETITION_MIN..=Self::REPETITION_MAX).contains(&repetition) {
            let expected = format!("a number from {} to {}", Self::REPETITION_MIN, Self::REPETITION_MAX);
            return invalid("repetition_penalty", &repetition, &expected);
        }
        let shifts = -Self::SHIFT_MAX..=Self::SHIFT_MAX;
        let a_shift = format!("a number from -{} to {}", Self::SHIFT_MAX, Self::SHIFT_MAX);
        for (name, shift) in [("presence_penalty", presence), ("frequency_penalty", frequency)] {
            if !shifts.contains(&shift) {
                return invalid(name, &shift, &a_shift);
            }
        }
        if let Some(Bias { token, amount }) = biases.iter().find(|bias| !shifts.contains(&bias.amount)) {
            return invalid(&format!("logit_bias.{token}"), amount, &a_shift);
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
        if !(typical_p > 0.0 && typical_p <= 1.0) {
            return invalid("typical_p", &typical_p, "a number above 0 and at most 1");
        }
        let greedy = temperature as f32 == 0.0;
        Ok(Self {
            ruled_out,
            biases,
            penalties,
            temperature: if greedy { 1.0 } else { temperature as f32 },
            top_k: if greedy { Some(1) } else { top_k },
            top_p: (top_p < 1.0).then_some(top_p),
            min_p,
            typical_p: (typical_p < 1.0).then_some(typical_p),
        })
    }

    /// Whether a token's logit may become higher than the model's.
    pub fn may_raise(&self) -> bool {
        let Penalties { repetition, presence, frequency } = self.penalties;
        let penalises = repetition >= 1.0 && presence >= 0.0 && frequency >= 0.0;
        !penalises || self.biases.iter().any(|bias| bias.amount > 0.0)
    }

    /// Whether penalties ask for the tokens that occurred.
    pub(super) fn counts_tokens(&self) -> bool {
        self.penalties != Penalties::NONE
    }
}

/// Filters as a request asks for them, not yet checked. The default filters nothing.
#[derive(Clone, Debug)]
pub struct FilterSpec {
    /// Tokens that are never drawn, in any order.
    pub ruled_out: Arc<[TokenId]>,
    /// Each from -[`Filters::SHIFT_MAX`] to [`Filters::SHIFT_MAX`].
    pub biases: Arc<[Bias]>,
    /// `repetition` from [`Filters::REPETITION_MIN`] to [`Filters::REPETITION_MAX`], the others as biases.
    pub penalties: Penalties,
    /// From 0 to [`Filters::TEMPERATURE_MAX`]; 0 keeps only the most likely token.
    pub temperature: f64,
    /// At least 1; `None` keeps all tokens.
    pub top_k: Option<usize>,
    /// Above 0 and at most 1; 1 keeps all tokens.
    pub top_p: f64,
    /// From 0 to 1; 0 keeps all tokens.
    pub min_p: f64,
    /// Above 0 and at most 1; 1 keeps all tokens.
    pub typical_p: f64,
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self {
            ruled_out: Arc::default(),
            biases: Arc::default(),
            penalties: Penalties::NONE,
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
        }
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
    use crate::sampling::Filtering;

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
        for typical_p in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(refused_param(FilterSpec { typical_p, ..spec() }), "typical_p");
        }
        let penalised = |penalties| refused_param(FilterSpec { penalties, ..spec() });
        for repetition in [0.0, -1.0, 101.0, f64::NAN] {
            assert_eq!(penalised(Penalties { repetition, ..Penalties::NONE }), "repetition_penalty");
        }
        for shift in [-100.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(penalised(Penalties { presence: shift, ..Penalties::NONE }), "presence_penalty");
            assert_eq!(penalised(Penalties { frequency: shift, ..Penalties::NONE }), "frequency_penalty");
            let biases = [Bias { token: 3, amount: 1.0 }, Bias { token: 7, amount: shift }].into();
            assert_eq!(refused_param(FilterSpec { biases, ..spec() }), "logit_bias.7");
        }
        assert_eq!(
            refused(FilterSpec { top_k: Some(0), ..spec() }),
            Error::invalid("top_k", "`top_k` is 0; expected at least 1")
        );
    }

    #[test]
    fn the_ends_of_the_ranges_are_accepted() {
        for temperature in [0.0, -0.0, 1e-300, 100.0] {
            for (top_p, min_p, repetition) in [(1e-300, 0.0, 0.01), (1.0, 1.0, 100.0)] {
                let penalties = Penalties { repetition, presence: -100.0, frequency: 100.0 };
                let spec = FilterSpec {
                    temperature,
                    top_p,
                    min_p,
                    typical_p: top_p,
                    penalties,
                    top_k: Some(usize::MAX),
                    ..Default::default()
                };
                assert!(Filters::new(spec).is_ok());
            }
        }
    }

    #[test]
    fn only_positive_biases_and_negative_penalties_raise_a_logit() {
        let bias = |amount| FilterSpec { biases: [Bias { token: 1, amount }].into(), ..Default::default() };
        let penalty = |repetition, presence, frequency| FilterSpec {
            penalties: Penalties { repetition, presence, frequency },
            ..Default::default()
        };
        for (spec, expected) in [
            (FilterSpec::default(), false),
            (bias(-2.0), false),
            (bias(0.5), true),
            (penalty(1.5, 0.25, 0.5), false),
            (penalty(0.5, 0.0, 0.0), true),
            (penalty(1.0, -0.5, 0.0), true),
            (penalty(1.0, 0.0, -0.5), true),
        ] {
            assert_eq!(Filters::new(spec.clone()).unwrap().may_raise(), expected, "{spec:?}");
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
        let filtering = Filtering::new(filters.unwrap(), &[]);
        let filtered = filtering.apply(&mut logits).unwrap();
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
        assert_eq!(Filtering::new(filters, &[]).apply(&mut [1.0, 2.0]).unwrap_err(), NothingLeft);
        assert_eq!(Error::from(NothingLeft).kind, ErrorKind::InvalidValue);
    }
}

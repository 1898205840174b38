//! What changes single logits before any filter looks at all of them: biases, penalties on tokens that occurred, and bans.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Filters;
use crate::lm::TokenId;

/// What is added to the logit of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bias {
    /// The token.
    pub token: TokenId,
    /// Added to its logit; nats.
    pub amount: f64,
}

/// How tokens that occurred in the prompt or the completion are made less likely, or more likely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// Divides a positive logit and multiplies a negative one (Keskar et al. 2019, section 4.1). At 1 it changes nothing.
    pub repetition: f64,
    /// Subtracted from the logit of every token that occurred.
    pub presence: f64,
    /// Subtracted from the logit of a token once for each time that it occurred.
    pub frequency: f64,
}

impl Penalties {
    /// No penalty.
    pub const NONE: Self = Self { repetition: 1.0, presence: 0.0, frequency: 0.0 };

    /// The logit of a token that occurred `count` times.
    fn penalised(&self, logit: f32, count: u32) -> f32 {
        let logit = f64::from(logit);
        let repeated = if logit > 0.0 { logit / self.repetition } else { logit * self.repetition };
        finite(repeated - self.presence - self.frequency * f64::from(count))
    }
}

/// The tokens that a request has read and drawn so far, as far as penalties count them.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Of the prompt, which all continuations share.
    read: Arc<BTreeMap<TokenId, u32>>,
    drawn: BTreeMap<TokenId, u32>,
}

impl Seen {
    pub(super) fn new(read: &[TokenId]) -> Self {
        let mut counts = BTreeMap::new();
        read.iter().for_each(|&token| count(&mut counts, token));
        Self { read: Arc::new(counts), drawn: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, token: TokenId) {
        count(&mut self.drawn, token);
    }

    /// Every token that occurred, once, and how often it did.
    fn counts(&self) -> impl Iterator<Item = (TokenId, u32)> {
        let drawn = |token| self.drawn.get(token).copied().unwrap_or(0);
        let read = self.read.iter().map(move |(token, &count)| (*token, count.saturating_add(drawn(token))));
        let only_drawn = self.drawn.iter().filter(|(token, _)| !self.read.contains_key(token));
        read.chain(only_drawn.map(|(&token, &count)| (token, count)))
    }
}

fn count(counts: &mut BTreeMap<TokenId, u32>, token: TokenId) {
    let count = counts.entry(token).or_default();
    *count = count.saturating_add(1);
}

/// The logits that were changed, as they were before.
pub(super) struct Originals(BTreeMap<TokenId, f32>);

impl Originals {
    /// The logit of a token before it was changed; `logits` are those after.
    pub(super) fn logit(&self, logits: &[f32], token: TokenId) -> f32 {
        self.0.get(&token).copied().unwrap_or_else(|| logits[token as usize])
    }
}

impl Filters {
    /// Adds the biases to `logits` `[vocab_size]`, applies the penalties on what was `seen`, and removes the tokens that are ruled
    /// out, whose logits become `-inf`. Ids outside the vocabulary are ignored.
    pub(super) fn adjust(&self, logits: &mut [f32], seen: Option<&Seen>) -> Originals {
        let mut originals = BTreeMap::new();
        let mut change = |token: TokenId, changed: &dyn Fn(f32) -> f32| {
            // A token that the model rules out stays ruled out.
            if let Some(logit) = logits.get_mut(token as usize).filter(|logit| **logit > f32::NEG_INFINITY) {
                originals.entry(token).or_insert(*logit);
                *logit = changed(*logit);
            }
        };
        for Bias { token, amount } in &*self.biases {
            change(*token, &|logit| finite(f64::from(logit) + amount));
        }
        for (token, count) in seen.into_iter().flat_map(Seen::counts) {
            change(token, &|logit| self.penalties.penalised(logit, count));
        }
        for &token in &*self.ruled_out {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Originals(originals)
    }
}

/// The nearest finite number, so that no change of a logit rules a token out.
fn finite(logit: f64) -> f32 {
    logit.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{FilterSpec, Filtering};

    fn adjusted(spec: FilterSpec, logits: &[f32], read: &[TokenId]) -> Vec<f32> {
        let filtering = Filtering::new(Filters::new(spec).unwrap(), read);
        let mut logits = logits.to_vec();
        filtering.adjust(&mut logits);
        logits
    }

    #[test]
    fn a_bias_is_added_before_the_penalties_and_a_ban_is_final() {
        let spec = FilterSpec {
            ruled_out: [2].into(),
            biases: [Bias { token: 0, amount: 3.0 }, Bias { token: 2, amount: 100.0 }].into(),
            penalties: Penalties { repetition: 2.0, presence: 0.5, frequency: 0.25 },
            ..FilterSpec::default()
        };
        // Token 0: (1 + 3) / 2 - 0.5 - 2 * 0.25. Token 1: -1 * 2 - 0.5 - 0.25. Token 3 did not occur.
        let found = adjusted(spec, &[1.0, -1.0, 9.0, 4.0], &[0, 1, 0]);
        assert_eq!(found, [1.0, -2.75, f32::NEG_INFINITY, 4.0]);
    }

    #[test]
    fn tokens_drawn_count_like_those_read() {
        let penalties = Penalties { frequency: 1.0, ..Penalties::NONE };
        let filters = Filters::new(FilterSpec { penalties, ..FilterSpec::default() }).unwrap();
        let mut filtering = Filtering::new(filters, &[0, 1]);
        filtering.drew(1);
        filtering.drew(3);
        let mut logits = [0.0; 5];
        filtering.adjust(&mut logits);
        assert_eq!(logits, [-1.0, -2.0, 0.0, -1.0, 0.0]);
    }

    #[test]
    fn no_change_makes_a_logit_infinite() {
        let spec = FilterSpec {
            biases: [Bias { token: 0, amount: 100.0 }].into(),
            penalties: Penalties { repetition: 0.01, ..Penalties::NONE },
            ..FilterSpec::default()
        };
        assert_eq!(adjusted(spec.clone(), &[f32::MAX, 1.0], &[0]), [f32::MAX, 1.0]);
        let harsh = FilterSpec { penalties: Penalties { repetition: 100.0, ..Penalties::NONE }, ..spec };
        assert_eq!(adjusted(harsh, &[1.0, f32::MIN], &[1]), [101.0, f32::MIN]);
    }

    #[test]
    fn no_change_revives_a_token_that_the_model_rules_out() {
        const NEVER: f32 = f32::NEG_INFINITY;
        let spec = FilterSpec {
            biases: [Bias { token: 0, amount: 100.0 }].into(),
            penalties: Penalties { repetition: 0.01, presence: -100.0, frequency: -1.0 },
            ..FilterSpec::default()
        };
        assert_eq!(adjusted(spec, &[NEVER, NEVER, 1.0], &[1]), [NEVER, NEVER, 1.0]);
    }

    #[test]
    fn ids_outside_the_vocabulary_are_ignored() {
        let spec = FilterSpec {
            ruled_out: [9].into(),
            biases: [Bias { token: 7, amount: 1.0 }].into(),
            ..FilterSpec::default()
        };
        assert_eq!(adjusted(spec, &[1.0, 2.0], &[]), [1.0, 2.0]);
    }
}

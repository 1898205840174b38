//! What changes single logits before any filter looks at all of them: biases, penalties on tokens that occurred, and bans.

use std::collections::BTreeMap;
use std::iter;
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
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Of the prompt, which all continuations share; by rising id.
    read: Arc<[Occurred]>,
    /// By rising id.
    drawn: Vec<Occurred>,
}

/// A token, and how often it occurred.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Occurred {
    token: TokenId,
    count: u32,
}

impl Seen {
    pub(super) fn new(read: &[TokenId]) -> Self {
        let mut counts: BTreeMap<TokenId, u32> = BTreeMap::new();
        for &token in read {
            let count = counts.entry(token).or_default();
            *count = count.saturating_add(1);
        }
        let read = counts.into_iter().map(|(token, count)| Occurred { token, count });
        Self { read: read.collect(), drawn: Vec::new() }
    }

    pub(super) fn add(&mut self, token: TokenId) {
        match self.drawn.binary_search_by_key(&token, |occurred| occurred.token) {
            Ok(place) => self.drawn[place].count = self.drawn[place].count.saturating_add(1),
            Err(place) => self.drawn.insert(place, Occurred { token, count: 1 }),
        }
    }

    /// At most how many tokens [`Self::counts`] has.
    fn count_max(&self) -> usize {
        self.read.len() + self.drawn.len()
    }

    /// Every token that occurred, once, by rising id, and how often it did.
    fn counts(&self) -> impl Iterator<Item = Occurred> {
        let mut read = self.read.iter().peekable();
        let mut drawn = self.drawn.iter().peekable();
        iter::from_fn(move || {
            let next = [read.peek(), drawn.peek()].into_iter().flatten();
            let token = next.map(|occurred| occurred.token).min()?;
            let is_next = |occurred: &&Occurred| occurred.token == token;
            let both = [read.next_if(is_next), drawn.next_if(is_next)].into_iter().flatten();
            let count = both.fold(0u32, |sum, occurred| sum.saturating_add(occurred.count));
            Some(Occurred { token, count })
        })
    }
}

/// The logits that were changed, as they were before.
pub(super) struct Originals(Vec<Original>);

/// A token, and a logit of it that was changed.
struct Original {
    token: TokenId,
    logit: f32,
}

impl Originals {
    /// What was changed, in the order of the changes.
    fn new(mut changed: Vec<Original>) -> Self {
        // The sort is stable, so the first of a token's logits, which is that of the model, stays the first.
        changed.sort_by_key(|original| original.token);
        Self(changed)
    }

    /// The logit of a token before it was changed; `logits` are those after.
    pub(super) fn logit(&self, logits: &[f32], token: TokenId) -> f32 {
        let first = self.0.partition_point(|original| original.token < token);
        let original = self.0.get(first).filter(|original| original.token == token);
        original.map_or_else(|| logits[token as usize], |original| original.logit)
    }
}

impl Filters {
    /// Adds the biases to `logits` `[vocab_size]`, applies the penalties on what was `seen`, and removes the tokens that are ruled
    /// out, whose logits become `-inf`. Ids outside the vocabulary are ignored.
    pub(super) fn adjust(&self, logits: &mut [f32], seen: Option<&Seen>) -> Originals {
        let mut originals = Vec::with_capacity(self.biases.len() + seen.map_or(0, Seen::count_max));
        let mut change = |token: TokenId, changed: &dyn Fn(f32) -> f32| {
            // A token that the model rules out stays ruled out.
            if let Some(logit) = logits.get_mut(token as usize).filter(|logit| **logit > f32::NEG_INFINITY) {
                originals.push(Original { token, logit: *logit });
                *logit = changed(*logit);
            }
        };
        for Bias { token, amount } in &*self.biases {
            change(*token, &|logit| finite(f64::from(logit) + amount));
        }
        for Occurred { token, count } in seen.into_iter().flat_map(Seen::counts) {
            change(token, &|logit| self.penalties.penalised(logit, count));
        }
        for &token in &*self.ruled_out {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Originals::new(originals)
    }
}

/// The nearest finite number, so that no change of a logit rules a token out.
fn finite(logit: f64) -> f32 {
    logit.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::gaussian;
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

    proptest! {
        /// Biases, the prompt and the tokens drawn may name the same tokens; what is restored is the logit before all changes.
        #[test]
        fn every_change_is_that_of_the_definition_and_is_undone(
            read in prop::collection::vec(0..30u32, 0..60),
            drawn in prop::collection::vec(0..30u32, 0..60),
            biases in prop::collection::vec((0..30u32, -5.0..5.0f64), 0..6),
            seed: u64,
        ) {
            let penalties = Penalties { repetition: 1.3, presence: 0.7, frequency: 0.2 };
            let biases = biases.into_iter().map(|(token, amount)| Bias { token, amount });
            let spec = FilterSpec { biases: biases.collect(), penalties, ..FilterSpec::default() };
            let filters = Filters::new(spec).unwrap();
            let mut filtering = Filtering::new(filters.clone(), &read);
            drawn.iter().for_each(|&token| filtering.drew(token));
            let logits = gaussian(seed, 25, 2.0);
            let mut found = logits.clone();
            let originals = filtering.adjust(&mut found);
            for (token, &logit) in (0..).zip(&logits) {
                let own = filters.biases.iter().filter(|bias| bias.token == token);
                let biased = own.fold(logit, |logit, bias| (f64::from(logit) + bias.amount) as f32);
                let count = read.iter().chain(&drawn).filter(|&&other| other == token).count() as u32;
                let expected = if count == 0 { biased } else { penalties.penalised(biased, count) };
                prop_assert_eq!(found[token as usize].to_bits(), expected.to_bits(), "token {}", token);
                prop_assert_eq!(originals.logit(&found, token).to_bits(), logit.to_bits(), "token {}", token);
            }
        }
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

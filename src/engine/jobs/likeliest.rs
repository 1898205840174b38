//! The most likely of many tokens that may come next, without sorting them.

use std::cmp::Ordering;

use crate::lm::TokenId;
use crate::text::Progress;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Next {
    pub(super) token: TokenId,
    pub(super) logit: f32,
    /// How far the word has come with it.
    pub(super) progress: Progress,
}

impl Next {
    /// Equal ones by id.
    fn likelier_first(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

/// The most likely of the tokens that are added, whatever their order. Few of a vocabulary are ever kept, so most cost a comparison.
pub(super) struct Likeliest {
    count: usize,
    /// At most twice as many.
    kept: Vec<Next>,
    /// The last of the best so far, once there are enough.
    worst: Option<Next>,
}

impl Likeliest {
    /// Of at least one token.
    pub(super) fn new(count: usize) -> Self {
        Self { count, kept: Vec::new(), worst: None }
    }

    pub(super) fn add(&mut self, next: Next) {
        let is_beyond = |worst: &Next| next.likelier_first(worst).is_ge();
        // A token that the model rules out begins no word.
        if next.logit == f32::NEG_INFINITY || self.worst.as_ref().is_some_and(is_beyond) {
            return;
        }
        self.kept.push(next);
        if self.kept.len() == 2 * self.count {
            keep_first(&mut self.kept, self.count, Next::likelier_first);
            self.worst = self.kept.last().copied();
        }
    }

    /// In no order.
    pub(super) fn into_vec(mut self) -> Vec<Next> {
        keep_first(&mut self.kept, self.count, Next::likelier_first);
        self.kept
    }
}

/// Leaves the first `count` of `items` in this order, at least one. The last of them comes last; the others are in no order.
pub(super) fn keep_first<T>(items: &mut Vec<T>, count: usize, order: impl Fn(&T, &T) -> Ordering) {
    if items.len() >= count {
        items.select_nth_unstable_by(count - 1, order);
        items.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::logits_with_ties;

    proptest! {
        #[test]
        fn the_first_of_a_full_sort_are_kept(logits in logits_with_ties(0..300), count in 1..40usize, step in 1..300usize) {
            let next = |token: usize| {
                Next { token: token as TokenId, logit: logits[token], progress: Progress::Typing(token) }
            };
            let mut sorted: Vec<Next> = (0..logits.len()).map(next).collect();
            sorted.retain(|next| next.logit > f32::NEG_INFINITY);
            sorted.sort_by(Next::likelier_first);
            sorted.truncate(count);
            let mut likeliest = Likeliest::new(count);
            // In an order that is not that of the ids.
            let mut left: Vec<usize> = (0..logits.len()).collect();
            while !left.is_empty() {
                likeliest.add(next(left.swap_remove(step % left.len())));
            }
            let mut found = likeliest.into_vec();
            found.sort_by(Next::likelier_first);
            prop_assert_eq!(found, sorted);
        }

        #[test]
        fn the_last_of_those_kept_comes_last(mut items in prop::collection::vec(0..20u32, 0..60), count in 1..40usize) {
            let mut sorted = items.clone();
            sorted.sort_unstable();
            sorted.truncate(count);
            keep_first(&mut items, count, u32::cmp);
            if items.len() == count {
                prop_assert_eq!(items.last(), sorted.last());
            }
            items.sort_unstable();
            prop_assert_eq!(items, sorted);
        }
    }
}

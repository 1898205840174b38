//! The distribution that the filters make of one row of logits, and the inverse of its cumulative distribution function.
//!
//! Tokens are ranked by logit, the largest first; ties are broken by the lower id. Temperature never changes that ranking, and every
//! filter but `typical_p` keeps its first tokens, so only as many tokens are sorted as a filter or a draw needs.
//! Sums run in rank order in f64 (sums over the whole vocabulary: in the order of `lm::reduce`), so equal logits give equal draws.
//!
//! What lies beyond the first tokens is located with a [`Histogram`] instead of a walk, unless its answer would depend on rounding.

use super::typical::typical;
use super::{Filters, NothingLeft};
use crate::lm::histogram::{Histogram, Reached};
use crate::lm::softmax::Softmax;
use crate::lm::top_k::{Place, Ranking, top_k};
use crate::lm::{TokenId, reduce};

/// A filtered distribution: the tokens that may be drawn, and the weight of each.
///
/// A weight is a probability that is not normalised: the most likely token of the vocabulary weighs 1.
pub(super) struct Filtered {
    softmax: Softmax,
    support: Support,
}

/// The tokens that may be drawn.
enum Support {
    /// All tokens that are not ruled out.
    All,
    /// The first tokens in rank order, many of them.
    Until(Cut),
    /// These tokens, most likely first; never empty.
    Ranked(Vec<TokenId>),
    /// Many tokens anywhere in the ranking: those whose logit here, `[vocab_size]`, is not `-inf`.
    Scattered(Vec<f32>),
}

/// The end of a long list of tokens that are kept.
struct Cut {
    /// The last one, and the weight of all.
    last: Reached,
    /// Of the whole vocabulary.
    histogram: Histogram,
    /// What has cut the list.
    thresholds: Thresholds,
}

/// Tokens that are sorted at first: most draws and most nuclei of a language model end among them.
const HEAD: usize = 64;

/// From how many tokens on they are not sorted, but located with a histogram.
const SCATTERED: usize = 256;

impl Filtered {
    /// Applies the filters to adjusted `logits`, in which the tokens that are ruled out are `-inf`.
    pub(super) fn new(filters: &Filters, logits: &[f32]) -> Result<Self, NothingLeft> {
        let max = reduce::max(logits);
        if max == f32::NEG_INFINITY {
            return Err(NothingLeft);
        }
        let softmax = Softmax { max, temperature: filters.temperature };
        let weight = |token| softmax.weight(logits, token);
        let support = match (filters.top_k, filters.top_p, filters.min_p) {
            (None, None, 0.0) => Support::All,
            (Some(k), None, 0.0) => Support::Ranked(top_k(logits, k)),
            (Some(k), ..) => {
                let ranked = top_k(logits, k);
                let mass = ranked.iter().copied().map(weight).sum();
                Support::Ranked(Thresholds::new(filters, mass).truncate(ranked.into_iter(), weight))
            }
            (None, ..) => Support::truncated(filters, softmax, logits),
        };
        let filtered = Self { softmax, support };
        Ok(match filters.typical_p {
            None => filtered,
            Some(share) => filtered.typical(logits, share),
        })
    }

    /// Keeps the most typical tokens, which have this `share` of the probability.
    fn typical(self, logits: &[f32], share: f64) -> Self {
        let mut scaled = logits.to_vec();
        self.write(&mut scaled);
        let mut kept = typical(&scaled, share);
        let place = |token: TokenId| Place::new(logits[token as usize], token);
        let support = if kept.len() > SCATTERED {
            let mut alone = vec![f32::NEG_INFINITY; logits.len()];
            kept.iter().for_each(|&token| alone[token as usize] = logits[token as usize]);
            Support::Scattered(alone)
        } else {
            kept.sort_unstable_by_key(|&token| place(token));
            Support::Ranked(kept)
        };
        Self { support, ..self }
    }

    /// The first token in rank order at which the cumulative probability exceeds `u`, in `[0, 1)`.
    /// `logits` are those given to [`Self::new`].
    pub(super) fn quantile(&self, logits: &[f32], u: f64) -> TokenId {
        match &self.support {
            Support::All => self.quantile_of_all(logits, u),
            Support::Until(cut) => {
                let located = cut.histogram.locate(logits, u * cut.last.mass);
                located.map_or_else(
                    || self.quantile_of(&cut.tokens(self.softmax, logits), logits, u),
                    |reached| reached.token,
                )
            }
            Support::Ranked(tokens) => self.quantile_of(tokens, logits, u),
            Support::Scattered(alone) => {
                let histogram = Histogram::new(self.softmax, alone, self.softmax.mass(alone));
                // The sum of all weights in f32 would be too far from that in rank order.
                let located = histogram.locate(alone, u * histogram.total());
                located.map_or_else(
                    || self.quantile_of(&top_k(alone, alone.len()), logits, u),
                    |reached| reached.token,
                )
            }
        }
    }

    fn quantile_of_all(&self, logits: &[f32], u: f64) -> TokenId {
        let weight = |token| self.softmax.weight(logits, token);
        let mass = self.softmax.mass(logits);
        let target = u * mass;
        let head = top_k(logits, HEAD);
        let walked = first_above(target, head.into_iter(), weight);
        if walked.exceeds {
            return walked.token;
        }
        let located = Histogram::new(self.softmax, logits, mass).locate(logits, target);
        located
            .map_or_else(|| first_above(target, Ranking::new(logits), weight).token, |reached| reached.token)
    }

    fn quantile_of(&self, tokens: &[TokenId], logits: &[f32], u: f64) -> TokenId {
        let weight = |token| self.softmax.weight(logits, token);
        let mass: f64 = tokens.iter().copied().map(weight).sum();
        first_above(u * mass, tokens.iter().copied(), weight).token
    }

    /// What [`Self::write`] subtracts from each logit, after it was divided by the temperature.
    pub(super) fn shift(&self) -> f64 {
        f64::from(self.softmax.max) / f64::from(self.softmax.temperature)
    }

    /// Overwrites the logits given to [`Self::new`] with those of this distribution: shifted so that the largest is 0 and divided
    /// by the temperature, or `-inf` for a token that is not in the support.
    pub(super) fn write(&self, logits: &mut [f32]) {
        let scaled = |logit| self.softmax.scaled(logit);
        match &self.support {
            Support::All => logits.iter_mut().for_each(|logit| *logit = scaled(*logit)),
            Support::Until(cut) => {
                let last = Place::new(logits[cut.last.token as usize], cut.last.token);
                for (token, logit) in (0..logits.len() as TokenId).zip(logits) {
                    let is_kept = Place::new(*logit, token) <= last;
                    *logit = if is_kept { scaled(*logit) } else { f32::NEG_INFINITY };
                }
            }
            Support::Ranked(tokens) => {
                let kept: Vec<f32> = tokens.iter().map(|&token| scaled(logits[token as usize])).collect();
                logits.fill(f32::NEG_INFINITY);
                for (&token, logit) in tokens.iter().zip(kept) {
                    logits[token as usize] = logit;
                }
            }
            Support::Scattered(alone) => {
                logits.iter_mut().zip(alone).for_each(|(logit, alone)| *logit = scaled(*alone));
            }
        }
    }
}

impl Support {
    /// What `top_p` and `min_p` keep of all tokens.
    fn truncated(filters: &Filters, softmax: Softmax, logits: &[f32]) -> Self {
        let weight = |token| softmax.weight(logits, token);
        let mass = softmax.mass(logits);
        let thresholds = Thresholds::new(filters, mass);
        let head = thresholds.truncate(top_k(logits, HEAD).into_iter(), weight);
        if head.len() < HEAD {
            return Self::Ranked(head);
        }
        // `min_p` compares single weights, which only a walk does.
        if thresholds.weight_min == 0.0 {
            let histogram = Histogram::new(softmax, logits, mass);
            // The last token that is kept is the first with which the others reach the threshold.
            if let Some(last) = histogram.locate(logits, thresholds.mass_max) {
                return Self::Until(Cut { last, histogram, thresholds });
            }
        }
        Self::Ranked(thresholds.truncate(Ranking::new(logits), weight))
    }
}

impl Cut {
    /// The tokens that are kept, most likely first.
    fn tokens(&self, softmax: Softmax, logits: &[f32]) -> Vec<TokenId> {
        self.thresholds.truncate(Ranking::new(logits), |token| softmax.weight(logits, token))
    }
}

/// Where a walk along the ranking has ended.
struct Walked {
    token: TokenId,
    /// Whether the sum of the weights exceeds the target there.
    exceeds: bool,
}

/// The token at which the running sum of weights first exceeds `target`. If rounding keeps the whole sum at or below `target`,
/// it is the last token whose weight is not 0.
fn first_above(
    target: f64,
    ranked: impl Iterator<Item = TokenId>,
    weight: impl Fn(TokenId) -> f64,
) -> Walked {
    let mut reached = 0.0;
    let mut walked = Walked { token: 0, exceeds: false };
    for token in ranked {
        let weight = weight(token);
        if weight == 0.0 {
            break; // The tokens that follow weigh no more.
        }
        reached += weight;
        walked = Walked { token, exceeds: reached > target };
        if walked.exceeds {
            break;
        }
    }
    walked
}

/// Where `top_p` and `min_p` truncate the ranking.
struct Thresholds {
    /// A token is kept while the tokens before it weigh less than this.
    mass_max: f64,
    /// A token is kept while it weighs at least this.
    weight_min: f64,
}

impl Thresholds {
    /// The thresholds for tokens whose weights sum to `mass`.
    fn new(filters: &Filters, mass: f64) -> Self {
        Self {
            mass_max: filters.top_p.map_or(f64::INFINITY, |share| share * mass),
            weight_min: filters.min_p,
        }
    }

    fn truncate(
        &self,
        ranked: impl Iterator<Item = TokenId>,
        weight: impl Fn(TokenId) -> f64,
    ) -> Vec<TokenId> {
        let mut before = 0.0;
        let keep = |&token: &TokenId| {
            let weight = weight(token);
            let keep = before < self.mass_max && weight >= self.weight_min;
            before += weight;
            keep
        };
        ranked.take_while(keep).collect()
    }
}

#[cfg(test)]
mod tests;

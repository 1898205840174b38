//! The tokens by which a beam search extends a hypothesis.

use super::{Filtering, NothingLeft};
use crate::lm::top_k::top_k;
use crate::lm::{LogSumExp, TokenId};

/// A token that may follow a hypothesis. Both numbers are in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extension {
    /// The token.
    pub token: TokenId,
    /// `ln P(token)` under the model.
    pub logprob: f64,
    /// What the search ranks by: the logprob with the biases and penalties on the token. Equal to it if there are none.
    pub score: f64,
}

/// The `count` extensions of the highest score, the highest first, ties by the lower id. Tokens that are ruled out are not among
/// them. Scores are not normalised over the tokens that are left, so that those of different hypotheses are comparable.
///
/// # Errors
/// [`NothingLeft`] if every token is ruled out.
pub fn extensions(
    filtering: &Filtering,
    logits: &mut [f32],
    count: usize,
) -> Result<Vec<Extension>, NothingLeft> {
    let model = LogSumExp::new(logits);
    let originals = filtering.adjust(logits);
    let best = top_k(logits, count);
    if best.is_empty() && count > 0 {
        return Err(NothingLeft);
    }
    let extension = |token| Extension {
        token,
        logprob: model.logprob(originals.logit(logits, token)),
        score: model.logprob(logits[token as usize]),
    };
    Ok(best.into_iter().map(extension).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Bias, FilterSpec, Filters};

    #[test]
    fn extensions_are_ranked_with_their_bias_and_keep_the_models_logprob() {
        let spec = FilterSpec {
            ruled_out: [3].into(),
            biases: [Bias { token: 0, amount: 2.0 }].into(),
            ..FilterSpec::default()
        };
        let filtering = Filtering::new(Filters::new(spec).unwrap(), &[]);
        let logits = [0.0, 1.0, 1.0, 5.0];
        let model = LogSumExp::new(&logits);
        let found = extensions(&filtering, &mut logits.clone(), 2).unwrap();
        let expected = [(0, 0.0, 2.0), (1, 1.0, 1.0)].map(|(token, logit, ranked)| Extension {
            token,
            logprob: model.logprob(logit),
            score: model.logprob(ranked),
        });
        assert_eq!(found, expected);
        assert_eq!(extensions(&filtering, &mut logits.clone(), 9).unwrap().len(), 3);
        let nothing = FilterSpec { ruled_out: [0].into(), ..FilterSpec::default() };
        let nothing = Filtering::new(Filters::new(nothing).unwrap(), &[]);
        assert_eq!(extensions(&nothing, &mut [1.0], 2), Err(NothingLeft));
    }
}

//! What answers a request: one model, or a mixture of models whose probabilities are interpolated linearly, token by token.
//!
//! Each model of a mixture runs a job of its own, and the results are joined here. So each job shares its batches with all other
//! requests to its model, which a job over several models could not, and a mixture needs nothing of the engine. The sums
//! are of `f64` probabilities: a mixture that was a model would round them to the `f32` of logits.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::Service;
use super::bounds::Bound;
use super::target::Target;
use crate::api::cache::Cache;
use crate::api::mixture::MixturePart;
use crate::api::question::Question;
use crate::api::state::Carried;
use crate::catalog::Served;
use crate::engine::jobs::{ReadingPlan, ReadingResult};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Snapshot;
use crate::text::Tail;

/// One model, or several with weights that sum to 1 and one tokenizer.
pub(super) struct Voices(Vec<Voice>);

struct Voice {
    target: Target,
    weight: f64,
}

/// Where each of some voices stands.
#[derive(Clone)]
pub(super) struct Standing(Vec<Snapshot>);

/// The results of all voices as one.
pub(super) struct Joined {
    /// The logprob of each token that was read, if they were to be scored.
    pub(super) logprobs: Vec<f64>,
    /// The logprob of each token of each branch.
    pub(super) branches: Vec<Vec<f64>>,
    /// Where the reading has led.
    pub(super) standing: Standing,
}

/// How far from 1 the sum of weights may be.
const SUM_TOLERANCE: f64 = 1e-6;

impl Service {
    /// The models that a request names.
    ///
    /// # Errors
    /// `ModelNotFound`; a mixture beside `model`, of different tokenizers, of weights that do not sum to 1, or of too many models.
    pub(super) fn voices(&self, model: Option<&str>, mixture: Option<Vec<MixturePart>>) -> Result<Voices> {
        let Some(parts) = mixture else { return Ok(Voices::one(self.model_target(model)?)) };
        if model.is_some() {
            return Err(Error::invalid(
                "mixture",
                "`mixture` is given beside `model`; at most one of them is accepted",
            ));
        }
        let max = self.config.limits.max_mixture;
        Bound { param: "mixture", max, option: "--max-mixture" }.entries(parts.len())?;
        let mut voices: Vec<Voice> = Vec::with_capacity(parts.len());
        for (index, MixturePart { model, weight }) in parts.into_iter().enumerate() {
            let path = |field: &str| format!("mixture[{index}].{field}");
            if !(weight > 0.0 && weight <= 1.0) {
                let message = format!("`weight` is {weight}; it must be above 0 and at most 1");
                return Err(Error::invalid(path("weight"), message));
            }
            let target = self.model_target(Some(&model)).map_err(|error| error.at(path("model")))?;
            if voices.iter().any(|voice| voice.target.served().name == target.served().name) {
                let message = format!("`{model}` is given twice; it is accepted once");
                return Err(Error::invalid(path("model"), message));
            }
            voices.push(Voice { target, weight });
            check_tokenizer(&voices).map_err(|error| error.at(path("model")))?;
        }
        let sum: f64 = voices.iter().map(|voice| voice.weight).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            let message = format!("the weights of `mixture` sum to {sum}; they must sum to 1");
            return Err(Error::invalid("mixture", message));
        }
        voices.iter_mut().for_each(|voice| voice.weight /= sum);
        Ok(Voices(voices))
    }

    /// What answers a request that may bring a state: the models that it names, or the model of its state.
    ///
    /// # Errors
    /// As [`Self::voices`]; a state that is damaged or foreign, or beside a mixture.
    pub(super) async fn start_voices(
        &self,
        model: Option<&str>,
        mixture: Option<Vec<MixturePart>>,
        carried: &Carried,
    ) -> Result<Voices> {
        let Carried { state, return_state, cache } = carried;
        if mixture.is_none() {
            return Ok(Voices::one(self.start_target(model, carried).await?));
        }
        let refused = |param: &str| {
            let message = format!("`{param}` is given beside `mixture`; a state is that of one model");
            Err(Error::invalid(param, message))
        };
        match state {
            Some(_) => refused("state"),
            None if *return_state => refused("return_state"),
            None => self.cached_voices(self.voices(model, mixture)?, cache.as_ref()),
        }
    }

    /// `voices` with a cache, if there is one.
    ///
    /// # Errors
    /// As [`Self::with_cache`]; `NotSupported` for several models.
    pub(super) fn cached_voices(&self, voices: Voices, cache: Option<&Cache>) -> Result<Voices> {
        if cache.is_some() && voices.are_several() {
            let message = "`cache` is given beside `mixture`; a cache is that of one model";
            return Err(Error::new(ErrorKind::NotSupported, message).at("cache"));
        }
        let cached = voices.0.into_iter().map(|Voice { target, weight }| {
            let target = self.with_cache(target, cache)?;
            Ok(Voice { target, weight })
        });
        Ok(Voices(cached.collect::<Result<_>>()?))
    }

    /// Where the voices start.
    ///
    /// # Errors
    /// As [`Service::open`].
    pub(super) fn open_voices(&self, voices: &Voices) -> Result<Standing> {
        let snapshots = voices.0.iter().map(|voice| self.open(&voice.target));
        Ok(Standing(snapshots.collect::<Result<_>>()?))
    }

    /// Has every voice read `plan` from where it stands.
    ///
    /// # Errors
    /// The first failure of a voice.
    pub(super) async fn read_voices(
        &self,
        voices: &Voices,
        standing: Standing,
        plan: &ReadingPlan,
    ) -> Result<Joined> {
        let mut results = self.read_each(voices, standing, plan).await?;
        let ended = |result: &mut ReadingResult| super::work::end_of(result);
        let standing = Standing(results.iter_mut().map(ended).collect::<Result<_>>()?);
        let own: Vec<&[f64]> = results.iter().map(|result| result.logprobs.as_slice()).collect();
        let logprobs = voices.joined(&own);
        let branches = (0..plan.branches.len()).map(|branch| {
            let own = results.iter().map(|result| result.branches[branch].as_slice());
            voices.joined(&own.collect::<Vec<_>>())
        });
        Ok(Joined { logprobs, branches: branches.collect(), standing })
    }

    /// The result of every voice.
    pub(super) async fn read_each(
        &self,
        voices: &Voices,
        standing: Standing,
        plan: &ReadingPlan,
    ) -> Result<Vec<ReadingResult>> {
        let reads = voices.0.iter().zip(standing.0);
        let reads = reads.map(|(voice, start)| self.read_copy(voice.target.served(), start, plan.clone()));
        try_join_all(reads).await
    }
}

impl Voices {
    /// A single model or session.
    pub(super) fn one(target: Target) -> Self {
        Self(vec![Voice { target, weight: 1.0 }])
    }

    /// The model whose tokenizer, which is that of all, reads texts.
    pub(super) fn served(&self) -> &Arc<Served> {
        self.0[0].target.served()
    }

    /// The name of the model, or the names of all.
    pub(super) fn name(&self) -> String {
        match self.0.as_slice() {
            [only] => only.target.served().name.to_string(),
            several => several.iter().map(|voice| &*voice.target.served().name).collect::<Vec<_>>().join("+"),
        }
    }

    /// Whether every model has read a token at its start.
    pub(super) fn have_initial_tokens(&self) -> bool {
        self.0.iter().all(|voice| !voice.target.served().initial_tokens.is_empty())
    }

    /// Refuses a request for the token after `tokens_read` more tokens if a model has no token that precedes it.
    pub(super) fn check_context(&self, tokens_read: usize) -> Result<()> {
        self.0.iter().try_for_each(|voice| voice.target.check_context(tokens_read))
    }

    /// Whether these are several models.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Refuses filters: they show how a token would be drawn, and none is drawn from a mixture.
    pub(super) fn check_question(&self, question: &Question) -> Result<()> {
        if self.are_several() && question.sampling.is_some() {
            let message = "`sampling` is given beside `mixture`; at most one of them is accepted";
            return Err(Error::invalid("sampling", message));
        }
        Ok(())
    }

    /// The logprobs of the mixture. `own` has the logprobs of each voice, all of the same tokens.
    pub(super) fn joined(&self, own: &[&[f64]]) -> Vec<f64> {
        if let [only] = own {
            return only.to_vec();
        }
        let len = own.iter().map(|logprobs| logprobs.len()).min().unwrap_or_default();
        (0..len).map(|index| self.mixed(|voice| own[voice][index])).collect()
    }

    /// `ln sum(weight * exp(logprob))`.
    fn mixed(&self, logprob: impl Fn(usize) -> f64) -> f64 {
        let largest = (0..self.0.len()).map(&logprob).fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        let each = self.0.iter().enumerate();
        let sum: f64 = each.map(|(index, voice)| voice.weight * libm::exp(logprob(index) - largest)).sum();
        largest + libm::log(sum)
    }
}

impl Standing {
    /// Where the only voice stands.
    pub(super) fn only(&self) -> Option<&Snapshot> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether a token was read since the start.
    pub(super) fn has_moved(&self) -> bool {
        self.0[0].position > 0
    }

    /// The tokens read since the start.
    pub(super) fn position(&self) -> u64 {
        self.0[0].position
    }

    /// How the text stands.
    pub(super) fn tail(&self) -> &Tail {
        &self.0[0].tail
    }
}

/// The last voice must have the tokenizer of the first.
fn check_tokenizer(voices: &[Voice]) -> Result<()> {
    let (Some(first), Some(last)) = (voices.first(), voices.last()) else { return Ok(()) };
    let first = first.target.served();
    let last = last.target.served();
    if first.tokenizer.sha256() == last.tokenizer.sha256() {
        return Ok(());
    }
    let message = format!(
        "the tokenizer of model `{}` differs from that of model `{}`; the models of a mixture must have equal `tokenizer_sha256`",
        last.name, first.name
    );
    Err(Error::invalid("model", message))
}

//! Use case: the hypotheses of a recogniser, ranked again with a language model.

mod hypothesis;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Service;
use super::bounds::Bound;
use super::input::{Input, Prepared, Use};
use super::score::checked_unknown;
use super::voices::{Standing, Voices};
use crate::api::mixture::MixturePart;
use crate::api::rescore::{
    Carry, LogBase, RescoreRequest, RescoreResponse, RescoredHypothesis, RescoredUtterance, Rescoring,
    Utterance,
};
use crate::api::unknown::Unknown;
use crate::budget::{Permit, Purpose};
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use hypothesis::Candidate;

/// Rescores utterances by the options of one request.
pub struct Rescorer {
    service: Arc<Service>,
    voices: Voices,
    /// The token to score after each hypothesis.
    eos: Option<TokenId>,
    formula: Formula,
    /// What the utterances before leave to the next, if they leave anything.
    carried: Option<Mutex<Carried>>,
}

/// How the parts of a total are weighed.
struct Formula {
    rescoring: Rescoring,
    /// What an unknown token counts, natural.
    unknown: Unknown,
    /// The natural logarithm of the base of all logarithms.
    ln_base: f64,
}

/// Where the next utterance starts: `best` is read from `standing` on, when it comes.
#[derive(Clone)]
struct Carried {
    standing: Standing,
    /// The best hypothesis of the utterance before. Only the next utterance reads it, together with its context, so that what
    /// follows from it costs no job of its own.
    best: Arc<[TokenId]>,
    /// The memory of its tokens.
    held: Option<Arc<Permit>>,
}

/// Tokens, and the memory of their copy if they are one.
struct Read {
    tokens: Arc<[TokenId]>,
    held: Option<Permit>,
}

/// The models and the options of a request.
pub struct RescoringPlan {
    /// The model; the default model if absent.
    pub model: Option<String>,
    /// Several models in place of one.
    pub mixture: Option<Vec<MixturePart>>,
    /// The options.
    pub rescoring: Rescoring,
}

impl Service {
    /// Rescores utterances.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue; a timeout.
    pub async fn rescore(self: &Arc<Self>, request: RescoreRequest) -> Result<RescoreResponse> {
        let RescoreRequest { model, mixture, utterances, rescoring } = request;
        let rescorer = Rescorer::new(self, RescoringPlan { model, mixture, rescoring })?;
        let utterances = utterances.unwrap_or_default();
        if utterances.is_empty() {
            let message = "`utterances` has no entries; at least one is required";
            return Err(Error::new(ErrorKind::EmptyInput, message).at("utterances"));
        }
        let max = self.config.limits.max_utterances;
        Bound { param: "utterances", max, option: "--max-utterances" }.entries(utterances.len())?;
        let rescorer = &rescorer;
        let results = stream::iter(utterances.into_iter().enumerate())
            .map(async |(index, utterance)| {
                rescorer.rescore(utterance).await.map_err(|error| of_utterance(error, index))
            })
            .buffered(rescorer.at_once());
        Ok(RescoreResponse { model: rescorer.model(), results: results.try_collect().await? })
    }
}

/// The error of an utterance, which names its value by the path in the whole request.
fn of_utterance(error: Error, index: usize) -> Error {
    let path = match &error.param {
        Some(param) => format!("utterances[{index}].{param}"),
        // What is wrong with no value, such as a full queue, is not wrong with the utterance.
        None => return error,
    };
    error.at(path)
}

impl Rescorer {
    /// Checks the options.
    ///
    /// # Errors
    /// An unknown model, a mixture that is none; a number out of range; `add_eos` where the model has no end-of-text token.
    pub fn new(service: &Arc<Service>, plan: RescoringPlan) -> Result<Self> {
        let RescoringPlan { model, mixture, rescoring } = plan;
        let voices = service.voices(model.as_deref(), mixture)?;
        let formula = Formula::new(rescoring)?;
        let eos = voices.served().tokenizer.eos();
        if rescoring.add_eos == Some(true) && eos.is_none() {
            let message =
                format!("`add_eos` is true, but model `{}` has no end-of-text token", voices.name());
            return Err(Error::invalid("add_eos", message));
        }
        let carried = match rescoring.carry {
            Carry::None => None,
            Carry::Best => Some(Mutex::new(Carried::at(service.open_voices(&voices)?))),
        };
        Ok(Self {
            service: service.clone(),
            voices,
            eos: eos.filter(|_| rescoring.add_eos != Some(false)),
            formula,
            carried,
        })
    }

    /// The use cases that it works with.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The model's name; of a mixture, the names joined by `+`.
    pub fn model(&self) -> String {
        self.voices.name()
    }

    /// How many utterances may be rescored at once: only one if each starts where the one before has led.
    pub fn at_once(&self) -> usize {
        if self.carried.is_some() { 1 } else { self.service.config.limits.lines_at_once }
    }

    /// Ranks the hypotheses of an utterance. If state is carried, the utterance before must be finished; one that failed carries nothing.
    ///
    /// # Errors
    /// Whatever is wrong with the utterance; a full queue; a timeout. `param` is a path within the utterance.
    pub async fn rescore(&self, utterance: Utterance) -> Result<RescoredUtterance> {
        let Utterance { id, context, hypotheses } = utterance;
        if let Some(id) = id.as_deref().filter(|id| id.len() > Utterance::ID_BYTES_MAX) {
            let message = format!("`id` has {} bytes; the maximum is {}", id.len(), Utterance::ID_BYTES_MAX);
            return Err(Error::invalid("id", message));
        }
        if hypotheses.is_empty() {
            let message = "`hypotheses` has no entries; at least one is required";
            return Err(Error::new(ErrorKind::EmptyInput, message).at("hypotheses"));
        }
        let max = self.service.config.limits.max_hypotheses;
        Bound { param: "hypotheses", max, option: "--max-hypotheses" }.entries(hypotheses.len())?;
        let context = match context {
            Some(value) => {
                let input = Input { value, path: "context", purpose: Use::Read };
                self.service.prepare(self.voices.served(), input).await?
            }
            None => Prepared::default(),
        };
        let mut candidates = Vec::with_capacity(hypotheses.len());
        let mut tokens = context.tokens.len();
        for (index, hypothesis) in hypotheses.into_iter().enumerate() {
            let candidate = self.candidate(hypothesis, &format!("hypotheses[{index}]")).await?;
            tokens += candidate.tokens.len();
            self.service
                .check_together(tokens, "the hypotheses and their context")
                .map_err(|error| error.at("hypotheses"))?;
            candidates.push(candidate);
        }
        let hypotheses = self.rank(context, candidates).await?;
        Ok(RescoredUtterance { id, hypotheses })
    }

    /// The hypotheses in their new order.
    async fn rank(
        &self,
        context: Prepared,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<RescoredHypothesis>> {
        let Carried { standing, best, held: _held } = self.start()?;
        let tail = context.tail_after(standing.tail());
        let Read { tokens, held: _read } = self.read_first(&best, &context)?;
        let plan = ReadingPlan {
            tokens,
            joint: tail.joint,
            branches: candidates.iter().map(|candidate| candidate.tokens.clone()).collect(),
            ..Default::default()
        };
        let is_preceded =
            standing.has_moved() || !plan.tokens.is_empty() || self.voices.have_initial_tokens();
        let joined = self.service.read_voices(&self.voices, standing, &plan).await?;
        let scored =
            candidates.iter().zip(&joined.branches).enumerate().map(|(index, (candidate, logprobs))| {
                let known = logprobs.iter().enumerate();
                let known = known.map(|(index, &logprob)| (index > 0 || is_preceded).then_some(logprob));
                let lm_logprob = candidate.logprob(known, &self.formula) / self.formula.ln_base;
                RescoredHypothesis {
                    index,
                    rank: 0,
                    lm_logprob,
                    total: self.formula.total(candidate, lm_logprob),
                    unknown_count: candidate.unknown_count,
                }
            });
        let mut ranked: Vec<RescoredHypothesis> = scored.collect();
        // Stable: hypotheses of equal totals keep their order.
        ranked.sort_by(|a, b| b.total.total_cmp(&a.total));
        ranked.iter_mut().zip(1..).for_each(|(hypothesis, rank)| hypothesis.rank = rank);
        if let Some(carried) = &self.carried {
            let Candidate { tokens: best, scores: mut held, .. } = candidates.swap_remove(ranked[0].index);
            held.shrink_to(size_of_val(&*best));
            *carried.lock().unwrap_or_else(PoisonError::into_inner) =
                Carried { standing: joined.standing, best, held: Some(Arc::new(held)) };
        }
        Ok(ranked)
    }

    /// What is read before the hypotheses: what the utterance before has led to, and the context.
    fn read_first(&self, best: &[TokenId], context: &Prepared) -> Result<Read> {
        if best.is_empty() {
            return Ok(Read { tokens: context.tokens.clone(), held: None });
        }
        // Both are copied twice.
        let bytes = 2 * (size_of_val(best) + size_of_val(&*context.tokens));
        let held = self.service.take(Purpose::Tokens, bytes)?;
        Ok(Read { tokens: [best, &*context.tokens].concat().into(), held: Some(held) })
    }

    /// Where an utterance starts.
    fn start(&self) -> Result<Carried> {
        match &self.carried {
            Some(carried) => Ok(carried.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            None => Ok(Carried::at(self.service.open_voices(&self.voices)?)),
        }
    }
}

impl Carried {
    /// An utterance that starts at `standing`, after no other.
    fn at(standing: Standing) -> Self {
        Self { standing, best: Arc::default(), held: None }
    }
}

impl Formula {
    fn new(rescoring: Rescoring) -> Result<Self> {
        const MAX: f64 = Rescoring::WEIGHT_MAX;
        let Rescoring { lm_weight, old_lm_weight, word_penalty, lambda, log_base, unknown, .. } = rescoring;
        for (name, weight) in
            [("lm_weight", lm_weight), ("old_lm_weight", old_lm_weight), ("word_penalty", word_penalty)]
        {
            if weight.is_nan() || weight.abs() > MAX {
                let message = format!("`{name}` is {weight}; it must be from -{MAX} to {MAX}");
                return Err(Error::invalid(name, message));
            }
        }
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Error::invalid("lambda", format!("`lambda` is {lambda}; it must be from 0 to 1")));
        }
        let ln_base = match log_base {
            LogBase::E => 1.0,
            LogBase::Ten => std::f64::consts::LN_10,
        };
        let unknown = match checked_unknown(unknown)? {
            Unknown::Add(shift) => Unknown::Add(shift * ln_base),
            Unknown::Set(logprob) => Unknown::Set(logprob * ln_base),
            unknown => unknown,
        };
        Ok(Self { rescoring, unknown, ln_base })
    }

    /// The total of a hypothesis whose language model score is `lm_logprob`. Probability 0 makes it negative infinity, whatever the
    /// sign of the weight, unless the model has no weight at all.
    fn total(&self, candidate: &Candidate, lm_logprob: f64) -> f64 {
        let Rescoring { lm_weight, old_lm_weight, word_penalty, .. } = self.rescoring;
        let lm_score = match lm_weight {
            0.0 => 0.0,
            _ if lm_logprob == f64::NEG_INFINITY => return f64::NEG_INFINITY,
            weight => weight * lm_logprob,
        };
        candidate.score
            + lm_score
            + old_lm_weight * candidate.lm_score
            + word_penalty * candidate.words as f64
    }
}

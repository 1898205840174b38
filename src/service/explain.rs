//! Use case: on which of the tokens before it the probability of a token depends.

use std::sync::Arc;

use super::Service;
use super::input::{Prepared, Use, check_not_empty};
use super::question::ranked_token;
use super::room::Room;
use super::target::start_of;
use super::threads::{Abandoned, abandoned};
use super::tokens::input_tokens;
use crate::api::explain::{
    ExplainQuery, ExplainRequest, ExplainResponse, ExplainedToken, GradientByLag, GradientNorm, LayerGates,
};
use crate::budget::{Permit, Purpose};
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{
    Distribution, Gates, Gradient, GradientError, Inside, LayerGradient, Passage, StepGradient, TokenId,
};
use crate::sampling::Ranked;
use crate::session::Snapshot;

/// An answer, and the room that it takes until it has been sent.
pub struct Explained {
    /// The answer.
    pub response: ExplainResponse,
    /// Its room.
    pub room: Room,
}

/// What is differentiated.
struct Question {
    served: Arc<Served>,
    tokens: Arc<[TokenId]>,
    /// The most likely token if `None`.
    target: Option<TokenId>,
    gates: bool,
    _scratch: Permit,
}

/// How often the vectors of a step are held while a gradient is computed: as they were computed, copied, and as gradients.
const COPIES: usize = 8;

impl Service {
    /// Explains a log-probability.
    ///
    /// # Errors
    /// `NotSupported` for a model that is not run natively; whatever is wrong with the request; too many requests waiting.
    pub async fn explain(&self, request: ExplainRequest, query: ExplainQuery) -> Result<Explained> {
        let ExplainRequest { prompt, target } = request;
        let served = &self.named_model(prompt.model.as_deref())?;
        let inside = inside(served)?;
        let path = if prompt.tokens.is_some() { "tokens" } else { "text" };
        let target = target.map(|word| self.single_token(served, &word, "target")).transpose()?;
        let prepared = self.prepare_prompt(served, prompt, Use::Listed).await?;
        check_not_empty(&prepared)?;
        let len = prepared.tokens.len();
        let max = self.config.limits.max_explain_tokens;
        if len > max {
            let message = format!("`{path}` has {len} tokens; the maximum is {max} (`--max-explain-tokens`)");
            return Err(Error::new(ErrorKind::TextTooLong, message).at(path));
        }
        let gate_values = if query.gates { inside.gate_values() } else { 0 };
        let layers = served.model.info().hidden_sizes.len();
        let room = self.room_for_explanation(len, 4 * layers + 4 + gate_values)?;
        let numbers = inside.gate_values() + inside.embedding_size() + served.model.info().state_len;
        let step_bytes = numbers.saturating_mul(COPIES * size_of::<f32>());
        let question = Question {
            served: served.clone(),
            tokens: prepared.tokens.clone(),
            target,
            gates: query.gates,
            _scratch: self.take(Purpose::Scratch, len.saturating_mul(step_bytes))?,
        };
        let (ranked, gradient) = self.beside(move |abandoned| question.answer(&abandoned)).await?;
        Ok(Explained { response: response(served, &prepared, Found { ranked, gradient, query }), room })
    }
}

/// What can be seen of a model's inside.
///
/// # Errors
/// `NotSupported` if its weights are not known.
pub(super) fn inside(served: &Served) -> Result<&dyn Inside> {
    served.model.inside().ok_or_else(|| {
        let message = format!(
            "model `{}` is not run by the native engine, so its weights are not known; `backend` in `/v1/models` must be `native`",
            served.name,
        );
        Error::new(ErrorKind::NotSupported, message).at("model")
    })
}

impl Question {
    fn answer(&self, abandoned: &Abandoned) -> Result<(Ranked, Gradient)> {
        let mut chosen = None;
        let mut target = |logits: &[f32]| {
            let distribution = Distribution::new(logits);
            let token = self.target.unwrap_or_else(|| distribution.top_k(1)[0]);
            let rank = distribution.rank(token);
            chosen = Some(Ranked { token, logprob: distribution.logprob(token), rank });
            token
        };
        let Snapshot { state, .. } = start_of(&self.served);
        let passage = Passage {
            start: &state,
            tokens: &self.tokens,
            target: &mut target,
            gates: self.gates,
            is_abandoned: &|| abandoned.is_set(),
        };
        let gradient = inside(&self.served)?.gradient(passage).map_err(failure)?;
        let ranked = chosen.ok_or_else(|| Error::internal("internal error: no token was explained"))?;
        match ranked.logprob.is_finite() {
            true => Ok((ranked, gradient)),
            false => {
                let message = "`target` is a token that the model rules out whatever precedes it; expected one whose probability can change";
                Err(Error::invalid("target", message))
            }
        }
    }
}

fn failure(error: GradientError) -> Error {
    match error {
        GradientError::Abandoned => abandoned(),
        error => Error::internal(error.to_string()),
    }
}

/// What was found out.
struct Found {
    ranked: Ranked,
    gradient: Gradient,
    query: ExplainQuery,
}

fn response(served: &Served, prepared: &Prepared, found: Found) -> ExplainResponse {
    let Found { ranked, gradient, query } = found;
    let start = start_of(served);
    let tail = prepared.tail_after(&start.tail);
    let gradient_by_lag = by_lag(&gradient.steps);
    let tokens = input_tokens(served, &start.tail, prepared).into_iter();
    let tokens = tokens.zip(gradient.steps).map(|(token, step)| ExplainedToken {
        token,
        saliency: step.saliency,
        gradient_norm: GradientNorm {
            input: step.input_norm,
            h: step.layers.iter().map(|layer| layer.h_norm).collect(),
            c: c_norms(&step),
        },
        gates: query
            .gates
            .then(|| step.layers.into_iter().filter_map(|layer| layer.gates).map(shown).collect()),
    });
    ExplainResponse {
        model: served.name.to_string(),
        unknown_count: prepared.unknown_count,
        target: ranked_token(served, &tail, ranked),
        tokens: tokens.collect(),
        gradient_by_lag,
    }
}

/// The norms by c; `None` for a cell without it.
fn c_norms(step: &StepGradient) -> Option<Vec<f64>> {
    let norms: Option<Vec<f64>> = step.layers.iter().map(|layer| layer.c_norm).collect();
    norms.filter(|norms| !norms.is_empty())
}

fn by_lag(steps: &[StepGradient]) -> GradientByLag {
    let joint = |norm: fn(&LayerGradient) -> f64| {
        normalised(steps.iter().rev().map(|step| {
            let squares = step.layers.iter().map(|layer| norm(layer) * norm(layer));
            squares.sum::<f64>().sqrt()
        }))
    };
    let last = steps.last();
    let is_recurrent = last.is_some_and(|step| !step.layers.is_empty());
    GradientByLag {
        input: normalised(steps.iter().rev().map(|step| step.input_norm)),
        h: if is_recurrent { joint(|layer| layer.h_norm) } else { Vec::new() },
        c: last.and_then(c_norms).map(|_| joint(|layer| layer.c_norm.unwrap_or(0.0))),
    }
}

/// `norms` as multiples of the first.
fn normalised(norms: impl Iterator<Item = f64>) -> Vec<Option<f64>> {
    let norms: Vec<f64> = norms.collect();
    let first = norms.first().copied().unwrap_or(0.0);
    norms.iter().map(|norm| Some(norm / first).filter(|ratio| ratio.is_finite())).collect()
}

fn shown(gates: Gates) -> LayerGates {
    match gates {
        Gates::Lstm { input, forget, candidate, output } => {
            LayerGates::Lstm { input, forget, candidate, output }
        }
        Gates::Gru { reset, update, candidate } => LayerGates::Gru { reset, update, candidate },
    }
}

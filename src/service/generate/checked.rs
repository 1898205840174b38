//! A request for a generation, checked apart from what depends on the state from which it starts.

use std::time::{Duration, Instant};

use crate::api::generate::{Beam, GenerateRequest};
use crate::api::prompt::TextOrIds;
use crate::api::sampling::Sampling;
use crate::catalog::Served;
use crate::engine::jobs::{ContinuationPlan, Destination};
use crate::error::{Error, Result};
use crate::sampling::Filters;
use crate::service::Service;
use crate::service::bounds::Bound;
use crate::service::input::{Input, Prepared, Use, input_of};
use crate::service::room::{Continuations, Returning, Room};
use crate::service::target::Target;
use crate::session::SessionId;
use crate::text::Tail;

/// What the fields of a request are called where it comes from, for its errors.
#[derive(Clone, Copy)]
pub(in crate::service) struct Names<'a> {
    pub(in crate::service) text: &'a str,
    pub(in crate::service) tokens: &'a str,
    pub(in crate::service) top_logprobs: &'static str,
}

impl Names<'static> {
    /// The names of the fields of [`GenerateRequest`].
    pub(in crate::service) const OWN: Self =
        Self { text: "text", tokens: "tokens", top_logprobs: "top_logprobs" };
}

/// A request as it was put.
pub(in crate::service) struct Asked<'a> {
    pub(in crate::service) request: GenerateRequest,
    pub(in crate::service) names: Names<'a>,
    /// Whether its token ids may begin with the model's initial tokens where these have just been read: at the start of the model, or of a
    /// session. They are left out then.
    pub(in crate::service) may_repeat_initial: bool,
    /// Whether the answer lists the input with each choice, and not once.
    pub(in crate::service) repeats_prompt: bool,
}

impl From<GenerateRequest> for Asked<'static> {
    fn from(request: GenerateRequest) -> Self {
        Self { request, names: Names::OWN, may_repeat_initial: false, repeats_prompt: false }
    }
}

/// A request that was checked.
pub(super) struct Checked {
    pub(super) request: GenerateRequest,
    pub(super) max_tokens: usize,
    /// The number of choices.
    pub(super) n: usize,
    pub(super) stops: Vec<String>,
    pub(super) begun: Instant,
    pub(super) seed: u64,
    pub(super) prepared: Prepared,
    pub(super) filters: Filters,
    pub(super) timeout: Option<Duration>,
    /// Room for what the answer lists.
    pub(super) room: Option<Room>,
}

impl Checked {
    /// What is continued, for a prompt that ends with `tail`.
    pub(super) fn continuation(
        &self,
        served: &Served,
        tail: &Tail,
        destination: Destination,
    ) -> ContinuationPlan {
        let tokenizer = &served.tokenizer;
        let stop_at_eos = self.request.stop_at_eos.unwrap_or(tokenizer.eos() != tokenizer.newline());
        ContinuationPlan {
            prompt: self.prepared.tokens.clone(),
            joint: tail.joint,
            scores_prompt: self.lists_prompt(),
            filters: self.filters.clone(),
            tokens_max: self.max_tokens,
            eos: tokenizer.eos().filter(|_| stop_at_eos),
            stops: self.stops.clone(),
            decoder: tokenizer.decoder(tail),
            alternatives: self.request.top_logprobs,
            choices: self.n,
            destination,
        }
    }

    /// Whether the answer lists the tokens of the prompt.
    pub(super) fn lists_prompt(&self) -> bool {
        self.request.echo && lists_tokens(&self.request)
    }
}

/// Whether an answer in one piece lists its tokens.
pub(super) fn lists_tokens(request: &GenerateRequest) -> bool {
    request.token_logprobs || request.top_logprobs > 0
}

impl Service {
    /// Checks `request`. Its answer is a stream only if its field `stream` says so.
    pub(super) async fn check_generation(&self, target: &Target, asked: Asked<'_>) -> Result<Checked> {
        let Asked { mut request, names, may_repeat_initial, repeats_prompt } = asked;
        let begun = self.began();
        let limits = &self.config.limits;
        let max_tokens = request.max_tokens_or_default(limits.max_tokens);
        Bound { param: "max_tokens", max: limits.max_tokens, option: "--max-tokens" }.number(max_tokens)?;
        Bound { param: names.top_logprobs, max: limits.max_top_k, option: "--max-top-k" }
            .number(request.top_logprobs)?;
        let n = request.n.unwrap_or(1);
        Bound { param: "n", max: limits.max_n, option: "--max-n" }.number_above_0(n)?;
        if let Some(beam) = request.beam {
            self.check_beam(beam, n)?;
            check_draws_nothing(&request.sampling)?;
        }
        let timeout = self.timeout(request.timeout_ms)?;
        let seed = request.seed.unwrap_or_else(random_seed);
        if seed > GenerateRequest::SEED_MAX {
            let message = format!("`seed` is {seed}; the maximum is {}", GenerateRequest::SEED_MAX);
            return Err(Error::invalid("seed", message));
        }
        let stops = std::mem::take(&mut request.stop).into_vec();
        self.check_stops(&stops)?;
        let filters = self.filters(target.served(), &request.sampling, "")?;
        let prepared = self.prepare_input(target, &mut request, names).await?;
        let prepared = match may_repeat_initial && target.is_at_start() {
            true => prepared.without_initial(target.served()),
            false => prepared,
        };
        target.check_context(prepared.tokens.len())?;
        let mut checked =
            Checked { request, max_tokens, n, stops, begun, seed, prepared, filters, timeout, room: None };
        let model = Some(&*target.served().name);
        let session = target.session().map(SessionId::as_str);
        let returning = Returning { session, model, carried: &checked.request.carried };
        let prompt_copies = if repeats_prompt { n } else { 1 };
        let listed = Continuations {
            alternatives_field: names.top_logprobs,
            state_bytes: self.state_bytes(&returning),
            ..listed(&checked, prompt_copies)
        };
        checked.room = self.room_for_generation(&listed)?;
        Ok(checked)
    }

    /// The input, with the places of its tokens if they are to be listed.
    async fn prepare_input(
        &self,
        target: &Target,
        request: &mut GenerateRequest,
        names: Names<'_>,
    ) -> Result<Prepared> {
        let is_listed = request.echo && lists_tokens(request);
        let purpose = if is_listed { Use::Pieces } else { Use::Read };
        let Some(value) = input_of(std::mem::take(&mut request.prompt))? else {
            return Ok(Prepared::default());
        };
        let field = match value {
            TextOrIds::Text(_) => names.text,
            TextOrIds::Ids(_) => names.tokens,
        };
        self.prepare(target.served(), Input { value, path: field, purpose }).await
    }

    fn check_beam(&self, beam: Beam, n: usize) -> Result<()> {
        let Beam { width, length_penalty } = beam;
        let max = self.config.limits.max_beam_width;
        Bound { param: "beam.width", max, option: "--max-beam-width" }.number_above_0(width)?;
        if n > width {
            let message = format!("`n` is {n}; the maximum is `beam.width`, which is {width}");
            return Err(Error::invalid("n", message));
        }
        let max = Beam::LENGTH_PENALTY_MAX;
        if !(-max..=max).contains(&length_penalty) {
            let message =
                format!("`beam.length_penalty` is {length_penalty}; expected a number from -{max} to {max}");
            return Err(Error::invalid("beam.length_penalty", message));
        }
        Ok(())
    }

    fn check_stops(&self, stops: &[String]) -> Result<()> {
        let limits = &self.config.limits;
        Bound { param: "stop", max: limits.max_stops, option: "--max-stops" }.entries(stops.len())?;
        let len_max = limits.max_stop_length;
        let too_long = |stop: &String| stop.is_empty() || stop.len() > len_max.0;
        let Some(index) = stops.iter().position(too_long) else { return Ok(()) };
        let message = match stops[index].len() {
            0 => format!("`stop[{index}]` is empty; a stop string has at least 1 byte"),
            found => {
                format!("`stop[{index}]` has {found} bytes; the maximum is {len_max} (`--max-stop-length`)")
            }
        };
        Err(Error::invalid(format!("stop[{index}]"), message))
    }

    fn timeout(&self, asked_ms: Option<u64>) -> Result<Option<Duration>> {
        let Some(asked_ms) = asked_ms else { return Ok(None) };
        let max = self.config.http.request_timeout;
        let asked = Duration::from_millis(asked_ms);
        if asked.is_zero() || asked > max {
            let max_ms = max.as_millis();
            let message = format!(
                "`timeout_ms` is {asked_ms}; it must be between 1 and {max_ms} (`--request-timeout`)"
            );
            return Err(Error::invalid("timeout_ms", message));
        }
        Ok(Some(asked))
    }
}

/// Refuses what only a draw would look at. A temperature of 0 asks for no chance, as a beam does.
fn check_draws_nothing(sampling: &Sampling) -> Result<()> {
    let Sampling { temperature, top_k, top_p, min_p, typical_p, .. } = sampling;
    let neutral = [
        ("temperature", [0.0, 1.0].contains(temperature)),
        ("top_k", matches!(top_k, None | Some(0 | -1))),
        ("top_p", *top_p == 1.0),
        ("min_p", *min_p == 0.0),
        ("typical_p", *typical_p == 1.0),
    ];
    match neutral.into_iter().find(|(_, is_neutral)| !is_neutral) {
        None => Ok(()),
        Some((name, _)) => {
            let message =
                format!("`{name}` is given beside `beam`; a beam search draws nothing, so it must be absent");
            Err(Error::invalid(name, message))
        }
    }
}

/// What the answer holds in memory until it is sent: all of it, or the hypotheses of a search, or the tokens of the prompt.
fn listed(checked: &Checked, prompt_copies: usize) -> Continuations {
    let Checked { request, max_tokens, n, prepared, .. } = checked;
    let choices = match (request.beam, request.stream) {
        (Some(beam), _) => beam.width,
        (None, Some(true)) => 0,
        (None, _) => *n,
    };
    Continuations {
        choices,
        tokens_max: *max_tokens,
        prompt_tokens: if checked.lists_prompt() { prepared.tokens.len() * prompt_copies } else { 0 },
        alternatives: request.top_logprobs,
        alternatives_field: Names::OWN.top_logprobs,
        state_bytes: 0,
    }
}

/// A seed from the operating system's random source; each is equally likely.
pub(in crate::service) fn random_seed() -> u64 {
    getrandom::u64().expect("the operating system has a random source") & GenerateRequest::SEED_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_random_seed_varies() {
        let seeds: Vec<u64> = (0..64).map(|_| random_seed()).collect();
        assert_eq!(seeds.iter().fold(0, |ones, seed| ones | seed), GenerateRequest::SEED_MAX);
        assert_eq!(seeds.iter().fold(u64::MAX, |ones, seed| ones & seed), 0);
    }
}

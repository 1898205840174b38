//! Use case: a text is continued. The request is checked here; [`super::generating`] has what comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Service;
use super::bounds::Bound;
use super::generating::{Generating, Pace};
use super::input::{Prepared, Use};
use super::target::{Target, check_context};
use super::work::Work;
use crate::api::generate::{GenerateRequest, SessionGenerateRequest, SessionPosition};
use crate::api::stream::StreamStart;
use crate::catalog::Served;
use crate::engine::Start;
use crate::engine::jobs::{Generation, GenerationPlan};
use crate::error::{Error, Result};
use crate::sampling::{Filters, Sampler};

/// A request that was checked, apart from what depends on the state from which it starts.
struct Checked {
    request: GenerateRequest,
    max_tokens: usize,
    stops: Vec<String>,
    begun: Instant,
    seed: u64,
    prepared: Prepared,
    filters: Filters,
    timeout: Option<Duration>,
}

impl Service {
    /// Starts a generation from a model's start. What can be refused is refused here; a failure of the first step comes out of
    /// the generation.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue.
    pub async fn generate(&self, request: GenerateRequest) -> Result<Generating> {
        let state = request.carried.state.as_deref();
        let target = self.start_target(request.prompt.model.as_deref(), state).await?;
        let checked = self.check_generation(&target, request).await?;
        let start = Start::Copy(self.open(&target)?);
        self.start_generation(target.served(), start, checked)
    }

    /// Starts a generation from where the session `id` stands.
    ///
    /// # Errors
    /// As [`Self::generate`]; a session that does not exist; `SessionBusy` and `PositionMismatch` if it is to move.
    pub async fn session_generate(&self, id: &str, request: SessionGenerateRequest) -> Result<Generating> {
        let SessionGenerateRequest { generate: request, commit, expected } = request;
        if !commit && expected.expected_position.is_some() {
            let message = "`expected_position` is given although `commit` is false; it is accepted only if the session moves";
            return Err(Error::invalid("expected_position", message));
        }
        request.carried.check_in_session(id)?;
        let target = Target::Session(self.session_target(id, request.prompt.model.as_deref())?);
        let checked = self.check_generation(&target, request).await?;
        let start = match &target {
            Target::Session(session) if commit => Start::Session(self.lease(session, expected)?),
            target => Start::Copy(self.open(target)?),
        };
        self.start_generation(target.served(), start, checked)
    }

    async fn check_generation(&self, target: &Target, mut request: GenerateRequest) -> Result<Checked> {
        let begun = self.clock.now();
        let limits = &self.config.limits;
        let max_tokens = request.max_tokens_or_default(limits.max_tokens);
        Bound { param: "max_tokens", max: limits.max_tokens, option: "--max-tokens" }.number(max_tokens)?;
        Bound { param: "top_logprobs", max: limits.max_top_k, option: "--max-top-k" }
            .number(request.top_logprobs)?;
        let timeout = self.timeout(request.timeout_ms)?;
        let seed = request.seed.unwrap_or_else(random_seed);
        if seed > GenerateRequest::SEED_MAX {
            let message = format!("`seed` is {seed}; the maximum is {}", GenerateRequest::SEED_MAX);
            return Err(Error::invalid("seed", message));
        }
        if let Some(n) = request.n.filter(|n| *n != 1) {
            return Err(Error::invalid(
                "n",
                format!("`n` is {n}; only 1 is accepted: a request has one continuation"),
            ));
        }
        let stops = std::mem::take(&mut request.stop).into_vec();
        self.check_stops(&stops)?;
        let filters = self.filters(target.served(), &request.sampling, "")?;
        let prepared =
            self.prepare_prompt(target.served(), std::mem::take(&mut request.prompt), Use::Read).await?;
        target.check_context(prepared.tokens.len())?;
        Ok(Checked { request, max_tokens, stops, begun, seed, prepared, filters, timeout })
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

    fn start_generation(&self, served: &Arc<Served>, start: Start, checked: Checked) -> Result<Generating> {
        let Checked { request, max_tokens, stops, begun, seed, prepared, filters, timeout } = checked;
        let at = start.snapshot();
        let lease = match &start {
            Start::Session(lease) => Some(lease),
            Start::Copy(_) => None,
        };
        let position = at.position + prepared.tokens.len() as u64;
        check_context(served, position)?;
        let tail = prepared.tail_after(&at.tail);
        let session = lease.map(|lease| SessionPosition { id: lease.id().to_string(), position });
        let tokenizer = &served.tokenizer;
        let stop_at_eos = request.stop_at_eos.unwrap_or(tokenizer.eos() != tokenizer.newline());
        let (job, plans, reader) = Generation::new(GenerationPlan {
            prompt: prepared.tokens.clone(),
            joint: tail.joint,
            sampler: match request.sampling.temperature {
                0.0 => Sampler::Greedy,
                _ => Sampler::Multinomial { seed, choice: 0 },
            },
            filters,
            position,
            tokens_max: max_tokens,
            eos: tokenizer.eos().filter(|_| stop_at_eos),
            stops,
            decoder: tokenizer.decoder(&tail),
            reads_last_token: session.is_some() || request.carried.return_state,
            returns_state: request.carried.return_state,
            alternatives: request.top_logprobs,
            events_max: self.config.engine.stream_buffer,
        });
        let work = Work { served: served.clone(), start, job: Box::new(job), plans, reader, timeout };
        Ok(Generating {
            start: StreamStart {
                model: served.name.to_string(),
                seed,
                prompt_tokens: prepared.tokens.len(),
                unknown_count: prepared.unknown_count,
                session,
            },
            carried: request.carried,
            lists_tokens: request.token_logprobs || request.top_logprobs > 0,
            served: served.clone(),
            reader: self.submit(work)?,
            tail,
            pace: Pace::new(self.metrics.clone(), self.clock.clone(), begun),
        })
    }
}

/// A seed from the operating system's random source; each is equally likely.
fn random_seed() -> u64 {
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

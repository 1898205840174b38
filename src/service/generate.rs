//! Use case: generation, token by token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::input::{Prepared, check_context};
use super::tokens::token_text;
use super::{Input, SamplingSpec, Service, Source, TokenText};
use crate::catalog::Served;
use crate::clock::Clock;
use crate::engine::jobs::{Finished, Generation, GenerationEvent, GenerationPlan, LastToken};
use crate::engine::{Reader, Start, Submission};
use crate::error::{Error, Result};
use crate::lm::{Tail, TokenId};
use crate::sampling::Sampler;
use crate::session::{SessionId, Snapshot};
use crate::telemetry::Metrics;

/// Go on from `source`, after reading `input`.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Where to start.
    pub source: Source,
    /// Read first.
    pub input: Input,
    /// Most tokens drawn.
    pub tokens_max: usize,
    /// How they are drawn.
    pub sampling: SamplingSpec,
    /// Makes the draws repeatable; made up when absent.
    pub seed: Option<u64>,
    /// Strings that end the text.
    pub stops: Vec<String>,
    /// Whether the end-of-text token ends the text; by default it does unless it is the newline.
    pub stop_at_eos: Option<bool>,
    /// Whether a session is moved.
    pub commit: Commit,
    /// Where the session must stand.
    pub expected_position: Option<u64>,
    /// Alternatives given with each token.
    pub alternatives: usize,
    /// Ends the generation; the server's own limit when absent, which is also the longest.
    pub timeout: Option<Duration>,
}

/// Whether a generation moves its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// The session holds what was read and drawn.
    #[default]
    Move,
    /// The session stays where it is.
    Leave,
}

impl GenerateRequest {
    /// Most tokens drawn if a request does not say.
    pub const TOKENS_MAX: usize = 64;
    /// The largest seed: the largest integer that every JSON reader holds exactly.
    pub const SEED_MAX: u64 = (1 << 53) - 1;
}

/// A generation under way. Dropping it cancels it.
pub struct Generating {
    /// The model's name.
    pub model: Arc<str>,
    /// The seed, given or made up.
    pub seed: u64,
    /// Tokens of the input.
    pub prompt_tokens: usize,
    /// Words of the input outside the vocabulary.
    pub unknown_count: usize,
    /// The session that it moves.
    pub session: Option<SessionId>,
    /// The position of the first token drawn.
    pub position: u64,
    served: Arc<Served>,
    reader: Reader<GenerationEvent>,
    tail: Tail,
    pace: Pace,
}

/// One step of a generation.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A token was drawn.
    Token(GeneratedToken),
    /// The generation is over.
    Done(Finished),
    /// It failed. The tokens given before are in the session, which stands at `position`.
    Failed {
        /// What went wrong.
        error: Error,
        /// Where the session stands, if there is one.
        position: Option<u64>,
    },
}

/// A token that was drawn. Logprobs are the model's own, natural.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedToken {
    /// Its place among those drawn.
    pub index: usize,
    /// The token, with the text that it adds.
    pub token: TokenText,
    /// The text that it brings to light: what could begin a stop string is held back, and comes with a later token.
    pub shown: String,
    /// `ln P(token)`.
    pub logprob: f64,
    /// The most likely tokens and their logprobs.
    pub alternatives: Vec<(TokenText, f64)>,
}

impl Service {
    /// Starts a generation. What can be refused is refused here; a failure of the very first step comes out of [`Generating::next`].
    ///
    /// # Errors
    /// Whatever is wrong with the request, a busy session, a full queue.
    pub async fn generate(&self, request: GenerateRequest) -> Result<Generating> {
        let begun = self.clock.now();
        let seed = request.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0 & GenerateRequest::SEED_MAX);
        self.check_generation(&request, seed)?;
        let (served, start) = self.generation_start(&request)?;
        let prepared = self.prepare(served, request.input.clone(), "").await?;
        let at = start.snapshot();
        let plan = self.generation_plan((served, &request), seed, (at, &prepared))?;
        let position = plan.position;
        let tail = prepared.tail_after(&at.tail);
        let session = match &start {
            Start::Session(lease) => Some(lease.id().clone()),
            Start::Copy(_) => None,
        };
        let (job, plans, reader) = Generation::new(plan);
        let submission = Submission {
            name: served.name.clone(),
            identity: served.identity.clone(),
            model: served.model.clone(),
            start,
            plans,
            job: Box::new(job),
            deadline: Some(self.deadline(request.timeout)),
        };
        let reader = self.submit(submission, reader)?;
        Ok(Generating {
            model: served.name.clone(),
            seed,
            prompt_tokens: prepared.tokens.len(),
            unknown_count: prepared.unknown_count,
            session,
            position,
            served: served.clone(),
            reader,
            tail,
            pace: Pace { metrics: self.metrics.clone(), clock: self.clock.clone(), last: begun, tokens: 0 },
        })
    }

    fn generation_start(&self, request: &GenerateRequest) -> Result<(&Arc<Served>, Start)> {
        match (&request.source, request.commit) {
            (Source::Session { id, model }, Commit::Move) => {
                let (served, lease) = self.lease(id, model.as_deref(), request.expected_position)?;
                Ok((served, Start::Session(lease)))
            }
            (source, _) => {
                let (served, snapshot) = self.open(source)?;
                Ok((served, Start::Copy(snapshot)))
            }
        }
    }

    fn check_generation(&self, request: &GenerateRequest, seed: u64) -> Result<()> {
        let limits = &self.limits;
        let bounded = |name: &str, found: usize, (min, max): (usize, usize), option: &str| match found {
            found if (min..=max).contains(&found) => Ok(()),
            _ => Err(Error::invalid(
                name,
                format!("`{name}` is {found}, expected {min} to {max} (`{option}`)"),
            )),
        };
        bounded("max_tokens", request.tokens_max, (1, limits.max_tokens), "--max-tokens")?;
        bounded("top_logprobs", request.alternatives, (0, limits.max_top_k), "--max-top-k")?;
        self.check_timeout(request.timeout)?;
        if request.commit == Commit::Leave && request.expected_position.is_some() {
            let message = "`expected_position` is given and `commit` is false, expected one of them: what moves no session need not guard it";
            return Err(Error::invalid("expected_position", message));
        }
        if seed > GenerateRequest::SEED_MAX {
            let message = format!("`seed` is {seed}, expected 0 to {}", GenerateRequest::SEED_MAX);
            return Err(Error::invalid("seed", message));
        }
        let stops = &request.stops;
        if stops.len() > limits.max_stops {
            let message = format!(
                "`stop` has {} strings, expected at most {} (`--max-stops`)",
                stops.len(),
                limits.max_stops
            );
            return Err(Error::invalid("stop", message));
        }
        let len_max = limits.max_stop_length;
        match stops.iter().position(|stop| stop.is_empty() || stop.len() > len_max.0) {
            Some(index) => {
                let found = stops[index].len();
                let message =
                    format!("a stop string has {found} bytes, expected 1 to {len_max} (`--max-stop-length`)");
                Err(Error::invalid(format!("stop[{index}]"), message))
            }
            None => Ok(()),
        }
    }

    fn check_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout_max = self.request_timeout;
        match timeout {
            Some(timeout) if timeout.is_zero() || timeout > timeout_max => {
                let (found, max) = (timeout.as_millis(), timeout_max.as_millis());
                let message = format!("`timeout_ms` is {found}, expected 1 to {max} (`--request-timeout`)");
                Err(Error::invalid("timeout_ms", message))
            }
            _ => Ok(()),
        }
    }

    fn generation_plan(
        &self,
        (served, request): (&Arc<Served>, &GenerateRequest),
        seed: u64,
        (at, prepared): (&Snapshot, &Prepared),
    ) -> Result<GenerationPlan> {
        let position = at.position + prepared.tokens.len() as u64;
        check_context(served, position)?;
        let tail = prepared.tail_after(&at.tail);
        let tokenizer = &served.tokenizer;
        let eos_is_newline = tokenizer.eos() == tokenizer.newline();
        let stop_at_eos = request.stop_at_eos.unwrap_or(!eos_is_newline);
        let moves = matches!(request.source, Source::Session { .. }) && request.commit == Commit::Move;
        Ok(GenerationPlan {
            prompt: prepared.tokens.clone(),
            joint: tail.joint,
            sampler: match request.sampling.temperature {
                0.0 => Sampler::Greedy,
                _ => Sampler::Multinomial { seed, choice: 0 },
            },
            filters: self.filters(served, &request.sampling, "")?,
            position,
            tokens_max: request.tokens_max,
            eos: tokenizer.eos().filter(|_| stop_at_eos),
            stops: request.stops.clone(),
            decoder: tokenizer.decoder(&tail),
            last_token: if moves { LastToken::Read } else { LastToken::Skip },
            alternatives: request.alternatives,
            events_max: self.stream_buffer,
        })
    }
}

impl Generating {
    /// The next step; `None` after the last, which is `Done` or `Failed`.
    pub async fn next(&mut self) -> Option<Step> {
        let event = self.reader.next().await?;
        Some(match event {
            GenerationEvent::Token(event) => {
                self.pace.token();
                let seen = |token: TokenId| token_text(&self.served, &self.tail, token);
                let alternatives =
                    event.alternatives.iter().map(|&(token, logprob)| (seen(token), logprob)).collect();
                let token = seen(event.token);
                self.tail.extend(&[event.token]);
                Step::Token(GeneratedToken {
                    index: event.index,
                    token,
                    shown: event.text,
                    logprob: event.logprob,
                    alternatives,
                })
            }
            GenerationEvent::Done(finished) => Step::Done(finished),
            GenerationEvent::Failed { error, position } => Step::Failed { error, position },
        })
    }
}

/// How fast tokens come, for the metrics.
struct Pace {
    metrics: Arc<Metrics>,
    clock: Clock,
    last: Instant,
    tokens: usize,
}

impl Pace {
    fn token(&mut self) {
        let now = self.clock.now();
        let elapsed = now.saturating_duration_since(self.last);
        match self.tokens {
            0 => self.metrics.time_to_first_token(elapsed),
            _ => self.metrics.time_per_output_token(elapsed),
        }
        (self.last, self.tokens) = (now, self.tokens + 1);
    }
}

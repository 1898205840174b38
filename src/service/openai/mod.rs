//! Use case: completions in the dialect of OpenAI. Each prompt is a generation of its own; nothing is drawn or scored here.

mod completing;
mod events;
mod listing;
mod marked;
mod tokenizer;

pub use completing::Completing;
pub use events::CompletionEvents;

use std::time::UNIX_EPOCH;

use futures_util::future::try_join_all;

use super::Service;
use super::bounds::Bound;
use super::generate::{Asked, Names, random_seed};
use crate::api::generate::GenerateRequest;
use crate::api::openai::{CompletionRequest, Prompts};
use crate::api::prompt::{Prompt, TextOrIds};
use crate::api::sessions::Expectation;
use crate::error::{Error, ErrorKind, Result};
use completing::{Head, Part};

/// What is asked of every prompt.
struct Plan {
    /// Without a prompt.
    generate: GenerateRequest,
    /// The session that moves, and what is expected of it.
    session: Option<(String, Expectation)>,
}

/// A prompt and its path in the request.
struct PromptAt {
    prompt: TextOrIds,
    path: String,
}

impl Service {
    /// Starts a generation for each prompt. What can be refused is refused here; a failure of a first step comes out of the
    /// completions.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a session that does not exist, is busy or stands elsewhere; a full queue.
    pub async fn completions(&self, request: CompletionRequest) -> Result<Completing> {
        check_together(&request)?;
        let prompts = self.prompts(&request)?;
        let n = request.n.unwrap_or(1);
        let seed = request.seed.unwrap_or_else(random_seed);
        let includes_usage = request.stream_options.is_some_and(|options| options.include_usage);
        let lists_tokens = request.logprobs.is_some();
        let plan = self.plan(request, seed);
        let parts = try_join_all(prompts.into_iter().map(|prompt| self.part(&plan, prompt))).await?;
        let created = self.clock.date(self.clock.now()).duration_since(UNIX_EPOCH);
        let head = Head {
            id: format!("cmpl-{}", uuid::Uuid::new_v4().simple()),
            // A clock that is wrong is no reason to fail.
            created: created.map_or(0, |since| since.as_secs()),
            model: parts[0].generating.start().model.clone(),
            seed,
        };
        Ok(Completing { head, parts, n, lists_tokens, includes_usage })
    }

    /// The prompts of `request`, at least one.
    fn prompts(&self, request: &CompletionRequest) -> Result<Vec<PromptAt>> {
        let prompts = match &request.prompt {
            Prompts::One(prompt) => {
                return Ok(vec![PromptAt { prompt: prompt.clone(), path: "prompt".to_owned() }]);
            }
            Prompts::Many(prompts) => prompts,
        };
        let max = self.config.limits.max_requests;
        Bound { param: "prompt", max, option: "--max-requests" }.entries(prompts.len())?;
        let found = prompts.len();
        if request.session_id.is_some() && found > 1 {
            let message =
                format!("`prompt` is a list of {found} prompts beside `session_id`; a session reads one");
            return Err(Error::invalid("prompt", message));
        }
        let each = prompts.iter().enumerate();
        Ok(each
            .map(|(index, prompt)| PromptAt { prompt: prompt.clone(), path: format!("prompt[{index}]") })
            .collect())
    }

    fn plan(&self, request: CompletionRequest, seed: u64) -> Plan {
        let max_tokens = CompletionRequest::MAX_TOKENS_DEFAULT.min(self.config.limits.max_tokens);
        let expected = request.expected;
        Plan {
            session: request.session_id.map(|id| (id, expected)),
            generate: GenerateRequest {
                prompt: Prompt { model: request.model, ..Prompt::default() },
                sampling: request.sampling,
                max_tokens: Some(request.max_tokens.unwrap_or(max_tokens)),
                stream: Some(request.stream),
                seed: Some(seed),
                stop: request.stop,
                n: request.n,
                stop_at_eos: request.ignore_eos.then_some(false),
                token_logprobs: request.logprobs.is_some(),
                top_logprobs: request.logprobs.unwrap_or(0),
                echo: request.echo,
                ..GenerateRequest::default()
            },
        }
    }

    /// Starts the generation of one prompt.
    async fn part(&self, plan: &Plan, PromptAt { prompt, path }: PromptAt) -> Result<Part> {
        let mut request = plan.generate.clone();
        let names = Names { text: &path, tokens: &path, top_logprobs: "logprobs" };
        let is_empty = matches!(&prompt, TextOrIds::Ids(tokens) if tokens.is_empty());
        match prompt {
            _ if is_empty => {}
            TextOrIds::Text(text) => request.prompt.text = Some(text),
            TextOrIds::Ids(tokens) => request.prompt.tokens = Some(tokens),
        }
        let asked = Asked { request, names, may_repeat_initial: true, repeats_prompt: true };
        let generating = match &plan.session {
            None => self.generate_asked(asked).await?,
            Some((id, expected)) => {
                self.meet_session(id).await.map_err(of_session)?;
                let moving = self.move_session(id, asked, *expected).await;
                moving.map_err(of_session)?
            }
        };
        Ok(Part { initial: generating.left_out(), generating })
    }
}

/// Refuses fields that do not go together.
fn check_together(request: &CompletionRequest) -> Result<()> {
    let n = request.n.unwrap_or(1);
    let refused = |param: &str, message: String| Err(Error::invalid(param, message));
    match request {
        CompletionRequest { best_of: Some(best_of), .. } if *best_of != n => refused(
            "best_of",
            format!("`best_of` is {best_of} and `n` is {n}; `best_of` must be absent or equal to `n`"),
        ),
        CompletionRequest { stream_options: Some(_), stream: false, .. } => refused(
            "stream_options",
            "`stream_options` is given although `stream` is false; it is accepted only with `stream`"
                .to_owned(),
        ),
        CompletionRequest { session_id: None, expected, .. } if expected.expected_position.is_some() => {
            refused(
                "expected_position",
                "`expected_position` is given without `session_id`; it is accepted only with it".to_owned(),
            )
        }
        CompletionRequest { session_id: Some(_), .. } if n > 1 => {
            refused("n", format!("`n` is {n} beside `session_id`; a session moves to the end of one choice"))
        }
        _ => Ok(()),
    }
}

/// Here a session is named by a field, not by the path.
fn of_session(error: Error) -> Error {
    let is_about_it = matches!(
        error.kind,
        ErrorKind::SessionNotFound
            | ErrorKind::SessionExpired
            | ErrorKind::SessionEvicted
            | ErrorKind::ModelChanged
            | ErrorKind::SessionDiverged
    );
    match is_about_it || error.param.as_deref() == Some("id") {
        true => error.at("session_id"),
        false => error,
    }
}

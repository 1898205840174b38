//! Use case: the distribution over the next token.

use futures_util::future::join_all;

use super::Service;
use super::bounds::Bound;
use super::failure::detail;
use super::input::Use;
use super::target::{Target, check_context};
use super::voices::Voices;
use crate::api::error::{ErrorBody, ErrorDetail};
use crate::api::independent::Independent;
use crate::api::next::{
    NextBatch, NextEntry, NextReply, NextRequest, NextResponse, NextResult, SessionNextRequest,
};
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};

impl Service {
    /// Answers a question from a model's start, or many questions.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue; a timeout.
    pub async fn next(&self, request: NextRequest) -> Result<NextReply> {
        let NextRequest { mixture, next, requests } = request;
        let Some(entries) = requests else {
            let voices = self.start_voices(next.prompt.model.as_deref(), mixture, &next.carried).await?;
            return Ok(NextReply::One(Box::new(self.next_at(voices, next).await?)));
        };
        if next != SessionNextRequest::default() || mixture.is_some() {
            let message = "`requests` is given beside other fields; no other field is accepted beside it";
            return Err(Error::invalid("requests", message));
        }
        Ok(NextReply::Many(self.next_each(entries).await?))
    }

    /// Answers a question to the session `id`, which does not move.
    ///
    /// # Errors
    /// As [`Self::next`]; a session that does not exist.
    pub async fn session_next(&self, id: &str, request: SessionNextRequest) -> Result<NextResponse> {
        request.carried.check_in_session(id)?;
        let session = self.session_target(id, request.prompt.model.as_deref())?;
        self.next_at(Voices::one(Target::Session(session)), request).await
    }

    /// Answers each question on its own: what is wrong with one does not touch the others.
    async fn next_each(&self, entries: Vec<Independent<NextEntry>>) -> Result<NextBatch> {
        let max = self.config.limits.max_requests;
        Bound { param: "requests", max, option: "--max-requests" }.entries(entries.len())?;
        let results = entries.into_iter().enumerate().map(async |(index, entry)| {
            let answer = match entry.into_result() {
                Ok(entry) => self.next_entry(entry).await.map_err(detail),
                Err(refused) => Err(refused),
            };
            match answer {
                Ok(answer) => NextResult::Answer(Box::new(answer)),
                Err(detail) => NextResult::Failure(ErrorBody { error: of_entry(detail, index) }),
            }
        });
        Ok(NextBatch { responses: join_all(results).await })
    }

    async fn met_session_next(&self, id: &str, next: SessionNextRequest) -> Result<NextResponse> {
        self.meet_session(id).await?;
        self.session_next(id, next).await
    }

    async fn next_entry(&self, NextEntry { session, mixture, next }: NextEntry) -> Result<NextResponse> {
        match session {
            None => {
                let voices = self.start_voices(next.prompt.model.as_deref(), mixture, &next.carried).await?;
                self.next_at(voices, next).await
            }
            Some(_) if mixture.is_some() => Err(Error::invalid(
                "mixture",
                "`mixture` is given beside `session`; at most one of them is accepted",
            )),
            // Here the session is named by a field, not by the path.
            Some(id) => self.met_session_next(&id, next).await.map_err(|error| match error.kind {
                ErrorKind::SessionNotFound
                | ErrorKind::SessionExpired
                | ErrorKind::SessionEvicted
                | ErrorKind::ModelChanged
                | ErrorKind::SessionDiverged => error.at("session"),
                _ if error.param.as_deref() == Some("id") => error.at("session"),
                _ => error,
            }),
        }
    }

    async fn next_at(&self, voices: Voices, request: SessionNextRequest) -> Result<NextResponse> {
        let SessionNextRequest { prompt, question, carried } = request;
        voices.check_question(&question)?;
        let served = voices.served();
        let prepared = self.prepare_prompt(served, prompt, Use::Read).await?;
        voices.check_context(prepared.tokens.len())?;
        let asked = self.check_question(served, question, "").await?.after(&prepared.tokens);
        let start = self.open_voices(&voices)?;
        let position = start.position() + prepared.tokens.len() as u64;
        check_context(served, position)?;
        let tail = prepared.tail_after(start.tail());
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            next: Some(asked.query.clone()),
            ..Default::default()
        };
        let answer = self.ask_voices(&voices, start, plan).await?;
        Ok(NextResponse {
            model: voices.name(),
            position,
            unknown_count: prepared.unknown_count,
            state: carried.returned(served, answer.snapshot.as_ref())?,
            next: asked.answered(served, &tail, answer.next)?,
        })
    }
}

/// The failure of the entry `index`, which names its value by the path in the whole request.
fn of_entry(detail: ErrorDetail, index: usize) -> ErrorDetail {
    let path = match &detail.param {
        Some(param) => format!("requests[{index}].{param}"),
        None => format!("requests[{index}]"),
    };
    ErrorDetail { param: Some(path), ..detail }
}

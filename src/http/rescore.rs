//! `/v1/rescore`: utterances in one JSON document, or one a line.

mod lines;

use std::sync::Arc;

use axum::body::{Body as RawBody, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};

use super::app::App;
use super::document::QueryOf;
use super::error::ApiResult;
use super::extract::{Body, BodyMemory, Query, UseCases};
use super::held::hold;
use super::json::Json;
use super::layers::refuse_query;
use super::sse::NO_BUFFERING;
use crate::api::error::ErrorDetail;
use crate::api::memory::read_within;
use crate::api::rescore::{
    FailedLine, RescoreQuery, RescoreRequest, RescoreResponse, RescoredLine, RescoredUtterance, Utterance,
};
use crate::service::{self, Rescorer, RescoringPlan};
use lines::{Line, Lines};

/// The media type of JSON documents that each stand on a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Other names of it.
const LINES: [&str; 4] = [NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"];

/// Rescore n-best lists
///
/// Ranks the hypotheses of each utterance by `total = score + lm_weight * lm_logprob + old_lm_weight * lm_score + word_penalty *
/// words`.
///
/// With `content-type: application/x-ndjson`, the body is one utterance a line, of any number, and so is the answer, in the same order:
/// `{"id", "hypotheses"}`, or `{"id", "line", "error"}` for a line that is at fault. The options are in the query string. Lines are
/// read no faster than their answers are read, so a client must read while it sends. If the body breaks off, the last line of the
/// answer says why.
#[utoipa::path(post, path = "/v1/rescore", operation_id = "rescore", tag = "scoring", params(QueryOf<RescoreQuery>),
    request_body(content((RescoreRequest = "application/json"), (Utterance = "application/x-ndjson"))),
    responses((status = 200, description = "The hypotheses in their new order",
        content((RescoreResponse = "application/json"), (RescoredLine = "application/x-ndjson")))))]
pub(super) async fn rescore(
    State(app): State<Arc<App>>,
    UseCases(service): UseCases,
    request: Request,
) -> ApiResult<Response> {
    if !is_of_lines(&request) {
        refuse_query(&request)?;
        let Body(request) = Body::<RescoreRequest>::from_request(request, &app).await?;
        let room = service.room_for_rescoring(&request)?;
        return Ok(hold(Json(service.rescore(request).await?).into_response(), room));
    }
    let (mut parts, body) = request.into_parts();
    let Query(query) = Query::<RescoreQuery>::from_request_parts(&mut parts, &app).await?;
    let RescoreQuery { model, mixture, rescoring } = query;
    let mixture = mixture.map(|mixture| mixture.0);
    let rescorer = Rescorer::new(&service.piecewise(), RescoringPlan { model, mixture, rescoring })?;
    let lines = Lines::new(body.into_data_stream(), &app.config);
    let answers = answers(lines, rescorer).map(|answer| Ok::<_, std::convert::Infallible>(as_line(&answer)));
    let headers = [NO_BUFFERING, (CONTENT_TYPE, NDJSON), (CACHE_CONTROL, "no-cache")];
    Ok((headers, RawBody::from_stream(answers)).into_response())
}

fn is_of_lines(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    LINES.iter().any(|name| media_type.eq_ignore_ascii_case(name))
}

/// The answer to each line, in order. Lines are read when an answer is wanted, and at most `at_once` of them ahead of it. So a client
/// that does not read its answers is not read from, and memory does not grow with the body.
fn answers(lines: Lines, rescorer: Rescorer) -> impl Stream<Item = RescoredLine> + Send + 'static {
    let at_once = rescorer.at_once();
    let rescorer = Arc::new(rescorer);
    let lines = stream::unfold(Some(lines), async |lines| {
        let mut lines = lines?;
        let next = lines.next().await?;
        // A body that cannot be read has no next line.
        let rest = next.is_ok().then_some(lines);
        Some((next, rest))
    });
    let numbered = lines.zip(stream::iter(1..));
    numbered
        .filter_map(async |(line, number)| (!is_blank(&line)).then_some((line, number)))
        .map(move |(line, number)| answer(rescorer.clone(), line, number))
        .buffered(at_once)
}

fn is_blank(line: &ApiResult<Line>) -> bool {
    matches!(line, Ok(Line::Whole(bytes)) if bytes.trim_ascii().is_empty())
}

async fn answer(rescorer: Arc<Rescorer>, line: ApiResult<Line>, number: usize) -> RescoredLine {
    match rescored(&rescorer, line).await {
        Ok(answer) => RescoredLine::Answer(answer),
        Err(Fault { id, error }) => RescoredLine::Failure(FailedLine { id, line: number, error }),
    }
}

/// What is wrong with a line, and the name of its utterance if that is known.
struct Fault {
    id: Option<String>,
    error: ErrorDetail,
}

async fn rescored(rescorer: &Rescorer, line: ApiResult<Line>) -> Result<RescoredUtterance, Fault> {
    let nameless = |error| Fault { id: None, error };
    let line = line.map_err(|error| nameless(error.into_detail()))?;
    let bytes = match line {
        Line::Whole(bytes) => bytes,
        Line::TooLong(max) => return Err(nameless(lines::too_long(max).into_detail())),
    };
    // Given back with the last of the utterance.
    let memory = Arc::<BodyMemory>::default();
    let service = rescorer.service();
    memory.take_for_body(bytes.len(), service).map_err(|error| nameless(error.into_detail()))?;
    let utterance = read_within(memory.clone(), || Utterance::from_line(&bytes));
    if let Some(refusal) = memory.refusal(service) {
        return Err(nameless(refusal.into_detail()));
    }
    let utterance = utterance.map_err(nameless)?;
    memory.parsed(bytes.len());
    drop(bytes);
    let id = utterance.id.clone();
    rescorer.rescore(utterance).await.map_err(|error| Fault { id, error: service::detail(error) })
}

fn as_line(answer: &RescoredLine) -> Bytes {
    let mut line = serde_json::to_vec(answer).expect("bug: an answer has only string keys");
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;

    use super::*;
    use crate::api::rescore::Rescoring;
    use crate::config::Config;
    use crate::http::tests::service;

    #[tokio::test]
    async fn no_more_lines_are_read_than_answers_are_wanted_and_some_ahead() {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let pieces = stream::iter(0..1000).map(move |index| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(format!(
                "{{\"id\": \"{index}\", \"hypotheses\": [{{\"text\": \"a\"}}]}}\n"
            ))
        });
        let lines = Lines::new(Body::from_stream(pieces).into_data_stream(), &Config::default());
        let plan = RescoringPlan { model: None, mixture: None, rescoring: Rescoring::default() };
        let rescorer = Rescorer::new(&service(), plan).unwrap();
        let ahead = rescorer.at_once();
        let mut answers = Box::pin(answers(lines, rescorer));
        assert_eq!(read.load(Ordering::SeqCst), 0);
        for wanted in 1..=50 {
            let answer = answers.next().await.unwrap();
            let RescoredLine::Answer(answer) = answer else { panic!("{answer:?}") };
            assert_eq!(answer.id, Some((wanted - 1).to_string()));
            let read = read.load(Ordering::SeqCst);
            assert!(read <= wanted + ahead, "{read} lines were read for {wanted} answers");
        }
    }
}

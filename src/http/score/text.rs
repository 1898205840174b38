//! A body that is one text, scored as it comes: of any length, in memory that does not grow with it.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::config::{Bytes as ByteCount, Config};
use crate::http::error::{ApiError, ApiResult, Code};
use crate::service::{ScoreResult, TextScorer, TokenLogprobs};

/// Scores `body` to its end with `scorer`.
///
/// `--max-body` does not bind it, but with the tokens listed `--max-text` does: the answer holds all of them. Each read has
/// `--request-timeout`, and so has the work on what was read.
pub(super) async fn score_body(
    config: &Config,
    mut scorer: TextScorer,
    (body, list): (Body, TokenLogprobs),
) -> ApiResult<(Arc<str>, ScoreResult)> {
    let mut pieces = body.into_data_stream();
    let len_max = config.limits.max_text;
    let mut len = 0;
    while let Some(piece) = read(&mut pieces, config).await? {
        len += piece.len();
        if list == TokenLogprobs::Include && len > len_max.0 {
            return Err(too_long(len_max));
        }
        scorer.push(&piece).await?;
    }
    let mut result = scorer.finish().await?;
    result.tokens = (list == TokenLogprobs::Include).then(|| scorer.take_tokens());
    Ok((scorer.model().clone(), result))
}

async fn read(pieces: &mut BodyDataStream, config: &Config) -> ApiResult<Option<Bytes>> {
    let limit = config.http.request_timeout;
    match timeout(limit, pieces.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(_))) => Err(ApiError::new(Code::InvalidValue, "the text broke off before its end")),
        Ok(None) => Ok(None),
        Err(_) => {
            let limit = humantime::format_duration(limit);
            let message = format!("the text did not go on within {limit}, the time allowed");
            Err(ApiError::new(Code::Timeout, message))
        }
    }
}

fn too_long(len_max: ByteCount) -> ApiError {
    let message = format!(
        "the text has more than {len_max} (`--max-text`), expected at most so much with `token_logprobs`, which list every token"
    );
    ApiError::new(Code::TextTooLong, message)
}

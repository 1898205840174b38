//! A body that is one text, scored as it arrives: of any length, in memory that does not grow with it.

use axum::body::Body;

use crate::api::error::ErrorCode;
use crate::api::score::ScoreResponse;
use crate::config::{Bytes as ByteCount, Config};
use crate::http::arrival;
use crate::http::error::{ApiError, ApiResult};
use crate::service::TextScorer;

/// A text that arrives as a body.
pub(super) struct Text {
    pub(super) body: Body,
    /// How long it may be, if the answer lists every token: the answer is held in memory.
    pub(super) bytes_max: Option<ByteCount>,
}

impl Text {
    /// Scores the text with `scorer`. Each read may take `--request-timeout`, and so may the work on what was read.
    pub(super) async fn score(self, config: &Config, mut scorer: TextScorer) -> ApiResult<ScoreResponse> {
        let mut pieces = self.body.into_data_stream();
        let mut len = 0;
        while let Some(piece) = arrival::next_piece(&mut pieces, config.http.request_timeout).await? {
            len += piece.len();
            match self.bytes_max {
                Some(max) if len > max.0 => return Err(too_long(max)),
                _ => scorer.push(&piece).await?,
            }
        }
        Ok(scorer.finish().await?)
    }
}

fn too_long(max: ByteCount) -> ApiError {
    let message = format!(
        "the text has more than {max}; with `token_logprobs`, which lists every token, the maximum is {max} (`--max-text`)"
    );
    ApiError::new(ErrorCode::TextTooLong, message)
}

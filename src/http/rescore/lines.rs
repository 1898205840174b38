//! A body that is read line by line, as it arrives, in memory for one line.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};

use crate::api::error::ErrorCode;
use crate::config::{Bytes as ByteCount, Config};
use crate::http::arrival;
use crate::http::error::{ApiError, ApiResult};

/// The lines of a body.
pub(super) struct Lines {
    pieces: BodyDataStream,
    /// What has arrived of the body and belongs to no line yet.
    rest: Bytes,
    line_max: ByteCount,
    /// How long the next piece may take.
    limit: Duration,
    is_over: bool,
}

/// A line of a body, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line.
    Whole(Vec<u8>),
    /// A line longer than this, of which nothing was kept.
    TooLong(ByteCount),
}

impl Lines {
    pub(super) fn new(pieces: BodyDataStream, config: &Config) -> Self {
        let line_max = config.limits.max_line;
        Self { pieces, rest: Bytes::new(), line_max, limit: config.http.request_timeout, is_over: false }
    }

    /// The next line; `None` after the last. After a failure there is no next line.
    pub(super) async fn next(&mut self) -> Option<ApiResult<Line>> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        loop {
            let end = self.rest.iter().position(|&byte| byte == b'\n');
            let part = self.rest.split_to(end.unwrap_or(self.rest.len()));
            is_too_long |= line.len() + part.len() > self.line_max.0;
            if is_too_long {
                line = Vec::new();
            } else {
                line.extend_from_slice(&part);
            }
            let is_whole = end.is_some();
            if is_whole {
                let _end = self.rest.split_to(1);
            }
            if is_whole || self.is_over {
                let is_something = is_whole || is_too_long || !line.is_empty();
                let found = if is_too_long { Line::TooLong(self.line_max) } else { Line::Whole(line) };
                return is_something.then_some(Ok(found));
            }
            match arrival::next_piece(&mut self.pieces, self.limit).await {
                Ok(Some(piece)) => self.rest = piece,
                Ok(None) => self.is_over = true,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The error of a line that is too long.
pub(super) fn too_long(max: ByteCount) -> ApiError {
    ApiError::new(
        ErrorCode::TextTooLong,
        format!("the line has more than {max}; the maximum is {max} (`--max-line`)"),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::{StreamExt, stream};

    use super::*;

    async fn lines_of(pieces: Vec<&'static [u8]>) -> Vec<Line> {
        let body = Body::from_stream(stream::iter(pieces).map(Ok::<_, std::convert::Infallible>));
        let mut config = Config::default();
        config.limits.max_line = ByteCount(4);
        let mut lines = Lines::new(body.into_data_stream(), &config);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line.unwrap());
        }
        found
    }

    #[tokio::test]
    async fn lines_are_put_together_from_pieces_and_long_ones_are_not_kept() {
        let whole = |text: &str| Line::Whole(text.into());
        let found = lines_of(vec![b"ab\nc", b"d", b"ef\n\n12345", b"6", b"78\nxyzw"]).await;
        assert_eq!(
            found,
            [whole("ab"), whole("cdef"), whole(""), Line::TooLong(ByteCount(4)), whole("xyzw")]
        );
        assert_eq!(lines_of(vec![]).await, []);
        assert_eq!(lines_of(vec![b"a\n"]).await, [whole("a")]);
        assert_eq!(lines_of(vec![b"123456"]).await, [Line::TooLong(ByteCount(4))]);
    }
}

//! How a request's body arrives: at a least rate, so that a client that sends byte by byte cannot hold its request open; and why a
//! body does not arrive.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::error::{ApiError, ApiResult, caused_by};
use crate::api::error::ErrorCode;
use crate::config::HttpOptions;

/// The failure of a request whose body could not be read to its end.
pub(super) fn failure(error: &(dyn Error + 'static)) -> ApiError {
    if let Some(slow) = caused_by::<TooSlow>(error) {
        return ApiError::new(ErrorCode::RequestTimeout, slow.to_string());
    }
    let message = if caused_by::<hyper::Error>(error).is_some() {
        "the connection was closed before the end of the body"
    } else {
        "the body is not valid gzip, as `content-encoding` says that it is"
    };
    ApiError::new(ErrorCode::InvalidRequest, message)
}

/// The next piece of a body that is read as it arrives; `None` at its end. Fails with 408 if none arrives within `limit`, which is
/// `--request-timeout`.
pub(super) async fn next_piece(pieces: &mut BodyDataStream, limit: Duration) -> ApiResult<Option<Bytes>> {
    match timeout(limit, pieces.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => Err(failure(&error)),
        Ok(None) => Ok(None),
        Err(_) => {
            let limit = humantime::format_duration(limit);
            let message = format!("no more of the body arrived within {limit} (`--request-timeout`)");
            Err(ApiError::new(ErrorCode::RequestTimeout, message))
        }
    }
}

/// The least that a body must bring while the server waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    bytes: u64,
    within: Duration,
}

impl From<&HttpOptions> for Pace {
    fn from(options: &HttpOptions) -> Self {
        let within = options.body_timeout;
        let bytes = within.as_secs_f64() * options.body_rate_min.0 as f64;
        Self { bytes: (bytes as u64).max(1), within }
    }
}

/// `body`, which fails when it arrives at less than `pace`.
pub(super) fn paced(body: Body, pace: Pace) -> Body {
    Body::new(Paced { body, progress: Progress::new(pace), alarm: None })
}

struct Paced {
    body: Body,
    progress: Progress,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.progress.arrive(Instant::now(), data.map_or(0, Bytes::len));
            this.alarm = None;
            return Poll::Ready(frame);
        }
        let deadline = this.progress.wait(Instant::now());
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(TooSlow(this.progress.pace)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts what has arrived. Only the time in which the server waited for the body counts, not that in which it worked.
struct Progress {
    pace: Pace,
    /// What has arrived since the count began.
    bytes: u64,
    /// How long the server has waited for it.
    waited: Duration,
    /// When it began to wait, if it does.
    since: Option<Instant>,
}

impl Progress {
    fn new(pace: Pace) -> Self {
        Self { pace, bytes: 0, waited: Duration::ZERO, since: None }
    }

    /// The server waits. Returns the time by which more must have arrived.
    fn wait(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        since + self.pace.within.saturating_sub(self.waited)
    }

    /// So many bytes have arrived. When they are as many as asked for, the count begins again.
    fn arrive(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes += bytes as u64;
        if self.bytes >= self.pace.bytes {
            self.bytes = 0;
            self.waited = Duration::ZERO;
        }
    }
}

/// A body has brought less than the pace asks for.
#[derive(Debug)]
struct TooSlow(Pace);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pace { bytes, within } = self.0;
        let within = humantime::format_duration(within);
        write!(
            f,
            "the body arrived too slowly: less than {bytes} bytes in {within} of waiting (`--body-rate-min`, `--body-timeout`)"
        )
    }
}

impl Error for TooSlow {}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::stream;

    use super::*;

    const PACE: Pace = Pace { bytes: 100, within: Duration::from_secs(10) };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_body_that_drips_has_a_deadline_and_one_that_keeps_the_pace_has_a_new_one() {
        let start = Instant::now();
        let mut progress = Progress::new(PACE);
        assert_eq!(progress.wait(start), start + seconds(10));
        for second in 1..=4 {
            progress.arrive(start + seconds(second), 1);
            assert_eq!(progress.wait(start + seconds(second)), start + seconds(10), "a byte buys no time");
        }
        progress.arrive(start + seconds(9), 96);
        assert_eq!(progress.wait(start + seconds(9)), start + seconds(19), "100 bytes do");
    }

    #[test]
    fn the_time_in_which_the_server_works_does_not_count() {
        let start = Instant::now();
        let mut progress = Progress::new(PACE);
        progress.wait(start);
        progress.arrive(start + seconds(3), 1);
        // The server works for an hour on what it has read.
        let later = start + seconds(3600);
        assert_eq!(progress.wait(later), later + seconds(7));
    }

    #[test]
    fn the_pace_follows_from_the_options() {
        let mut options = crate::config::Config::default().http;
        assert_eq!(Pace::from(&options), Pace { bytes: 3000, within: seconds(30) });
        options.body_timeout = Duration::from_millis(1);
        assert_eq!(Pace::from(&options).bytes, 1);
    }

    #[tokio::test]
    async fn a_body_that_stalls_ends_in_an_error_and_others_pass_whole() {
        let pace = Pace { bytes: 1, within: Duration::from_millis(1) };
        let pieces = || stream::iter(["a", "b"]).map(Ok::<_, std::convert::Infallible>);
        let whole = to_bytes(paced(Body::from_stream(pieces()), pace), 9).await.unwrap();
        assert_eq!(whole, "ab");
        let stalled = Body::from_stream(pieces().chain(stream::pending()));
        let error = to_bytes(paced(stalled, pace), 9).await.unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.code(), ErrorCode::RequestTimeout);
    }
}

//! A socket that does not wait for its client for ever: not for a request, not for the rest of its headers, and not for a client that
//! does not read its answer. What a client may take as long as it likes to do is read slowly.
//!
//! A client that has sent its request may close its side of the connection and wait for the answer, or it may be gone: both look the same
//! until something is written. So the end of what it sends is passed on only after a while.
//!
//! An answer may be given before its request was read to the end, such as 413 to a large body. If the connection were closed then, what the client
//! is still sending would reset it, and the client would lose the answer. So the rest is read for a while, and dropped.
//!
//! hyper has one time limit for headers and idleness together, and none for writing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::refusals::Refusals;
use crate::config::HttpOptions;

/// A socket with time limits.
pub(super) struct Socket<S> {
    socket: S,
    terms: Terms,
    /// The number of requests before the one that is waited for.
    awaited: u64,
    /// Whether a part of that request has come.
    has_begun: bool,
    reading: Alarm,
    writing: Alarm,
    /// Set when the client has closed its side while a request is being answered.
    closing: Alarm,
    /// Set when the server has closed its side and the client is still sending.
    lingering: Alarm,
    has_shut: bool,
    /// What is still to be written of our own answer in the place of hyper's.
    refusal: Option<Bytes>,
}

/// How long the rest of a request is read after its answer.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of it that are read before other connections have their turn.
const LINGER_BYTES: usize = 64 << 10;

/// What a socket goes by.
pub(super) struct Terms {
    pub(super) activity: Arc<Activity>,
    pub(super) limits: TimeLimits,
    pub(super) refusals: Refusals,
}

/// How long a client may keep its connection waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// For a request to begin.
    pub(super) idle: Duration,
    /// For its line and headers, from the first byte.
    pub(super) headers: Duration,
    /// Without reading any of its answer.
    pub(super) write: Duration,
    /// For an answer after it has closed its side.
    pub(super) half_closed: Duration,
}

impl From<&HttpOptions> for TimeLimits {
    fn from(options: &HttpOptions) -> Self {
        Self {
            idle: options.idle_timeout,
            headers: options.header_timeout,
            write: options.write_timeout,
            half_closed: options.half_close_timeout,
        }
    }
}

/// Rings some time after it was first asked.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, after: Duration) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx)
    }

    fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn turn_off(&mut self) {
        self.0 = None;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(socket: S, terms: Terms) -> Self {
        Self {
            socket,
            terms,
            awaited: 0,
            has_begun: false,
            reading: Alarm::default(),
            writing: Alarm::default(),
            closing: Alarm::default(),
            lingering: Alarm::default(),
            has_shut: false,
            refusal: None,
        }
    }

    /// Whether a request is waited for.
    fn waits(&mut self) -> bool {
        let Some(awaited) = self.terms.activity.awaited() else { return false };
        if awaited != self.awaited {
            self.awaited = awaited;
            self.has_begun = false;
            self.reading.turn_off();
        }
        true
    }

    /// Nothing more is read. Between two requests that is the end; within one it is an error.
    fn leave(&self, kind: io::ErrorKind) -> io::Result<()> {
        if self.has_begun { Err(kind.into()) } else { Ok(()) }
    }

    /// Waits for a request, within the limits.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limits = self.terms.limits;
        ready!(self.reading.poll(cx, if self.has_begun { limits.headers } else { limits.idle }));
        if self.has_begun {
            // The connection is lost, so an answer that cannot be sent at once is not sent.
            let _ = Pin::new(&mut self.socket).poll_write(cx, &self.terms.refusals.unfinished());
        }
        Poll::Ready(self.leave(io::ErrorKind::TimedOut))
    }

    /// Passes on what a write gives, unless it has been waiting for too long.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            ready!(self.writing.poll(cx, self.terms.limits.write));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.writing.turn_off();
        written
    }

    /// Reads and drops what the client is still sending, if it may be, until it has closed its side or the time is up.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        for _ in 0..LINGER_BYTES / space.len() {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if self.lingering.poll(cx, LINGER).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.lingering.is_on() || self.terms.activity.is_unread() => {
                    return self.lingering.poll(cx, LINGER);
                }
                Poll::Pending => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes our own answer in the place of `head`, which hyper answers by itself while no request is being answered.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Poll<io::Result<()>> {
        let refusals = &self.terms.refusals;
        let mut rest = self.refusal.take().unwrap_or_else(|| refusals.unparsed(head));
        while !rest.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &rest);
            match self.poll_written(cx, written) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => drop(rest.split_to(written?)),
                Poll::Pending => {
                    self.refusal = Some(rest);
                    return Poll::Pending;
                }
            }
        }
        self.refusal = Some(rest);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let waits = self.waits();
        if waits && self.terms.activity.seat().is_evicted() {
            return Poll::Ready(self.leave(io::ErrorKind::ConnectionAborted));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(cx, buffer) {
            let is_over = buffer.filled().len() == before;
            if waits && !self.has_begun && !is_over {
                self.has_begun = true;
                self.reading.turn_off();
            }
            if is_over && !waits && read.is_ok() {
                let patience = self.terms.limits.half_closed;
                ready!(self.closing.poll(cx, patience));
            }
            return Poll::Ready(read);
        }
        if waits { self.poll_patience(cx) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.terms.activity.awaited().is_some() {
            return self.poll_refuse(cx, bytes).map_ok(|()| bytes.len());
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.terms.activity.awaited().is_some() {
            let head = parts.first().map_or(&[][..], |part| &part[..]);
            return self
                .poll_refuse(cx, head)
                .map_ok(|()| parts.iter().map(|part| part.len()).sum::<usize>());
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.terms.activity.flushed();
        if self.closing.is_on() && self.terms.activity.awaited().is_some() {
            // The end that was held back is passed on now: the answer has been sent, to its end.
            self.closing.turn_off();
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_shut {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.has_shut = true;
        }
        self.poll_linger(cx).map(Ok)
    }
}

//! Log lines, metrics and traces. None of them ever contains prompt text.

mod build;
#[cfg(test)]
mod captured;
mod change;
mod context;
mod json;
mod key;
mod log;
mod memory;
mod metrics;
mod model;
mod store;
mod traces;

use std::io::{self, IsTerminal, stderr};
use std::sync::{Arc, OnceLock};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

#[cfg(test)]
pub(crate) use captured::Captured;
pub use change::Changed;
pub use context::{SpanId, TraceContext, TraceId};
use json::{JsonLines, JsonMembers};
pub use key::{KeyFile, KeyMetrics};
use log::Log;
pub use log::LogGuard;
pub use memory::MemoryFigures;
pub use metrics::{FirstTokens, HttpRequest, Metrics, Rejected};
pub use model::{ModelMetrics, ModelTotals};
pub use store::StoreMetrics;
pub use traces::{EngineWork, RequestSpans, Traces};

use crate::config::LogFormat;

/// The log filter used when `RUST_LOG` is not set.
const DEFAULT_FILTER: &str = "info";

/// The log of this process, once it has one.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Sends log lines to stderr from now on, as long as the guard lives. At most `bytes_max` of them wait to be written; beyond it, lines are
/// dropped and counted. A second call in the same process has no effect.
///
/// # Errors
/// If the operating system cannot start the thread that writes them.
pub fn init(format: LogFormat, bytes_max: usize) -> io::Result<LogGuard> {
    let (log, guard) = Log::start(stderr(), bytes_max)?;
    // Only the first subscriber of a process is used.
    if lines(format, log.clone()).try_init().is_ok() {
        let _ = LOG.set(log);
    }
    Ok(guard)
}

/// What writes log lines to `writer`.
fn lines<W>(format: LogFormat, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Pretty => Box::new(lines.with_ansi(stderr().is_terminal()).with_target(false).finish()),
        LogFormat::Json => Box::new(lines.fmt_fields(JsonMembers).event_format(JsonLines).finish()),
    }
}

/// Log lines that found no room, since the start of the process.
fn log_lines_dropped() -> u64 {
    LOG.get().map_or(0, |log| log.dropped())
}

//! Log lines and metrics. Neither ever contains prompt text.

mod metrics;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

pub use metrics::{HttpRequest, Metrics, ModelMetrics, Rejected};

use crate::config::LogFormat;

/// The log filter used when `RUST_LOG` is not set.
const DEFAULT_FILTER: &str = "info";

/// Sends log lines to stderr from now on. A second call in the same process has no effect.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_span_events(FmtSpan::NONE);
    // Only the first subscriber of a process is used; tests start several services in one process.
    let _ = match format {
        LogFormat::Pretty => lines.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

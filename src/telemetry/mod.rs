//! What the service says about itself: log lines and metrics. No prompt text is in either.

mod metrics;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

pub use metrics::{HttpRequest, Metrics, ModelMetrics, Rejected};

use crate::config::LogFormat;

/// What is logged when `RUST_LOG` says nothing.
const FILTER: &str = "info";

/// Sends log lines to stderr from here on. A second call in one process changes nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_span_events(FmtSpan::NONE);
    // Only the first subscriber of a process counts; tests set up several services in one.
    let _ = match format {
        LogFormat::Pretty => lines.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

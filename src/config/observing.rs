//! The options of traces and of requests that are slow.

use std::time::Duration;

use clap::Args;

use super::values::{count, duration_or_zero};

/// What is told of requests beside metrics and their lines in the log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traces")]
pub struct ObservingOptions {
    /// Time above which a request is slow: the log has a warning that says where its time went; with 0s it has none
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration_or_zero)]
    pub slow_request: Duration,

    /// The OpenTelemetry collector that traces are sent to over OTLP/HTTP, such as `http://127.0.0.1:4318`, in a build with the feature `otel`; by default none
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub otlp_endpoint: Option<String>,

    /// Share of the traces begun here that is sent, from 0 to 1; a trace that a client brings is sent if its `traceparent` is marked as sampled
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = ratio)]
    pub otlp_ratio: f64,

    /// The name of the service in its traces
    #[arg(long, value_name = "NAME", default_value = "rnnlm-server", value_parser = service_name)]
    pub otlp_service_name: String,

    /// Maximum number of spans that wait to be sent; beyond it, they are dropped
    #[arg(long, value_name = "N", default_value = "2048", value_parser = count())]
    pub otlp_queue_max: usize,
}

impl ObservingOptions {
    /// The first option that needs a cargo feature which is not in `features`, and that feature.
    pub(super) fn unbuilt(&self, features: &[&str]) -> Option<(&'static str, &'static str)> {
        let is_unbuilt = self.otlp_endpoint.is_some() && !features.contains(&"otel");
        is_unbuilt.then_some(("--otlp-endpoint", "otel"))
    }
}

/// The base of a URL, without a slash at its end.
fn endpoint(text: &str) -> Result<String, String> {
    let expected = "expected the base of a URL such as `http://127.0.0.1:4318`";
    if text.starts_with("https://") {
        return Err(format!("{expected}: a collector behind TLS is reached through one beside the server"));
    }
    let rest = text.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let is_url = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&byte));
    if authority.is_empty() || authority.starts_with(':') || !is_url {
        return Err(expected.to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn service_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn an_endpoint_is_the_base_of_a_url() {
        for (given, base) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("http://collector:4318/", "http://collector:4318"),
            ("http://[::1]:4318/otlp/", "http://[::1]:4318/otlp"),
        ] {
            assert_eq!(endpoint(given), Ok(base.to_owned()));
        }
        for wrong in [
            "",
            "4318",
            "collector:4318",
            "http://",
            "http:///v1",
            "http://:4318",
            "http://a b",
            "http://a?b",
            "grpc://a:4317",
        ] {
            let error = endpoint(wrong).unwrap_err();
            assert!(error.contains("`http://127.0.0.1:4318`"), "{wrong}: {error}");
        }
        assert!(endpoint("https://collector:4318").unwrap_err().contains("TLS"));
    }

    #[test]
    fn an_endpoint_needs_a_build_that_can_send() {
        let mut options = Config::default().observing;
        assert_eq!(options.unbuilt(&[]), None);
        options.otlp_endpoint = Some("http://127.0.0.1:4318".to_owned());
        assert_eq!(options.unbuilt(&["onnx"]), Some(("--otlp-endpoint", "otel")));
        assert_eq!(options.unbuilt(&["onnx", "otel"]), None);
    }
}

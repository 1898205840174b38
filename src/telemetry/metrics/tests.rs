//! The metrics as a scrape shows them.

use super::super::KeyFile;
use super::*;

#[test]
fn metrics_with_known_labels_are_there_from_the_start() {
    let page = Metrics::new().render();
    for (metric, reasons) in [
        (
            "requests_rejected",
            &["queue_full", "answers_full", "sessions_full", "rate_limited", "loading", "draining"][..],
        ),
        ("sessions_closed", &["deleted", "replaced", "expired", "evicted", "diverged"]),
    ] {
        for reason in reasons {
            let line = format!("rnnlm_{metric}_total{{reason=\"{reason}\"}} 0");
            assert!(page.lines().any(|found| found == line), "`{line}` is missing from\n{page}");
        }
    }
}

#[test]
fn every_metric_is_exposed_under_its_documented_name() {
    let metrics = Metrics::new();
    let request = HttpRequest { route: "/v1/next".into(), method: "POST", status: 200 };
    metrics.http_request(request, Duration::from_micros(60));
    metrics.jobs(2, 4);
    metrics.rejected(Rejected::QueueFull);
    let model = metrics.model("m");
    model.prompt_tokens(5);
    model.unknown_tokens(1);
    model.sessions(7);
    metrics.time_to_first_token(Duration::from_millis(1));
    metrics.time_per_output_token(Duration::from_micros(70));
    metrics.step_rows(32);
    metrics.sessions_memory(50, 200);
    metrics.sessions_closed("evicted", 1);
    metrics.key_request("alice", 200);
    metrics.key("alice").jobs(1);
    metrics.key("alice").sessions(2, 300);
    metrics.key_file(KeyFile { keys: 3, reloads: 4, failures: 5 });
    let page = metrics.render();
    for line in [
        r#"rnnlm_http_requests_total{route="/v1/next",method="POST",status="200"} 1"#,
        r#"rnnlm_http_request_duration_seconds_bucket{le="0.00005",route="/v1/next"} 0"#,
        r#"rnnlm_http_request_duration_seconds_bucket{le="0.0001",route="/v1/next"} 1"#,
        "rnnlm_requests_running 2",
        "rnnlm_requests_waiting 4",
        r#"rnnlm_requests_rejected_total{reason="queue_full"} 1"#,
        r#"rnnlm_requests_rejected_total{reason="overloaded"} 0"#,
        r#"rnnlm_requests_rejected_total{reason="sessions_full"} 0"#,
        r#"rnnlm_tokens_total{model="m",kind="prompt"} 5"#,
        r#"rnnlm_tokens_total{model="m",kind="generated"} 0"#,
        r#"rnnlm_unknown_tokens_total{model="m"} 1"#,
        "rnnlm_time_to_first_token_seconds_count 1",
        "rnnlm_time_per_output_token_seconds_count 1",
        r#"rnnlm_step_rows_bucket{le="32.0"} 1"#,
        r#"rnnlm_step_rows_bucket{le="16.0"} 0"#,
        r#"rnnlm_sessions{model="m"} 7"#,
        "rnnlm_sessions_bytes 50",
        "rnnlm_sessions_memory_ratio 0.25",
        r#"rnnlm_sessions_closed_total{reason="evicted"} 1"#,
        r#"rnnlm_key_requests_total{key="alice",status="200"} 1"#,
        r#"rnnlm_key_jobs{key="alice"} 1"#,
        r#"rnnlm_key_sessions{key="alice"} 2"#,
        r#"rnnlm_key_sessions_bytes{key="alice"} 300"#,
        "rnnlm_keys 3",
        r#"rnnlm_key_reloads_total{result="ok"} 4"#,
        r#"rnnlm_key_reloads_total{result="failed"} 5"#,
        "rnnlm_store_queue 0",
        "rnnlm_store_written_total 0",
        "rnnlm_store_errors_total 0",
        "rnnlm_store_damaged_total 0",
        "rnnlm_store_write_seconds_count 0",
        "rnnlm_log_lines_dropped_total 0",
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is missing from\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn the_build_is_described_once_its_kernel_is_known() {
    let metrics = Metrics::new();
    assert!(!metrics.render().contains("rnnlm_build_info{"));
    metrics.runs_on("portable");
    let version = env!("CARGO_PKG_VERSION");
    let features = crate::config::FEATURES.join(",");
    let line =
        format!(r#"rnnlm_build_info{{version="{version}",features="{features}",kernel="portable"}} 1"#);
    let page = metrics.render();
    assert!(page.lines().any(|found| found == line), "`{line}` is missing from\n{page}");
}

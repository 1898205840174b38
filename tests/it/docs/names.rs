//! The pages name everything that the program has: routes, the fields of requests, error codes, metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use rnnlm_server::config::Config;
use rnnlm_server::telemetry::{HttpRequest, Metrics, Rejected};
use serde_json::Value;

use super::pages::Pages;

#[test]
fn every_route_is_named_in_the_readme() {
    let api = api();
    let routes = api["paths"].as_object().unwrap().keys().cloned().collect();
    named_in("README.md", &routes);
}

#[test]
fn every_field_of_a_request_is_named_on_the_page_of_the_api() {
    let api = api();
    let mut fields = Fields { api: &api, found: BTreeSet::new(), seen: BTreeSet::new() };
    for operation in
        api["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        fields.collect(&operation["requestBody"]);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_query = parameters.filter(|parameter| parameter["in"] == "query");
        fields.found.extend(in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()));
    }
    named_in("docs/api.md", &fields.found);
}

#[test]
fn every_error_code_is_named_on_the_page_of_the_api() {
    let api = api();
    let codes = api["components"]["schemas"]["ErrorCode"]["enum"].as_array().unwrap();
    // Nobody is left to read a response that says that the client disconnected.
    let codes = codes.iter().filter_map(Value::as_str).filter(|code| *code != "cancelled");
    named_in("docs/api.md", &codes.map(str::to_owned).collect());
}

#[test]
fn every_metric_is_named_on_the_page_of_operations() {
    let page = metrics();
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    named_in("docs/operations.md", &families.map(str::to_owned).collect());
}

#[track_caller]
fn named_in(page: &str, names: &BTreeSet<String>) {
    assert!(names.len() > 10, "this test reads the program wrongly: it found {names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let missing = Pages::read().page(page).lacks(&names);
    assert!(missing.is_empty(), "{page} lacks {missing:?}");
}

fn api() -> Value {
    rnnlm_server::http::document(&Config::default())
}

/// The names of the properties of schemas.
struct Fields<'a> {
    api: &'a Value,
    found: BTreeSet<String>,
    /// The references that have been followed.
    seen: BTreeSet<&'a str>,
}

impl<'a> Fields<'a> {
    fn collect(&mut self, value: &'a Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.collect(value)),
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    self.follow(reference);
                }
                let properties = object.get("properties").and_then(Value::as_object);
                self.found.extend(properties.into_iter().flat_map(|properties| properties.keys().cloned()));
                let schemas = object.iter().filter(|(key, _)| !key.starts_with("example"));
                schemas.for_each(|(_, value)| self.collect(value));
            }
            _ => {}
        }
    }

    fn follow(&mut self, reference: &'a str) {
        if self.seen.insert(reference) {
            let pointer = reference.strip_prefix('#').expect("references are local");
            self.collect(self.api.pointer(pointer).unwrap());
        }
    }
}

/// All metrics, each with a value: a family without one is not listed.
fn metrics() -> String {
    let metrics = Metrics::new();
    metrics.http_request(HttpRequest { route: String::new(), method: "GET", status: 200 }, Duration::ZERO);
    metrics.rejected(Rejected::QueueFull);
    metrics.model("m").sessions(1);
    metrics.sessions_closed("evicted", 1);
    metrics.runs_on("portable");
    metrics.render()
}

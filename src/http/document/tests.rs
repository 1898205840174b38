//! The document is whole: every operation is described, every reference leads somewhere, every limit is this server's.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::generate::GenerateRequest;
use crate::api::sampling::Sampling;
use crate::api::sessions::SESSION_ID_LENGTH_MAX;

/// Every value in `document` that is an object.
fn objects(document: &Value) -> Vec<&serde_json::Map<String, Value>> {
    let mut open = vec![document];
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                found.push(fields);
                open.extend(fields.values());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    found
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| item.as_object().unwrap().values().map(move |found| (path, found)))
}

fn property<'a>(document: &'a Value, schema: &str, name: &str) -> &'a Value {
    let found = &document["components"]["schemas"][schema]["properties"][name];
    assert!(found.is_object(), "{schema} has no {name}");
    found
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn every_operation_has_an_id_a_short_summary_a_tag_and_described_responses() {
    let document = document(&Config::default());
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["servers"], json!([{"url": "."}]), "the folder of the document");
    let mut ids = HashSet::new();
    for (path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{path} has no operationId"));
        assert!(id.starts_with(|c: char| c.is_ascii_lowercase()), "{path}: {id}");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()), "{path}: {id}");
        assert!(ids.insert(id), "the operationId `{id}` is given twice");
        let summary = operation["summary"].as_str().unwrap_or_else(|| panic!("{path} has no summary"));
        assert!((1..=6).contains(&summary.split_whitespace().count()), "{path}: {summary}");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{path}");
        for response in responses.values() {
            let reference = response["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
            let response = reference.map_or(response, |pointer| document.pointer(pointer).unwrap());
            assert!(is_text(&response["description"]), "{path}: {response}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(is_text(&parameter["description"]), "{path}: {parameter}");
        }
    }
    assert!(ids.len() > 20, "only {} operations were found", ids.len());
}

#[test]
fn every_status_has_its_number_and_is_answered_by_operations_that_can_fail_so() {
    let document = document(&Config::default());
    let statuses = |path: &str, method: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        responses.keys().map(|status| status.parse::<u16>().unwrap()).collect::<HashSet<_>>()
    };
    let everywhere = [400, 408, 415, 429, 431, 500];
    assert_eq!(statuses("/livez", "get"), HashSet::from_iter([200].into_iter().chain(everywhere)));
    for (path, method, has, lacks) in [
        ("/readyz", "get", &[503][..], &[404, 422, 504][..]),
        ("/v1/models/{model}", "get", &[404, 422], &[409, 410]),
        ("/v1/next", "get", &[404, 422, 503, 504], &[409, 410, 413]),
        ("/v1/next", "post", &[404, 413, 422, 503, 504], &[409, 410]),
        ("/v1/sessions", "post", &[201, 404, 409, 504], &[200, 410, 412]),
        ("/v1/sessions", "get", &[404, 422], &[409, 410]),
        ("/v1/sessions/{id}", "get", &[404, 410], &[409, 412, 413]),
        ("/v1/sessions/{id}", "delete", &[204, 404, 409, 410, 412], &[200, 504]),
        ("/v1/sessions/{id}/fork", "post", &[201, 404, 409, 410, 413], &[412, 504]),
        ("/v1/sessions/{id}/append", "post", &[404, 409, 410, 412, 504], &[201]),
        ("/v1/sessions/{id}/next", "post", &[404, 410, 504], &[409, 412]),
        ("/v1/completions", "post", &[200, 404, 409, 410, 412, 413, 504], &[201, 422]),
        ("/tokenize", "post", &[400, 404, 413, 504], &[409, 410, 422]),
        ("/tokenizer_info", "get", &[400, 401, 404, 503], &[409, 410, 422, 504]),
        ("/v1/info", "get", &[401, 503], &[403, 404]),
        ("/admin/drain", "post", &[200, 401, 403], &[404, 503]),
        ("/admin/models/{model}/load", "post", &[200, 401, 403, 404, 409, 422, 503], &[410, 413, 504]),
        ("/admin/models/{model}/unload", "post", &[200, 403, 404, 409], &[410, 413, 504]),
    ] {
        let found = statuses(path, method);
        assert!(has.iter().all(|status| found.contains(status)), "{method} {path}: {found:?}");
        assert!(!lacks.iter().any(|status| found.contains(status)), "{method} {path}: {found:?}");
    }
}

#[test]
fn a_key_is_needed_by_all_but_the_open_operations_of_a_server_that_has_keys() {
    let mut config = Config::default();
    let free = document(&config);
    config.keys.api_keys = Some("keys".into());
    let keyed = document(&config);
    assert_eq!((&free["security"], &keyed["security"]), (&json!([{}, {"key": []}]), &json!([{"key": []}])));
    assert_eq!(keyed["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    for (path, operation) in operations(&keyed) {
        let is_open = ["/livez", "/readyz", "/health", "/metrics", "/openapi.json"].contains(&path.as_str());
        let expected = if is_open { json!([]) } else { Value::Null };
        assert_eq!(operation["security"], expected, "{path}");
        assert_eq!(operation["responses"].get("401").is_some(), !is_open, "{path}");
    }
}

#[test]
fn a_body_is_required_only_if_something_in_it_is() {
    let document = document(&Config::default());
    for (path, required) in
        [("/v1/next", false), ("/v1/sessions/{id}/reset", false), ("/v1/sessions/{id}/score", true)]
    {
        assert_eq!(document["paths"][path]["post"]["requestBody"]["required"], json!(required), "{path}");
    }
}

#[test]
fn a_query_string_beside_a_body_has_no_defaults_that_a_client_would_send() {
    let document = document(&Config::default());
    let of = |path: &str, method: &str| {
        let parameters = document["paths"][path][method]["parameters"].as_array().unwrap().clone();
        parameters.into_iter().filter(|parameter| parameter["in"] == "query").collect::<Vec<_>>()
    };
    let score = of("/v1/score", "post");
    assert!(!score.is_empty());
    assert!(score.iter().all(|parameter| parameter["schema"].get("default").is_none()), "{score:?}");
    assert!(of("/v1/next", "get").iter().any(|parameter| parameter["schema"].get("default").is_some()));
}

#[test]
fn ids_in_paths_have_the_bounds_of_ids_in_bodies() {
    let document = document(&Config::default());
    let parameters = document["paths"]["/v1/sessions/{id}/next"]["post"]["parameters"].as_array().unwrap();
    let id = parameters.iter().find(|parameter| parameter["name"] == "id").unwrap();
    assert_eq!((&id["schema"]["type"], &id["schema"]["maxLength"]), (&json!("string"), &json!(128)));
    assert!(is_text(&id["schema"]["pattern"]));
}

#[test]
fn fields_of_requests_may_be_null_unless_they_are_required() {
    let document = document(&Config::default());
    assert_eq!(property(&document, "GenerateRequest", "token_logprobs")["type"], json!(["boolean", "null"]));
    assert_eq!(property(&document, "GenerateRequest", "max_tokens")["type"], json!(["integer", "null"]));
    assert_eq!(property(&document, "GenerateResponse", "seed")["type"], json!("integer"));
}

#[test]
fn numbers_without_a_sign_have_their_own_format() {
    let document = document(&Config::default());
    assert_eq!(property(&document, "Expectation", "expected_position")["format"], json!("uint64"));
    assert_eq!(property(&document, "DetokenizeRequest", "tokens")["items"]["format"], json!("uint32"));
}

#[test]
fn a_stream_is_described_by_its_events() {
    let document = document(&Config::default());
    let responses = &document["paths"]["/v1/generate"]["post"]["responses"]["200"]["content"];
    let event = &responses["text/event-stream"]["schema"]["properties"];
    assert_eq!(event["data"]["contentSchema"]["$ref"], json!("#/components/schemas/StreamEvent"));
    assert_eq!(event["event"]["enum"], json!(["start", "token", "done", "error"]));
}

#[test]
fn headers_of_responses_are_described() {
    let document = document(&Config::default());
    let of_next = &document["paths"]["/v1/next"]["post"]["responses"]["200"]["headers"];
    for header in ["x-request-id", "x-position", "x-vocab-size", "x-unknown-count"] {
        assert!(is_text(&of_next[header]["description"]), "{header}");
    }
    let full = &document["components"]["responses"]["Error429"]["headers"];
    assert!(is_text(&full["retry-after"]["description"]) && is_text(&full["x-request-id"]["description"]));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document(&Config::default());
    let mut used = HashSet::new();
    for reference in objects(&document).iter().filter_map(|fields| fields.get("$ref")) {
        let reference = reference.as_str().unwrap();
        let pointer = reference.strip_prefix('#').expect("references are local");
        assert!(document.pointer(pointer).is_some(), "`{reference}` leads nowhere");
        used.insert(reference);
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(format!("#/components/schemas/{name}").as_str()), "{name} is not used");
    }
}

#[test]
fn every_field_is_described() {
    let document = document(&Config::default());
    let mut fields = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, described) in schema["properties"].as_object().into_iter().flatten() {
            assert!(is_text(&described["description"]), "{name}.{field}: {described}");
            fields += 1;
        }
    }
    assert!(fields > 100, "only {fields} fields were found");
}

#[test]
fn descriptions_are_for_users_of_the_api() {
    let document = document(&Config::default());
    for text in objects(&document).iter().filter_map(|object| object.get("description")?.as_str()) {
        for word in ["[`", "Self::", "crate::", "utoipa", "serde"] {
            assert!(!text.contains(word), "`{word}` in {text:?}");
        }
    }
    let reply = &document["components"]["schemas"]["NextReply"];
    assert_eq!(reply["description"], "The answer to one question, or the answers to many.");
    let response = &document["paths"]["/v1/next"]["post"]["responses"]["200"]["content"];
    assert_eq!(response["application/octet-stream"]["schema"]["format"], "binary");
}

#[test]
fn requests_are_plain_objects_that_refuse_unknown_fields() {
    let document = document(&Config::default());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.values().all(|schema| schema.get("allOf").is_none()));
    for (name, schema) in schemas {
        let is_request = name.ends_with("Request") || ["Question", "Sampling"].contains(&name.as_str());
        if is_request {
            // OpenAI's clients send fields that mean nothing here.
            let is_open = name == "CompletionRequest";
            assert_eq!(schema["additionalProperties"], json!(is_open), "{name}");
            assert!(is_text(&schema["description"]), "{name}");
        }
    }
    assert!(property(&document, "NextRequest", "text").is_object());
    assert!(property(&document, "NextRequest", "top_k").is_object());
}

#[test]
fn defaults_and_hard_bounds_are_those_that_are_checked() {
    let document = document(&Config::default());
    let request = |name| property(&document, "SessionGenerateRequest", name);
    assert_eq!(request("max_tokens")["default"], json!(64));
    assert_eq!(request("commit")["default"], json!(true));
    assert_eq!(request("temperature")["default"], json!(1.0));
    assert_eq!(request("temperature")["maximum"].as_f64(), Some(Sampling::TEMPERATURE_MAX));
    assert_eq!(request("seed")["maximum"].as_f64(), Some(GenerateRequest::SEED_MAX as f64));
    assert_eq!(request("seed").get("default"), None, "there is none");
    assert_eq!(property(&document, "NextRequest", "top_k")["default"], json!(10));
    let id = property(&document, "CreateSessionRequest", "id");
    assert_eq!(id["maxLength"].as_u64(), Some(SESSION_ID_LENGTH_MAX as u64));
}

#[test]
fn configured_limits_are_those_of_this_server() {
    let mut config = Config::default();
    config.limits.max_top_k = 7;
    config.limits.max_candidates = 8;
    config.limits.max_stops = 3;
    config.limits.max_stop_length.0 = 9;
    config.limits.max_text.0 = 1234;
    config.sessions.sessions_page_max = 11;
    config.sessions.session_ttl = Duration::from_millis(1500);
    config.http.request_timeout = Duration::from_secs(5);
    let document = document(&config);
    let next = |name| property(&document, "NextRequest", name);
    assert_eq!((&next("top_k")["maximum"], &next("candidates")["maxItems"]), (&json!(7), &json!(8)));
    assert_eq!(next("text")["maxLength"], json!(1234));
    assert_eq!(next("top_k")["default"], json!(7), "a default is not above the limit");
    let generate = |name| property(&document, "GenerateRequest", name);
    assert_eq!(
        (&generate("stop")["maxItems"], &generate("stop")["items"]["maxLength"]),
        (&json!(3), &json!(9))
    );
    assert_eq!(generate("stop")["maxLength"], json!(9), "a single string is a list of one");
    assert_eq!(generate("timeout_ms")["maximum"], json!(5000));
    assert_eq!(property(&document, "CreateSessionRequest", "ttl_seconds")["maximum"], json!(1.5));
    let parameters = document["paths"]["/v1/sessions"]["get"]["parameters"].as_array().unwrap();
    let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").unwrap();
    assert_eq!(limit["schema"]["maximum"], json!(11));
}

#[test]
fn every_limit_that_is_named_has_a_value() {
    let document = document(&Config::default());
    let names_a_limit = |value: &Value| value.as_str().is_some_and(|text| text.contains("Limit: `--"));
    let limited: Vec<_> = objects(&document)
        .into_iter()
        .filter(|object| object.get("description").is_some_and(names_a_limit))
        .map(|object| {
            let written_as_json = object.get("content").map(|content| &content["application/json"]["schema"]);
            let schema = object.get("schema").or(written_as_json);
            schema.and_then(Value::as_object).unwrap_or(object)
        })
        .collect();
    assert!(limited.len() > 20, "only {} limits were found", limited.len());
    for schema in limited {
        let bounds = ["maximum", "maxItems", "maxLength", "maxProperties"];
        assert!(bounds.iter().any(|bound| schema.contains_key(*bound)), "{schema:?}");
    }
}

//! Numbers at the limits of every type, in every numeric field and parameter of the OpenAPI document: they are accepted or refused, and
//! never an internal error.

use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::server::Server;

/// As they are written, because some are no number that a JSON library would write.
const NUMBERS: [&str; 16] = [
    "-1",
    "-0",
    "0",
    "0.5",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "4611686018427387904",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e-320",
    "1e400",
];

/// Stands for the number in a body, and is replaced when the body is written.
const PLACE: &str = "\u{1}";

/// A way from a body to a value in it.
type Way = Vec<Step>;

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    /// The first element of a list.
    Element,
}

#[tokio::test]
async fn an_extreme_number_is_never_an_internal_error() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the sea"})).await.expect(201);
    let document: Value = server.get("/openapi.json").await.expect(200);
    let mut sent = 0;
    for Asked { method, target, body } in requests(&document) {
        for number in NUMBERS {
            let target = target.replace(PLACE, number);
            let request = Request::new(&method, &target).header("content-type", "application/json");
            let body = body.as_ref().map(|body| body.replace(&json!(PLACE).to_string(), number));
            let said = format!("{method} {target} {body:?}");
            let answer = server.send(request.body(body.unwrap_or_default())).await;
            assert!(answer.status < 500, "{said}: {} {}", answer.status, answer.text());
            sent += 1;
        }
    }
    assert!(sent > 50 * NUMBERS.len(), "the document has few numbers: {sent} requests");
}

/// A request with one [`PLACE`] in it.
struct Asked {
    method: String,
    target: String,
    body: Option<String>,
}

/// One request for every numeric field and parameter.
fn requests(document: &Value) -> Vec<Asked> {
    let mut requests = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let target = path.replace("{id}", "s").replace("{model}", "words");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            for way in numbers(document, schema, 0) {
                let mut body = example(path);
                set(&mut body, &way);
                requests.push(Asked {
                    method: method.clone(),
                    target: target.clone(),
                    body: Some(body.to_string()),
                });
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "query" && !numbers(document, &parameter["schema"], 0).is_empty() {
                    let name = parameter["name"].as_str().unwrap();
                    let target = format!("{target}?text=the&{name}={PLACE}");
                    requests.push(Asked { method: method.clone(), target, body: None });
                }
            }
        }
    }
    requests
}

/// A body that the route accepts, to put a number into.
fn example(path: &str) -> Value {
    match path {
        "/v1/detokenize" => json!({"tokens": [2]}),
        _ if path.ends_with("/fork") || path.ends_with("/reset") || path == "/v1/sessions" => json!({}),
        _ => json!({"text": "the sea"}),
    }
}

/// The ways to all numbers of `schema`.
fn numbers(document: &Value, schema: &Value, depth: usize) -> Vec<Way> {
    const DEPTH_MAX: usize = 8;

    if depth > DEPTH_MAX {
        return Vec::new();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target =
            document.pointer(reference.trim_start_matches('#')).expect("a reference into the document");
        return numbers(document, target, depth + 1);
    }
    let is = |kind: &str| {
        schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
    };
    let mut ways = Vec::new();
    if is("integer") || is("number") {
        ways.push(Vec::new());
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        ways.extend(after(Step::Key(key.clone()), numbers(document, property, depth + 1)));
    }
    if schema["items"].is_object() {
        ways.extend(after(Step::Element, numbers(document, &schema["items"], depth + 1)));
    }
    for alternatives in ["allOf", "anyOf", "oneOf"] {
        for alternative in schema[alternatives].as_array().into_iter().flatten() {
            ways.extend(numbers(document, alternative, depth + 1));
        }
    }
    ways
}

fn after(first: Step, ways: Vec<Way>) -> impl Iterator<Item = Way> {
    ways.into_iter().map(move |way| [first.clone()].into_iter().chain(way).collect())
}

/// Puts a [`PLACE`] into `body`; what is not on the way stays, except other forms of the same input.
fn set(body: &mut Value, way: &[Step]) {
    let Some((first, rest)) = way.split_first() else {
        *body = json!(PLACE);
        return;
    };
    match first {
        Step::Key(key) => {
            if matches!(key.as_str(), "tokens" | "requests" | "texts") {
                *body = json!({});
            }
            if !body.is_object() {
                *body = json!({});
            }
            set(&mut body[key.as_str()], rest);
        }
        Step::Element => {
            *body = json!([{"text": "the"}]);
            set(&mut body[0], rest);
        }
    }
}

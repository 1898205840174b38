//! The OpenAPI document: what the routes and the types of the contract say, with the limits of this server.

mod keys;
mod limits;
mod parts;
mod query;
mod requests;
mod statuses;

use serde_json::{Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Server};
use utoipa::{PartialSchema, ToSchema};

pub(super) use query::QueryOf;

use super::routes;
use crate::api::error::ErrorBody;
use crate::api::openai::CompletionEvent;
use crate::config::Config;

/// Operations that need no key: probes, metrics, and the document itself.
const OPEN: [&str; 5] = ["getLiveness", "getReadiness", "getHealth", "getMetrics", "getOpenApi"];

/// The document of a server with this configuration.
pub fn document(config: &Config) -> Value {
    let mut document = serde_json::to_value(described(config)).expect("bug: a document has only string keys");
    statuses::write(&mut document);
    parts::inline(&mut document);
    plain(&mut document);
    limits::write(&mut document, config);
    requests::complete(&mut document);
    keys::write(&mut document, config);
    document
}

/// Makes utoipa's schemas say what they mean: no default that is null, the description of an optional object beside its alternatives
/// instead of within one, bytes as bytes, events as events, and numbers without a sign as such.
fn plain(document: &mut Value) {
    match document {
        Value::Object(object) => {
            if object.get("default") == Some(&Value::Null) {
                object.remove("default");
            }
            if let Some(Value::Array(alternatives)) = object.get_mut("oneOf")
                && let [Value::Object(reference), nothing] = alternatives.as_mut_slice()
                && *nothing == json!({"type": "null"})
                && let Some(description) = reference.remove("description")
            {
                object.insert("description".to_owned(), description);
            }
            if let Some(bytes) = object.get_mut("application/octet-stream") {
                *bytes = json!({"schema": {"type": "string", "format": "binary"}});
            }
            if let Some(events) = object.get_mut("text/event-stream") {
                *events = of_events(events["schema"].take());
            }
            if let Some(Value::String(format)) = object.get("format")
                && object.get("minimum") == Some(&json!(0))
                && ["int32", "int64"].contains(&format.as_str())
            {
                let unsigned = format!("u{format}");
                object.insert("format".to_owned(), json!(unsigned));
            }
            object.values_mut().for_each(plain);
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        _ => {}
    }
}

/// A stream of events whose data is JSON with this schema.
fn of_events(data: Value) -> Value {
    if data["$ref"] == json!(format!("#/components/schemas/{}", CompletionEvent::name())) {
        return json!({"schema": {
            "type": "object",
            "description": "One event",
            "required": ["data"],
            "properties": {"data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
                "description": "What it says; `[DONE]` at the end of the stream",
            }},
        }});
    }
    json!({"schema": {
        "type": "object",
        "description": "One event",
        "required": ["event", "id", "data"],
        "properties": {
            "event": {"type": "string", "enum": ["start", "token", "done", "error"], "description": "Which event it is"},
            "id": {"type": "string", "pattern": "^[0-9]+$", "description": "Its number, from 0"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
                "description": "What it says",
            },
        },
    }})
}

fn described(config: &Config) -> OpenApi {
    let mut document = head();
    document.merge(routes::described(config));
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut schemas = Vec::new();
    <ErrorBody as ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    document
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("rnnlm-server")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(env!("CARGO_PKG_DESCRIPTION")));
    // Relative to where the document is, so that it holds behind a path prefix too. Without it, the root of the host would be meant.
    OpenApiBuilder::new().info(info).servers(Some([Server::new(".")])).build()
}

#[cfg(test)]
mod tests;

//! What a request may leave out, which ids it can name, and what every response carries: what utoipa cannot know, because it describes a
//! handler by its types.

use serde_json::{Map, Value, json};

use crate::api::openai::CompletionRequest;

/// Makes a body optional if nothing in it is required, because an empty body is read as `{}`; gives ids in paths and headers the schema
/// of ids in bodies; describes lists and objects in query strings as JSON, and leaves out the defaults of those beside a body; lets fields be null; and documents the header of every response.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let id = id(&schemas["CreateSessionRequest"]["properties"]["id"]);
    for operation in values(&mut document["paths"]).flat_map(values) {
        if may_be_empty(&operation["requestBody"], &schemas) {
            operation["requestBody"]["required"] = json!(false);
        }
        let has_body = operation["requestBody"].is_object();
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            if has_body && let Some(schema) = parameter["schema"].as_object_mut() {
                // Beside a JSON body the query string must be empty, and generated clients send what has a default.
                schema.remove("default");
            }
            if names_a_session(parameter) {
                parameter["schema"] = id.clone();
            }
            if let Some(parameter) = parameter.as_object_mut()
                && !is_plain(&parameter["schema"])
            {
                write_as_json(parameter);
            }
        }
        values(&mut operation["responses"]).for_each(add_request_id);
    }
    values(&mut document["components"]["responses"]).for_each(add_request_id);
    values(&mut document["components"]["schemas"]).for_each(allow_null);
    open(&mut document["components"]["schemas"]["CompletionRequest"]);
}

/// A request in the dialect of OpenAI may have other fields, apart from those that are refused.
fn open(schema: &mut Value) {
    schema["additionalProperties"] = json!(true);
    for name in CompletionRequest::REFUSED {
        schema["properties"][*name] =
            json!({"type": "null", "description": "Not supported: only null is accepted."});
    }
}

fn values(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// The schema of an id that must be given.
fn id(of_body: &Value) -> Value {
    let mut id = of_body.clone();
    id["type"] = json!("string");
    if let Some(id) = id.as_object_mut() {
        id.retain(|key, _| ["type", "minLength", "maxLength", "pattern"].contains(&key.as_str()));
    }
    id
}

fn names_a_session(parameter: &Value) -> bool {
    parameter["name"] == "x-session-id" || parameter["name"] == "id" && parameter["in"] == "path"
}

/// Whether the values are written as they are in a query string; lists and objects are written as JSON.
fn is_plain(schema: &Value) -> bool {
    let is_plain =
        |kind: &Value| ["boolean", "integer", "number", "string", "null"].iter().any(|name| kind == name);
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().all(is_plain),
        kind => is_plain(kind),
    }
}

/// Describes the value of a parameter as JSON.
fn write_as_json(parameter: &mut Map<String, Value>) {
    let mut schema = parameter.remove("schema").unwrap_or_default();
    // That of an optional object is still within its schema.
    if let Some(description) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
        parameter.insert("description".to_owned(), description);
    }
    parameter.insert("content".to_owned(), json!({"application/json": {"schema": schema}}));
}

/// Whether `body` is described, and `{}` is one.
fn may_be_empty(body: &Value, schemas: &Value) -> bool {
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
    let schema = reference.rsplit('/').next().map_or(&Value::Null, |name| &schemas[name]);
    schema.is_object() && schema["required"].as_array().is_none_or(Vec::is_empty)
}

/// In a request, a field that is null counts as absent.
fn allow_null(schema: &mut Value) {
    if schema["additionalProperties"] != json!(false) {
        return;
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object_mut().into_iter().flatten() {
        // What must be given has no default.
        if required.contains(&json!(name)) {
            field.as_object_mut().map(|field| field.remove("default"));
        }
        if let Some(Value::String(kind)) = field.get("type")
            && !required.contains(&json!(name))
        {
            field["type"] = json!([kind, "null"]);
        }
        let null = json!({"type": "null"});
        if let Some(Value::Array(alternatives)) = field.get_mut("oneOf")
            && !alternatives.contains(&null)
            && !required.contains(&json!(name))
        {
            alternatives.push(null);
        }
    }
}

/// A response that is described elsewhere has the header there.
fn add_request_id(response: &mut Value) {
    if response.get("$ref").is_none() {
        response["headers"]["x-request-id"] = json!({"description": "The request's own id, or one that was created for it", "schema": {"type": "string"}});
    }
}

//! The failures of each operation, each status by its number. What an operation can answer follows from what it takes: a body, a query
//! string, the id of a session, work for the engine.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::OPEN;
use crate::api::error::ErrorCode;
use crate::http::error::{status, status_of_openai};

/// What an operation has that can fail.
struct Traits<'a> {
    id: &'a str,
    path: &'a str,
    has_body: bool,
    has_parameters: bool,
    /// Whether one of the parameters is the name of a model.
    names_a_model: bool,
}

/// Operations that answer in every phase of the server's life.
const ALWAYS: [&str; 4] = ["getLiveness", "getMetrics", "getOpenApi", "drain"];

/// Below it are the operations that need the key of an admin.
const ADMIN: &str = "/admin/";

/// Operations that read the files of a model.
const LOADS: [&str; 2] = ["loadModel", "reloadModel"];

/// Operations that move or remove a session.
const WRITES: [&str; 7] = [
    "appendToSession",
    "createCompletion",
    "deleteSession",
    "generateInSession",
    "putSessionState",
    "resetSession",
    "rewindSession",
];

/// The operation whose body can name a session.
const COMPLETES: &str = "createCompletion";

/// The tag of the operations in the dialect of OpenAI.
const OPENAI: &str = "openai";

/// Operations that create a session.
const CREATES: [&str; 3] = ["createSession", "forkSession", "putSessionState"];

/// Operations without a body that wait for an engine.
const QUERIES: [&str; 7] = [
    "getNextToken",
    "predictWords",
    "predictWordsAfterCharacters",
    "predictWordsAfterWords",
    "predictCharacters",
    "predictCharactersAfterCharacters",
    "predictCharactersAfterWords",
];

/// Operations that wait for no engine and for no thread that splits texts.
const IMMEDIATE: [&str; 2] = ["forkSession", "resetSession"];

impl Traits<'_> {
    /// The failures of the operation.
    fn codes(&self) -> Vec<ErrorCode> {
        use ErrorCode as C;
        // Whatever the operation: the connection, the headers, the encoding of a body, a bug.
        let mut codes = vec![
            C::InvalidRequest,
            C::RequestTimeout,
            C::UnsupportedMediaType,
            C::TooManyConnections,
            C::HeadersTooLarge,
            C::Internal,
        ];
        let mut add = |applies: bool, more: &[ErrorCode]| {
            if applies {
                codes.extend(more);
            }
        };
        let is_of_a_session = self.path.contains("{id}") || self.id == COMPLETES;
        add(self.has_body, &[C::InvalidJson, C::BodyTooLarge, C::InvalidValue, C::ModelNotFound]);
        add(self.has_parameters, &[C::InvalidValue]);
        add(self.names_a_model, &[C::ModelNotFound]);
        add(self.path.contains("{model}"), &[C::ModelNotFound]);
        add(is_of_a_session, &[C::SessionNotFound, C::SessionExpired, C::SessionEvicted, C::ModelChanged]);
        add(is_of_a_session, &[C::SessionDiverged]);
        add(WRITES.contains(&self.id), &[C::SessionBusy, C::PositionMismatch]);
        add(CREATES.contains(&self.id), &[C::SessionExists, C::SessionsFull]);
        let computes = (self.has_body || QUERIES.contains(&self.id)) && !IMMEDIATE.contains(&self.id);
        add(computes, &[C::QueueFull, C::Timeout]);
        add(!ALWAYS.contains(&self.id), &[C::Loading]);
        // The others do not look at a query string that they do not take.
        add(!OPEN.contains(&self.id), &[C::Unauthorized, C::RateLimited, C::UnknownField]);
        add(self.path.starts_with(ADMIN), &[C::Forbidden]);
        let changes_models = self.path.starts_with("/admin/models/");
        add(changes_models, &[C::ModelsChanging]);
        add(LOADS.contains(&self.id), &[C::LoadFailed]);
        add(self.id == "loadModel", &[C::ModelExists]);
        add(self.id == "unloadModel", &[C::ModelIsDefault]);
        codes
    }
}

/// Writes the failures of every operation, and describes each status once.
pub(super) fn write(document: &mut Value) {
    let mut used = Map::new();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let is_of_openai = operation["tags"][0] == OPENAI;
            for code in codes_of(path, operation) {
                let own = status(code);
                let status = if is_of_openai { status_of_openai(own) } else { own };
                let name = format!("Error{}", status.as_u16());
                operation["responses"][status.as_str()] =
                    json!({"$ref": format!("#/components/responses/{name}")});
                used.entry(name).or_insert_with(|| response(status));
            }
        }
    }
    document["components"]["responses"] = Value::Object(used);
}

fn codes_of(path: &str, operation: &Value) -> Vec<ErrorCode> {
    let parameters = operation["parameters"].as_array();
    let mut names = parameters.into_iter().flatten().map(|parameter| &parameter["name"]);
    let traits = Traits {
        id: operation["operationId"].as_str().unwrap_or_default(),
        path,
        has_body: operation["requestBody"].is_object(),
        has_parameters: parameters.is_some_and(|parameters| !parameters.is_empty()),
        names_a_model: names.any(|name| name == "model"),
    };
    traits.codes()
}

/// Every failure has the same form.
fn response(status: StatusCode) -> Value {
    let description = match status.as_u16() {
        400 => {
            "The request is not valid HTTP, its body is not JSON, its query string is not UTF-8, or, in the dialect of OpenAI, a value is not accepted"
        }
        401 => "The server requires a key (`--api-keys`), and the request has none, or one that is not known",
        403 => "The key is not an admin's",
        404 => "The session or the model does not exist",
        408 => "The request did not arrive in time",
        409 => {
            "The session exists already, or another write is running on it; the model cannot be changed in this way, or another change is being made"
        }
        410 => "The session has expired or was evicted, or its weights are no longer served",
        412 => "The session does not stand at `expected_position`",
        413 => "The body is too large",
        415 => "The body is not of a type or an encoding that is accepted",
        422 => "A value is not accepted; `error.param` names it",
        429 => {
            "Too many requests are waiting, too many connections are open, or the key has used as much as it may"
        }
        431 => "The request's line and headers are too large",
        500 => "Internal error",
        503 => "The server is loading or shutting down, or has no room for another session",
        504 => "The time limit passed",
        other => unreachable!("bug: the status {other} is not described"),
    };
    let mut response = json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    });
    if status == StatusCode::UNAUTHORIZED {
        response["headers"] = json!({"www-authenticate": {
            "description": "`Bearer`",
            "schema": {"type": "string"},
        }});
    }
    if [429, 503].contains(&status.as_u16()) {
        response["headers"] = json!({"retry-after": {
            "description": "Seconds after which the request may be sent again",
            "schema": {"type": "integer"},
        }});
    }
    response
}

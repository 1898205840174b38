//! How a request shows its key.

use serde_json::{Map, Value, json};

use super::OPEN;
use crate::config::Config;

/// The name of the scheme.
const SCHEME: &str = "key";

/// Writes the scheme, and which operations need it: on a server with keys all but the open ones, on one without none. A client that was
/// generated from either document can send a key.
pub(super) fn write(document: &mut Value, config: &Config) {
    document["components"]["securitySchemes"] = json!({SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of the server's file (`--api-keys`). A server without keys needs none.",
    }});
    let needed = json!({SCHEME: []});
    document["security"] = match config.keys.api_keys {
        Some(_) => json!([needed]),
        None => json!([{}, needed]),
    };
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if OPEN.iter().any(|id| operation["operationId"] == *id) {
                operation["security"] = json!([]);
            }
        }
    }
}

//! Objects that are put together from parts, as one object each.
//!
//! utoipa describes a flattened part by `allOf`, next to which `additionalProperties: false` can refuse nothing, and which code
//! generators turn into inheritance. The contract has plain objects, so that is what the document shows.

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Makes every component that is put together from parts one object, and drops components that nothing refers to.
pub(super) fn inline(document: &mut Value) {
    let all = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let objects: Map<String, Value> =
        all.iter().map(|(name, schema)| (name.clone(), inlined(schema, &all))).collect();
    document["components"]["schemas"] = Value::Object(objects);
    let used = reachable(document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
}

/// `schema` as one object, if it is put together from parts that are among `all`.
pub(super) fn inlined(schema: &Value, all: &Map<String, Value>) -> Value {
    let schema = resolved(schema, all);
    let Some(parts) = schema.get("allOf").and_then(Value::as_array) else { return schema.clone() };
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut is_closed = false;
    for part in parts {
        let part = inlined(part, all);
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
        is_closed |= part.get("additionalProperties") == Some(&Value::Bool(false));
    }
    let mut object = schema.as_object().cloned().unwrap_or_default();
    object.remove("allOf");
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), Value::Array(required));
    }
    if is_closed {
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(object)
}

fn resolved<'a>(schema: &'a Value, all: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(SCHEMAS));
    name.and_then(|name| all.get(name)).unwrap_or(schema)
}

/// The names of the components that the paths and the shared responses refer to, by way of others too.
fn reachable(document: &Value) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut open = vec![&document["paths"], &document["components"]["responses"]];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                let path = fields.get("$ref").and_then(Value::as_str);
                if let Some(name) = path.and_then(|path| path.strip_prefix(SCHEMAS))
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                    open.push(&document["components"]["schemas"][name]);
                }
                open.extend(fields.values());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    names
}

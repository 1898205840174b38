//! The limits of this server, written where the contract names the option that sets them.
//!
//! `x-limit` on a field becomes the `maximum` of a number, the `maxItems` of a list and the `maxLength` of a text; `x-item-limit`
//! bounds each entry of a list. A limit in bytes bounds the number of characters too, which is what `maxLength` counts.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::Config;

/// The value of a limit.
enum Limit {
    Count(usize),
    Time(Duration),
}

/// Writes the limits of `config` into `document`.
pub(super) fn write(document: &mut Value, config: &Config) {
    match document {
        Value::Object(fields) => {
            if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
                for (name, schema) in properties.iter_mut() {
                    write_field(Field { name, schema }, config);
                }
            }
            if let (Some(Value::String(name)), true) =
                (fields.get("name").cloned(), fields.contains_key("in"))
                && let Some(schema) = fields.get_mut("schema")
            {
                write_field(Field { name: &name, schema }, config);
            }
            fields.values_mut().for_each(|value| write(value, config));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| write(value, config)),
        _ => {}
    }
}

struct Field<'a> {
    /// Its end names the unit of a time.
    name: &'a str,
    schema: &'a mut Value,
}

fn write_field(field: Field<'_>, config: &Config) {
    let Some(schema) = field.schema.as_object_mut() else { return };
    if let Some(limit) = named(schema, "x-limit", config) {
        bound(schema, field.name, &limit);
    }
    if let Some(limit) = named(schema, "x-item-limit", config)
        && let Some(items) = schema.get_mut("items").and_then(Value::as_object_mut)
    {
        bound(items, field.name, &limit);
    }
}

fn named(schema: &Map<String, Value>, key: &str, config: &Config) -> Option<Limit> {
    schema.get(key).and_then(Value::as_str).map(|option| of_option(config, option))
}

fn bound(schema: &mut Map<String, Value>, name: &str, limit: &Limit) {
    let value = match limit {
        Limit::Count(count) => json!(count),
        Limit::Time(time) if name.ends_with("_ms") => json!(time.as_millis() as u64),
        Limit::Time(time) => json!(time.as_secs_f64()),
    };
    let has_type = |kind: &str| match schema.get("type") {
        Some(Value::String(found)) => found == kind,
        Some(Value::Array(found)) => found.iter().any(|found| found == kind),
        _ => false,
    };
    let keyword = if has_type("array") {
        "maxItems"
    } else if has_type("string") {
        "maxLength"
    } else {
        "maximum"
    };
    schema.insert(keyword.to_owned(), value);
}

/// The limit that the contract calls `option`.
fn of_option(config: &Config, option: &str) -> Limit {
    let Config { sessions, limits, http, .. } = config;
    Limit::Count(match option {
        "--max-text" => limits.max_text.0,
        "--max-prompt-tokens" => limits.max_prompt_tokens,
        "--max-tokens" => limits.max_tokens,
        "--max-top-k" => limits.max_top_k,
        "--max-candidates" => limits.max_candidates,
        "--max-requests" => limits.max_requests,
        "--max-texts" => limits.max_texts,
        "--max-stops" => limits.max_stops,
        "--max-stop-length" => limits.max_stop_length.0,
        "--max-banned" => limits.max_banned,
        "--sessions-page-max" => sessions.sessions_page_max,
        "--session-ttl" => return Limit::Time(sessions.session_ttl),
        "--request-timeout" => return Limit::Time(http.request_timeout),
        other => panic!("bug: the contract names the limit `{other}`, which has no value here"),
    })
}

//! The limits of this server, written where the documentation of a field names the option that sets its limit.
//!
//! ``Limit: `--option` `` becomes the `maximum` of a number, the `maxItems` of a list, the `maxProperties` of an object or the `maxLength` of a text; ``Limit of each:
//! `--option` `` bounds the entries of a list in the same way. A limit in bytes bounds the number of characters too, which
//! is what `maxLength` counts.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::Config;

/// The value of a limit.
enum Limit {
    Count(usize),
    Time(Duration),
}

/// A field of a request.
struct Field<'a> {
    /// Its last part is the unit of a time.
    name: &'a str,
    description: &'a str,
}

/// Writes the limits of `config` into `document`.
pub(super) fn write(document: &mut Value, config: &Config) {
    match document {
        Value::Object(object) => {
            for (name, schema) in
                object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
            {
                let description = schema["description"].as_str().unwrap_or_default().to_owned();
                write_field(Field { name, description: &description }, schema, config);
            }
            write_parameter(object, config);
            object.values_mut().for_each(|value| write(value, config));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| write(value, config)),
        _ => {}
    }
}

/// A parameter of a query string is described beside its schema.
fn write_parameter(object: &mut Map<String, Value>, config: &Config) {
    if !object.contains_key("in") {
        return;
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text("name");
    let description = text("description");
    if let Some(schema) = object.get_mut("schema") {
        write_field(Field { name: &name, description: &description }, schema, config);
    }
}

fn write_field(field: Field<'_>, schema: &mut Value, config: &Config) {
    if let Some(limit) = field.limit("Limit: `", config) {
        bound(schema, field.name, &limit);
    }
    if let Some(limit) = field.limit("Limit of each: `", config) {
        bound(&mut schema["items"], field.name, &limit);
        // A single entry may stand for a list of one.
        if is(schema, "string") {
            schema["maxLength"] = schema["items"]["maxLength"].clone();
        }
    }
}

/// Whether values of this JSON type are accepted.
fn is(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(found) => found == kind,
        Value::Array(found) => found.iter().any(|found| found == kind),
        _ => false,
    }
}

impl Field<'_> {
    /// The limit that the description names after `label`.
    fn limit(&self, label: &str, config: &Config) -> Option<Limit> {
        let (_, rest) = self.description.split_once(label)?;
        let (option, _) = rest.split_once('`')?;
        Some(of_option(config, option))
    }
}

fn bound(schema: &mut Value, name: &str, limit: &Limit) {
    let value = match limit {
        Limit::Count(count) => json!(count),
        Limit::Time(time) if name.ends_with("_ms") => json!(time.as_millis() as u64),
        Limit::Time(time) => json!(time.as_secs_f64()),
    };
    let keyword = if is(schema, "array") {
        "maxItems"
    } else if is(schema, "string") {
        "maxLength"
    } else if is(schema, "object") {
        "maxProperties"
    } else {
        "maximum"
    };
    // A default above the limit of this server is replaced by the limit.
    if let (Some(default), Some(limit)) = (schema["default"].as_f64(), value.as_f64())
        && keyword == "maximum"
        && default > limit
    {
        schema["default"] = value.clone();
    }
    schema[keyword] = value;
}

/// The value of `option`.
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
        "--max-utterances" => limits.max_utterances,
        "--max-hypotheses" => limits.max_hypotheses,
        "--max-mixture" => limits.max_mixture,
        "--max-stops" => limits.max_stops,
        "--max-stop-length" => limits.max_stop_length.0,
        "--max-banned" => limits.max_banned,
        "--max-logit-bias" => limits.max_logit_bias,
        "--max-n" => limits.max_n,
        "--max-beam-width" => limits.max_beam_width,
        "--max-suggestions" => limits.max_suggestions,
        "--max-extra-words" => limits.max_extra_words,
        "--max-next-words" => limits.max_next_words,
        "--max-neighbor-words" => limits.max_neighbor_words,
        "--max-prefix-length" => limits.max_prefix_length.0,
        "--rewind-max" => sessions.rewind_max,
        "--cache-window-max" => sessions.cache_window_max,
        "--sessions-page-max" => sessions.sessions_page_max,
        "--session-ttl" => return Limit::Time(sessions.session_ttl),
        "--request-timeout" => return Limit::Time(http.request_timeout),
        other => panic!("bug: a field names the limit `{other}`, which has no value here"),
    })
}

//! JSON that keeps the order of its keys, laid out for reading: long values are broken into lines, and numbers are rounded.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A JSON value whose objects keep the order of their keys.
pub(crate) enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Scalar(Value),
}

/// The maximum width of a line in a code block on a page.
const COLUMNS_MAX: usize = 110;

/// The placeholder for digests and for values that differ between runs.
pub(crate) const ANYTHING: &str = "…";

impl Ordered {
    /// The value on one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Object(entries) => {
                let entries: Vec<String> = entries.iter().map(entry_line).collect();
                format!("{{{}}}", entries.join(", "))
            }
            Self::Array(values) => {
                format!("[{}]", values.iter().map(Self::line).collect::<Vec<_>>().join(", "))
            }
            Self::Scalar(Value::Number(number)) => rounded(number),
            Self::Scalar(value) => value.to_string(),
        }
    }

    /// The value on as many lines as it needs, indented by `indent` columns.
    pub(crate) fn lines(&self, indent: usize) -> String {
        let line = self.line();
        if indent + line.chars().count() <= COLUMNS_MAX {
            return line;
        }
        let parts = |parts: Vec<String>| {
            let inner = " ".repeat(indent + 2);
            let outer = " ".repeat(indent);
            format!("\n{inner}{}\n{outer}", parts.join(&format!(",\n{inner}")))
        };
        match self {
            Self::Object(entries) => {
                let entry = |(key, value): &(String, Self)| match with_placeholder(key, value) {
                    Some(line) => line,
                    None => format!("{key:?}: {}", value.lines(indent + 2)),
                };
                format!("{{{}}}", parts(entries.iter().map(entry).collect()))
            }
            Self::Array(values) => {
                format!("[{}]", parts(values.iter().map(|value| value.lines(indent + 2)).collect()))
            }
            Self::Scalar(_) => line,
        }
    }
}

fn entry_line((key, value): &(String, Ordered)) -> String {
    with_placeholder(key, value).unwrap_or_else(|| format!("{key:?}: {}", value.line()))
}

/// An entry with the placeholder, if its value is a time, a digest or a random id.
fn with_placeholder(key: &str, value: &Ordered) -> Option<String> {
    let is_replaced = match value {
        Ordered::Scalar(Value::String(text)) => key.ends_with("_at") || is_digest(text) || is_random(text),
        Ordered::Scalar(Value::Number(_)) => key == "created",
        _ => false,
    };
    is_replaced.then(|| format!("{key:?}: {ANYTHING:?}"))
}

/// Whether `word` is a random UUID, as sessions without a name get it.
fn is_random(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether `word` is a SHA-256 in hexadecimal.
pub(crate) fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The number, rounded to seven significant digits if it has a fraction.
fn rounded(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(value) => {
            let rounded: f64 = format!("{value:.6e}").parse().unwrap();
            Number::from_f64(rounded).unwrap().to_string()
        }
        None => number.to_string(),
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered::Object(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Ordered::Array(values))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(text.into()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(number.into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(number.into()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(value.into()))
            }

            fn visit_unit<E: Error>(self) -> Result<Ordered, E> {
                Ok(Ordered::Scalar(Value::Null))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

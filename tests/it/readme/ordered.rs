//! JSON that keeps the order of its keys, for people to read: lines of bearable length, numbers of bearable precision.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A value whose objects have the order of the document.
pub(crate) enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Scalar(Value),
}

/// Columns of a line in a code block on a page.
const COLUMNS: usize = 110;

/// The value of times: they differ from run to run.
pub(crate) const ANYTHING: &str = "…";

impl Ordered {
    /// On one line.
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

    /// On as many lines as it takes; `indent` columns are taken already.
    pub(crate) fn lines(&self, indent: usize) -> String {
        let line = self.line();
        if indent + line.chars().count() <= COLUMNS {
            return line;
        }
        let (inner, outer) = (" ".repeat(indent + 2), " ".repeat(indent));
        let (open, parts, close): (_, Vec<String>, _) = match self {
            Self::Object(entries) => {
                let entry = |(key, value): &(String, Self)| match shown(key, value) {
                    Some(line) => line,
                    None => format!("{key:?}: {}", value.lines(indent + 2)),
                };
                ('{', entries.iter().map(entry).collect(), '}')
            }
            Self::Array(values) => ('[', values.iter().map(|value| value.lines(indent + 2)).collect(), ']'),
            Self::Scalar(_) => return line,
        };
        format!("{open}\n{inner}{}\n{outer}{close}", parts.join(&format!(",\n{inner}")))
    }
}

fn entry_line((key, value): &(String, Ordered)) -> String {
    shown(key, value).unwrap_or_else(|| format!("{key:?}: {}", value.line()))
}

/// An entry whose value is a time.
fn shown(key: &str, value: &Ordered) -> Option<String> {
    let is_time = key.ends_with("_at") && matches!(value, Ordered::Scalar(Value::String(_)));
    is_time.then(|| format!("{key:?}: {ANYTHING:?}"))
}

/// Seven significant digits.
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

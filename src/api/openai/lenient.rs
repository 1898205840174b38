//! A request that may have fields which this server does not know: programs that were written for another server send them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::api::fields::{Fields, Unknown, read_map, unknown_field};

/// A request type of which other servers accept more fields.
pub(crate) trait Tolerant: Fields {
    /// Unknown fields that are refused, because the answer would be another without them. The others are ignored.
    const REFUSED: &'static [&'static str];
}

/// A request, and the names of the fields that were ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Lenient<T> {
    /// The request.
    pub request: T,
    /// The names of the first fields that were ignored, cut to a few bytes.
    pub ignored: Vec<String>,
}

/// The most fields that are named as ignored.
const IGNORED_MAX: usize = 32;

/// The most bytes of a name of an ignored field.
const IGNORED_LENGTH_MAX: usize = 64;

impl<'de, T: Tolerant> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(PhantomData))
    }
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Tolerant> Visitor<'de> for Object<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
        let mut ignored: Vec<String> = Vec::new();
        let request = read_map(map, |map, Unknown { key, names }| {
            // Null is the same as absent.
            if map.next_value::<Option<IgnoredAny>>()?.is_none() {
                return Ok(());
            }
            if T::REFUSED.contains(&key) {
                return Err(unknown_field(key, names));
            }
            let name = &key[..key.floor_char_boundary(IGNORED_LENGTH_MAX)];
            if ignored.len() < IGNORED_MAX && !ignored.iter().any(|found| found == name) {
                ignored.push(name.to_owned());
            }
            Ok(())
        })?;
        Ok(Lenient { request, ignored })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json};

    use super::*;
    use crate::api::openai::CompletionRequest;

    type Read = Lenient<CompletionRequest>;

    #[test]
    fn unknown_fields_are_named_once_and_null_is_absent() {
        let body =
            r#"{"user": "me", "n": 2, "store": {"a": [1]}, "user": 3, "metadata": null, "suffix": null}"#;
        let read = from_str::<Read>(body).unwrap();
        assert_eq!((read.request.n, read.ignored), (Some(2), vec!["user".to_owned(), "store".to_owned()]));
    }

    #[test]
    fn a_field_that_would_change_the_text_is_refused() {
        for name in CompletionRequest::REFUSED {
            let message = from_str::<Read>(&json!({*name: "x"}).to_string()).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("unknown field `{name}`, expected one of `model`")),
                "{message}"
            );
        }
    }

    #[test]
    fn the_names_that_are_kept_are_few_and_short() {
        let many: String = (0..1000).map(|index| format!("\"é{index}{}\": 1,", "é".repeat(100))).collect();
        let read = from_str::<Read>(&format!("{{{many} \"n\": 1}}")).unwrap();
        assert_eq!(read.ignored.len(), IGNORED_MAX);
        assert!(read.ignored.iter().all(|name| name.len() <= IGNORED_LENGTH_MAX));
    }
}

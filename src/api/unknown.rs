//! How unknown words count in a score.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat};

use super::value::field_values;

/// What is done with the unknown token, which stands for every word that is not in the vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It is scored like any other token: with the probability of all unknown words together.
    #[default]
    Include,
    /// It is read and not scored.
    Exclude,
    /// This is added to its log-probability.
    Add(f64),
    /// This is its log-probability.
    Set(f64),
}

impl Unknown {
    /// The largest magnitude of a log-probability that is added or set.
    pub const MAGNITUDE_MAX: f64 = 1000.0;

    /// `described` of a field whose logarithms are natural.
    pub(super) fn described_natural() -> RefOr<Schema> {
        Self::described("The number is a natural logarithm")
    }

    /// `described` of a field whose logarithms are to the base `log_base`.
    pub(super) fn described_in_log_base() -> RefOr<Schema> {
        Self::described("The number is a logarithm to the base `log_base`")
    }

    /// The schema of a field. Its first alternative is the one that a query string can hold.
    fn described(base: &str) -> RefOr<Schema> {
        let max = Self::MAGNITUDE_MAX;
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^(include|exclude|add:-?[0-9]{1,2}(\.[0-9]+)?|set:-[0-9]{1,2}(\.[0-9]+)?)$"));
        let tagged = |name: &str, maximum: f64| {
            let number = ObjectBuilder::new()
                .schema_type(Type::Number)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
                .minimum(Some(-max))
                .maximum(Some(maximum));
            let object = ObjectBuilder::new().schema_type(Type::Object).property(name, number).required(name);
            object.additional_properties(Some(
                utoipa::openapi::schema::AdditionalProperties::<Schema>::FreeForm(false),
            ))
        };
        let description = format!(
            "What is done with unknown words. `include` scores the unknown token like any other, `exclude` reads it and does not \
             score it, `{{\"add\": x}}` adds to its log-probability, and `{{\"set\": x}}` replaces its log-probability. {base}. \
             `add:x` and `set:x` are the same in a query string."
        );
        OneOfBuilder::new()
            .item(text)
            .item(tagged("add", max))
            .item(tagged("set", 0.0))
            .description(Some(description))
            .default(Some("include".into()))
            .into()
    }
}

const EXPECTED: &str = "`include`, `exclude`, `{\"add\": x}` or `{\"set\": x}` (in a query string or an option `add:x` or `set:x`)";

impl FromStr for Unknown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not one of {EXPECTED}");
        let number = |number: &str| match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(expected()),
        };
        match text.split_once(':') {
            None if text == "include" => Ok(Self::Include),
            None if text == "exclude" => Ok(Self::Exclude),
            Some(("add", shift)) => number(shift).map(Self::Add),
            Some(("set", logprob)) => number(logprob).map(Self::Set),
            _ => Err(expected()),
        }
    }
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Policy)
    }
}

field_values!(Unknown);

struct Policy;

impl<'de> Visitor<'de> for Policy {
    type Value = Unknown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Unknown, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unknown, A::Error> {
        let wrong = || A::Error::custom(format_args!("expected {EXPECTED}, with one number"));
        let policy = match map.next_key::<String>()?.as_deref() {
            Some("add") => Unknown::Add(map.next_value()?),
            Some("set") => Unknown::Set(map.next_value()?),
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(policy),
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, to_string};

    use super::*;

    #[test]
    fn a_policy_is_a_name_or_a_name_with_a_number() {
        for (json, policy) in [
            ("\"include\"", Unknown::Include),
            ("\"exclude\"", Unknown::Exclude),
            ("{\"add\":-2.5}", Unknown::Add(-2.5)),
            ("{\"set\":-11.0}", Unknown::Set(-11.0)),
        ] {
            assert_eq!(from_str::<Unknown>(json).unwrap(), policy);
            assert_eq!(to_string(&policy).unwrap(), json);
        }
        assert_eq!("add:-2.5".parse(), Ok(Unknown::Add(-2.5)));
        assert_eq!("set:-11".parse(), Ok(Unknown::Set(-11.0)));
    }

    #[test]
    fn anything_else_is_refused_in_plain_words() {
        for json in [
            "\"skip\"",
            "\"add\"",
            "\"add:NaN\"",
            "\"set:\"",
            "7",
            "{}",
            "{\"add\":1,\"set\":2}",
            "{\"drop\":1}",
            "[]",
        ] {
            let message = from_str::<Unknown>(json).unwrap_err().to_string();
            assert!(message.contains("`include`, `exclude`, `{\"add\": x}`"), "{json}: {message}");
        }
        assert!(from_str::<Unknown>("{\"add\":\"1\"}").is_err());
    }
}

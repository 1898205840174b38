//! Several models in place of one.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::fields;
use super::value::field_values;

/// A model of a mixture. The probability of each token is the sum of the models' probabilities, each times its weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"model": "classics", "weight": 0.6}))]
pub struct MixturePart {
    /// The model's name. All models of a mixture have the same tokenizer, by `tokenizer_sha256`.
    #[schema(required)]
    pub model: String,
    /// Its weight. The weights of a mixture sum to 1.
    #[schema(required, exclusive_minimum = 0, maximum = 1)]
    pub weight: f64,
}

fields!(MixturePart { model, weight });

/// A mixture in a query string: `model:weight`, several separated by commas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MixtureText(pub Vec<MixturePart>);

impl MixtureText {
    pub(super) fn described() -> RefOr<Schema> {
        let description = "Several models in place of one, whose probabilities are interpolated linearly: `model:weight`, separated by \
            commas, at most as many as `--max-mixture` says. Not beside `model`.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[^:,]+:(1|0\.[0-9]{1,6})(,[^:,]+:0\.[0-9]{1,6})*$"))
            .description(Some(description))
            .examples([serde_json::json!("classics:0.6,classics-gru:0.4")])
            .into()
    }
}

const EXPECTED: &str = "`model:weight`, several separated by commas";

impl FromStr for MixtureText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (model, weight) = part.rsplit_once(':')?;
            Some(MixturePart { model: model.to_owned(), weight: weight.parse().ok()? })
        };
        let parts: Option<Vec<MixturePart>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or_else(|| format!("`{text}` is not a mixture; expected {EXPECTED}"))
    }
}

impl fmt::Display for MixtureText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, MixturePart { model, weight }) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{model}:{weight}")?;
        }
        Ok(())
    }
}

impl Serialize for MixtureText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MixtureText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

field_values!(MixtureText);

struct Text;

impl Visitor<'_> for Text {
    type Value = MixtureText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MixtureText, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_read_from_a_query_string_and_written_back() {
        let text = "classics:0.6,a:b:0.4";
        let mixture: MixtureText = text.parse().unwrap();
        let part = |model: &str, weight| MixturePart { model: model.to_owned(), weight };
        assert_eq!(mixture.0, [part("classics", 0.6), part("a:b", 0.4)]);
        assert_eq!(serde_json::to_value(&mixture).unwrap(), text);
        for wrong in ["", "classics", "classics:", "classics:x", "classics:0.5,", "classics:0.5;b"] {
            let message = wrong.parse::<MixtureText>().unwrap_err();
            assert!(message.contains(EXPECTED), "{wrong}: {message}");
        }
    }
}

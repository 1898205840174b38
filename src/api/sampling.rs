//! How tokens are drawn.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::fields;
use super::prompt::Word;
use super::value::{FieldValue, field_values};

/// How tokens are drawn. The filters apply in the order of the fields `logit_bias`, `repetition_penalty`, `presence_penalty` and
/// `frequency_penalty`, `banned`, `temperature`, `top_k`, `top_p`, `min_p`, `typical_p`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"temperature": 0.8, "top_p": 0.95}))]
pub struct Sampling {
    /// What is added to logits, which [`bias_schema`] describes.
    #[schema(schema_with = bias_schema)]
    pub logit_bias: LogitBias,
    /// Divides the logit, if it is positive, of each token that occurs in the request's input or was drawn, and multiplies it if it
    /// is negative. Above 1, repetitions become less likely.
    #[schema(minimum = 0.01, maximum = 100)]
    pub repetition_penalty: f64,
    /// Subtracted from the logit of each token that occurs in the request's input or was drawn.
    #[schema(minimum = -100, maximum = 100)]
    pub presence_penalty: f64,
    /// Subtracted from the logit of a token for each time that it occurs in the request's input or was drawn.
    #[schema(minimum = -100, maximum = 100)]
    pub frequency_penalty: f64,
    /// Words and token ids that are never drawn. A word must be a single token, and has at most `--max-prefix-length` bytes.
    /// Limit: `--max-banned`.
    pub banned: Vec<Word>,
    /// Whether the unknown token may be drawn.
    pub allow_unknown: bool,
    /// Divides the logits. At 0 the most likely token is always drawn.
    #[schema(minimum = 0, maximum = 100)]
    pub temperature: f64,
    /// Draw only from this many most likely tokens. If absent, 0 or -1, from all.
    #[schema(minimum = -1)]
    pub top_k: Option<i64>,
    /// Draw only from the smallest set of most likely tokens that has this probability.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub top_p: f64,
    /// Draw only from tokens at least this probable, as a fraction of the probability of the most likely token.
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: f64,
    /// Draw only from the smallest set of tokens that has this probability, and whose surprise is closest to the entropy.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub typical_p: f64,
}

fields!(Sampling {
    logit_bias,
    repetition_penalty,
    presence_penalty,
    frequency_penalty,
    banned,
    allow_unknown,
    temperature,
    top_k,
    top_p,
    min_p,
    typical_p
});

/// The schema of [`Sampling::logit_bias`]. A field with a schema of its own is not described by its comment.
fn bias_schema() -> RefOr<Schema> {
    let ids = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]+$"));
    let amounts = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-100.0)).maximum(Some(100.0));
    let biases = ObjectBuilder::new().property_names(Some(ids)).additional_properties(Some(amounts));
    let description = "Added to the logits of tokens: an object from token ids to numbers from -100 to 100.\nLimit: `--max-logit-bias`.";
    biases.description(Some(description)).into()
}

impl Sampling {
    /// The highest `temperature`.
    pub const TEMPERATURE_MAX: f64 = 100.0;
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            logit_bias: LogitBias::default(),
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            banned: Vec::new(),
            allow_unknown: false,
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
        }
    }
}

/// What is added to the logits of tokens, by token id.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LogitBias(pub BTreeMap<u32, f64>);

// Written out, because serde reads neither ids as keys from every format, nor bounds the number of entries.
impl<'de> Deserialize<'de> for LogitBias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Biases)
    }
}

field_values!(LogitBias);

struct Biases;

impl<'de> Visitor<'de> for Biases {
    type Value = LogitBias;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from token ids to numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LogitBias, A::Error> {
        let mut biases = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let Ok(token) = key.parse::<u32>() else {
                let message = format!("the key {key:?} is not a token id, which is a whole number");
                return Err(A::Error::custom(message));
            };
            if biases.len() == <f64 as FieldValue>::ENTRIES_MAX {
                let max = <f64 as FieldValue>::ENTRIES_MAX;
                return Err(A::Error::custom(format_args!("the object has more than {max} entries")));
            }
            if biases.insert(token, map.next_value()?).is_some() {
                return Err(A::Error::custom(format_args!(
                    "token {token} is given twice; it is accepted once"
                )));
            }
        }
        Ok(LogitBias(biases))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[test]
    fn biases_are_read_by_token_id_and_anything_else_is_refused_in_plain_words() {
        let biases = from_str::<LogitBias>(r#"{"7": 1.5, "0": -2}"#).unwrap();
        assert_eq!(biases.0, BTreeMap::from([(0, -2.0), (7, 1.5)]));
        for (json, part) in [
            (r#"{"sea": 1}"#, r#"the key "sea" is not a token id"#),
            (r#"{"-1": 1}"#, r#"the key "-1" is not a token id"#),
            (r#"{"7": 1, "07": 2}"#, "token 7 is given twice"),
            (r#"{"7": "1"}"#, "invalid type: string"),
            ("[1]", "expected an object from token ids to numbers"),
        ] {
            let message = from_str::<LogitBias>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{json}: {message}");
        }
    }
}

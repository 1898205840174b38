//! One of the texts of a list: as a text, or as the ids of its tokens.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::service::Input;

/// A text, or the ids of its tokens.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[serde(untagged)]
pub(super) enum TextOrIds {
    Text(String),
    Ids(Vec<u32>),
}

impl From<TextOrIds> for Input {
    fn from(text: TextOrIds) -> Self {
        match text {
            TextOrIds::Text(text) => Self::Text(text),
            TextOrIds::Ids(ids) => Self::Tokens(ids),
        }
    }
}

// Written out, because serde's untagged enums keep a list whole before they try it, at many times its size, and then do not
// say which of its entries is wrong.
impl<'de> Deserialize<'de> for TextOrIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = TextOrIds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextOrIds, E> {
        Ok(TextOrIds::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TextOrIds, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(TextOrIds::Ids)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[test]
    fn anything_else_is_refused_in_plain_words() {
        assert_eq!(from_str::<TextOrIds>("\"a sea\"").unwrap(), TextOrIds::Text("a sea".into()));
        assert_eq!(from_str::<TextOrIds>("[1, 2]").unwrap(), TextOrIds::Ids(vec![1, 2]));
        for wrong in ["7", "null", "{}"] {
            let message = from_str::<TextOrIds>(wrong).unwrap_err().to_string();
            assert!(message.contains("expected a text or a list of token ids"), "{wrong}: {message}");
        }
        let message = from_str::<TextOrIds>("[1, -2]").unwrap_err().to_string();
        assert!(message.contains("integer `-2`"), "{message}");
    }
}

//! What a request gives to read, and the two ways of naming a token or a text.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::fields;
use super::value::{Range, entries, field_values};

/// What is read, and by which model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prompt {
    /// The model. If absent, the default model or, in a session, the session's model. A session accepts no other model.
    pub model: Option<String>,
    /// The text to read. At most one of `text` and `tokens`.
    /// Limit: `--max-text`.
    pub text: Option<String>,
    /// The ids of the tokens to read. At most one of `text` and `tokens`.
    /// Limit: `--max-prompt-tokens`.
    pub tokens: Option<Vec<u32>>,
}

fields!(Prompt { model, text, tokens });

/// A word, or the id of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Word {
    /// A word.
    Text(String),
    /// A token id.
    Id(u32),
}

// Written out, because serde's untagged enums do not say what was found.
impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrId)
    }
}

struct WordOrId;

impl WordOrId {
    fn id(number: i128) -> Word {
        Word::Id(u32::try_from(number).expect("bug: a number in the range of token ids"))
    }
}

impl Visitor<'_> for WordOrId {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a token id, which is a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
        Ok(Word::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Word, E> {
        Range::TOKEN_IDS.integer(number.into(), &self).map(Self::id)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Word, E> {
        Range::TOKEN_IDS.integer(number.into(), &self).map(Self::id)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Word, E> {
        Range::TOKEN_IDS.float(number, &self).map(Self::id)
    }
}

/// A list of strings, or a single one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Strings {
    /// A single string.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Default for Strings {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Strings {
    /// The strings as a list.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(string) => vec![string],
            Self::Many(strings) => strings,
        }
    }

    /// A list or a string in one schema, in which limits of the list and of its entries can be written.
    pub(super) fn described() -> RefOr<Schema> {
        let string = ObjectBuilder::new().schema_type(Type::String);
        let either = SchemaType::from_iter([Type::Array, Type::String]);
        ArrayBuilder::new().items(string).schema_type(either).into()
    }
}

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StringOrList)
    }
}

struct StringOrList;

impl<'de> Visitor<'de> for StringOrList {
    type Value = Strings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Strings, E> {
        Ok(Strings::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Strings, A::Error> {
        entries(list).map(Strings::Many)
    }
}

/// A text, or the ids of its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TextOrIds {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
}

// Written out, because serde's untagged enums buffer a list before they try it, at many times its size, and then do not
// say which of its entries is wrong.
impl<'de> Deserialize<'de> for TextOrIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

field_values!(Word, Strings, TextOrIds);

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
        entries(list).map(TextOrIds::Ids)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[test]
    fn a_word_is_a_text_or_an_id_and_anything_else_is_refused_in_plain_words() {
        assert_eq!(from_str::<Word>("\"sea\"").unwrap(), Word::Text("sea".into()));
        assert_eq!(from_str::<Word>("7").unwrap(), Word::Id(7));
        for wrong in ["-1", "1.5", "true", "null", "4294967296", "[7]"] {
            let message = from_str::<Word>(wrong).unwrap_err().to_string();
            assert!(message.contains("expected a word or a token id"), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_text_is_a_string_or_a_list_of_ids() {
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

//! The prompts of a request: one or several, each a text or the ids of its tokens.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use crate::api::prompt::TextOrIds;
use crate::api::value::{Range, entries, entries_after, field_values};

/// One prompt, or a list of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Prompts {
    /// A single prompt.
    One(TextOrIds),
    /// A list, which is not empty.
    Many(Vec<TextOrIds>),
}

impl Default for Prompts {
    fn default() -> Self {
        Self::One(TextOrIds::Ids(Vec::new()))
    }
}

/// The schema of `prompt`.
pub(super) fn prompts_schema() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let id = || {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int32);
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(0))
    };
    let ids = || ArrayBuilder::new().items(id());
    let each = AnyOfBuilder::new().item(text()).item(ids());
    AnyOfBuilder::new()
        .item(text())
        .item(ids())
        .item(ArrayBuilder::new().items(each))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(
            "What is continued: a text, the ids of its tokens, or a list of at most `--max-requests` texts and lists of ids. If absent or empty, the start of the model. Ids that begin with the model's initial tokens do not make the model read them twice.",
        ))
        .into()
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

field_values!(Prompts, First);

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of token ids, or a list of texts and of lists of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts::One(TextOrIds::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompts, A::Error> {
        match list.next_element()? {
            None => Ok(Prompts::default()),
            Some(First::Id(id)) => Ok(Prompts::One(TextOrIds::Ids(entries_after(vec![id], list)?))),
            Some(First::Prompt(prompt)) => Ok(Prompts::Many(entries_after(vec![prompt], list)?)),
        }
    }
}

/// The first entry of the list, which tells whether it is one prompt or a list of them.
enum First {
    Id(u32),
    Prompt(TextOrIds),
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdOrPrompt)
    }
}

struct IdOrPrompt;

impl IdOrPrompt {
    fn id(number: i128) -> First {
        First::Id(u32::try_from(number).expect("bug: a number in the range of token ids"))
    }
}

impl<'de> Visitor<'de> for IdOrPrompt {
    type Value = First;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token id, a text or a list of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<First, E> {
        Ok(First::Prompt(TextOrIds::Text(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<First, E> {
        Range::TOKEN_IDS.integer(number.into(), &self).map(Self::id)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<First, E> {
        Range::TOKEN_IDS.integer(number.into(), &self).map(Self::id)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<First, E> {
        Range::TOKEN_IDS.float(number, &self).map(Self::id)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<First, A::Error> {
        entries(list).map(|ids| First::Prompt(TextOrIds::Ids(ids)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    fn text(text: &str) -> TextOrIds {
        TextOrIds::Text(text.to_owned())
    }

    #[test]
    fn a_list_of_numbers_is_one_prompt_and_any_other_list_has_several() {
        for (json, expected) in [
            ("\"the sea\"", Prompts::One(text("the sea"))),
            ("[]", Prompts::default()),
            ("[3, 4.0]", Prompts::One(TextOrIds::Ids(vec![3, 4]))),
            ("[\"a\", \"\"]", Prompts::Many(vec![text("a"), text("")])),
            ("[[3], []]", Prompts::Many(vec![TextOrIds::Ids(vec![3]), TextOrIds::Ids(vec![])])),
            ("[\"a\", [3]]", Prompts::Many(vec![text("a"), TextOrIds::Ids(vec![3])])),
        ] {
            assert_eq!(from_str::<Prompts>(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_plain_words() {
        for (json, part) in [
            ("7", "expected a text, a list of token ids, or a list"),
            ("[true]", "expected a token id, a text or a list"),
            ("[-1]", "integer `-1`, expected a token id"),
            ("[3, \"a\"]", "string \"a\", expected"),
            ("[\"a\", 3]", "expected a text or a list of token ids"),
            ("[[\"a\"]]", "string \"a\", expected"),
        ] {
            let message = from_str::<Prompts>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{json}: {message}");
        }
    }
}

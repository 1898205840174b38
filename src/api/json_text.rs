//! JSON as the value of a query parameter, for what a query string has no form of its own: lists and objects.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize};

use super::complaint::{complaint, refused};
use super::error::{ErrorCode, ErrorDetail};
use super::value::FieldValue;

/// A `T` that is written as JSON. [`Self::read`] reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct JsonText<T> {
    json: String,
    #[serde(skip)]
    of: PhantomData<T>,
}

impl<T> JsonText<T> {
    /// Reads the value of the parameter `name`.
    ///
    /// # Errors
    /// When it is not JSON, or not a `T`: the error names the value at fault by its path from `name`.
    pub(super) fn read(&self, name: &str) -> Result<T, ErrorDetail>
    where
        T: FieldValue,
    {
        let mut reader = serde_json::Deserializer::from_str(&self.json);
        let read = serde_path_to_error::deserialize::<_, Value<T>>(&mut reader);
        let Value(value) = read.map_err(|error| {
            let path = within(name, &error.path().to_string());
            match complaint(error.inner()) {
                Some(complaint) => refused(&path, &complaint),
                None => not_json(name, error.inner()),
            }
        })?;
        reader.end().map_err(|error| not_json(name, &error))?;
        Ok(value)
    }
}

/// The path of what lies at `path` in the value of `name`.
fn within(name: &str, path: &str) -> String {
    match path {
        "." => name.to_owned(),
        index if index.starts_with('[') => format!("{name}{index}"),
        field => format!("{name}.{field}"),
    }
}

fn not_json(name: &str, error: &serde_json::Error) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::InvalidValue, format!("`{name}` is not JSON: {error}")).at(name)
}

impl<T> FieldValue for JsonText<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { json: String::deserialize(deserializer)?, of: PhantomData })
    }
}

/// A field's value that serde can read.
struct Value<T>(T);

impl<'de, T: FieldValue> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

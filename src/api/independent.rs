//! A part of a request that is read on its own, so that what is wrong with it does not affect the parts beside it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::complaint::{complaint, refused};
use super::error::{ErrorCode, ErrorDetail};
use super::value::FieldValue;

/// A `T`, or why what was found is not one. It can be read from JSON only.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Independent<T> {
    /// The part.
    Read(T),
    /// Why it is refused. `param` is a path within the part.
    Refused(ErrorDetail),
}

impl<T> Independent<T> {
    /// The part.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn into_result(self) -> Result<T, ErrorDetail> {
        match self {
            Self::Read(part) => Ok(part),
            Self::Refused(detail) => Err(detail),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Independent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text, because after an error in a value nothing behind it can be read.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let mut reader = serde_json::Deserializer::from_str(text.get());
        Ok(match serde_path_to_error::deserialize(&mut reader) {
            Ok(part) => Self::Read(part),
            Err(error) => {
                let path = error.path().to_string();
                Self::Refused(refusal(&path, &error.into_inner()))
            }
        })
    }
}

impl<T: DeserializeOwned> FieldValue for Independent<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

fn refusal(path: &str, error: &serde_json::Error) -> ErrorDetail {
    match complaint(error) {
        Some(complaint) => refused(path, &complaint),
        None => {
            ErrorDetail::new(ErrorCode::InvalidJson, format!("this part of the request is not JSON: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tokens::DetokenizeRequest;

    #[test]
    fn what_is_wrong_with_one_part_does_not_affect_the_others() {
        let json = r#"[{"tokens": [1]}, {"tokens": [1, true]}, {"token": 1}, 7, {"tokens": [1e999]}, {"tokens": [2]}]"#;
        let parts: Vec<Independent<DetokenizeRequest>> = serde_json::from_str(json).unwrap();
        let param = |part: &Independent<DetokenizeRequest>| match part.clone().into_result() {
            Ok(request) => format!("{:?}", request.tokens),
            Err(detail) => detail.param.unwrap_or_default(),
        };
        let params: Vec<String> = parts.iter().map(param).collect();
        assert_eq!(params, ["[1]", "tokens[1]", "token", "", "tokens[0]", "[2]"]);
    }

    #[test]
    fn what_is_not_json_is_an_error_of_the_whole() {
        assert!(serde_json::from_str::<Vec<Independent<DetokenizeRequest>>>(r#"[{"tokens": [1}]"#).is_err());
    }
}

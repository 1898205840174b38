//! Serde's complaints as errors of the API: which value, what was found, what is accepted.

use std::fmt::Display;

use crate::api::error::ErrorCode;
use crate::http::error::ApiError;

/// The error for a value that was understood as JSON (or a query string) but is not what the request's type accepts.
///
/// `path` is where it lies, `.` being the whole; `complaint` is serde's.
pub(super) fn refused(path: &impl Display, complaint: &str) -> ApiError {
    let path = path.to_string();
    if let Some(field) = between(complaint, "unknown field `", "`") {
        let known = complaint.split_once(", expected one of ").map_or("none", |(_, known)| known);
        let message = format!("unknown field `{field}`; the fields are {known}");
        return ApiError::new(ErrorCode::UnknownField, message).at(joined(&path, field));
    }
    if let Some(field) = between(complaint, "duplicate field `", "`") {
        let message = format!("`{field}` is given twice; it is accepted once");
        return ApiError::new(ErrorCode::InvalidValue, message).at(joined(&path, field));
    }
    let message = in_plain_words(complaint);
    match path.as_str() {
        "." => ApiError::new(ErrorCode::InvalidValue, message),
        _ => ApiError::new(ErrorCode::InvalidValue, format!("`{path}`: {message}")).at(path),
    }
}

/// The path of `field` in the object at `parent`.
fn joined(parent: &str, field: &str) -> String {
    match parent {
        "." => field.to_owned(),
        _ => format!("{parent}.{field}"),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split_once(end).map(|(inner, _)| inner)
}

/// Rust's names for types mean nothing to a client.
fn in_plain_words(complaint: &str) -> String {
    let Some((found, expected)) = complaint.rsplit_once(", expected ") else { return complaint.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        sequence if sequence.starts_with("a sequence") => "a list",
        other => other,
    };
    format!("{found}, expected {expected}")
}

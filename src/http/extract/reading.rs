//! Serde's complaints as errors of the API: which field, what was found, what was expected.

use std::fmt::Display;

use crate::http::error::{ApiError, Code};

/// The error for a value that was understood as JSON (or a query) but is not what the request's type takes.
///
/// `path` is where it lies, `.` being the whole; `complaint` is serde's.
pub(super) fn refused(path: &impl Display, complaint: &str) -> ApiError {
    let path = path.to_string();
    if let Some(field) = between(complaint, "unknown field `", "`") {
        let known = complaint.split_once(", ").map_or("there are no fields here", |(_, known)| known);
        let at = joined(parent(&path, field), field);
        return ApiError::new(Code::UnknownField, format!("unknown field `{field}`; {known}")).at(at);
    }
    if let Some(field) = between(complaint, "missing field `", "`") {
        let message = format!("`{field}` is missing; it is required");
        return ApiError::new(Code::InvalidValue, message).at(joined(&path, field));
    }
    if let Some(field) = between(complaint, "duplicate field `", "`") {
        let at = joined(parent(&path, field), field);
        return ApiError::new(Code::InvalidValue, format!("`{field}` is given twice; expected once")).at(at);
    }
    let message = in_plain_words(complaint);
    match path.as_str() {
        "." => ApiError::new(Code::InvalidValue, message),
        _ => ApiError::new(Code::InvalidValue, format!("`{path}`: {message}")).at(path),
    }
}

/// The path of the object that holds `field`: some of serde's complaints lie on the field, some on its parent.
fn parent<'a>(path: &'a str, field: &str) -> &'a str {
    match path.strip_suffix(field) {
        Some("") => ".",
        Some(parent) => parent.strip_suffix('.').unwrap_or(path),
        None => path,
    }
}

fn joined(path: &str, field: &str) -> String {
    match path {
        "." => field.to_owned(),
        _ => format!("{path}.{field}"),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split_once(end).map(|(inner, _)| inner)
}

/// Rust's names of types mean nothing to a client.
fn in_plain_words(complaint: &str) -> String {
    let Some((found, expected)) = complaint.rsplit_once(", expected ") else { return complaint.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        struct_name if struct_name.starts_with("struct ") => "an object",
        sequence if sequence.starts_with("a sequence") => "a list",
        other => other,
    };
    format!("{found}, expected {expected}")
}

//! Serde's complaints as errors of the API: which value, what was found, what is accepted.

use serde_json::error::Category;

use super::error::{ErrorCode, ErrorDetail};

/// The error for a value that was understood as JSON (or a query string) but is not what the request's type accepts.
///
/// `path` is where it lies, `.` being the whole; `complaint` is serde's.
pub fn refused(path: &str, complaint: &str) -> ErrorDetail {
    if let Some(field) = between(complaint, "unknown field `", "`") {
        let known = complaint.split_once(", expected one of ").map_or("none", |(_, known)| known);
        let hint = meant(field, known);
        let message = format!("unknown field `{field}`{hint}; the fields are {known}");
        return ErrorDetail::new(ErrorCode::UnknownField, message).at(joined(path, field));
    }
    if let Some(field) = between(complaint, "duplicate field `", "`") {
        let message = format!("`{field}` is given twice; it is accepted once");
        return ErrorDetail::new(ErrorCode::InvalidValue, message).at(joined(path, field));
    }
    let message = in_plain_words(complaint);
    match path {
        "." => ErrorDetail::new(ErrorCode::InvalidValue, message),
        _ => ErrorDetail::new(ErrorCode::InvalidValue, format!("`{path}`: {message}")).at(path),
    }
}

/// What other servers call the fields of this one.
const OTHER_NAMES: [(&str, &[&str]); 9] = [
    ("text", &["prompt", "input", "inputs"]),
    ("prompt", &["messages", "input"]),
    ("max_tokens", &["n_predict", "max_new_tokens", "max_length", "max_completion_tokens"]),
    ("stop", &["stop_sequences", "stop_strings", "stopping_strings"]),
    ("top_logprobs", &["logprobs", "n_probs"]),
    ("banned", &["bad_words", "bad_words_ids"]),
    ("texts", &["prompts"]),
    ("repetition_penalty", &["repeat_penalty"]),
    ("n", &["num_return_sequences"]),
];

/// A question whether another field was meant, if one of the `known` has a name that is mistaken for `field`.
fn meant(field: &str, known: &str) -> String {
    let names =
        OTHER_NAMES.iter().filter(|(_, others)| others.contains(&field)).map(|(name, _)| format!("`{name}`"));
    let mut meant = names.filter(|name| known.contains(name.as_str()));
    meant.next().map_or(String::new(), |name| format!(" (did you mean {name}?)"))
}

/// What serde complains about in a value; `None` if the text is not JSON at all.
pub fn complaint(error: &serde_json::Error) -> Option<String> {
    let complaint = error.to_string();
    let complaint = complaint.strip_suffix(&place(error)).unwrap_or(&complaint);
    // A literal like 1e999 is JSON by its grammar: it is the value that nothing can hold.
    let is_of_value = error.classify() == Category::Data || complaint == "number out of range";
    is_of_value.then(|| complaint.to_owned())
}

/// The end of the error's text, which says where in the document it was found.
fn place(error: &serde_json::Error) -> String {
    format!(" at line {} column {}", error.line(), error.column())
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
        "f32" | "f64" => "a number",
        other => other,
    };
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_server_is_understood_where_this_one_has_its_like() {
        let message =
            |known: &str| refused(".", &format!("unknown field `prompt`, expected one of {known}")).message;
        assert_eq!(
            message("`model`, `text`"),
            "unknown field `prompt` (did you mean `text`?); the fields are `model`, `text`"
        );
        assert_eq!(message("`tokens`"), "unknown field `prompt`; the fields are `tokens`");
    }
}

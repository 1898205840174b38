//! The output of an example as a page shows it.

use super::ordered::{ANYTHING, Ordered, is_digest};
use super::output::DATA;

/// A block of a page.
#[derive(Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) language: &'static str,
    pub(crate) text: String,
}

/// Lays out the output of an example: JSON, or lines of text, some of which may be the data of events.
pub(crate) fn layout(found: &str) -> Layout {
    // A single number is JSON too, but it is shown as text.
    if let Ok(json @ (Ordered::Object(_) | Ordered::Array(_))) = serde_json::from_str(found) {
        return Layout { language: "json", text: json.lines(0) };
    }
    let line = |line: &str| match line.strip_prefix(DATA).map(serde_json::from_str::<Ordered>) {
        Some(Ok(data)) => format!("{DATA}{}", data.line()),
        _ => without_digests(line),
    };
    Layout { language: "text", text: found.trim_end().lines().map(line).collect::<Vec<_>>().join("\n") }
}

fn without_digests(line: &str) -> String {
    let words = line.trim_end().split(' ');
    words.map(|word| if is_digest(word) { ANYTHING } else { word }).collect::<Vec<_>>().join(" ")
}

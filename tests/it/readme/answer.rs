//! An answer as the README shows it: laid out from what came, and compared with it. It is JSON, or lines of text of which some
//! are the data of an event.

use serde_json::Value;

use super::ordered::{ANYTHING, Ordered};

/// Numbers of the README are rounded to seven digits.
const TOLERANCE: f64 = 1e-6;

const DATA: &str = "data: ";

/// The language of the block, and its text.
pub(crate) fn layout(found: &str) -> (&'static str, String) {
    if let Ok(json) = serde_json::from_str::<Ordered>(found) {
        return ("json", json.lines(0));
    }
    let line = |line: &str| match line.strip_prefix(DATA).map(serde_json::from_str::<Ordered>) {
        Some(Ok(data)) => format!("{DATA}{}", data.line()),
        _ => line.to_owned(),
    };
    ("text", found.trim_end().lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// What is different, if anything is.
pub(crate) fn difference(expected: &str, found: &str) -> Option<String> {
    if let (Ok(expected), Ok(found)) = (serde_json::from_str(expected), serde_json::from_str(found)) {
        return json_difference("", &expected, &found);
    }
    let (expected, found): (Vec<&str>, Vec<&str>) =
        (expected.trim_end().lines().collect(), found.trim_end().lines().collect());
    if expected.len() != found.len() {
        return Some(format!("found {} lines, expected {}", found.len(), expected.len()));
    }
    expected.iter().zip(found).find_map(|(expected, found)| line_difference(expected, found))
}

fn line_difference(expected: &str, found: &str) -> Option<String> {
    let data = |line: &str| line.strip_prefix(DATA).and_then(|data| serde_json::from_str(data).ok());
    if let (Some(expected), Some(found)) = (data(expected), data(found)) {
        return json_difference("", &expected, &found);
    }
    let (words, found_words): (Vec<&str>, Vec<&str>) =
        (expected.split_whitespace().collect(), found.split_whitespace().collect());
    let same = |(expected, found): (&&str, &&str)| match (expected.parse(), found.parse()) {
        (Ok(expected), Ok(found)) => close(expected, found),
        _ => expected == found,
    };
    let all = words.len() == found_words.len() && words.iter().zip(&found_words).all(same);
    (!all).then(|| format!("found {found:?}, expected {expected:?}"))
}

fn json_difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    let differs = || Some(format!("`{path}` is {found}, expected {expected}"));
    match (expected, found) {
        (Value::String(text), _) if text == ANYTHING => None,
        (Value::Number(a), Value::Number(b)) if !close(a.as_f64()?, b.as_f64()?) => differs(),
        (Value::Number(_), Value::Number(_)) => None,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(index, (a, b))| json_difference(&format!("{path}[{index}]"), a, b))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| json_difference(&format!("{path}.{key}"), value, &b[key]))
        }
        (expected, found) if expected == found => None,
        _ => differs(),
    }
}

fn close(expected: f64, found: f64) -> bool {
    (expected - found).abs() <= TOLERANCE * expected.abs().max(found.abs())
}

#[test]
fn differences_are_seen_and_roundings_are_not() {
    let json = r#"{"b": [1.2345678901, "x"], "created_at": "2026-01-01T00:00:00Z", "a": null}"#;
    let (language, laid_out) = layout(json);
    assert_eq!(
        (language, laid_out.as_str()),
        ("json", r#"{"b": [1.234568, "x"], "created_at": "…", "a": null}"#)
    );
    assert_eq!(difference(&laid_out, json), None);
    for other in [r#"{"b": [1.23457, "x"], "created_at": "", "a": null}"#, r#"{"b": [1.234568, "x"]}"#, "[]"]
    {
        assert!(difference(&laid_out, other).is_some(), "{other}");
    }
    let events = "event: token\ndata: {\"p\":0.25}\n\n";
    assert_eq!(layout(events), ("text", "event: token\ndata: {\"p\": 0.25}".to_owned()));
    assert_eq!(difference("event: token\ndata: {\"p\": 0.25}", events), None);
    assert!(difference("event: token\ndata: {\"p\": 0.26}", events).is_some());
    assert_eq!(difference("perplexity  4.5000000", "perplexity 4.50000001\n"), None);
    assert!(difference("perplexity 4.5", "perplexity 4.6").is_some() && difference("a", "a\nb").is_some());
}

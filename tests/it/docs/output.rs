//! The comparison of an example's output with the output on the page.

use serde_json::Value;

use super::ordered::ANYTHING;

/// The largest relative difference, since numbers on a page are rounded to seven digits.
const TOLERANCE: f64 = 1e-6;

/// The prefix of an event's data.
pub(crate) const DATA: &str = "data: ";

/// The first difference; `None` if there is none.
pub(crate) fn difference(expected: &str, found: &str) -> Option<String> {
    if let (Ok(expected), Ok(found)) = (serde_json::from_str(expected), serde_json::from_str(found)) {
        return json_difference("", &expected, &found);
    }
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let found: Vec<&str> = found.trim_end().lines().collect();
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
    let words: Vec<&str> = expected.split_whitespace().collect();
    let found_words: Vec<&str> = found.split_whitespace().collect();
    let same = |(expected, found): (&&str, &&str)| match (expected.parse(), found.parse()) {
        (Ok(expected), Ok(found)) => close(expected, found),
        _ => *expected == ANYTHING || expected == found,
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

#[cfg(test)]
mod tests {
    use super::super::layout::{Layout, layout};
    use super::*;

    fn laid_out(language: &'static str, text: &str) -> Layout {
        Layout { language, text: text.to_owned() }
    }

    #[test]
    fn values_and_keys_of_json_are_compared_but_not_their_rounding() {
        let digest = "0123456789abcdef".repeat(4);
        let json = format!(
            r#"{{"b": [1.2345678901, "x"], "created_at": "2026-01-01T00:00:00Z", "created": 17, "identity": "{digest}", "a": null}}"#
        );
        let expected =
            r#"{"b": [1.234568, "x"], "created_at": "…", "created": "…", "identity": "…", "a": null}"#;
        assert_eq!(layout(&json), laid_out("json", expected));
        assert_eq!(difference(expected, &json), None);
        for other in [json.replace("1.2345678901", "1.23457"), json.replace("null", "1"), "[]".to_owned()] {
            assert!(difference(expected, &other).is_some(), "{other}");
        }
    }

    #[test]
    fn the_data_of_events_is_compared_as_json() {
        let events = "event: token\ndata: {\"p\":0.25}\n\n";
        assert_eq!(layout(events), laid_out("text", "event: token\ndata: {\"p\": 0.25}"));
        assert_eq!(difference("event: token\ndata: {\"p\": 0.25}", events), None);
        assert!(difference("event: token\ndata: {\"p\": 0.26}", events).is_some());
    }

    #[test]
    fn lines_are_compared_word_by_word() {
        assert_eq!(difference("perplexity  4.5000000", "perplexity 4.50000001\n"), None);
        assert_eq!(difference("identity …", "identity abc"), None);
        assert!(difference("perplexity 4.5", "perplexity 4.6").is_some());
        assert!(difference("a", "a\nb").is_some() && difference("a …", "b c").is_some());
    }
}

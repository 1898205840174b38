//! Text inside an error message.

/// `text` with what cannot be seen escaped. Quotes stay as they are: `escape_debug` of a whole string would put a backslash before them.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_seen_is_escaped() {
        assert_eq!(visible("don't “é”\n\u{200b}\\"), "don't “é”\\n\\u{200b}\\\\");
    }
}

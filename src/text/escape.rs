//! Text that is quoted in an error message.

/// `text` with its invisible characters escaped. Quotes are left unchanged, unlike by `str::escape_debug`, which would put a
/// backslash before them.
pub(crate) fn escape_invisible(text: &str) -> String {
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
    fn only_invisible_characters_and_backslashes_are_escaped() {
        assert_eq!(escape_invisible("don't “é”\n\u{200b}\\"), "don't “é”\\n\\u{200b}\\\\");
    }
}

//! UTF-8 that arrives in pieces: which bytes at the end may yet become a character.

/// Length of the character at the end of `bytes` that is not complete yet; 0 when there is none.
pub(super) fn incomplete_len(bytes: &[u8]) -> usize {
    let begun = |len: &usize| {
        let error = std::str::from_utf8(&bytes[bytes.len() - len..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(begun).unwrap_or(0)
}

/// The text of `bytes` without the character that is not complete yet; U+FFFD for what cannot be one.
pub(super) fn whole_chars(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len() - incomplete_len(bytes)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_become_a_character_is_incomplete() {
        for (bytes, len) in [
            (&b""[..], 0),
            (b"a", 0),
            ("aé".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            (b"\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"\x80", 0),
            (b"\xe0\x80", 0),
            (b"\xff", 0),
            (b"\xe2\xc3", 1),
        ] {
            assert_eq!(incomplete_len(bytes), len, "{bytes:x?}");
        }
        assert_eq!(whole_chars(b"a\x80\xe2\x82"), "a\u{fffd}");
    }
}

//! UTF-8 that arrives in pieces: which bytes at the end are an incomplete character.

/// The length of the incomplete character at the end of `bytes`; 0 if there is none.
pub(super) fn incomplete_len(bytes: &[u8]) -> usize {
    let is_incomplete = |len: &usize| {
        let error = std::str::from_utf8(&bytes[bytes.len() - len..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(is_incomplete).unwrap_or(0)
}

/// The text of `bytes` without the incomplete character at the end, with U+FFFD for bytes that cannot be part of a character.
pub(super) fn whole_chars(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len() - incomplete_len(bytes)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_valid_character_is_incomplete() {
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

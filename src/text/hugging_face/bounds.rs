//! What a `tokenizer.json` asks for, bounded by its own bytes before the crate reads it.
//!
//! The crate takes the file at its word: it allocates what a character map claims to hold, and applies rules that make a text longer as
//! often as they are listed.

use serde_json::Value;

/// The most bytes that the rules of a file may make of one.
pub(in crate::text) const GROWTH_MAX: usize = 256;

/// Checks the rules of a file: those that normalise a text, and those that decode a token.
pub(super) fn check_rules(key: &str, rules: &Value) -> Result<(), String> {
    let growth = growth(rules).map_err(|why| format!("`{key}`: {why}"))?;
    match growth <= GROWTH_MAX {
        true => Ok(()),
        false => Err(format!("`{key}`: its rules may make a text more than {GROWTH_MAX} times as long")),
    }
}

/// How many bytes a rule may make of one; saturating.
fn growth(rule: &Value) -> Result<usize, String> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "Sequence" => {
            let rules = ["normalizers", "decoders"].into_iter().filter_map(|key| rule.get(key)?.as_array());
            let growths = rules.flatten().map(growth);
            growths.into_iter().try_fold(1usize, |product, growth| Ok(product.saturating_mul(growth?)))
        }
        "Replace" => {
            let content = text("content").len();
            let pattern = rule.get("pattern").and_then(|pattern| pattern.get("String")?.as_str());
            // An expression may match between any two bytes.
            Ok(pattern.map_or(1 + content, |pattern| content.div_ceil(pattern.len().max(1)).max(1)))
        }
        "Prepend" => Ok(1 + text("prepend").len()),
        "Precompiled" => longest_replacement(text("precompiled_charsmap")),
        _ => Ok(1),
    }
}

/// The length of the longest replacement of a character map of SentencePiece, in Base64: the bytes of a trie, the trie, and
/// replacements that end in a zero.
fn longest_replacement(charsmap: &str) -> Result<usize, String> {
    let bytes = base64(charsmap).ok_or("`precompiled_charsmap` is not Base64")?;
    let found = bytes.len();
    let (len, rest) = bytes.split_first_chunk().ok_or("`precompiled_charsmap` is empty")?;
    let trie = u32::from_le_bytes(*len) as usize;
    let replacements = rest.get(trie..).ok_or_else(|| {
        format!("`precompiled_charsmap` claims a trie of {trie} bytes, and has {found} bytes in all")
    })?;
    let longest = replacements.split(|&byte| byte == 0).map(<[u8]>::len).max();
    Ok(longest.unwrap_or(0).max(1))
}

/// The bytes of a text in the standard alphabet of RFC 4648.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().try_fold(0u32, |bits, &byte| Some(bits << 6 | u32::from(digit(byte)?)))?;
        let missing = 4 - group.len();
        let whole = (bits << (6 * missing)).to_be_bytes();
        bytes.extend_from_slice(whole.get(1..4 - missing)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("//+/", b"\xff\xff\xbf")]
        {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(base64("Zm9v!"), None);
        assert_eq!(base64("Z"), Some(Vec::new()));
    }

    #[test]
    fn rules_multiply() {
        let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        assert_eq!(growth(&replace), Ok(2));
        let sequence = |len: usize| json!({"type": "Sequence", "normalizers": vec![replace.clone(); len]});
        assert!(check_rules("normalizer", &sequence(8)).is_ok());
        assert!(check_rules("normalizer", &sequence(9)).is_err());
        assert!(check_rules("normalizer", &sequence(4000)).is_err(), "the product saturates");
        let nested = json!({"type": "Sequence", "decoders": [sequence(5), sequence(5)]});
        assert_eq!(growth(&nested), Ok(1024));
        let shorter = json!({"type": "Replace", "pattern": {"String": "abc"}, "content": ""});
        assert_eq!(growth(&shorter), Ok(1));
        let between = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "abc"});
        assert_eq!(growth(&between), Ok(4));
        assert_eq!(growth(&json!({"type": "Prepend", "prepend": "\u{2581}"})), Ok(4));
    }

    #[test]
    fn a_character_map_is_read_before_it_is_believed() {
        let map = |text: &str| growth(&json!({"type": "Precompiled", "precompiled_charsmap": text}));
        // A trie of four bytes, then the replacements `xy` and `abc`.
        assert_eq!(map("BAAAAAAAAAB4eQBhYmMA"), Ok(3));
        assert_eq!(map("AAAAAA=="), Ok(1));
        let refused = map("/////w==").unwrap_err();
        assert!(refused.contains("4294967295 bytes, and has 4 bytes"), "{refused}");
    }
}

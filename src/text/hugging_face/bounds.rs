//! How much longer the rules of a `tokenizer.json` may make a text, which is read from the file.
//!
//! The crate takes the file at its word: it allocates what a character map claims to hold, and applies rules that make a text longer as
//! often as they are listed.

use serde_json::Value;

/// The most bytes that the rules of one part of a file may make of one, beside what Unicode makes of it.
pub(in crate::text) const GROWTH_MAX: usize = 256;

/// How much longer a rule may make a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// The most bytes that become of one.
    factor: usize,
    /// The most bytes that are added to each text beside.
    added: usize,
    source: Source,
}

/// Who says what becomes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The file, with a string that replaces another or is put before a text.
    File,
    /// The file: each byte becomes a character.
    Bytes,
    /// The file, for each character or a few.
    Map,
    /// Unicode, for each character or a few.
    Unicode,
}

impl Growth {
    pub(super) const NONE: Self = Self { factor: 1, added: 0, source: Source::File };

    fn of_file(factor: usize, added: usize) -> Self {
        Self { factor: factor.max(1), added, source: Source::File }
    }

    fn of_unicode(factor: usize) -> Self {
        Self { factor, added: 0, source: Source::Unicode }
    }

    /// The most bytes that become of `texts` texts of `bytes` bytes in all.
    pub(super) fn most(self, bytes: usize, texts: usize) -> usize {
        bytes.saturating_mul(self.factor).saturating_add(texts.saturating_mul(self.added))
    }

    /// Whether the rule looks at a few characters at once, and makes much more of some characters than of the usual ones. What it makes of a text is
    /// then what it makes of its pieces.
    pub(super) fn is_of_rare_characters(self) -> bool {
        matches!(self.source, Source::Map | Source::Unicode) && self.factor > 4
    }

    /// Whether the rule writes each byte of a text as a character.
    pub(super) fn is_byte_level(self) -> bool {
        self.source == Source::Bytes
    }

    /// Whether the rule makes no text longer.
    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// Checks the rules under `key`: those that normalise a text, those that split it, and those that decode a token. What Unicode makes of a
/// text is not counted: it makes the most of a few characters, which others do not become, and published files have it beside a character map.
pub(super) fn check_rules(key: &str, rules: &Value) -> Result<(), String> {
    let growth = product(rules).map_err(|why| format!("`{key}`: {why}"))?;
    match growth <= GROWTH_MAX {
        true => Ok(()),
        false => Err(format!("`{key}`: its rules may make a text more than {GROWTH_MAX} times as long")),
    }
}

/// How many bytes the rules may make of one; saturating.
fn product(rule: &Value) -> Result<usize, String> {
    let listed = ["normalizers", "pretokenizers", "decoders"];
    let mut lists = listed.into_iter().filter_map(|key| rule.get(key)?.as_array()).peekable();
    if lists.peek().is_some() {
        let mut products = lists.flatten().map(product);
        return products.try_fold(1usize, |all, product| Ok(all.saturating_mul(product?)));
    }
    let growth = growth(rule)?;
    Ok(if growth.source == Source::Unicode { 1 } else { growth.factor.max(1 + growth.added) })
}

/// How much longer a rule may make a text, if it is none that lists others. Most are known by their fields, because the crate reads them without a
/// `type` too.
pub(super) fn growth(rule: &Value) -> Result<Growth, String> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    if let (Some(pattern), Some(content)) = (rule.get("pattern"), text("content")) {
        let pattern = pattern.get("String").and_then(Value::as_str).unwrap_or_default();
        return Ok(match pattern.len() {
            // An expression and an empty string may match between any two bytes, and at both ends.
            0 => Growth::of_file(1 + content.len(), content.len()),
            len => Growth::of_file(content.len().div_ceil(len), 0),
        });
    }
    if let Some(prepended) = text("prepend") {
        return Ok(Growth::of_file(1, prepended.len()));
    }
    if let Some(replacement) = text("replacement") {
        return Ok(Growth::of_file(replacement.len(), replacement.len()));
    }
    if let Some(charsmap) = text("precompiled_charsmap") {
        return Ok(Growth { factor: longest_replacement(charsmap)?, added: 0, source: Source::Map });
    }
    let has_prefix = rule.get("add_prefix_space") == Some(&true.into());
    Ok(match text("type").unwrap_or_default() {
        // A space before a text, if it gets one, is written as two bytes too.
        "ByteLevel" => Growth { factor: 2, added: 2 * usize::from(has_prefix), source: Source::Bytes },
        "NFC" | "NFD" => Growth::of_unicode(3),
        // U+FDFA becomes 18 characters.
        "NFKC" | "NFKD" => Growth::of_unicode(11),
        // U+023A.
        "Lowercase" => Growth::of_unicode(2),
        // It decomposes, as NFD does.
        "BertNormalizer" => Growth::of_unicode(3),
        _ => Growth::NONE,
    })
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
    use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

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
        assert_eq!(product(&replace), Ok(2));
        let sequence = |len: usize| json!({"type": "Sequence", "normalizers": vec![replace.clone(); len]});
        assert!(check_rules("normalizer", &sequence(8)).is_ok());
        assert!(check_rules("normalizer", &sequence(9)).is_err());
        assert!(check_rules("normalizer", &sequence(4000)).is_err(), "the product saturates");
        let nested = json!({"type": "Sequence", "decoders": [sequence(5), sequence(5)]});
        assert_eq!(product(&nested), Ok(1024));
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let splits = |len: usize| json!({"type": "Sequence", "pretokenizers": vec![byte_level.clone(); len]});
        assert_eq!((product(&splits(8)), product(&splits(9))), (Ok(256), Ok(512)));
        let unicode = ["NFKD", "Lowercase", "NFKC", "NFC", "NFD"].map(|form| json!({"type": form}));
        assert_eq!(product(&json!({"normalizers": unicode})), Ok(1));
    }

    #[test]
    fn a_rule_has_the_growth_of_its_strings_with_and_without_a_type() {
        let most = |rule: Value, bytes: usize| growth(&rule).unwrap().most(bytes, 1);
        let replace = |pattern: Value, content: &str| json!({"pattern": pattern, "content": content});
        assert_eq!(most(replace(json!({"String": "ab"}), "xyz"), 10), 20);
        assert_eq!(most(replace(json!({"String": "abc"}), ""), 10), 10);
        for anywhere in [json!({"Regex": ""}), json!({"String": ""})] {
            assert_eq!(most(replace(anywhere, "xyz"), 10), 10 + 11 * 3);
        }
        assert_eq!(most(json!({"prepend": "\u{2581}"}), 10), 13);
        assert_eq!(most(json!({"type": "Metaspace", "replacement": "\u{2581}"}), 10), 33);
        assert_eq!(most(json!({"type": "ByteLevel"}), 10), 20);
        assert_eq!(most(json!({"type": "ByteLevel", "add_prefix_space": true}), 10), 22);
        assert_eq!(most(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}), 10), 10);
    }

    /// Every character alone. What a normal form makes of a text is no longer than what it makes of its characters, because a composed character is
    /// no longer than its parts.
    #[test]
    fn what_unicode_makes_of_a_character_is_bounded() {
        let mut bert = json!({"clean_text": true, "handle_chinese_chars": true, "lowercase": true});
        bert["type"] = "BertNormalizer".into();
        bert["strip_accents"] = true.into();
        let mut rules: Vec<Value> = vec![bert];
        rules.extend(["NFC", "NFD", "NFKC", "NFKD", "Lowercase"].map(|form| json!({"type": form})));
        for rule in rules {
            let normalizer: NormalizerWrapper = serde_json::from_value(rule.clone()).unwrap();
            let times = |c: char| {
                let mut text = NormalizedString::from(c.to_string());
                normalizer.normalize(&mut text).unwrap();
                text.get().len().div_ceil(c.len_utf8())
            };
            let found = ('\0'..=char::MAX).map(times).max().unwrap();
            let Growth { factor, source, .. } = growth(&rule).unwrap();
            assert_eq!(source, Source::Unicode, "{rule}");
            // Bert's rules decompose, and then drop what NFD has added.
            let expected = if rule["type"] == "BertNormalizer" { 2..=factor } else { factor..=factor };
            assert!(expected.contains(&found), "{rule}: {found}");
        }
    }

    #[test]
    fn a_character_map_is_read_before_it_is_believed() {
        let map = |text: &str| product(&json!({"type": "Precompiled", "precompiled_charsmap": text}));
        // A trie of four bytes, then the replacements `xy` and `abc`.
        assert_eq!(map("BAAAAAAAAAB4eQBhYmMA"), Ok(3));
        assert_eq!(map("AAAAAA=="), Ok(1));
        let refused = map("/////w==").unwrap_err();
        assert!(refused.contains("4294967295 bytes, and has 4 bytes"), "{refused}");
    }
}

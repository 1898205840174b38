//! The memory of encodings with a `tokenizer.json` whose rules make a text longer, and what such a file may ask for.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::text::memory::tests::{Counted, IDS};

/// `file` with other rules.
fn with(file: &str, rules: &[(&str, Value)]) -> String {
    let mut file: Value = serde_json::from_str(file).unwrap();
    for (key, rule) in rules {
        file[key] = rule.clone();
    }
    file.to_string()
}

fn normalizers(rules: impl IntoIterator<Item = Value>) -> Value {
    json!({"type": "Sequence", "normalizers": rules.into_iter().collect::<Vec<_>>()})
}

fn byte_level_splits(len: usize) -> Value {
    let rule =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    json!({"type": "Sequence", "pretokenizers": vec![rule; len]})
}

/// A character map of SentencePiece that replaces `q`, and no other character, by 33 bytes: as many as the longest replacement of NFKC has.
fn character_map() -> Value {
    let mut trie = [0u32; 256];
    let label = u32::from(b'q');
    let offset = 1;
    let has_leaf = 1 << 8;
    trie[label as usize] = offset << 10 | has_leaf | label;
    let leaf = 1 << 31;
    trie[(label ^ offset) as usize] = leaf;
    let mut bytes = (4 * trie.len() as u32).to_le_bytes().to_vec();
    trie.iter().for_each(|unit| bytes.extend(unit.to_le_bytes()));
    bytes.extend([b'x'; 33]);
    bytes.push(0);
    json!({"type": "Precompiled", "precompiled_charsmap": base64(&bytes)})
}

/// The Base64 of bytes whose number is a multiple of three.
fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (groups, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "{} bytes", bytes.len());
    let of_group = |&[a, b, c]: &[u8; 3]| {
        let bits = u32::from_be_bytes([0, a, b, c]);
        [18, 12, 6, 0].map(|shift| char::from(digits[(bits >> shift & 63) as usize]))
    };
    groups.iter().flat_map(of_group).collect()
}

/// A file in the manner of SentencePiece: a character map, a normal form, and words that begin with a mark.
fn sentence_piece() -> String {
    let spaces = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u{2581}"});
    let words =
        json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true});
    let rules = normalizers([json!({"type": "NFKC"}), character_map(), json!({"type": "Lowercase"}), spaces]);
    with(BYTE_FALLBACK, &[("normalizer", rules), ("pre_tokenizer", words)])
}

/// Files, and texts of which their rules make much more.
fn growing() -> Vec<(String, String)> {
    let byte_level = || json!({"type": "ByteLevel"});
    let replace = json!({"pattern": {"String": "q"}, "content": "the old sea, the old man"});
    let with = |file: &str, key: &str, rule: Value| with(file, &[(key, rule)]);
    vec![
        (with(BYTE_FALLBACK, "normalizer", normalizers(vec![byte_level(); 6])), "\u{e9}".into()),
        (with(BYTE_LEVEL, "pre_tokenizer", byte_level_splits(6)), "\u{e9}".into()),
        (with(BYTE_FALLBACK, "normalizer", json!({"type": "NFKC"})), "\u{fdfa}".into()),
        (with(BYTE_FALLBACK, "normalizer", json!({"type": "NFKD"})), "\u{fdfa}".into()),
        (with(BYTE_FALLBACK, "normalizer", character_map()), "q".into()),
        (with(BYTE_FALLBACK, "normalizer", normalizers([replace])), "q".into()),
    ]
}

#[test]
fn what_rules_make_of_a_text_is_counted() {
    for (file, character) in growing() {
        let tokenizer = hugging_face(&file, |_| ());
        for count in [100, 10_000] {
            let text = character.repeat(count);
            let mut memory = Counted::to(usize::MAX);
            let encoding = tokenizer.encode_within(&text, IDS, &mut memory).unwrap();
            let tokens = encoding.tokens.len();
            assert!(tokens > 4 * text.len(), "{tokens} tokens of {} bytes: {file:.300}", text.len());
            assert!(memory.peak > 300 * tokens, "{} for {tokens} tokens: {file:.300}", memory.peak);
        }
    }
}

#[test]
fn a_text_that_rules_make_too_long_is_refused_before_they_run() {
    for (file, character) in growing() {
        let tokenizer = hugging_face(&file, |_| ());
        let text = character.repeat(100_000);
        let enough_for_an_ordinary_text = 600 * text.len();
        let refused = tokenizer.encode_within(&text, IDS, &mut Counted::to(enough_for_an_ordinary_text));
        assert_eq!(refused.unwrap_err().kind, ErrorKind::TooLarge, "{file:.300}");
    }
}

#[test]
fn a_text_that_one_rule_makes_long_and_another_short_is_refused_too() {
    let long = json!({"type": "Replace", "pattern": {"String": "q"}, "content": "the old sea, the old man"});
    let short = json!({"type": "Replace", "pattern": {"Regex": ".+"}, "content": ""});
    let file = with(BYTE_FALLBACK, &[("normalizer", normalizers([long, short]))]);
    let tokenizer = hugging_face(&file, |_| ());
    let text = "q".repeat(100_000);
    let encoded = tokenizer.encode_within(&text, IDS, &mut Counted::to(usize::MAX)).unwrap();
    assert!(encoded.tokens.is_empty(), "{} tokens", encoded.tokens.len());
    let refused = tokenizer.encode_within(&text, IDS, &mut Counted::to(600 * text.len()));
    assert_eq!(refused.unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn ordinary_files_and_texts_take_little_more_than_a_token_for_each_byte() {
    for (kind, file) in [
        ("byte level", BYTE_LEVEL.to_owned()),
        ("byte fallback", BYTE_FALLBACK.to_owned()),
        ("word pieces", WORDPIECE.to_owned()),
        ("sentence pieces", sentence_piece()),
    ] {
        let tokenizer = hugging_face(&file, |_| ());
        for line in ["Seaside fishermen remembered everything. ", "\u{6d77}\u{8001}\u{4eba}\u{306e}\u{8239}"]
        {
            let text = line.repeat(2000);
            let mut memory = Counted::to(usize::MAX);
            tokenizer.encode_within(&text, IDS, &mut memory).unwrap();
            let each = memory.peak / text.len();
            assert!((320..=520).contains(&each), "{kind}: {each} bytes for each of {line:?}");
        }
    }
}

#[test]
fn memory_is_given_back_however_an_encoding_ends() {
    let file = with(BYTE_FALLBACK, &[("normalizer", json!({"type": "NFKC"}))]);
    let drops = file.replace("\"unk_token\":\"<unk>\"", "\"unk_token\":null");
    let drops = drops.replace("\"byte_fallback\":true", "\"byte_fallback\":false");
    let tokenizer = hugging_face(&drops, |_| ());
    let mut memory = Counted::to(usize::MAX);
    let encoding = tokenizer.encode_within("the sea", IDS, &mut memory).unwrap();
    assert!(memory.taken < encoding.bytes() + 100, "{}", memory.taken);
    let refused = tokenizer.encode_within("the \u{c9}", IDS, &mut memory).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::UnknownToken);
}

#[test]
fn rules_that_grow_without_measure_are_refused() {
    let refused = |rules: &[(&str, Value)]| {
        let spec = TokenizerSpec::new(TokenizerKind::HuggingFace);
        let loaded = Tokenizer::new(&spec, with(BYTE_FALLBACK, rules).as_bytes());
        loaded.err().map(|error| error.message)
    };
    let twice = json!({"pattern": {"String": "a"}, "content": "aa"});
    let byte_level = json!({"type": "ByteLevel"});
    for (key, rules) in [
        ("normalizer", [8, 9].map(|len| normalizers(vec![byte_level.clone(); len]))),
        ("normalizer", [8, 9].map(|len| normalizers(vec![twice.clone(); len]))),
        ("pre_tokenizer", [8, 9].map(byte_level_splits)),
    ] {
        let [most, more] = rules;
        assert_eq!(refused(&[(key, most)]), None);
        let message = refused(&[(key, more)]).unwrap();
        let expected = format!("`{key}`: its rules may make a text more than 256 times as long");
        assert!(message.contains(&expected), "{message}");
    }
}

proptest! {
    #[test]
    fn step_by_step_a_text_has_the_tokens_that_the_crate_gives(text in r"(?:the|old| sea|  |<s>|\[SEP\]|q|\s|\u{e9}|e\u{301}|\u{fdfa}|\PC){0,30}") {
        let split = json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level_splits(1)]});
        for file in [
            BYTE_LEVEL.to_owned(),
            BYTE_FALLBACK.to_owned(),
            WORDPIECE.to_owned(),
            sentence_piece(),
            with(BYTE_LEVEL, &[("pre_tokenizer", split)]),
        ] {
            let encoding = hugging_face(&file, |_| ()).encode(&text).unwrap();
            let by_crate = tokenizers::Tokenizer::from_bytes(&file).unwrap().encode(&*text, false).unwrap();
            prop_assert_eq!(&encoding.tokens[..], by_crate.get_ids());
        }
    }
}

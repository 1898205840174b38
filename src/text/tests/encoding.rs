//! Text to tokens: ids, spans and unknown words.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::text::{Joint, Tail, Wanted};

const SEA: &[&str] = &["<unk>", "<eos>", "the", "old", "sea", "straße", "é"];

#[test]
fn a_whitespace_tokenizer_splits_at_unicode_white_space() {
    let tokenizer = tokenizer(TokenizerKind::Whitespace, SEA, words_and_lines);
    assert_eq!(
        entries(&tokenizer, "the\u{a0}old \t sea\n\n the"),
        ["the", "old", "sea", "<eos>", "<eos>", "the"]
    );
    assert_eq!(entries(&tokenizer, "the sea,"), ["the", "<unk>"]);
    assert_eq!(entries(&tokenizer, " \t "), [""; 0]);
}

#[test]
fn without_a_newline_token_line_ends_are_white_space_or_characters() {
    let words = tokenizer(TokenizerKind::Whitespace, SEA, |_| ());
    assert_eq!(entries(&words, "the\r\nold\n"), ["the", "old"]);
    let chars = tokenizer(TokenizerKind::Char, &["a", "\n", "\r", "\\", "\t"], |_| ());
    assert_eq!(entries(&chars, "a\r\n\\\t"), ["a", "\r", "\n", "\\", "\t"]);
}

#[test]
fn with_a_newline_token_carriage_returns_are_dropped() {
    let words = tokenizer(TokenizerKind::Word, SEA, words_and_lines);
    assert_eq!(entries(&words, "the\r\nold\r\n"), ["the", "<eos>", "old", "<eos>"]);
    assert_eq!(spans(&words, "the\r\nold\r\n"), ["the", "\n", "old", "\n"]);
    let chars = tokenizer(TokenizerKind::Char, &["a", "<n>"], |spec| spec.newline = Some("<n>".into()));
    assert_eq!(entries(&chars, "a\r\na"), ["a", "<n>", "a"]);
}

#[test]
fn spans_are_of_the_given_text_although_it_is_lowercased_and_replaced() {
    let tokenizer = tokenizer(
        TokenizerKind::Word,
        &["<unk>", "<eos>", "i\u{307}stanbul", "οδοσ", "...", "it", "'s"],
        |spec| {
            words_and_lines(spec);
            spec.lowercase = true;
            spec.replace = vec![("’".into(), "'".into()), ("…".into(), "...".into())];
            spec.pattern = Some(format!(r"\.\.\.|{}", super::super::DEFAULT_PATTERN));
        },
    );
    let text = "İSTANBUL ΟΔΟΣ… It’s";
    assert_eq!(entries(&tokenizer, text), ["i\u{307}stanbul", "οδοσ", "...", "it", "'s"]);
    assert_eq!(spans(&tokenizer, text), ["İSTANBUL", "ΟΔΟΣ", "…", "It", "’s"]);
}

#[test]
fn unknown_words_and_literal_unknown_tokens_are_counted() {
    let tokenizer = tokenizer(TokenizerKind::Whitespace, SEA, words_and_lines);
    let encoding = tokenizer.encode("the 😀 <unk> sea é é").unwrap();
    assert_eq!(encoding.unknown, [1, 2]);
    assert_eq!((encoding.unknown_count(), encoding.char_count), (2, 19));
    assert_eq!(encoding.spans[1..4], [4..5, 6..11, 12..15]);
}

#[test]
fn text_that_the_pattern_does_not_match_is_unknown_even_if_it_is_an_entry() {
    let tokenizer = tokenizer(TokenizerKind::Word, &["<unk>", "<eos>", "a", "-"], |spec| {
        words_and_lines(spec);
        spec.pattern = Some("[a-z]".into());
    });
    let encoding = tokenizer.encode("a-- a").unwrap();
    assert_eq!((encoding.tokens, encoding.unknown), (vec![2, 0, 2], vec![1]));
}

#[test]
fn without_an_unknown_token_the_error_names_the_word_and_its_offset() {
    for (kind, text, message) in [
        (TokenizerKind::Whitespace, "old\u{2003}é sea!", "`sea!` at character 6"),
        (TokenizerKind::Word, "é <b", "`<` at character 2"),
        (TokenizerKind::Char, "éé\u{1b}", r"`\u{1b}` at character 2"),
    ] {
        let tokenizer = tokenizer(kind, &SEA[2..], |_| ());
        let error = tokenizer.encode(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownToken);
        assert!(
            error.message.starts_with(&format!("{message} is not in the vocabulary")),
            "{}",
            error.message
        );
    }
}

#[test]
fn a_long_unknown_word_is_truncated_in_the_error() {
    let error = tokenizer(TokenizerKind::Whitespace, SEA, |_| ()).encode(&"x".repeat(100)).unwrap_err();
    assert!(
        error.message.starts_with(&format!("`{}...` at character 0", "x".repeat(40))),
        "{}",
        error.message
    );
}

#[test]
fn the_joint_is_open_after_white_space_that_was_dropped() {
    let words = tokenizer(TokenizerKind::Whitespace, SEA, words_and_lines);
    let chars = tokenizer(TokenizerKind::Char, &["a", " "], |_| ());
    for (tokenizer, text, joint) in [
        (&words, "", Joint::Open),
        (&words, "the", Joint::Closed),
        (&words, "the ", Joint::Open),
        (&words, "\u{a0}", Joint::Open),
        (&words, "the\r", Joint::Closed),
        (&chars, "", Joint::Open),
        (&chars, "a ", Joint::Closed),
    ] {
        assert_eq!(tokenizer.encode(text).unwrap().joint, joint, "{text:?}");
    }
}

#[test]
fn white_space_alone_opens_the_joint_and_an_empty_text_changes_nothing() {
    let words = tokenizer(TokenizerKind::Whitespace, SEA, words_and_lines);
    let mut tail = Tail::default();
    for (text, joint) in [("the", Joint::Closed), ("", Joint::Closed), (" ", Joint::Open), ("", Joint::Open)]
    {
        words.encode(text).unwrap().extend(&mut tail);
        assert_eq!((tail.tokens(), tail.joint), (&[2][..], joint), "after {text:?}");
    }
}

#[test]
fn special_entries_must_be_in_the_vocabulary() {
    for key in ["unk", "eos", "newline"] {
        let mut spec = TokenizerSpec::new(TokenizerKind::Whitespace);
        *match key {
            "unk" => &mut spec.unk,
            "eos" => &mut spec.eos,
            _ => &mut spec.newline,
        } = Some("<x>".into());
        let error = Tokenizer::new(&spec, b"the\n").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Load);
        assert_eq!(error.message, format!("`{key}` is `<x>`, which is not in the vocabulary"));
    }
}

#[test]
fn a_pattern_is_accepted_only_with_a_word_tokenizer() {
    let spec = TokenizerSpec { pattern: Some("x".into()), ..TokenizerSpec::new(TokenizerKind::Char) };
    let message = Tokenizer::new(&spec, b"x").err().unwrap().message;
    assert_eq!(message, "`pattern` is set although `kind` is `char`; it is accepted only with `word`");
}

#[test]
fn the_hash_covers_the_file_and_every_rule() {
    let rules: [fn(&mut TokenizerSpec); 9] = [
        |_| (),
        |spec| spec.kind = TokenizerKind::Char,
        |spec| spec.kind = TokenizerKind::Word,
        |spec| spec.unk = Some("<unk>".into()),
        |spec| spec.eos = Some("<unk>".into()),
        |spec| spec.newline = Some("<unk>".into()),
        |spec| spec.lowercase = true,
        |spec| spec.replace = vec![("a".into(), "b".into())],
        |spec| spec.replace = vec![("a".into(), "b".into()), ("b".into(), "a".into())],
    ];
    let mut hashes: Vec<String> =
        rules.map(|rule| tokenizer(TokenizerKind::Whitespace, SEA, rule).sha256().to_owned()).into();
    hashes.push(tokenizer(TokenizerKind::Whitespace, &SEA[..3], |_| ()).sha256().to_owned());
    assert!(hashes.iter().all(|hash| hash.len() == 64));
    let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());

    let hash = |pattern: Option<&str>, replace: &[(&str, &str)]| {
        let rules = |spec: &mut TokenizerSpec| {
            spec.pattern = pattern.map(str::to_owned);
            spec.replace = replace.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        };
        tokenizer(TokenizerKind::Word, SEA, rules).sha256().to_owned()
    };
    assert_eq!(
        hash(None, &[]),
        hash(Some(super::super::DEFAULT_PATTERN), &[]),
        "the default pattern may be written out"
    );
    assert_eq!(
        hash(None, &[("a", "b"), ("c", "d")]),
        hash(None, &[("c", "d"), ("a", "b")]),
        "the order of keys does not matter"
    );
}

#[test]
fn only_what_is_wanted_is_kept_and_a_text_of_too_many_tokens_is_refused_at_once() {
    let words = tokenizer(TokenizerKind::Whitespace, SEA, words_and_lines);
    let all = words.encode("the old sea").unwrap();
    let few = words.encode_wanted("the old sea", Wanted { spans: false, tokens_max: 3 }).unwrap();
    assert_eq!((few.tokens, few.spans), (all.tokens, std::iter::once(0..3).collect()));
    for text in ["the old sea\n", "the old sea sea", "a b c d"] {
        let error = words.encode_wanted(text, Wanted { spans: true, tokens_max: 3 }).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TextTooLong, "{text:?}");
    }
    let bytes = hugging_face(BYTE_LEVEL, |_| ());
    let error = bytes.encode_wanted("the old sea", Wanted { spans: true, tokens_max: 1 }).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TextTooLong);
}

proptest! {
    #[test]
    fn spans_rise_and_lie_in_the_text(text in r"[a-c\r\n .İé]{0,40}") {
        let tokenizer = tokenizer(TokenizerKind::Word, &["<unk>", "<eos>"], |spec| {
            words_and_lines(spec);
            spec.lowercase = true;
            spec.replace = vec![("ab".into(), "x y".into()), ("c.".into(), "".into())];
        });
        let encoding = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(encoding.spans.len(), encoding.tokens.len());
        prop_assert!(encoding.spans.iter().all(|span| span.end <= encoding.char_count && span.start < span.end));
        let rise = |pair: &[std::ops::Range<usize>]| pair[0].start <= pair[1].start && pair[0].end <= pair[1].end;
        prop_assert!(encoding.spans.windows(2).all(rise));
    }

    #[test]
    fn each_character_is_one_token(text in any::<String>()) {
        let tokenizer = tokenizer(TokenizerKind::Char, &["<unk>", "a", "\n", " "], |spec| spec.unk = Some("<unk>".into()));
        let encoding = tokenizer.encode(&text).unwrap();
        prop_assert!(encoding.spans.into_iter().eq((0..text.chars().count()).map(|at| at..at + 1)));
    }
}

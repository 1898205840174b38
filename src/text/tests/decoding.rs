//! Tokens back to text: how words are joined, and that the text does not depend on how its tokens are divided.

use proptest::prelude::*;

use super::super::split::{Part, Pattern};
use super::*;
use crate::text::{Joint, Tail};

/// A word tokenizer whose vocabulary has every part of `text`.
fn knowing(text: &str) -> Arc<Tokenizer> {
    let pattern = Pattern::new(None).unwrap();
    let mut known = vec!["<unk>", "<eos>"];
    for part in pattern.split(text) {
        let (Part::Word(range) | Part::Unmatched(range)) = part;
        if !known.contains(&&text[range.clone()]) {
            known.push(&text[range]);
        }
    }
    tokenizer(TokenizerKind::Word, &known, words_and_lines)
}

#[test]
fn words_are_joined_as_punctuation_requires() {
    for text in [
        "It's 5 o'clock; ma'am, they'll go (or so [he] says) - “no”!",
        "He said \"go\" and 'stay' and \"come\".\nThen: \"what?\"",
        "cost $5, £6 or 7% of #8… well—known, ‘so’",
        "{a} b: c? d.",
    ] {
        let tokenizer = knowing(text);
        let expected = text.replace(" - ", "-");
        assert_eq!(tokenizer.decode(&ids(&tokenizer, text)), expected);
    }
}

#[test]
fn words_that_would_merge_are_kept_apart() {
    for text in ["' s", "( ' re )", "o 'clock ' d", "\" ' ll"] {
        let tokenizer = knowing(text);
        let tokens = ids(&tokenizer, text);
        assert_eq!(ids(&tokenizer, &tokenizer.decode(&tokens)), tokens, "{:?}", tokenizer.decode(&tokens));
    }
}

#[test]
fn a_line_end_takes_no_space_and_an_end_of_text_adds_nothing() {
    let decoded = |newline: Option<&str>| {
        let tokenizer = tokenizer(TokenizerKind::Whitespace, &["<unk>", "<eos>", "a", "b"], |spec| {
            words_and_lines(spec);
            spec.newline = newline.map(str::to_owned);
        });
        tokenizer.decode(&[1, 2, 1, 3, 1, 1, 0, 3])
    };
    assert_eq!(decoded(Some("<eos>")), "\na\nb\n\n<unk> b");
    assert_eq!(decoded(None), "a b <unk> b");
}

#[test]
fn a_piece_is_joined_to_the_text_as_it_was_given() {
    let words = tokenizer(TokenizerKind::Word, &["<unk>", "<eos>", "the", "sea", ".", "\""], words_and_lines);
    for (text, next, piece) in [
        ("", "the", "the"),
        ("the", "sea", " sea"),
        ("the ", "sea", "sea"),
        ("the\n", "sea", "sea"),
        ("the", ".", "."),
        ("the ", ".", "."),
        ("the \"", "sea", "sea"),
        ("the \" ", "sea", "sea"),
        ("the \"sea", "\"", "\""),
        ("the \"sea\"", "the", " the"),
        ("\"the\n", "\"", "\""),
        ("the \"\n\"", "sea", "sea"),
        ("the", "<eos>", "\n"),
    ] {
        let mut tail = Tail::default();
        words.encode(text).unwrap().extend(&mut tail);
        assert_eq!(words.piece(&tail, words.id_of(next).unwrap()).text, piece, "{next:?} after {text:?}");
    }
}

#[test]
fn the_first_word_after_initial_tokens_has_no_space_before_it() {
    let words = tokenizer(TokenizerKind::Whitespace, &["<s>", "a"], |spec| spec.eos = Some("<s>".into()));
    assert_eq!(words.piece(&Tail::new(&[0], Joint::Open), 1).text, "a");
    assert_eq!(words.piece(&Tail::new(&[0, 0], Joint::Closed), 1).text, "a");
}

#[test]
fn no_space_is_added_between_words_of_white_space() {
    let text = "a  b\tc ";
    let tokenizer = tokenizer(TokenizerKind::Word, &["a", "b", "c", " ", "  ", "\t"], |spec| {
        spec.pattern = Some(r"\s+|\S+".into());
    });
    assert_eq!(tokenizer.decode(&ids(&tokenizer, text)), text);
}

/// The text of `tokens`, decoded in pieces of `len` tokens, each by a decoder that starts with the tail of the one before.
pub(super) fn decoded_in_pieces(tokenizer: &Arc<Tokenizer>, tokens: &[TokenId], len: usize) -> String {
    let mut tail = Tail::default();
    let mut text = String::new();
    let mut rest = String::new();
    for piece in tokens.chunks(len) {
        let mut decoder = tokenizer.decoder(&tail);
        piece.iter().for_each(|&token| text.push_str(&decoder.push(token)));
        tail = decoder.tail().clone();
        rest = decoder.finish();
    }
    text + &rest
}

proptest! {
    #[test]
    fn words_split_at_white_space_round_trip(text in r"[a-c<>\r\n\t ]{0,40}") {
        let tokenizer = tokenizer(TokenizerKind::Whitespace, &["<unk>", "<eos>", "a", "b", "ab", "<b>"], words_and_lines);
        let tokens = ids(&tokenizer, &text);
        prop_assert_eq!(ids(&tokenizer, &tokenizer.decode(&tokens)), tokens);
    }

    #[test]
    fn words_split_by_the_default_pattern_round_trip(text in r#"(?:[a-z]|o|'|"|'s|'ll|o'clock|ma'am|[.,;:!?(){}\[\]%…—$£#“”‘’-]|[0-9]|é|é|😀|\n| ){0,40}"#) {
        let tokenizer = knowing(&text);
        let tokens = ids(&tokenizer, &text);
        let decoded = tokenizer.decode(&tokens);
        prop_assert_eq!(ids(&tokenizer, &decoded), tokens, "{:?}", decoded);
    }

    #[test]
    fn characters_round_trip(text in any::<String>()) {
        let chars: std::collections::BTreeSet<String> = text.chars().map(String::from).chain(["\n".into()]).collect();
        let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
        let tokenizer = tokenizer(TokenizerKind::Char, &chars, |_| ());
        prop_assert_eq!(tokenizer.decode(&ids(&tokenizer, &text)), text);
    }

    #[test]
    fn the_text_does_not_depend_on_the_pieces(picks in prop::collection::vec(0u32..12, 0..200), len in 1usize..70) {
        let known = ["<unk>", "<eos>", "a", "'", "\"", "(", ".", "'s", "-", "s", "5", "$"];
        for kind in [TokenizerKind::Word, TokenizerKind::Whitespace, TokenizerKind::Char] {
            let tokenizer = tokenizer(kind, &known, words_and_lines);
            prop_assert_eq!(decoded_in_pieces(&tokenizer, &picks, len), tokenizer.decode(&picks));
        }
    }
}

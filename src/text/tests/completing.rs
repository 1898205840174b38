//! What tokens add to a half-typed word, for every kind of tokenizer.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::text::{Case, HalfTyped, Joint, Progress, Tail, Typed};

fn words() -> Arc<Tokenizer> {
    let entries = ["<unk>", "<eos>", "Go", "go", "going", "gone", ",", "'s", "7th", "don", "'t"];
    tokenizer(TokenizerKind::Word, &entries, words_and_lines)
}

fn letters() -> Arc<Tokenizer> {
    tokenizer(TokenizerKind::Char, &["a", "b", "'", " ", "\n", ".", "?"], |_| ())
}

/// The entries of the words that complete `typed`.
fn completions(tokenizer: &Tokenizer, typed: &str, case: Case) -> Vec<String> {
    let words = tokenizer.completions().words(&Typed::new(typed, case));
    let mut entries: Vec<String> = words.iter().map(|&token| tokenizer.entry(token).to_owned()).collect();
    entries.sort();
    entries
}

#[test]
fn words_are_found_by_their_beginning() {
    let words = words();
    assert_eq!(completions(&words, "go", Case::Kept), ["go", "going", "gone"]);
    assert_eq!(completions(&words, "go", Case::Ignored), ["Go", "go", "going", "gone"]);
    assert_eq!(completions(&words, "GOI", Case::Ignored), ["going"]);
    assert_eq!(completions(&words, "GOI", Case::Kept), [""; 0]);
    assert_eq!(completions(&words, "'", Case::Kept), ["'s", "'t"]);
    assert_eq!(completions(&words, "<", Case::Kept), [""; 0], "special tokens are not shown");
    assert_eq!(
        completions(&words, "", Case::Kept),
        ["7th", "Go", "don", "go", "going", "gone"],
        "what begins a word"
    );
}

#[test]
fn a_text_is_divided_before_its_unfinished_word() {
    let divided = |tokenizer: &Tokenizer, text: &'static str| {
        let HalfTyped { finished, typed } = tokenizer.half_typed(text);
        assert_eq!([finished, typed].concat(), text);
        typed
    };
    for (text, typed) in [
        ("we go", "go"),
        ("we go ", ""),
        ("we go,", ""),
        ("I don't", "'t"),
        ("go\n", ""),
        ("", ""),
        ("“go", "go"),
    ] {
        assert_eq!(divided(&words(), text), typed, "{text:?}");
    }
    for (text, typed) in [("a ba", "ba"), ("a ", ""), ("a b'a", "b'a"), ("a\nb", "b"), ("a.", "")] {
        assert_eq!(divided(&letters(), text), typed, "{text:?}");
    }
    let subwords = hugging_face(BYTE_LEVEL, |_| ());
    for (text, typed) in [("the old", " old"), ("the ", " "), ("the  ", " "), ("the", "the"), ("the\n", "")] {
        assert_eq!(divided(&subwords, text), typed, "{text:?}");
    }
    let spaced = tokenizer(TokenizerKind::Whitespace, &["a", "b"], |_| ());
    assert_eq!((divided(&spaced, "a b-"), divided(&spaced, "a ")), ("b-", ""));
}

#[test]
fn what_is_appended_continues_what_was_typed() {
    let words = words();
    let shown = |before: &str, typed: &str, token: &str| {
        let mut tail = Tail::default();
        words.encode(before).unwrap().extend(&mut tail);
        let beginning = words.beginning(&tail, typed, Case::Ignored);
        let word = words.completed(&beginning, &[words.id_of(token).unwrap()]);
        (word.text, word.append)
    };
    let word = |text: &str, append: &str| (text.to_owned(), append.to_owned());
    assert_eq!(shown("don", "", "going"), word("going", " going"));
    assert_eq!(shown("don ", "", "going"), word("going", "going"));
    assert_eq!(shown("don", " ", "going"), word("going", "going"));
    assert_eq!(shown("don", "GO", "going"), word("going", "ing"));
    assert_eq!(shown("don", " go", "going"), word("going", "ing"));
    assert_eq!(shown("don", "'", "'t"), word("'t", "t"));
    assert_eq!(shown("don", "", "'t"), word("'t", "'t"));
    assert_eq!(shown("", "", "Go"), word("Go", "Go"));
}

/// Puts words together from tokens, always by one of the possible continuations.
fn walk(
    tokenizer: &Arc<Tokenizer>,
    before: &str,
    typed: &str,
    choices: &[prop::sample::Index],
) -> Option<String> {
    let mut tail = Tail::default();
    tokenizer.encode(before).unwrap().extend(&mut tail);
    let beginning = tokenizer.beginning(&tail, typed, Case::Kept);
    let mut progress = beginning.progress;
    let mut tokens = Vec::new();
    for choice in choices {
        let mut all = Vec::new();
        tokenizer.completions().continuations(&beginning.typed, progress, |tokens, after| {
            all.extend(tokens.iter().map(|&token| (token, after)));
        });
        if all.is_empty() {
            return None;
        }
        let distinct: BTreeSet<TokenId> = all.iter().map(|(token, _)| *token).collect();
        assert_eq!(distinct.len(), all.len(), "a token is given twice: {all:?}");
        let (token, after) = all[choice.index(all.len())];
        tokens.push(token);
        progress = after;
    }
    (progress == Progress::InWord).then(|| {
        let word = tokenizer.completed(&beginning, &tokens);
        assert!(!word.text.contains(char::is_whitespace), "{word:?}");
        format!("{before}{typed}{}", word.append)
    })
}

proptest! {
    /// Whatever tokens are chosen, one word follows the text, and it begins with what was typed.
    #[test]
    fn tokens_are_put_together_to_one_word(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        which in 0..4usize,
        place in 0..4usize,
    ) {
        let tokenizer = match which {
            0 => letters(),
            1 => hugging_face(BYTE_LEVEL, |_| ()),
            2 => hugging_face(BYTE_FALLBACK, |_| ()),
            _ => hugging_face(WORDPIECE, |spec| spec.unk = Some("[UNK]".into())),
        };
        let (before, typed) = match which {
            0 => [("", ""), ("ab", ""), ("ab ", "b"), ("ab", " a")][place],
            _ => [("the", " o"), ("the", ""), ("the", " "), ("", "o")][place],
        };
        if let Some(text) = walk(&tokenizer, before, typed, &choices) {
            prop_assert!(text.starts_with(&[before, typed].concat()), "{:?}", text);
            let word = text[before.len()..].trim_start();
            prop_assert!(word.chars().all(|c| c.is_alphanumeric() || c == '\''), "{:?}", text);
            let is_apart = before.is_empty() || before.ends_with(' ');
            prop_assert_eq!(is_apart, !text[before.len()..].starts_with(' '), "{:?}", text);
        }
    }
}

#[test]
fn a_word_of_characters_ends_before_every_other_character() {
    let letters = letters();
    let ends: Vec<&str> = letters.completions().ends().iter().map(|&token| letters.entry(token)).collect();
    assert_eq!(ends, [" ", "\n", ".", "?"]);
    let apart = letters.beginning(&Tail::new(&[0, 3], Joint::Closed), "", Case::Kept);
    assert_eq!(apart.progress, Progress::BeforeWord);
    let joined = letters.beginning(&Tail::new(&[3, 0], Joint::Closed), "", Case::Kept);
    assert_eq!(joined.progress, Progress::AfterWord);
}

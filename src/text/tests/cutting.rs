//! A text cut where it may be cut gives the tokens of the whole.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn rules(spec: &mut TokenizerSpec) {
    spec.unk = Some("<unk>".into());
    spec.lowercase = true;
    spec.replace = vec![
        ("  ".into(), " ".into()),
        ("a b".into(), "c".into()),
        (" s".into(), "'s".into()),
        ("...".into(), "…".into()),
        ("\n-".into(), " ".into()),
    ];
}

fn rules_and_lines(spec: &mut TokenizerSpec) {
    rules(spec);
    spec.newline = Some("<eos>".into());
}

/// Tokenizers of every kind that cuts for sure.
static SURE: LazyLock<Vec<Arc<Tokenizer>>> = LazyLock::new(|| {
    let known = ["<unk>", "<eos>", "a", "b", "c", "'", "s", "'s", "…", ".", " ", "\n", "-", "é"];
    let plain: fn(&mut TokenizerSpec) = |spec| spec.unk = Some("<unk>".into());
    let mut all = Vec::new();
    for kind in [Kind::Whitespace, Kind::Word, Kind::Char] {
        for rules in [plain, words_and_lines, rules, rules_and_lines] {
            all.push(tokenizer(kind, &known, rules));
        }
    }
    all.push(tokenizer(Kind::Word, &known, |spec| {
        rules_and_lines(spec);
        spec.pattern = Some(r"a\sb|^[a-z]|\S".into());
    }));
    all.push(hugging_face(BYTE_LEVEL, |spec| spec.newline = Some("<|endoftext|>".into())));
    all
});

#[test]
fn words_are_cut_after_white_space_and_characters_anywhere() {
    let words = tokenizer(Kind::Whitespace, &["<unk>", "<eos>"], words_and_lines);
    assert_eq!(words.cut("the old sea"), Some("the old ".len()));
    assert_eq!(words.cut("the old "), Some("the old ".len()));
    assert_eq!(words.cut("theold"), None);
    assert_eq!(words.cut("the\rold"), None, "a return that is dropped separates nothing");
    assert_eq!(words.cut(""), None);
    let chars = tokenizer(Kind::Char, &["a"], |_| ());
    assert_eq!(chars.cut("aé"), Some(3));
}

#[test]
fn a_key_that_may_reach_over_the_cut_moves_it() {
    let words = tokenizer(Kind::Whitespace, &["<unk>"], rules);
    assert_eq!(words.cut("x y  z"), Some(2));
    assert_eq!(words.cut("y  z"), None);
    let chars = tokenizer(Kind::Char, &["<unk>"], rules);
    assert_eq!(chars.cut("xy.."), Some(2));
    assert_eq!(chars.cut("xya"), Some(2));
}

#[test]
fn an_unknown_pattern_is_cut_at_line_tokens_only() {
    let rules = |spec: &mut TokenizerSpec| spec.pattern = Some(r"\s+|\S+".into());
    let words = tokenizer(Kind::Word, &["<eos>"], rules);
    assert_eq!(words.cut("a b\nc"), None);
    let lines = tokenizer(Kind::Word, &["<eos>"], |spec| {
        rules(spec);
        spec.newline = Some("<eos>".into());
    });
    assert_eq!(lines.cut("a b\nc"), Some(4));
}

#[test]
fn a_hugging_face_text_is_cut_between_lines_that_do_not_depend_on_each_other() {
    let bytes = hugging_face(BYTE_LEVEL, |_| ());
    assert_eq!(
        bytes.cut("the old\nsea\n\nman"),
        Some("the old\n".len()),
        "the two line ends would be split otherwise"
    );
    assert_eq!(bytes.cut("the old\nsea\n"), Some("the old\n".len()), "what follows the last is not known");
    let fallback = hugging_face(BYTE_FALLBACK, |_| ());
    assert_eq!(
        fallback.cut("the\nsea\na"),
        Some("the\nsea\n".len()),
        "nowhere sure, as every text begins with a space"
    );
}

proptest! {
    #[test]
    fn parts_give_the_tokens_of_the_whole(text in r"(?:[ab s.\r\n-]|  |a b|É|\.\.\.|ßc){0,30}", part in 0.0..=1.0f64) {
        let end = text.floor_char_boundary((text.len() as f64 * part) as usize);
        for tokenizer in SURE.iter() {
            let Some(at) = tokenizer.cut(&text[..end]) else { continue };
            prop_assert!(at > 0 && at <= end);
            let (left, right) = text.split_at(at);
            let apart = [ids(tokenizer, left), ids(tokenizer, right)].concat();
            prop_assert_eq!(apart, ids(tokenizer, &text), "{:?} | {:?} by {}", left, right, tokenizer.kind().name());
        }
    }

    #[test]
    fn lines_without_blank_ones_between_give_the_tokens_of_the_whole(text in r"(?:[ab s.]{0,5}[ab]\n){0,6}", part in 0.0..=1.0f64) {
        let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
        if let Some(at) = tokenizer.cut(&text[..(text.len() as f64 * part) as usize]) {
            let (left, right) = text.split_at(at);
            let apart = [ids(&tokenizer, left), ids(&tokenizer, right)].concat();
            prop_assert_eq!(apart, ids(&tokenizer, &text), "{:?} | {:?}", left, right);
        }
    }
}

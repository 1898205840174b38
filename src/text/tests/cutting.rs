//! The parts of a text that is cut where `Tokenizer::cut` allows it have the tokens of the whole text.

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

/// Tokenizers of every kind whose parts are certain to have the tokens of the whole.
static CERTAIN: LazyLock<Vec<Arc<Tokenizer>>> = LazyLock::new(|| {
    let known = ["<unk>", "<eos>", "a", "b", "c", "'", "s", "'s", "…", ".", " ", "\n", "-", "é"];
    let plain: fn(&mut TokenizerSpec) = |spec| spec.unk = Some("<unk>".into());
    let mut all = Vec::new();
    for kind in [TokenizerKind::Whitespace, TokenizerKind::Word, TokenizerKind::Char] {
        for rules in [plain, words_and_lines, rules, rules_and_lines] {
            all.push(tokenizer(kind, &known, rules));
        }
    }
    all.push(tokenizer(TokenizerKind::Word, &known, |spec| {
        rules_and_lines(spec);
        spec.pattern = Some(r"a\sb|^[a-z]|\S".into());
    }));
    all.push(hugging_face(BYTE_LEVEL, |spec| spec.newline = Some("<|endoftext|>".into())));
    all
});

#[test]
fn words_are_cut_after_white_space_and_characters_anywhere() {
    let words = tokenizer(TokenizerKind::Whitespace, &["<unk>", "<eos>"], words_and_lines);
    assert_eq!(words.cut("the old sea"), Some("the old ".len()));
    assert_eq!(words.cut("the old "), Some("the old ".len()));
    assert_eq!(words.cut("theold"), None);
    assert_eq!(words.cut("the\rold"), None, "a dropped carriage return separates nothing");
    assert_eq!(words.cut(""), None);
    let chars = tokenizer(TokenizerKind::Char, &["a"], |_| ());
    assert_eq!(chars.cut("aé"), Some(3));
}

#[test]
fn a_text_is_not_cut_where_a_key_may_match() {
    let words = tokenizer(TokenizerKind::Whitespace, &["<unk>"], rules);
    assert_eq!(words.cut("x y  z"), Some(2));
    assert_eq!(words.cut("y  z"), None);
    let chars = tokenizer(TokenizerKind::Char, &["<unk>"], rules);
    assert_eq!(chars.cut("xy.."), Some(2));
    assert_eq!(chars.cut("xya"), Some(2));
}

#[test]
fn with_a_pattern_of_its_own_a_text_is_cut_only_after_line_tokens() {
    let rules = |spec: &mut TokenizerSpec| spec.pattern = Some(r"\s+|\S+".into());
    let words = tokenizer(TokenizerKind::Word, &["<eos>"], rules);
    assert_eq!(words.cut("a b\nc"), None);
    let lines = tokenizer(TokenizerKind::Word, &["<eos>"], |spec| {
        rules(spec);
        spec.newline = Some("<eos>".into());
    });
    assert_eq!(lines.cut("a b\nc"), Some(4));
}

#[test]
fn a_hugging_face_text_is_cut_between_independent_lines() {
    let bytes = hugging_face(BYTE_LEVEL, |_| ());
    assert_eq!(
        bytes.cut("the old\nsea\n\nman"),
        Some("the old\n".len()),
        "a cut between the two line ends would change the tokens"
    );
    assert_eq!(
        bytes.cut("the old\nsea\n"),
        Some("the old\n".len()),
        "what follows the last line end is unknown"
    );
    let fallback = hugging_face(BYTE_FALLBACK, |_| ());
    assert_eq!(
        fallback.cut("the\nsea\na"),
        Some("the\nsea\n".len()),
        "no line is independent, because every text begins with a space"
    );
}

proptest! {
    #[test]
    fn parts_have_the_tokens_of_the_whole(text in r"(?:[ab s.\r\n-]|  |a b|É|\.\.\.|ßc){0,30}", part in 0.0..=1.0f64) {
        let end = text.floor_char_boundary((text.len() as f64 * part) as usize);
        for tokenizer in CERTAIN.iter() {
            let Some(at) = tokenizer.cut(&text[..end]) else { continue };
            prop_assert!(at > 0 && at <= end);
            let (left, right) = text.split_at(at);
            let apart = [ids(tokenizer, left), ids(tokenizer, right)].concat();
            prop_assert_eq!(apart, ids(tokenizer, &text), "{:?} | {:?} by {}", left, right, tokenizer.kind().name());
        }
    }

    #[test]
    fn lines_without_empty_ones_between_have_the_tokens_of_the_whole(text in r"(?:[ab s.]{0,5}[ab]\n){0,6}", part in 0.0..=1.0f64) {
        let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
        if let Some(at) = tokenizer.cut(&text[..(text.len() as f64 * part) as usize]) {
            let (left, right) = text.split_at(at);
            let apart = [ids(&tokenizer, left), ids(&tokenizer, right)].concat();
            prop_assert_eq!(apart, ids(&tokenizer, &text), "{:?} | {:?}", left, right);
        }
    }
}

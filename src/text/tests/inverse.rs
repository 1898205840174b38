//! Joining is the inverse of splitting, for every sequence of ids that splitting can produce.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;

use super::training::Rule;
use super::*;

/// The environment variable that names a folder with more texts, which are read besides those in `tests/data`.
const CORPORA: &str = "RNNLM_CORPORA";

/// The longest text that is tokenised at once.
const TEXT_BYTES: usize = 256 << 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The part of a manifest that is about its tokenizer.
#[derive(Deserialize)]
struct Manifest {
    tokenizer: Rule,
}

/// The tokenizer of a model that ships.
fn shipped(name: &str) -> Arc<Tokenizer> {
    let folder = root().join("models").join(name);
    let manifest = fs::read(folder.join("config.json")).expect("the model ships");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("the manifest is valid");
    let vocabulary = fs::read(folder.join("vocab.txt")).expect("the model ships");
    Arc::new(Tokenizer::new(&manifest.tokenizer.spec(), &vocabulary).expect("the model ships"))
}

/// The texts in the folder `path` and in those within it.
fn texts_in(path: &Path) -> Vec<PathBuf> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.expect("the folder can be listed").path();
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => texts.extend(texts_in(&path)),
            Some("txt" | "md") => texts.push(path),
            _ => {}
        }
    }
    texts
}

/// Checks that each piece of the texts is split into the ids that its own ids are joined and split into.
fn check_texts(tokenizer: &Arc<Tokenizer>) {
    let mut paths = texts_in(&root().join("tests/data"));
    paths.extend(env::var_os(CORPORA).iter().flat_map(|folder| texts_in(Path::new(folder))));
    assert!(paths.len() >= 2);
    for path in paths {
        let text = fs::read_to_string(&path).expect("the text is UTF-8");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(TEXT_BYTES));
            check(tokenizer, piece).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            rest = after;
        }
    }
}

/// Checks one text, unless it has unknown characters.
fn check(tokenizer: &Arc<Tokenizer>, text: &str) -> Result<(), String> {
    let encoding = match tokenizer.encode(text) {
        Ok(encoding) if tokenizer.kind() == TokenizerKind::Char && encoding.unknown_count() > 0 => {
            return Ok(());
        }
        Ok(encoding) => encoding,
        Err(_) => return Ok(()),
    };
    let tokens = encoding.tokens;
    let joined = tokenizer.decode(&tokens);
    let again = ids(tokenizer, &joined);
    let Some(at) = (0..tokens.len().max(again.len())).find(|&at| tokens.get(at) != again.get(at)) else {
        return Ok(());
    };
    let shown = |tokens: &[TokenId]| -> Vec<String> {
        let near = &tokens[at.saturating_sub(6).min(tokens.len())..tokens.len().min(at + 4)];
        near.iter().map(|&token| tokenizer.entry(token).to_owned()).collect()
    };
    Err(format!("{:?} became {:?}", shown(&tokens), shown(&again)))
}

#[test]
fn the_texts_of_the_word_models_split_into_the_same_ids_again() {
    let classics = shipped("classics");
    let entries: Vec<&str> = (0..classics.vocab_size()).map(|id| classics.entry(id as TokenId)).collect();
    check_texts(&classics);
    check_texts(&tokenizer(TokenizerKind::Word, &entries, words_and_lines));
    check_texts(&tokenizer(TokenizerKind::Whitespace, &entries, words_and_lines));
}

#[test]
fn the_texts_of_the_character_models_split_into_the_same_ids_again() {
    check_texts(&shipped("shakespeare-lstm"));
    let known: Vec<String> = (1..0x250).filter_map(char::from_u32).map(String::from).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).chain(["“", "”", "‘", "’", "—", "…"]).collect();
    check_texts(&tokenizer(TokenizerKind::Char, &known, |_| ()));
}

#[test]
fn texts_split_by_a_tokenizer_json_split_into_the_same_ids_again() {
    check_texts(&hugging_face(BYTE_LEVEL, |_| ()));
}

#[test]
fn an_unknown_word_and_the_literal_unknown_token_are_one_token() {
    for kind in [TokenizerKind::Word, TokenizerKind::Whitespace] {
        let words = tokenizer(kind, &["<unk>", "<eos>", "the", "sea", "<", ">", "unk"], words_and_lines);
        for text in ["the submarine sea", "the <unk> sea"] {
            let encoding = words.encode(text).unwrap();
            assert_eq!((encoding.tokens.as_slice(), encoding.unknown_count()), (&[2, 0, 3][..], 1), "{text}");
            assert_eq!(words.decode(&encoding.tokens), "the <unk> sea");
        }
    }
    let words = tokenizer(TokenizerKind::Word, &["<unk>", "<eos>", "the"], words_and_lines);
    assert_eq!(ids(&words, "the<unk>the<unk><unk>"), [2, 0, 2, 0, 0]);
    assert_eq!(ids(&words, "<eos>"), [0, 0, 0], "other special names are ordinary text");
    let loud = tokenizer(TokenizerKind::Word, &["<UNK>", "the"], |spec| {
        spec.unk = Some("<UNK>".into());
        spec.lowercase = true;
        spec.replace = vec![("<".into(), "(".into())];
    });
    assert_eq!(ids(&loud, "The <UNK> THE<UNK>"), [1, 0, 1, 0]);
}

#[test]
fn words_that_a_rule_for_three_of_them_would_merge_are_kept_apart() {
    let rules = |spec: &mut TokenizerSpec| {
        words_and_lines(spec);
        spec.replace =
            vec![("...".into(), "…".into()), (". . .".into(), "…".into()), ("\n'".into(), "\n‘".into())];
    };
    let words =
        tokenizer(TokenizerKind::Word, &["<unk>", "<eos>", ".", "…", "o", "'", "clock", "‘", "a"], rules);
    for text in ["a. ..a", ". .. .. .", "o' clock", "a\n\t'a"] {
        check(&words, text).unwrap();
    }
}

/// Pieces of text that merge with their neighbours, are replaced, or are easily taken for others.
const PIECES: &str = r#"(?:[a-d]|o|O|D|M|'|’|‘|"|“|”|_|'s|'ll|o'clock|ma'am|D'Ar|<unk>|xyz|[.,;:!?(){}%…—$£#-]|--|\.\.\.|[0-9]|e\x{301}|É|\n|\t| | | ){0,40}"#;

/// The words of each line of `text`, as `rule` splits them.
fn lines_of_words(rule: &Rule, text: &str) -> Vec<Vec<String>> {
    let spec = rule.spec();
    let bare = TokenizerSpec { unk: None, eos: None, ..spec.clone() };
    let rewritten = super::super::rules::Rules::new(&bare, Some("<unk>"));
    let rewritten = rewritten.expect("the rules of the test are valid");
    let pattern = pattern(&spec);
    // Each line on its own, as they are split; the rules see the line ends too.
    let words = |line: &str| -> Vec<String> {
        match spec.kind {
            TokenizerKind::Whitespace => line.split_whitespace().map(str::to_owned).collect(),
            _ => pattern.split(line).map(|part| line[part.into_range()].to_owned()).collect(),
        }
    };
    rewritten.apply(text).text().split('\n').map(words).collect()
}

fn pattern(spec: &TokenizerSpec) -> super::super::split::Pattern {
    let pattern = super::super::split::Pattern::new(spec.pattern.as_deref()).expect("the pattern is valid");
    pattern.with_literal("<unk>")
}

/// A tokenizer by `rule` whose vocabulary has every part of `text` but some, which are unknown.
fn knowing(rule: &Rule, text: &str) -> Arc<Tokenizer> {
    let mut known = vec!["<unk>".to_owned(), "<eos>".to_owned()];
    known.extend(lines_of_words(rule, text).into_iter().flatten().filter(|word| word != "xyz"));
    known.sort();
    known.dedup();
    let entries: Vec<&str> = known.iter().map(String::as_str).collect();
    Arc::new(
        Tokenizer::new(&rule.spec(), vocabulary(&entries).as_bytes())
            .expect("the vocabulary of a test is valid"),
    )
}

/// Whether `text` has two words and an apostrophe between them that would be one word without the white space before the
/// apostrophe: `"D\t'Arcy"`.
///
/// By the rules of classics these cannot be joined word by word. The apostrophe follows the first word without a space, as in `d'ye`,
/// before the second is known. After that no text keeps the three apart: the apostrophe is a `’` unless a letter follows it at once.
fn has_an_elision_apart(rule: &Rule, text: &str) -> bool {
    let pattern = pattern(&rule.spec());
    let merges = |words: &[String]| {
        let first = pattern.split(&words.concat()).next().map(|part| part.into_range().end);
        words[1] == "'" && first.is_some_and(|end| end > words[0].len() + words[1].len())
    };
    lines_of_words(rule, text).iter().any(|line| line.windows(3).any(merges))
}

/// The rule of classics.
fn rule_of_classics() -> Rule {
    let manifest = include_str!("../../../models/classics/config.json");
    let manifest: Manifest = serde_json::from_str(manifest).expect("the manifest is valid");
    manifest.tokenizer
}

#[test]
fn a_word_that_is_no_clitic_only_before_a_digit_joins_its_apostrophe() {
    let rule = rule_of_classics();
    for text in ["'e\u{301}'s”'s0", "a'b”'d7"] {
        check(&knowing(&rule, text), text).unwrap();
    }
}

#[test]
fn only_an_elision_that_was_written_apart_is_joined_to_one_word() {
    let rule = rule_of_classics();
    for text in ["D\t'Arcy", "o\t'clock", "ma\t'am"] {
        assert!(has_an_elision_apart(&rule, text), "{text:?}");
        assert!(check(&knowing(&rule, text), text).is_err(), "{text:?}");
    }
    for text in ["D 'Arcy", "D'Arcy", "d\t'ye", "o'er", "ma\n'am", "the\t'Arcy"] {
        assert!(!has_an_elision_apart(&rule, text), "{text:?}");
        check(&knowing(&rule, text), text).unwrap();
    }
}

proptest! {
    #[test]
    fn any_text_by_the_rules_of_classics_splits_into_the_same_ids_again(text in PIECES) {
        let rule = rule_of_classics();
        prop_assume!(!has_an_elision_apart(&rule, &text));
        let checked = check(&knowing(&rule, &text), &text);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn any_text_by_the_default_pattern_splits_into_the_same_ids_again(text in PIECES) {
        let rule = r#"{"kind": "word", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>"}"#;
        let rule: Rule = serde_json::from_str(rule).expect("the rule is valid");
        let checked = check(&knowing(&rule, &text), &text);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn any_text_of_words_between_white_space_splits_into_the_same_ids_again(text in PIECES) {
        let rule = r#"{"kind": "whitespace", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>", "replace": {"a b": "c", "--": "—"}}"#;
        let rule: Rule = serde_json::from_str(rule).expect("the rule is valid");
        let checked = check(&knowing(&rule, &text), &text);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

//! The training code splits texts by the same rules in Python: both must give the same ids for every text.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::*;

/// What `tests/data/tokenizer-cases.py` writes.
#[derive(Deserialize)]
struct Cases {
    rule: Rule,
    vocabulary: Vec<String>,
    texts: Vec<String>,
    ids: Vec<Vec<TokenId>>,
}

/// A tokenizer's rule, as a manifest gives it too.
#[derive(Clone, Deserialize)]
pub(super) struct Rule {
    kind: String,
    unk: Option<String>,
    eos: Option<String>,
    newline: Option<String>,
    #[serde(default)]
    lowercase: bool,
    #[serde(default)]
    replace: Map<String, Value>,
    pattern: Option<String>,
}

impl Rule {
    pub(super) fn spec(&self) -> TokenizerSpec {
        let kind = TokenizerKind::ALL
            .into_iter()
            .find(|kind| kind.name() == self.kind)
            .expect("the kind of a case is known");
        let text = |value: &Value| value.as_str().expect("a replacement is a string").to_owned();
        TokenizerSpec {
            unk: self.unk.clone(),
            eos: self.eos.clone(),
            newline: self.newline.clone(),
            lowercase: self.lowercase,
            replace: self.replace.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
            pattern: self.pattern.clone(),
            ..TokenizerSpec::new(kind)
        }
    }
}

impl Cases {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../../tests/data/tokenizer-cases.json"))
            .expect("the file of cases is valid")
    }

    fn tokenizer(&self) -> Arc<Tokenizer> {
        let entries: Vec<&str> = self.vocabulary.iter().map(String::as_str).collect();
        let tokenizer = Tokenizer::new(&self.rule.spec(), vocabulary(&entries).as_bytes());
        Arc::new(tokenizer.expect("the vocabulary of a case is valid"))
    }
}

#[test]
fn ids_equal_those_of_the_training_code() {
    for cases in Cases::all() {
        let tokenizer = cases.tokenizer();
        assert!(!cases.texts.is_empty());
        for (text, expected) in cases.texts.iter().zip(&cases.ids) {
            assert_eq!(&ids(&tokenizer, text), expected, "{text:?} by {}", cases.rule.kind);
        }
    }
}

#[test]
fn parts_of_the_training_codes_texts_have_its_ids() {
    for cases in Cases::all() {
        let tokenizer = cases.tokenizer();
        let mut cuts = 0;
        for (text, expected) in cases.texts.iter().zip(&cases.ids) {
            for (end, _) in text.char_indices() {
                let Some(at) = tokenizer.cut(&text[..end]) else { continue };
                let (left, right) = text.split_at(at);
                assert_eq!(
                    &[ids(&tokenizer, left), ids(&tokenizer, right)].concat(),
                    expected,
                    "{left:?} | {right:?}"
                );
                cuts += 1;
            }
        }
        assert!(cuts > 0 || cases.rule.pattern.is_some() && cases.rule.newline.is_none());
    }
}

#[test]
fn a_decoded_page_of_quotations_encodes_to_the_same_ids() {
    let cases = Cases::all().swap_remove(0);
    let page = "“I don’t know,” said O’Brien; \"'tis late--nearly nine o'clock.\"\n‘Yes,’ she answered, ‘the boys’ dog. . . .’\n\
                (\"Well!\") 'No,' he said, \"ma'am.\"\nHow d'ye do--'tis well.";
    let known = Cases { vocabulary: words_of(&cases, page), ..cases };
    let tokenizer = known.tokenizer();
    let tokens = ids(&tokenizer, page);
    let text = tokenizer.decode(&tokens);
    assert_eq!(
        text,
        "“I don't know,” said O'Brien; “‘tis late—nearly nine o'clock.”\n‘Yes,’ she answered, ‘the boys’ dog….’\n\
         (“Well!”) ‘No,’ he said, “ma'am.”\nHow d'ye do—'tis well."
    );
    assert_eq!(ids(&tokenizer, &text), tokens);
}

/// The vocabulary of `page`, found by adding each word that an encoding without an unknown token reports as missing.
fn words_of(cases: &Cases, page: &str) -> Vec<String> {
    let mut vocabulary = vec!["<unk>".to_owned(), "<eos>".to_owned()];
    loop {
        let rule = Rule { unk: None, ..cases.rule.clone() };
        let known = Cases { rule, vocabulary, texts: Vec::new(), ids: Vec::new() };
        let missing = known.tokenizer().encode(page).err();
        vocabulary = known.vocabulary;
        let Some(error) = missing else { return vocabulary };
        let word = error.message.split('`').nth(1).expect("the message names the word");
        vocabulary.push(word.to_owned());
    }
}

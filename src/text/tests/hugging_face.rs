//! Files `tokenizer.json` of three families: byte-level BPE, BPE with byte fallback, and WordPiece.

use proptest::prelude::*;

use super::super::Piece;
use super::decoding::decoded_in_pieces;
use super::*;
use crate::error::ErrorKind;
use crate::text::{Joint, Tail};

#[test]
fn byte_level_tokens_have_spans_of_whole_characters() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    assert_eq!(entries(&tokenizer, "the old sea\n"), ["the", "Ġold", "Ġsea", "Ċ"]);
    assert_eq!(spans(&tokenizer, "the old sea\n"), ["the", " old", " sea", "\n"]);
    assert_eq!(
        spans(&tokenizer, "é😀€"),
        ["é", "😀", "😀", "€", "€", "€"],
        "a part of a character stands for the whole"
    );
    assert_eq!(tokenizer.vocab_size(), 274);
}

#[test]
fn no_token_is_added_that_the_text_does_not_contain() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
    assert_eq!(
        entries(&tokenizer, "the sea"),
        ["▁the", "▁sea"],
        "no <s>, although the template of the file adds it"
    );
    assert_eq!(entries(&tokenizer, ""), [""; 0]);
}

#[test]
fn an_incomplete_character_is_held_back_and_its_bytes_are_given() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    let mut tail = Tail::default();
    let mut pieces = Vec::new();
    for token in ids(&tokenizer, "😀 €é") {
        pieces.push(tokenizer.piece(&tail, token));
        tail.extend(&[token]);
    }
    let part = |text: &str, bytes: &[u8]| Piece { text: text.into(), bytes: Some(bytes.to_vec()) };
    let whole = |text: &str| Piece { text: text.into(), bytes: None };
    let expected = [
        part("", b"\xf0\x9f\x98"),
        part("😀", b"\x80"),
        part(" ", b" \xe2"),
        part("", b"\x82"),
        part("€", b"\xac"),
        whole("é"),
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn bytes_that_do_not_become_a_character_are_replaced() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    let incomplete = tokenizer.id_of("ðŁĺ").unwrap();
    let mut decoder = tokenizer.decoder(&Tail::default());
    assert_eq!(decoder.push(incomplete), "");
    assert_eq!(decoder.push(tokenizer.id_of("the").unwrap()), "\u{fffd}the");
    assert_eq!(decoder.push(incomplete), "");
    assert_eq!(decoder.finish(), "\u{fffd}");
}

#[test]
fn byte_level_entries_decode_as_by_the_crate() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    let crates = tokenizers::Tokenizer::from_bytes(BYTE_LEVEL).unwrap();
    for token in 0..tokenizer.vocab_size() as TokenId {
        assert_eq!(tokenizer.decode(&[token]), crates.decode(&[token], true).unwrap(), "{token}");
    }
}

#[test]
fn byte_fallback_tokens_and_words_are_joined() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
    for text in ["the sea é the", "éa", "a\u{fffd}é€ the", "é €"] {
        let tokens = ids(&tokenizer, text);
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(decoded_in_pieces(&tokenizer, &tokens, 1), text);
    }
}

#[test]
fn wordpieces_are_joined_and_spans_are_of_the_given_text() {
    let tokenizer = hugging_face(WORDPIECE, |_| ());
    let text = "The old  SEASIDE, Man";
    assert_eq!(entries(&tokenizer, text), ["the", "old", "sea", "##side", ",", "man"]);
    assert_eq!(spans(&tokenizer, text), ["The", "old", "SEA", "SIDE", ",", "Man"]);
    assert_eq!(tokenizer.decode(&ids(&tokenizer, text)), "the old seaside, man");
    assert_eq!(tokenizer.encode("the ").unwrap().joint, Joint::Open, "white space is in no token");
    let old = tokenizer.id_of("old").unwrap();
    for (text, piece) in [("the", " old"), ("the ", "old"), ("", "old")] {
        let mut tail = Tail::default();
        tokenizer.encode(text).unwrap().extend(&mut tail);
        assert_eq!(tokenizer.piece(&tail, old).text, piece, "after {text:?}");
    }
}

#[test]
fn the_unknown_token_of_the_file_is_counted() {
    let tokenizer = hugging_face(WORDPIECE, |_| ());
    assert_eq!(tokenizer.unk(), Some(1));
    let encoding = tokenizer.encode("the ☃ sea zzz").unwrap();
    assert_eq!(encoding.unknown, [1, 3]);
    assert_eq!(tokenizer.decode(&encoding.tokens), "the [UNK] sea [UNK]");
}

#[test]
fn special_tokens_add_no_text_and_the_first_word_after_them_has_no_space() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |spec| spec.eos = Some("</s>".into()));
    let id = |entry| tokenizer.id_of(entry).unwrap();
    assert_eq!(tokenizer.decode(&[id("<s>"), id("▁the"), id("▁sea"), id("</s>")]), "the sea");
    assert_eq!(tokenizer.piece(&Tail::new(&[id("<s>")], Joint::Open), id("▁the")).text, "the");
}

#[test]
fn line_ends_may_be_tokens() {
    let tokenizer = hugging_face(BYTE_LEVEL, |spec| spec.newline = Some("<|endoftext|>".into()));
    assert_eq!(entries(&tokenizer, "the\r\nsea\n"), ["the", "<|endoftext|>", "s", "e", "a", "<|endoftext|>"]);
    assert_eq!(tokenizer.decode(&ids(&tokenizer, "the\nsea\n")), "the\nsea\n");
}

#[test]
fn the_rules_of_the_manifest_are_applied_first() {
    let tokenizer = hugging_face(BYTE_LEVEL, |spec| {
        spec.lowercase = true;
        spec.replace = vec![("ocean".into(), "sea".into())];
    });
    assert_eq!(entries(&tokenizer, "The old ocean"), ["the", "Ġold", "Ġsea"]);
    assert_eq!(spans(&tokenizer, "The old ocean"), ["The", " old", " ocean"]);
}

#[test]
fn a_character_that_the_crate_would_drop_is_an_error() {
    let file = BYTE_FALLBACK.replace("\"unk_token\": \"<unk>\"", "\"unk_token\": null");
    let file = file.replace("\"byte_fallback\": true", "\"byte_fallback\": false");
    let tokenizer = hugging_face(&file, |_| ());
    for text in ["the É sea", "the seaÉ", "É"] {
        let error = tokenizer.encode(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownToken);
        let at = text.chars().position(|c| c == 'É').unwrap();
        assert!(error.message.starts_with(&format!("`É` at character {at} is not in")), "{}", error.message);
    }
}

#[test]
fn a_file_that_is_not_a_tokenizer_is_refused() {
    for file in
        ["", "{}", "[1,2]", "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"]
    {
        let spec = TokenizerSpec::new(TokenizerKind::HuggingFace);
        let error = Tokenizer::new(&spec, file.as_bytes()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Load);
        assert!(error.message.starts_with("not a Hugging Face tokenizer: "), "{}", error.message);
    }
}

proptest! {
    #[test]
    fn byte_level_texts_round_trip_in_any_pieces(text in r"(?:the|old| sea|\s|é|😀|€|\u{fffd}|\PC){0,30}", len in 1usize..9) {
        let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
        let tokens = ids(&tokenizer, &text);
        prop_assert_eq!(&tokenizer.decode(&tokens), &text);
        prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), text);
    }

    #[test]
    fn byte_fallback_texts_round_trip_in_any_pieces(text in r"(?:the| sea|[a-z,.\n ]|é|😀|\u{fffd}|\PC){0,30}", len in 1usize..9) {
        let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
        let tokens = ids(&tokenizer, &text);
        prop_assert_eq!(&tokenizer.decode(&tokens), &text.replace('▁', " "));
        prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), tokenizer.decode(&tokens));
    }

    #[test]
    fn the_text_of_any_tokens_does_not_depend_on_the_pieces(picks in prop::collection::vec(any::<u32>(), 0..150), len in 1usize..70) {
        for file in [BYTE_LEVEL, BYTE_FALLBACK, WORDPIECE] {
            let tokenizer = hugging_face(file, |_| ());
            let tokens: Vec<TokenId> = picks.iter().map(|pick| pick % tokenizer.vocab_size() as u32).collect();
            prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), tokenizer.decode(&tokens));
        }
    }

    #[test]
    fn a_damaged_file_never_causes_a_panic(at in 0..4000usize, with in any::<u8>(), len in 0usize..40) {
        let mut file = BYTE_FALLBACK.as_bytes().to_vec();
        file.splice(at..at + len, [with]);
        if let Ok(tokenizer) = Tokenizer::new(&TokenizerSpec::new(TokenizerKind::HuggingFace), &file) {
            let _ = tokenizer.encode("the sea é").map(|encoding| tokenizer.decode(&encoding.tokens));
        }
    }
}

#[test]
fn a_file_that_asks_for_more_than_it_has_room_for_is_refused() {
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut file: serde_json::Value = serde_json::from_str(WORDPIECE).unwrap();
        change(&mut file);
        let spec = TokenizerSpec::new(TokenizerKind::HuggingFace);
        Tokenizer::new(&spec, file.to_string().as_bytes()).err().expect("a hostile file").message
    };
    let message = refused(&|file| file["model"]["vocab"]["far"] = u32::MAX.into());
    assert!(message.contains("the entry `far` has the id 4294967295; the maximum in a file of"), "{message}");
    let twice = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let message = refused(&|file| {
        file["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": vec![twice.clone(); 40]});
    });
    assert!(
        message.contains("`normalizer`: its rules may make a text more than 256 times as long"),
        "{message}"
    );
    let message = refused(&|file| {
        file["normalizer"] = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="});
    });
    assert!(message.contains("claims a trie of 4294967295 bytes"), "{message}");
}

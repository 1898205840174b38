//! `tokenizer.json` files of three families: byte-level BPE, BPE with byte fallback, WordPiece.

use proptest::prelude::*;

use super::super::Piece;
use super::decoding::decoded_in_pieces;
use super::*;
use crate::error::ErrorKind;
use crate::lm::{Joint, Tail};

#[test]
fn byte_level_tokens_and_their_places() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    assert_eq!(entries(&tokenizer, "the old sea\n"), ["the", "Ġold", "Ġsea", "Ċ"]);
    assert_eq!(spans(&tokenizer, "the old sea\n"), ["the", " old", " sea", "\n"]);
    assert_eq!(
        spans(&tokenizer, "é😀€"),
        ["é", "😀", "😀", "€", "€", "€"],
        "a part stands for the whole character"
    );
    assert_eq!(tokenizer.vocab_size(), 274);
}

#[test]
fn nothing_is_added_that_the_text_does_not_hold() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
    assert_eq!(
        entries(&tokenizer, "the sea"),
        ["▁the", "▁sea"],
        "no <s>, for all that the file's template says"
    );
    assert_eq!(entries(&tokenizer, ""), [""; 0]);
}

#[test]
fn parts_of_characters_are_held_back_and_shown_as_bytes() {
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
fn what_never_becomes_a_character_comes_out_in_the_end() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    let begun = tokenizer.id_of("ðŁĺ").unwrap();
    let mut decoder = tokenizer.decoder(&Tail::default());
    assert_eq!(decoder.push(begun), "");
    assert_eq!(decoder.push(tokenizer.id_of("the").unwrap()), "\u{fffd}the");
    assert_eq!(decoder.push(begun), "");
    assert_eq!(decoder.finish(), "\u{fffd}");
}

#[test]
fn byte_level_entries_are_the_crates() {
    let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
    let crates = tokenizers::Tokenizer::from_bytes(BYTE_LEVEL).unwrap();
    for token in 0..tokenizer.vocab_size() as TokenId {
        assert_eq!(tokenizer.decode(&[token]), crates.decode(&[token], true).unwrap(), "{token}");
    }
}

#[test]
fn byte_fallback_bytes_and_words_join() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
    for text in ["the sea é the", "éa", "a\u{fffd}é€ the", "é €"] {
        let tokens = ids(&tokenizer, text);
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(decoded_in_pieces(&tokenizer, &tokens, 1), text);
    }
}

#[test]
fn wordpieces_join_and_lowered_text_keeps_its_places() {
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
fn the_files_own_unknown_token_is_counted() {
    let tokenizer = hugging_face(WORDPIECE, |_| ());
    assert_eq!(tokenizer.unk(), Some(1));
    let encoding = tokenizer.encode("the ☃ sea zzz").unwrap();
    assert_eq!(encoding.unknown, [1, 3]);
    assert_eq!(tokenizer.decode(&encoding.tokens), "the [UNK] sea [UNK]");
}

#[test]
fn special_tokens_add_nothing_and_the_first_word_after_them_has_no_space() {
    let tokenizer = hugging_face(BYTE_FALLBACK, |spec| spec.eos = Some("</s>".into()));
    let id = |entry| tokenizer.id_of(entry).unwrap();
    assert_eq!(tokenizer.decode(&[id("<s>"), id("▁the"), id("▁sea"), id("</s>")]), "the sea");
    assert_eq!(tokenizer.piece(&Tail::new(&[id("<s>")], Joint::Open), id("▁the")).text, "the");
}

#[test]
fn line_ends_may_be_a_token() {
    let tokenizer = hugging_face(BYTE_LEVEL, |spec| spec.newline = Some("<|endoftext|>".into()));
    assert_eq!(entries(&tokenizer, "the\r\nsea\n"), ["the", "<|endoftext|>", "s", "e", "a", "<|endoftext|>"]);
    assert_eq!(tokenizer.decode(&ids(&tokenizer, "the\nsea\n")), "the\nsea\n");
}

#[test]
fn rules_of_the_manifest_apply_before() {
    let tokenizer = hugging_face(BYTE_LEVEL, |spec| {
        spec.lowercase = true;
        spec.replace = vec![("ocean".into(), "sea".into())];
    });
    assert_eq!(entries(&tokenizer, "The old ocean"), ["the", "Ġold", "Ġsea"]);
    assert_eq!(spans(&tokenizer, "The old ocean"), ["The", " old", " ocean"]);
}

#[test]
fn what_the_model_would_silently_drop_is_an_error() {
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
fn what_is_no_tokenizer_is_refused() {
    for file in
        ["", "{}", "[1,2]", "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"]
    {
        let spec = TokenizerSpec::new(Kind::HuggingFace);
        let error = Tokenizer::new(&spec, file.as_bytes()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Load);
        assert!(error.message.starts_with("not a Hugging Face tokenizer: "), "{}", error.message);
    }
}

proptest! {
    #[test]
    fn byte_level_texts_come_back_whole_however_they_are_cut(text in r"(?:the|old| sea|\s|é|😀|€|\u{fffd}|\PC){0,30}", len in 1usize..9) {
        let tokenizer = hugging_face(BYTE_LEVEL, |_| ());
        let tokens = ids(&tokenizer, &text);
        prop_assert_eq!(&tokenizer.decode(&tokens), &text);
        prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), text);
    }

    #[test]
    fn byte_fallback_texts_come_back_whole_however_they_are_cut(text in r"(?:the| sea|[a-z,.\n ]|é|😀|\u{fffd}|\PC){0,30}", len in 1usize..9) {
        let tokenizer = hugging_face(BYTE_FALLBACK, |_| ());
        let tokens = ids(&tokenizer, &text);
        prop_assert_eq!(&tokenizer.decode(&tokens), &text.replace('▁', " "));
        prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), tokenizer.decode(&tokens));
    }

    #[test]
    fn pieces_of_any_tokens_add_up(picks in prop::collection::vec(any::<u32>(), 0..150), len in 1usize..70) {
        for file in [BYTE_LEVEL, BYTE_FALLBACK, WORDPIECE] {
            let tokenizer = hugging_face(file, |_| ());
            let tokens: Vec<TokenId> = picks.iter().map(|pick| pick % tokenizer.vocab_size() as u32).collect();
            prop_assert_eq!(decoded_in_pieces(&tokenizer, &tokens, len), tokenizer.decode(&tokens));
        }
    }

    #[test]
    fn damaged_files_never_panic(at in 0..4000usize, with in any::<u8>(), len in 0usize..40) {
        let mut file = BYTE_FALLBACK.as_bytes().to_vec();
        file.splice(at..at + len, [with]);
        if let Ok(tokenizer) = Tokenizer::new(&TokenizerSpec::new(Kind::HuggingFace), &file) {
            let _ = tokenizer.encode("the sea é").map(|encoding| tokenizer.decode(&encoding.tokens));
        }
    }
}

//! What request types accept: absent and null fields, parts beside own fields, and the path of what they refuse.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::append::AppendRequest;
use super::cache::Cache;
use super::fields::Fields;
use super::generate::{GenerateRequest, SessionGenerateRequest};
use super::mixture::MixturePart;
use super::next::{NextQuery, NextRequest, SessionNextRequest};
use super::prompt::Prompt;
use super::question::{Question, Shown};
use super::rescore::{Hypothesis, RescoreQuery, RescoreRequest, Utterance};
use super::rewind::RewindRequest;
use super::sampling::Sampling;
use super::score::{ScoreRequest, ScoreTextQuery, SessionScoreRequest};
use super::sessions::{CreateSessionRequest, Expectation, ForkRequest, ListSessionsQuery};
use super::state::{Carried, PutStateQuery};
use super::suggest::{ExtraWord, Suggest, SuggestRequest};
use super::tokens::{DetokenizeRequest, TokenizeRequest};

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Where `json` is wrong, and how.
fn refused<T: DeserializeOwned>(json: &str) -> (String, String) {
    let mut reader = serde_json::Deserializer::from_str(json);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        panic!("{json} should be refused");
    };
    (error.path().to_string(), error.into_inner().to_string())
}

/// Reads every field as null, one at a time and all together: each keeps its default.
fn null_is_absent<T: Fields + DeserializeOwned + PartialEq + std::fmt::Debug>() {
    let names = T::names();
    assert!(!names.is_empty());
    let all: Value = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    assert_eq!(read::<T>(&all.to_string()), T::default());
    for name in names {
        assert_eq!(read::<T>(&json!({name: null}).to_string()), T::default(), "{name}");
    }
    assert_eq!(read::<T>("{}"), T::default());
}

#[test]
fn a_field_that_is_null_keeps_its_default() {
    null_is_absent::<NextRequest>();
    null_is_absent::<NextQuery>();
    null_is_absent::<Question>();
    null_is_absent::<Sampling>();
    null_is_absent::<GenerateRequest>();
    null_is_absent::<SessionGenerateRequest>();
    null_is_absent::<ScoreRequest>();
    null_is_absent::<SessionScoreRequest>();
    null_is_absent::<ScoreTextQuery>();
    null_is_absent::<MixturePart>();
    null_is_absent::<RescoreRequest>();
    null_is_absent::<RescoreQuery>();
    null_is_absent::<Utterance>();
    null_is_absent::<Hypothesis>();
    null_is_absent::<CreateSessionRequest>();
    null_is_absent::<ForkRequest>();
    null_is_absent::<AppendRequest>();
    null_is_absent::<RewindRequest>();
    null_is_absent::<ListSessionsQuery>();
    null_is_absent::<PutStateQuery>();
    null_is_absent::<Cache>();
    null_is_absent::<Carried>();
    null_is_absent::<Expectation>();
    null_is_absent::<SuggestRequest>();
    null_is_absent::<ExtraWord>();
    null_is_absent::<TokenizeRequest>();
    null_is_absent::<DetokenizeRequest>();
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let Shown { top_k, special, full } = Shown::default();
    assert_eq!((top_k, special, full), (None, true, false));
    assert_eq!((Shown::TOP_K_DEFAULT, GenerateRequest::MAX_TOKENS_DEFAULT), (10, 64));
    let generate = SessionGenerateRequest::default();
    assert!(generate.commit);
    assert_eq!((generate.generate.max_tokens, generate.generate.sampling.temperature), (None, 1.0));
    assert_eq!((generate.generate.sampling.top_p, generate.generate.sampling.min_p), (1.0, 0.0));
    assert!(!generate.generate.sampling.allow_unknown);
    let suggest =
        Suggest { prefix: None, top_k: 3, ignore_case: true, next_words: 1, extra_words: Vec::new() };
    assert_eq!(SuggestRequest::default().suggest, suggest);
}

#[test]
fn fields_of_parts_stand_beside_own_fields() {
    let request: NextRequest = read(r#"{"text": "the", "top_k": 3, "full": true, "candidates": ["sea", 7]}"#);
    let SessionNextRequest { prompt, question, .. } = request.next;
    assert_eq!(prompt, Prompt { text: Some("the".into()), ..Prompt::default() });
    assert_eq!((question.shown.top_k, question.shown.full, question.candidates.len()), (Some(3), true, 2));
    let names = NextRequest::names();
    for name in [
        "mixture",
        "requests",
        "model",
        "text",
        "tokens",
        "candidates",
        "sampling",
        "top_k",
        "special",
        "full",
        "cache",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(names.len(), 13);
}

#[test]
fn what_is_refused_is_named_by_its_path_through_parts_and_lists() {
    for (json, path, part) in [
        (r#"{"top_k": "3"}"#, "top_k", "invalid type: string"),
        (r#"{"tokens": [1, -1]}"#, "tokens[1]", "invalid value: integer `-1`"),
        (r#"{"sampling": {"top_p": true}}"#, "sampling.top_p", "invalid type: boolean"),
        (r#"{"sampling": {"banned": ["a", {}]}}"#, "sampling.banned[1]", "expected a word or a token id"),
        (r#"{"requests": {}}"#, "requests", "expected a list"),
        (r#"{"sampling": [1]}"#, "sampling", "expected an object"),
        (
            r#"{"session": "s"}"#,
            ".",
            "unknown field `session`, expected one of `mixture`, `requests`, `model`",
        ),
        (r#"{"top_k": 1, "top_k": 2}"#, ".", "duplicate field `top_k`"),
        (r#"{"text": null, "text": "a"}"#, ".", "duplicate field `text`"),
        ("[]", ".", "expected an object"),
    ] {
        let (found, message) = refused::<NextRequest>(json);
        assert_eq!(found, path, "{json}: {message}");
        assert!(message.contains(part), "{json}: {message}");
    }
}

#[test]
fn only_a_session_takes_what_moves_a_session() {
    for field in ["commit", "expected_position"] {
        assert!(SessionGenerateRequest::names().contains(&field));
        assert!(!GenerateRequest::names().contains(&field));
    }
}

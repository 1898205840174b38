//! N-best lists as JSON: utterances of the API, and what sherpa-onnx and Vosk answer. Objects stand on a line each or on several.

use std::io::BufRead;

use serde_json::de::IoRead;
use serde_json::{Deserializer, Map, StreamDeserializer, Value, json};

use super::nbest::{Format, Nbest, Source};
use crate::api::rescore::{Hypothesis, RescoredUtterance, Utterance};
use crate::cli::failure::{Failure, Outcome};

/// The objects of a file.
pub(super) struct ObjectReader {
    objects: StreamDeserializer<'static, IoRead<Box<dyn BufRead>>, Map<String, Value>>,
    format: Format,
    number: usize,
}

/// An object of a recogniser.
pub(super) struct Object {
    fields: Map<String, Value>,
    names: Names,
}

/// What a recogniser calls things.
#[derive(Clone, Copy)]
struct Names {
    list: &'static str,
    score: &'static str,
}

const SHERPA: Names = Names { list: "hypotheses", score: "score" };
const VOSK: Names = Names { list: "alternatives", score: "confidence" };

impl ObjectReader {
    pub(super) fn new(text: Box<dyn BufRead>, format: Format) -> Self {
        Self { objects: Deserializer::from_reader(text).into_iter(), format, number: 0 }
    }

    fn nbest(&self, fields: Map<String, Value>, bytes: usize) -> Outcome<Nbest> {
        let names = match self.format {
            Format::Vosk => Some(VOSK),
            Format::Sherpa => Some(SHERPA),
            Format::Ndjson => None,
            _ if fields.contains_key(VOSK.list) => Some(VOSK),
            _ if fields.keys().all(|name| ["id", "context", "hypotheses"].contains(&name.as_str())) => None,
            _ => Some(SHERPA),
        };
        let Some(names) = names else {
            let line = Value::Object(fields).to_string();
            let utterance =
                Utterance::from_line(line.as_bytes()).map_err(|error| self.failed(&error.message))?;
            return Ok(Nbest { utterance, source: Source::Utterance, bytes });
        };
        let object = Object { fields, names };
        let hypotheses = object.hypotheses().map_err(|message| self.failed(&message))?;
        let utterance = Utterance { id: None, context: None, hypotheses };
        Ok(Nbest { utterance, source: Source::Object(object), bytes })
    }

    fn failed(&self, message: &str) -> Failure {
        Failure::Failed(format!("utterance {}: {message}", self.number))
    }
}

impl Iterator for ObjectReader {
    type Item = Outcome<Nbest>;

    fn next(&mut self) -> Option<Outcome<Nbest>> {
        let before = self.objects.byte_offset();
        let fields = self.objects.next()?;
        self.number += 1;
        let bytes = self.objects.byte_offset() - before;
        Some(match fields {
            Ok(fields) => self.nbest(fields, bytes),
            Err(error) => Err(self.failed(&format!("expected a JSON object: {error}"))),
        })
    }
}

impl Object {
    /// The hypotheses, or what is wrong with them.
    fn hypotheses(&self) -> Result<Vec<Hypothesis>, String> {
        let Names { list, score } = self.names;
        let Some(Value::Array(entries)) = self.fields.get(list) else {
            return Err(format!("the object has no list `{list}`"));
        };
        let each = entries.iter().enumerate().map(|(index, entry)| {
            let Some(Value::String(text)) = entry.get("text") else {
                return Err(format!("`{list}[{index}]` has no string `text`"));
            };
            let score = match entry.get(score) {
                None => 0.0,
                Some(found) => {
                    found.as_f64().ok_or_else(|| format!("`{list}[{index}].{score}` is not a number"))?
                }
            };
            Ok(Hypothesis { text: Some(text.clone()), score, ..Hypothesis::default() })
        });
        each.collect()
    }

    /// The same object with its hypotheses in their new order, each with its total in place of its score and its `lm_logprob`. What
    /// the object says of its best hypothesis it says of the new one.
    pub(super) fn ranked(&self, rescored: &RescoredUtterance) -> Value {
        let Names { list, score } = self.names;
        let mut fields = self.fields.clone();
        let entries = rescored.hypotheses.iter().map(|hypothesis| {
            let mut entry = self.fields[list][hypothesis.index].clone();
            entry[score] = json!(hypothesis.total);
            entry["lm_logprob"] = json!(hypothesis.lm_logprob);
            entry
        });
        let entries: Vec<Value> = entries.collect();
        for (name, value) in entries[0].as_object().into_iter().flatten() {
            if name != score
                && let Some(of_best) = fields.get_mut(name)
            {
                of_best.clone_from(value);
            }
        }
        fields.insert(list.to_owned(), entries.into());
        fields.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rescore::RescoredHypothesis;

    fn read(text: &'static str) -> Vec<Outcome<Nbest>> {
        ObjectReader::new(Box::new(text.as_bytes()), Format::Auto).collect()
    }

    #[test]
    fn the_kind_of_an_object_follows_from_its_fields() {
        let found = read(
            r#"{"id": "u", "hypotheses": [{"text": "a"}]}
            {"text": "a", "tokens": ["a"], "hypotheses": [{"text": "a", "tokens": ["a"], "score": -1.5}]}
            {"alternatives": [
              {"confidence": 280.5, "text": "b"}]}"#,
        );
        let found: Vec<Nbest> = found.into_iter().map(Result::unwrap).collect();
        assert!(matches!(found[0].source, Source::Utterance));
        assert_eq!(found[1].utterance.hypotheses[0].score, -1.5);
        assert_eq!(found[2].utterance.hypotheses[0].score, 280.5);
        for (text, part) in [
            ("[1]", "utterance 1"),
            ("{\"alternatives\": 1}", "`alternatives`"),
            ("{\"hypotheses\": [{\"txt\": \"a\"}]}", "unknown field `txt`"),
            ("{\"hypotheses\": [{\"score\": 1}], \"text\": 1}", "`hypotheses[0]` has no string `text`"),
        ] {
            let Err(Failure::Failed(message)) = read(text).remove(0) else {
                panic!("{text} should be refused")
            };
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn an_object_keeps_its_form_and_names_the_new_best() {
        let mut found = read(
            r#"{"lang": "en", "text": "a", "hypotheses": [{"text": "a", "score": -1}, {"text": "b", "score": -2, "tokens": [7]}]}"#,
        );
        let Source::Object(object) = found.remove(0).unwrap().source else {
            panic!("an object of sherpa-onnx")
        };
        let ranked = |index, rank, total| RescoredHypothesis {
            index,
            rank,
            total,
            lm_logprob: -3.0,
            unknown_count: 0,
        };
        let rescored =
            RescoredUtterance { id: None, hypotheses: vec![ranked(1, 1, -0.5), ranked(0, 2, -4.5)] };
        let expected = json!({"lang": "en", "text": "b", "hypotheses": [
            {"text": "b", "score": -0.5, "tokens": [7], "lm_logprob": -3.0}, {"text": "a", "score": -4.5, "lm_logprob": -3.0}]});
        assert_eq!(object.ranked(&rescored), expected);
    }
}

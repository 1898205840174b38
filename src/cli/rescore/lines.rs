//! N-best lists as lines: a name, scores, and words.
//!
//! Kaldi numbers the hypotheses of an utterance in their names (`utt-1`, `utt-2`); Mikolov's toolkit repeats the utterance's name.

use std::io::{self, BufRead, Write};

use super::nbest::{Columns, Nbest, Source};
use crate::api::rescore::{Hypothesis, RescoredUtterance, Utterance};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::input::utf8_line;

/// How lines are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// By the utterance and the number of the hypothesis.
    Numbered,
    /// By the utterance alone.
    Repeated,
}

/// A hypothesis on a line.
#[derive(Clone, Debug)]
pub(super) struct NbestLine {
    /// The name as it is written.
    key: String,
    scores: Vec<f64>,
    words: String,
    bytes: usize,
}

/// The utterances of a file of lines.
pub(super) struct LineReader {
    lines: Box<dyn Iterator<Item = Outcome<String>>>,
    keys: Keys,
    columns: usize,
    number: usize,
    /// Lines that were read ahead.
    ahead: Vec<String>,
    /// The first line of the next utterance.
    first: Option<NbestLine>,
}

impl LineReader {
    pub(super) fn new(text: Box<dyn BufRead>, keys: Option<Keys>, columns: Columns) -> Outcome<Self> {
        let lines = text.split(b'\n').zip(1..).map(|(line, number)| utf8_line(line?, number));
        let mut reader = Self {
            lines: Box::new(lines),
            keys: Keys::Repeated,
            columns: 0,
            number: 0,
            ahead: Vec::new(),
            first: None,
        };
        let first = reader.raw_line().transpose()?;
        let second = reader.raw_line().transpose()?;
        let key = |line: &Option<String>| line.as_deref().map(|line| split(line).0.to_owned());
        reader.keys = keys.unwrap_or_else(|| keys_of(key(&first), key(&second)));
        reader.columns = match columns {
            Columns::Count(count) => count,
            Columns::Auto => first.as_deref().map_or(0, columns_of),
        };
        reader.number = 0;
        reader.ahead.extend(second);
        reader.ahead.extend(first);
        Ok(reader)
    }

    /// The next line that is not blank.
    fn raw_line(&mut self) -> Option<Outcome<String>> {
        if let Some(line) = self.ahead.pop() {
            return Some(Ok(line));
        }
        self.lines.by_ref().find(|line| line.as_ref().map_or(true, |line| !line.trim().is_empty()))
    }

    fn line(&mut self) -> Outcome<Option<NbestLine>> {
        let Some(line) = self.raw_line().transpose()? else { return Ok(None) };
        self.number += 1;
        let (key, mut rest) = split(&line);
        let mut scores = Vec::with_capacity(self.columns);
        for _ in 0..self.columns {
            let (score, words) = split(rest);
            let parsed = score.parse::<f64>().ok().filter(|score| score.is_finite());
            scores.push(parsed.ok_or_else(|| {
                let number = self.number;
                Failure::Failed(format!(
                    "hypothesis {number} (`{key}`): found `{score}` where a score was expected (`--scores`)"
                ))
            })?);
            rest = words;
        }
        Ok(Some(NbestLine { key: key.to_owned(), scores, words: rest.to_owned(), bytes: line.len() + 1 }))
    }

    /// The utterance that a line belongs to.
    fn utterance_of<'a>(&self, key: &'a str) -> &'a str {
        match self.keys {
            Keys::Repeated => key,
            Keys::Numbered => numbered(key).unwrap_or(key),
        }
    }

    fn nbest(&mut self) -> Outcome<Option<Nbest>> {
        let first = match self.first.take() {
            Some(first) => first,
            None => match self.line()? {
                Some(first) => first,
                None => return Ok(None),
            },
        };
        let id = self.utterance_of(&first.key).to_owned();
        let mut lines = vec![first];
        while let Some(line) = self.line()? {
            if self.utterance_of(&line.key) != id {
                self.first = Some(line);
                break;
            }
            lines.push(line);
        }
        let bytes = lines.iter().map(|line| line.bytes).sum();
        let hypotheses = lines.iter().map(|line| Hypothesis {
            text: Some(line.words.clone()),
            score: line.scores.first().copied().unwrap_or_default(),
            lm_score: line.scores.get(1).copied().unwrap_or_default(),
            ..Hypothesis::default()
        });
        let utterance = Utterance { id: Some(id), context: None, hypotheses: hypotheses.collect() };
        Ok(Some(Nbest { utterance, source: Source::Lines(lines), bytes }))
    }
}

impl Iterator for LineReader {
    type Item = Outcome<Nbest>;

    fn next(&mut self) -> Option<Outcome<Nbest>> {
        self.nbest().transpose()
    }
}

/// The first word of a line, and the rest.
fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).map_or((line, ""), |(first, rest)| (first, rest.trim_start()))
}

/// The name of an utterance in that of a hypothesis: `utt` in `utt-1`.
fn numbered(key: &str) -> Option<&str> {
    let (utterance, number) = key.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !utterance.is_empty()).then_some(utterance)
}

/// How lines are named whose first two have these names.
fn keys_of(first: Option<String>, second: Option<String>) -> Keys {
    match first {
        Some(first) if Some(&first) != second.as_ref() && numbered(&first).is_some() => Keys::Numbered,
        _ => Keys::Repeated,
    }
}

/// The number of columns after the name, at most 2, that are numbers which no word looks like.
fn columns_of(line: &str) -> usize {
    let is_score =
        |column: &&str| column.parse::<f64>().is_ok_and(f64::is_finite) && column.contains(['.', '-', '+']);
    split(line).1.split_whitespace().take(2).take_while(is_score).count()
}

/// The lines of an utterance in their new order: the name, the total, the language model's score, the words.
pub(super) fn print(
    out: &mut impl Write,
    lines: &[NbestLine],
    rescored: &RescoredUtterance,
) -> io::Result<()> {
    for hypothesis in &rescored.hypotheses {
        let NbestLine { key, words, .. } = &lines[hypothesis.index];
        let line = format!("{key} {:.6} {:.6} {words}", hypothesis.total, hypothesis.lm_logprob);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Vec<Utterance> {
        let reader = LineReader::new(Box::new(text.as_bytes()), None, Columns::Auto).unwrap();
        reader.map(|nbest| nbest.unwrap().utterance).collect()
    }

    #[test]
    fn names_and_score_columns_are_found_in_the_first_lines() {
        let kaldi = read("utt-a-1 -4.5 -7 the sea\nutt-a-2 -5 1 a see\n\nutt-b-1 -1 -2\n");
        assert_eq!(kaldi.len(), 2);
        assert_eq!((kaldi[0].id.as_deref(), kaldi[0].hypotheses.len()), (Some("utt-a"), 2));
        let second = &kaldi[0].hypotheses[1];
        assert_eq!((second.text.as_deref(), second.score, second.lm_score), (Some("a see"), -5.0, 1.0));
        assert_eq!(kaldi[1].hypotheses[0].text.as_deref(), Some(""), "a hypothesis may have no word");
        let mikolov = read("utt-1 the 5 seas\nutt-1 a sea\nutt-2 old\n");
        assert_eq!(mikolov.iter().map(|utterance| utterance.hypotheses.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(mikolov[0].hypotheses[0].text.as_deref(), Some("the 5 seas"));
    }

    #[test]
    fn a_line_without_its_scores_is_refused() {
        let mut reader =
            LineReader::new(Box::new("utt -1.5 the\nutt sea\n".as_bytes()), None, Columns::Auto).unwrap();
        let Some(Err(Failure::Failed(message))) = reader.next() else {
            panic!("the second line has no score")
        };
        assert!(message.contains("hypothesis 2 (`utt`)") && message.contains("`sea`"), "{message}");
    }
}

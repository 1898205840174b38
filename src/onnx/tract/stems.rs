//! What the names of a state's input and output have in common: `h0` with `hn`, `in_hidden1` with `out_hidden1`, `state` with
//! `new_state`.

use crate::onnx::names::words;

/// Words that tell what goes in from what comes out.
const SIDES: [&str; 28] = [
    "in", "input", "inp", "i", "prev", "previous", "old", "init", "initial", "past", "last", "before", "out",
    "output", "o", "next", "new", "n", "cur", "current", "present", "final", "after", "t", "updated", "ret",
    "return", "to",
];

/// What `name` is about, whichever side it is on: its words in lower case, without those that say in or out.
/// Empty where nothing is left to go by.
pub(super) fn stem(name: &str) -> Vec<String> {
    let mut words: Vec<String> = words(name)
        .into_iter()
        .map(|word| match word.as_str() {
            "hn" | "ht" | "hi" | "ho" | "hx" | "hy" => "h".to_owned(),
            "cn" | "ct" | "ci" | "co" | "cx" | "cy" => "c".to_owned(),
            _ => word,
        })
        .filter(|word| !SIDES.contains(&word.as_str()))
        .collect();
    if words.iter().all(|word| is_number(word)) {
        words.clear();
    }
    words
}

/// The same without its numbers: `h0` is the state before the first step, `hn` the one after the last.
pub(super) fn bare_stem(name: &str) -> Vec<String> {
    stem(name).into_iter().filter(|word| !is_number(word)).collect()
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_state_have_one_stem() {
        for (input, output) in [
            ("in_hidden1", "out_hidden1"),
            ("h_in", "h_out"),
            ("h0", "next_h0"),
            ("state", "new_state"),
            ("hiddenIn", "hiddenOut"),
            ("past_key.0", "present_key.0"),
        ] {
            assert_eq!(stem(input), stem(output), "{input} {output}");
            assert!(!stem(input).is_empty());
        }
        for (input, output) in [("h0", "hn"), ("c0", "cn"), ("initial_h", "h"), ("h_0", "h_n")] {
            assert_eq!(bare_stem(input), bare_stem(output), "{input} {output}");
        }
        assert_ne!(stem("in_hidden1"), stem("out_hidden2"));
        assert_ne!(bare_stem("h0"), bare_stem("cn"));
    }

    #[test]
    fn names_that_say_nothing_have_no_stem() {
        for name in ["31", "input", "output.1", "in_0", "i", ""] {
            assert_eq!(stem(name), Vec::<String>::new(), "{name}");
        }
    }
}

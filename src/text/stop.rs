//! Stop strings in a text that comes in pieces.

/// Finds stop strings, and holds text back for as long as it could be the beginning of one.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// The result of appending a piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// This much is safe to show.
    Text(String),
    /// A stop string is complete; this is the text before it that was not shown yet.
    Stopped(String),
}

impl StopStrings {
    /// Looks for `stops`, none of which is empty.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Appends a piece.
    pub fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        Passed::Text(std::mem::replace(&mut self.held, rest))
    }

    /// The text that is still held back, at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).skip(1).collect::<Vec<_>>();
    starts.into_iter().rev().find(|&len| text.ends_with(&stop[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the text is cut into pieces, what is shown is the text before the first stop string.
        #[test]
        fn shows_the_text_before_the_first_stop(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{1,3}", 0..3),
        ) {
            let whole = pieces.concat();
            let expected = stops.iter().filter_map(|stop| whole.find(stop.as_str())).min();
            let mut matcher = StopStrings::new(stops);
            let mut shown = String::new();
            let mut stopped = false;
            for piece in &pieces {
                match matcher.push(piece) {
                    Passed::Text(text) => shown += &text,
                    Passed::Stopped(text) => {
                        shown += &text;
                        stopped = true;
                        break;
                    }
                }
            }
            if !stopped {
                shown += &matcher.finish();
            }
            prop_assert_eq!(stopped, expected.is_some());
            // A stop that ends later may begin earlier: the stream must decide when the first one is complete.
            match expected {
                Some(at) => prop_assert!(shown.len() >= at && whole.starts_with(&shown)),
                None => prop_assert_eq!(shown, whole),
            }
        }
    }

    #[test]
    fn holds_back_what_could_begin_a_stop() {
        let mut matcher = StopStrings::new(vec!["\n\n".into(), "END".into()]);
        assert_eq!(matcher.push("a\n"), Passed::Text("a".into()));
        assert_eq!(matcher.push("bE"), Passed::Text("\nb".into()));
        assert_eq!(matcher.push("N"), Passed::Text(String::new()));
        assert_eq!(matcher.push("Dx"), Passed::Stopped(String::new()));
    }
}

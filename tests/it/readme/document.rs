//! The README as lines: its examples and its table of options, to be read and to be written.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::root;

/// The README, held by one test at a time: two that write it would each undo the other.
pub(crate) struct Document {
    lines: Vec<String>,
    _held: MutexGuard<'static, ()>,
}

static HELD: Mutex<()> = Mutex::new(());

/// A command, and the answer that stands below it.
pub(crate) struct Example {
    /// Where the command begins, from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) answer: Option<String>,
    /// The lines of the answer's block, fences included; empty, after the command, if there is none.
    block: std::ops::Range<usize>,
}

const EXAMPLE: &str = "```sh example";
const FENCE: &str = "```";
const OPTIONS: [&str; 2] = ["<!-- options -->", "<!-- /options -->"];

impl Document {
    pub(crate) fn read() -> Self {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::fs::read_to_string(path()).unwrap();
        Self { lines: text.lines().map(str::to_owned).collect(), _held: held }
    }

    pub(crate) fn save(&self) {
        std::fs::write(path(), self.text()).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    pub(crate) fn examples(&self) -> Vec<Example> {
        let starts = (0..self.lines.len()).filter(|&at| self.lines[at] == EXAMPLE);
        starts.map(|start| self.example(start)).collect()
    }

    fn example(&self, start: usize) -> Example {
        let end = self.closing(start);
        let next = (end + 1..self.lines.len()).find(|&at| !self.lines[at].is_empty());
        let answered = next.filter(|&at| self.lines[at].starts_with(FENCE) && self.lines[at] != EXAMPLE);
        let block = answered.map_or(end + 1..end + 1, |at| at..self.closing(at) + 1);
        let answer = answered.map(|at| self.lines[at + 1..block.end - 1].join("\n"));
        Example { line: start + 2, command: self.lines[start + 1..end].join("\n"), answer, block }
    }

    /// Puts `(language, answer)` below an example.
    pub(crate) fn write(&mut self, example: &Example, (language, answer): &(&str, String)) {
        let mut block = vec![format!("{FENCE}{language}")];
        block.extend(answer.lines().map(str::to_owned));
        block.push(FENCE.to_owned());
        if example.block.is_empty() {
            block.insert(0, String::new());
        }
        self.lines.splice(example.block.clone(), block);
    }

    pub(crate) fn options(&self) -> String {
        let [start, end] = self.options_at();
        self.lines[start + 1..end].iter().map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn write_options(&mut self, table: &str) {
        let [start, end] = self.options_at();
        self.lines.splice(start + 1..end, table.lines().map(str::to_owned));
    }

    fn options_at(&self) -> [usize; 2] {
        OPTIONS.map(|marker| {
            let at = self.lines.iter().position(|line| line == marker);
            at.unwrap_or_else(|| panic!("README.md has no line `{marker}`"))
        })
    }

    fn closing(&self, start: usize) -> usize {
        let end = (start + 1..self.lines.len()).find(|&at| self.lines[at] == FENCE);
        end.unwrap_or_else(|| panic!("README.md:{}: the block is never closed", start + 1))
    }
}

fn path() -> PathBuf {
    root().join("README.md")
}

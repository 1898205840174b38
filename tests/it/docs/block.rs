//! The fenced code blocks of a page, and how each is checked.

use std::ops::Range;

const FENCE: &str = "```";

/// A code block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Its lines, including the fences.
    pub(crate) lines: Range<usize>,
    /// The info string after the opening fence: the language and a mark.
    pub(crate) info: String,
    pub(crate) how: Use,
}

/// How a block is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A command that is run.
    Example,
    /// The output of the example before it.
    Output,
    /// A manifest that the program accepts.
    Manifest,
    /// A configuration file that the program accepts.
    Config,
    /// Commands that `training/tests` runs.
    Training,
    /// The configuration of a proxy, which runs in front of a server.
    Proxy,
    /// A program that `tests/clients/page.py` runs.
    Client,
    /// What such a program in Rust depends on.
    Crate,
    /// A configuration that `tests/browser` runs.
    Prefix,
    /// A block that is not checked.
    Shown,
    /// A block without a mark, which is an error.
    Unmarked,
}

impl Block {
    /// The line of the opening fence, counted from 1.
    pub(crate) fn line(&self) -> usize {
        self.lines.start + 1
    }
}

/// The blocks of a page, in their order.
pub(crate) fn blocks(lines: &[String]) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(info) = lines[at].strip_prefix(FENCE) else {
            assert!(!lines[at].trim_start().starts_with(FENCE), "line {}: an indented block", at + 1);
            at += 1;
            continue;
        };
        let end = (at + 1..lines.len()).find(|&end| lines[end] == FENCE);
        let end = end.unwrap_or_else(|| panic!("line {}: the block is not closed", at + 1)) + 1;
        let follows_example = found.last().is_some_and(|last| {
            matches!(last.how, Use::Example | Use::Client)
                && lines[last.lines.end..at].iter().all(String::is_empty)
        });
        let how = if follows_example && ["json", "text"].contains(&info) { Use::Output } else { of(info) };
        found.push(Block { lines: at..end, info: info.to_owned(), how });
        at = end;
    }
    found
}

fn of(info: &str) -> Use {
    match info {
        "sh example" => Use::Example,
        "json manifest" => Use::Manifest,
        "toml config" => Use::Config,
        "nginx proxy" | "caddy proxy" => Use::Proxy,
        "sh training" => Use::Training,
        "python client" | "js client" | "rust client" => Use::Client,
        "toml crate" => Use::Crate,
        "nginx prefix" => Use::Prefix,
        _ if info.ends_with(" shown") => Use::Shown,
        _ => Use::Unmarked,
    }
}

#[test]
fn an_output_follows_its_example_and_a_block_without_a_mark_is_found() {
    let page =
        "```sh example\nls\n```\n\n```text\na\n```\n```text\nb\n```\n```sh\nls\n```\n```python shown\n```\n";
    let lines: Vec<String> = page.lines().map(str::to_owned).collect();
    let found: Vec<Use> = blocks(&lines).iter().map(|block| block.how).collect();
    assert_eq!(found, [Use::Example, Use::Output, Use::Unmarked, Use::Unmarked, Use::Shown]);
}

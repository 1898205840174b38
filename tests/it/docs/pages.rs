//! The pages as lines, whose examples and tables of options are read and written.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::block::{Block, Use, blocks};
use super::layout::Layout;
use crate::harness::root;

/// `README.md` and the pages of `docs/`.
pub(crate) struct Pages {
    pages: Vec<Page>,
    /// Held by one test at a time while pages are written, because two tests would overwrite each other's changes.
    _writing: Option<MutexGuard<'static, ()>>,
}

/// A page of Markdown.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) name: String,
    lines: Vec<String>,
}

/// A command, and the output that the page shows below it.
pub(crate) struct Example {
    /// The line of the command, counted from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) output: Option<String>,
    /// The lines of the output's block; an empty range after the command if it has no output.
    block: Range<usize>,
}

static WRITING: Mutex<()> = Mutex::new(());

/// Whether the pages are written instead of compared.
pub(crate) fn is_writing() -> bool {
    std::env::var("DOCS").as_deref() == Ok("write")
}

impl Pages {
    pub(crate) fn read() -> Self {
        let writing = is_writing().then(|| WRITING.lock().unwrap_or_else(PoisonError::into_inner));
        let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = docs.map(|name| format!("docs/{}", name.to_str().unwrap())).collect();
        names.retain(|name| name.ends_with(".md"));
        names.push("README.md".to_owned());
        names.sort();
        Self { pages: names.into_iter().map(Page::read).collect(), _writing: writing }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Page> {
        self.pages.iter_mut()
    }

    pub(crate) fn page(&mut self, name: &str) -> &mut Page {
        let page = self.pages.iter_mut().find(|page| page.name == name);
        page.unwrap_or_else(|| panic!("the page `{name}` does not exist"))
    }

    pub(crate) fn save_if_writing(&self) {
        if is_writing() {
            self.pages.iter().for_each(|page| std::fs::write(path(&page.name), page.text()).unwrap());
        }
    }
}

impl Page {
    pub(crate) fn read(name: String) -> Self {
        let text = std::fs::read_to_string(path(&name)).unwrap();
        Self { name, lines: text.lines().map(str::to_owned).collect() }
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        blocks(&self.lines)
    }

    /// The text between the fences of a block.
    pub(crate) fn text_of(&self, block: &Block) -> String {
        self.lines[block.lines.start + 1..block.lines.end - 1].join("\n")
    }

    /// The blocks without a mark.
    pub(crate) fn unmarked(&self) -> Vec<String> {
        let unmarked = self.blocks().into_iter().filter(|block| block.how == Use::Unmarked);
        unmarked.map(|block| format!("{}:{} `{}`", self.name, block.line(), block.info)).collect()
    }

    pub(crate) fn examples(&self) -> Vec<Example> {
        let blocks = self.blocks();
        let examples = blocks.iter().enumerate().filter(|(_, block)| block.how == Use::Example);
        let example = |(index, block): (usize, &Block)| {
            let output = blocks.get(index + 1).filter(|next| next.how == Use::Output);
            Example {
                line: block.line() + 1,
                command: self.text_of(block),
                output: output.map(|output| self.text_of(output)),
                block: output.map_or(block.lines.end..block.lines.end, |output| output.lines.clone()),
            }
        };
        examples.map(example).collect()
    }

    /// Writes an output below its example.
    pub(crate) fn write_output(&mut self, example: &Example, output: &Layout) {
        let mut block = vec![format!("```{}", output.language)];
        block.extend(output.text.lines().map(str::to_owned));
        block.push("```".to_owned());
        if example.block.is_empty() {
            block.insert(0, String::new());
        }
        self.lines.splice(example.block.clone(), block);
    }

    /// The lines between the comments `name` and `/name`.
    pub(crate) fn table(&self, name: &str) -> String {
        self.lines[self.table_at(name)].iter().map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn write_table(&mut self, name: &str, table: &str) {
        let at = self.table_at(name);
        self.lines.splice(at, table.lines().map(str::to_owned));
    }

    fn table_at(&self, name: &str) -> Range<usize> {
        let line = |marker: String| {
            let at = self.lines.iter().position(|line| *line == marker);
            at.unwrap_or_else(|| panic!("{} has no line `{marker}`", self.name))
        };
        line(format!("<!-- {name} -->")) + 1..line(format!("<!-- /{name} -->"))
    }

    /// The `names` that do not occur in inline code on the page.
    pub(crate) fn lacks(&self, names: &[&str]) -> Vec<String> {
        let text = self.text();
        // `GET /v1/models` names the route, and `rnnlm_tokens_total` the metric.
        let ends = ["`", "_total`", "_info`"];
        let is_named = |name: &str| {
            let starts = ["`", " "].map(|start| format!("{start}{name}"));
            starts.iter().any(|start| ends.iter().any(|end| text.contains(&format!("{start}{end}"))))
        };
        names.iter().filter(|name| !is_named(name)).map(|name| (*name).to_owned()).collect()
    }

    fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

fn path(name: &str) -> PathBuf {
    root().join(name)
}

//! The README and the pages of `docs/` agree with the program: their examples are run and the output is compared, and their
//! tables are those that the program prints.
//!
//! The info string of every code block says how the block is checked:
//!
//! - ```` ```sh example ```` is run; the `json` or `text` block after it is its output;
//! - ```` ```json manifest ```` and ```` ```toml config ```` must be accepted by the program;
//! - ```` ```nginx proxy ```` is run by nginx, in front of a server;
//! - ```` ```sh training ```` is run by `training/tests`;
//! - ```` ```python client ````, ```` ```js client ```` and ```` ```rust client ```` are run by `tests/clients/page.py`, the last with its ```` ```toml crate ````;
//! - ```` ```nginx prefix ```` is what nginx runs with in `tests/browser`;
//! - a block whose second word is `shown` is not checked, because what it needs is not available here.
//!
//! `DOCS=write cargo test --release --test it docs::` writes the current output and the tables of options into the pages, for
//! example after a model was trained again.

mod block;
mod contents;
mod layout;
mod links;
mod names;
mod ordered;
mod output;
mod pages;
mod proxy;
mod server;

use rnnlm_server::catalog::Manifest;
use rnnlm_server::config::{self, Config};

use crate::harness::skip;
use block::Use;
use pages::{Example, Page, Pages};
use server::Server;

#[test]
fn every_example_prints_the_output_on_the_page() {
    if !has_curl() {
        return skip("curl was not found");
    }
    let mut pages = Pages::read();
    let reports: Vec<String> = pages.iter_mut().flat_map(run_examples).collect();
    pages.save_if_writing();
    assert!(reports.is_empty() || pages::is_writing(), "\n{}", reports.join("\n"));
}

/// Runs the examples of a page on a server of its own. Returns a report for each whose output differs, and puts the output that was
/// found into the page.
fn run_examples(page: &mut Page) -> Vec<String> {
    let mut server = Server::default();
    let mut wrong = Vec::new();
    for example in page.examples() {
        if !can_run(&example) {
            skip(&format!("{}:{} needs the feature `onnx`", page.name, example.line));
            continue;
        }
        let found = server.run(&example.command);
        let difference = match &example.output {
            Some(expected) => output::difference(expected, &found),
            None => Some("the example has no output below it".to_owned()),
        };
        wrong.extend(difference.map(|difference| Wrong { example, found, difference }));
    }
    // From the last to the first, so that writing one output does not move the lines of the next.
    wrong.iter().rev().for_each(|wrong| page.write_output(&wrong.example, &layout::layout(&wrong.found)));
    wrong.iter().map(|wrong| wrong.report(&page.name)).collect()
}

struct Wrong {
    example: Example,
    found: String,
    difference: String,
}

impl Wrong {
    fn report(&self, page: &str) -> String {
        let Example { line, command, .. } = &self.example;
        format!("{page}:{line}: {}\n{command}\n{}", self.difference, self.found)
    }
}

fn has_curl() -> bool {
    let curl = std::process::Command::new("curl").arg("--version").output();
    curl.is_ok_and(|output| output.status.success())
}

fn can_run(example: &Example) -> bool {
    cfg!(feature = "onnx") || !example.command.contains(".onnx")
}

#[test]
fn every_block_is_checked_or_marked() {
    let pages = Pages::read();
    let unmarked: Vec<String> = pages.iter().flat_map(Page::unmarked).collect();
    assert!(unmarked.is_empty(), "blocks without a known mark: {unmarked:?}");
    let count = |wanted: Use| pages.iter().flat_map(Page::blocks).filter(|block| block.how == wanted).count();
    assert!(count(Use::Example) > 20, "this test reads the pages wrongly");
    for (how, runs) in
        [(Use::Training, "training/tests"), (Use::Crate, "tests/clients"), (Use::Prefix, "tests/browser")]
    {
        assert_eq!(count(how), 1, "`{runs}` runs the one block of this kind");
    }
}

#[test]
fn every_manifest_and_configuration_is_accepted() {
    let pages = Pages::read();
    let mut count = 0;
    for page in pages.iter() {
        for block in page.blocks() {
            let text = page.text_of(&block);
            let refused = match block.how {
                Use::Manifest => Manifest::parse(text.as_bytes()).err(),
                Use::Config => read_config(&text).err(),
                _ => continue,
            };
            count += 1;
            assert!(refused.is_none(), "{}:{}: {refused:?}", page.name, block.line());
        }
    }
    assert!(count >= 3, "this test reads the pages wrongly");
}

fn read_config(toml: &str) -> rnnlm_server::error::Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, toml).unwrap();
    Config::from_args(&["--config", path.to_str().unwrap()])
}

#[test]
fn the_tables_of_options_are_those_of_the_program() {
    let mut pages = Pages::read();
    let all = config::markdown_table();
    let operations = pages.page("docs/operations.md");
    let is_whole = operations.table("options") == all;
    operations.write_table("options", &all);
    let readme = pages.page("README.md");
    let essential = essential_rows(&all, &readme.table("essential options"));
    let is_essential = readme.table("essential options") == essential;
    readme.write_table("essential options", &essential);
    pages.save_if_writing();
    assert!(is_whole && is_essential || pages::is_writing(), "`DOCS=write` writes the tables");
}

/// The heading of the table `all`, and its rows for the options that `found` lists.
fn essential_rows(all: &str, found: &str) -> String {
    let option = |row: &str| row.split(['`', ' ']).find(|word| word.starts_with("--")).map(str::to_owned);
    let wanted: Vec<String> = found.lines().filter_map(option).collect();
    assert!(wanted.len() > 5, "this test reads the table wrongly");
    let row = |wanted: &String| all.lines().find(|row| option(row).as_ref() == Some(wanted));
    let rows =
        wanted.iter().map(|wanted| row(wanted).unwrap_or_else(|| panic!("there is no option `{wanted}`")));
    all.lines().take(2).chain(rows).map(|row| format!("{row}\n")).collect()
}

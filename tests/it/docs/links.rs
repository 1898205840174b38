//! The relative links of every Markdown file resolve, and the files that the pages name exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::pages::{Page, Pages};
use crate::harness::root;

#[test]
fn every_relative_link_resolves() {
    let files = markdown_files();
    assert!(files.len() > 10, "this test finds too few files");
    let mut count = 0;
    let mut broken = Vec::new();
    for page in files {
        for link in links(&page) {
            count += 1;
            if let Some(why) = why_broken(&page.name, &link) {
                broken.push(format!("{}: `{link}`: {why}", page.name));
            }
        }
    }
    assert!(count > 20, "this test finds too few links");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_that_a_page_names_exists() {
    let named = Regex::new(r"`((?:src|tests|docs|docker|benches|training|\.ci)/[\w./-]+)`").unwrap();
    let pages = Pages::read();
    let mut missing = Vec::new();
    let mut count = 0;
    for page in pages.iter() {
        for found in prose(page).iter().flat_map(|line| named.captures_iter(line)) {
            count += 1;
            if !root().join(&found[1]).exists() {
                missing.push(format!("{}: `{}`", page.name, &found[1]));
            }
        }
    }
    assert!(count > 5, "this test finds too few names");
    assert!(missing.is_empty(), "these do not exist: {missing:#?}");
}

/// Every Markdown file of the repository.
pub(super) fn markdown_files() -> Vec<Page> {
    let mut folders: Vec<PathBuf> =
        ["", "docs", "models", "training", "benches", "tests/onnx"].map(PathBuf::from).into();
    folders.extend(entries(Path::new("models")).into_iter().filter(|path| root().join(path).is_dir()));
    let files = folders.iter().flat_map(|folder| entries(folder));
    let markdown = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    markdown.map(|path| Page::read(path.to_str().unwrap().to_owned())).collect()
}

/// The paths in a folder of the repository.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| folder.join(entry.unwrap().file_name())).collect()
}

/// The targets of relative links.
fn links(page: &Page) -> Vec<String> {
    let code = Regex::new("`[^`]*`").unwrap();
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let lines = prose(page);
    let text = lines.iter().map(|line| code.replace_all(line, "code"));
    let found =
        text.flat_map(|line| link.captures_iter(&line).map(|found| found[1].to_owned()).collect::<Vec<_>>());
    found.filter(|target| !target.contains("://")).collect()
}

/// The lines outside code blocks.
pub(super) fn prose(page: &Page) -> Vec<&str> {
    let blocks = page.blocks();
    let is_prose = |at: &usize| !blocks.iter().any(|block| block.lines.contains(at));
    (0..page.lines().len()).filter(is_prose).map(|at| page.lines()[at].as_str()).collect()
}

fn why_broken(from: &str, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => PathBuf::from(from),
        file => Path::new(from).parent().unwrap_or(Path::new("")).join(file),
    };
    if !root().join(&target).exists() {
        return Some("the file does not exist".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let anchors = anchors(&Page::read(target.to_str().unwrap().to_owned()));
    (!anchors.contains(anchor)).then(|| format!("the heading does not exist, expected one of {anchors:?}"))
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// The anchor of a heading.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn a_broken_link_is_found() {
    assert_eq!(anchor("Copy, reset: `the` API_1"), "copy-reset-the-api_1");
    assert_eq!(why_broken("README.md", "docs/operations.md#options-and-limits"), None);
    assert_eq!(why_broken("docs/api.md", "../README.md"), None);
    assert!(why_broken("docs/api.md", "README.md").is_some());
    assert!(why_broken("README.md", "docs/operations.md#nowhere").is_some());
    assert!(why_broken("README.md", "#nowhere").is_some());
}

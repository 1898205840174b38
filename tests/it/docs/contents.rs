//! A page that begins with a table of contents lists all of its sections there, in their order.

use super::links::{anchor, markdown_files, prose};

#[test]
fn a_table_of_contents_lists_every_section() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in markdown_files() {
        let lines = prose(&page);
        let listed = contents(&lines);
        if listed.is_empty() {
            continue;
        }
        count += 1;
        let expected = sections(&lines);
        if listed != expected {
            wrong.push(format!("{}: found {listed:#?}, expected {expected:#?}", page.name));
        }
    }
    assert!(count > 4, "this test finds too few tables of contents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The entries of the list before the first section.
fn contents(lines: &[&str]) -> Vec<String> {
    let head = lines.iter().take_while(|line| !line.starts_with("## "));
    head.filter(|line| line.starts_with("- [") && line.contains("](#")).map(|&line| line.to_owned()).collect()
}

/// The entries of a list of all sections.
fn sections(lines: &[&str]) -> Vec<String> {
    let headings = lines.iter().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| format!("- [{heading}](#{})", anchor(heading))).collect()
}

#[test]
fn a_section_that_is_not_listed_is_found() {
    let page = [
        "# Page",
        "- [One](#one)",
        "- [Two words](#two-words)",
        "## One",
        "- [not](#listed)",
        "## Two words",
    ];
    assert_eq!(contents(&page), ["- [One](#one)", "- [Two words](#two-words)"]);
    assert_eq!(contents(&page), sections(&page));
    let longer = [&page[..], &["### Below", "## Three"]].concat();
    assert_ne!(contents(&longer), sections(&longer));
    assert!(contents(&page[3..]).is_empty());
}

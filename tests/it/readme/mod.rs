//! The README says what is so: its examples are run and their answers compared, its tables are the program's.
//!
//! An example is a block "```sh example" and the block after it, its answer. Where a model was trained anew,
//! `README=write cargo test --release --test it readme::` writes the answers that it gives now, and the table.

mod answer;
mod document;
mod ordered;
mod server;

use document::Document;
use server::Server;

use crate::harness::skip;

#[test]
fn the_examples_give_their_answers() {
    if let Some(why) = lacking() {
        skip(why);
        return;
    }
    let mut document = Document::read();
    let server = Server::start();
    let examples = document.examples();
    assert!(!examples.is_empty(), "no example was found: this test reads the README wrongly");
    let mut wrong = Vec::new();
    for example in &examples {
        let found = server.sh(&example.command);
        let difference = match &example.answer {
            Some(answer) => answer::difference(answer, &found),
            None => Some("it has no answer".to_owned()),
        };
        wrong.extend(difference.map(|difference| (example, found, difference)));
    }
    if std::env::var("README").as_deref() == Ok("write") {
        // From the last to the first, so that what is written moves no line that is still to come.
        wrong.iter().rev().for_each(|(example, found, _)| document.write(example, &answer::layout(found)));
        document.save();
        return;
    }
    let report: Vec<String> = wrong
        .iter()
        .map(|(example, found, difference)| {
            format!("README.md:{}: {difference}\n{}\n{found}", example.line, example.command)
        })
        .collect();
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

/// What the examples need and this machine does not have.
fn lacking() -> Option<&'static str> {
    let curl = std::process::Command::new("curl").arg("--version").output();
    (!curl.is_ok_and(|output| output.status.success())).then_some("found no curl")
}

#[test]
fn the_table_of_options_is_the_programs() {
    let mut document = Document::read();
    let expected = rnnlm_server::config::markdown_table();
    if std::env::var("README").as_deref() == Ok("write") {
        document.write_options(&expected);
        document.save();
    }
    assert_eq!(document.options(), expected, "`README=write` writes the table");
}

#[test]
fn every_route_and_every_code_is_named() {
    let readme = Document::read().text();
    let api = serde_json::to_value(rnnlm_server::http::document()).unwrap();
    let paths = api["paths"].as_object().unwrap();
    let codes = api["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    assert!(paths.len() > 10 && codes.len() > 10, "this test reads the API wrongly");
    // Nobody is left to read an answer that says that the client went away.
    let codes = codes.iter().filter_map(|code| code.as_str()).filter(|code| *code != "cancelled");
    let missing: Vec<&str> = paths
        .keys()
        .map(String::as_str)
        .chain(codes)
        .filter(|name| !readme.contains(&format!("`{name}`")) && !readme.contains(&format!(" {name}`")))
        .collect();
    assert!(missing.is_empty(), "README.md lacks {missing:?}");
}

//! The imports between modules, compared with the table of arrows: no import that the table does not allow, none through
//! another module's re-export, and no arrow that no file uses.

use std::collections::BTreeSet;
use std::ops::Range;

use super::source::{Source, next_names, words};
use super::{ARROWS, Arrow, Offence};

/// Finds paths to modules that the table does not allow: through `crate::`, the crate's own name or enough `super::`.
pub(super) fn imports(file: &Source) -> Vec<Offence> {
    let module = file.module();
    let Some(row) = row_of(ARROWS, &module) else {
        return vec![format!("{}: module `{}` has no row in ARROWS of tests/it/tidy", file.path, module[0])];
    };
    let allowed = row.1;
    let mut offences = Vec::new();
    for Import { at, name } in imported(file) {
        if name != module[0] && !allowed.contains(&name.as_str()) {
            let found = format!("`{}` imports `{name}`", module.join("::"));
            offences.push(format!("{}: {found}, expected one of {allowed:?}", file.place(at)));
        }
    }
    offences
}

/// Finds re-exports that bypass the table. Every module that may import the re-exporting module can also use what it re-exports, so
/// the table must allow it both.
pub(super) fn reexports(file: &Source) -> Vec<Offence> {
    let module = file.module();
    let code = file.shipped_code();
    let reexports = reexports_of(&code);
    let is_reexported = |at: usize| reexports.iter().any(|statement| statement.contains(&at));
    let foreign =
        imported(file).into_iter().filter(|import| is_reexported(import.at) && import.name != module[0]);
    let mut offences = Vec::new();
    for Import { at, name } in foreign {
        let importers = ARROWS.iter().filter(|(_, allowed)| allowed.contains(&module[0])).map(|row| row.0);
        let without: Vec<&str> = importers.filter(|importer| !may_import(importer, &name)).collect();
        if !without.is_empty() {
            let found = format!("`{}` re-exports `{name}`", module.join("::"));
            let expected = format!("expected no module that {without:?} may not import");
            offences.push(format!("{}: {found}, {expected}", file.place(at)));
        }
    }
    offences
}

/// Whether the row of `importer`, or a row for a module around it, has an arrow to `name`.
fn may_import(importer: &str, name: &str) -> bool {
    let mut rows = ARROWS.iter().filter(|(row, _)| covers(row, importer));
    rows.any(|(row, allowed)| *row == name || allowed.contains(&name))
}

/// Finds the rows of `table` that cover none of `files`, and the arrows that none of the covered files uses.
pub(super) fn unused(table: &[Arrow], files: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for row in table {
        let covered = |file: &&Source| row_of(table, &file.module()).is_some_and(|found| found.0 == row.0);
        let files: Vec<&Source> = files.iter().filter(covered).collect();
        let used: BTreeSet<String> =
            files.iter().flat_map(|file| imported(file)).map(|import| import.name).collect();
        if files.is_empty() {
            offences.push(format!("ARROWS: found no file for the row `{}`, expected one", row.0));
        }
        for name in row.1.iter().filter(|name| !used.contains(**name)) {
            offences.push(format!("ARROWS: no file of `{}` imports `{name}`, expected no such arrow", row.0));
        }
    }
    offences
}

/// The longest row that covers `module`.
fn row_of<'a>(table: &'a [Arrow], module: &[&str]) -> Option<&'a Arrow> {
    let path = module.join("/");
    table.iter().filter(|(row, _)| covers(row, &path)).max_by_key(|(row, _)| row.len())
}

fn covers(row: &str, path: &str) -> bool {
    path.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path from the crate's root: its offset, and the name directly below the root.
struct Import {
    at: usize,
    name: String,
}

/// All imports of the code that ships.
fn imported(file: &Source) -> Vec<Import> {
    let code = file.shipped_code();
    let module = file.module();
    let depth_in_lib = if module[0] == "lib" { 0 } else { module.len() };
    let paths = paths_from_the_root(&code, depth_in_lib).into_iter();
    paths
        .flat_map(|(at, names)| names.into_iter().map(move |name| Import { at, name: name.into() }))
        .collect()
}

/// The paths that start at the crate's root, with the names directly below it. `depth` is the number of `super::` that lead from
/// the file to the root.
fn paths_from_the_root(code: &str, depth: usize) -> Vec<(usize, Vec<&str>)> {
    let mut paths = Vec::new();
    let mut supers = 0;
    let mut end_of_last = 0;
    for (at, word) in words(code) {
        let end = at + word.len();
        let joined = code[end_of_last..at].trim() == "::";
        supers = match (word, joined) {
            ("super", true) => supers + 1,
            ("super", false) => 1,
            _ => 0,
        };
        end_of_last = end;
        let root = matches!(word, "crate" | "rnnlm_server") || (word == "super" && supers == depth);
        if root {
            // In a file directly below the root, `use super::{self, *}` names no module.
            let names = next_names(code, end).into_iter().filter(|name| word != "super" || is_module(name));
            paths.push((at, names.collect()));
        }
    }
    paths
}

fn is_module(name: &str) -> bool {
    ARROWS.iter().any(|(row, _)| *row == name)
}

/// The statements `pub use ...;` and `pub(crate) use ...;`. A `pub(super) use` is not visible outside its module.
fn reexports_of(code: &str) -> Vec<Range<usize>> {
    let starts = words(code).filter(|(_, word)| *word == "pub").map(|(at, _)| at);
    let statements = starts.filter(|&at| {
        let after = code[at + "pub".len()..].trim_start();
        let after = after.strip_prefix("(crate)").unwrap_or(after).trim_start();
        after.strip_prefix("use").is_some_and(|path| path.starts_with(char::is_whitespace))
    });
    statements.map(|at| at..code[at..].find(';').map_or(code.len(), |len| at + len)).collect()
}

mod each_rule_can_fail {
    use super::super::test::{caught, passed};
    use super::*;

    #[test]
    fn an_import_that_the_table_does_not_allow_is_found() {
        caught(imports, "src/lm/state.rs", "use crate::error::Error;");
        caught(imports, "src/rnn/cell.rs", "use crate::{lm::State, engine::Job};");
        caught(imports, "src/service/next.rs", "fn f() -> crate::http::Reply { g() }");
        caught(imports, "src/cli/tokenize.rs", "use crate::http::serve;");
        caught(imports, "src/api/next.rs", "use crate::lm::TokenId;");
        caught(imports, "src/main.rs", "use rnnlm_server::engine::Engine;");
        caught(imports, "src/http/next.rs", "use super::super::engine::Engine;");
        caught(imports, "src/config.rs", "use super::engine::Engine;");
        caught(imports, "src/engine/mod.rs", "use crate::*;");
        caught(imports, "src/engine/mod.rs", "use crate::Reexported;");
        caught(imports, "src/elsewhere/mod.rs", "");
    }

    #[test]
    fn an_import_that_the_table_allows_is_accepted() {
        passed(imports, "src/rnn/cell.rs", "use crate::{lm::{State, TokenId}, rnn::cell};");
        passed(imports, "src/http/next.rs", "use super::error::Reply; use crate::service::Next;");
        passed(imports, "src/cli/serve.rs", "use crate::http::serve;");
        passed(imports, "src/config.rs", "#[cfg(test)]\nmod tests { use super::*; use crate::engine::Job; }");
        passed(imports, "src/lm/model.rs", "/// See [`crate::engine::Job`].\nf(\"crate::http::x\")");
        passed(imports, "src/lm/model.rs", "pub(crate) struct A; pub(in crate::lm) struct B;");
    }

    /// `http` may import `service`, but neither `engine` nor `session`.
    #[test]
    fn a_module_imported_through_another_is_found() {
        caught(reexports, "src/service/mod.rs", "pub use crate::engine::Finish;");
        caught(reexports, "src/service/mod.rs", "pub(crate) use crate::{error::Error, session::SessionId};");
        caught(reexports, "src/service/next.rs", "pub use super::super::engine::{\n    Finish,\n};");
        passed(reexports, "src/service/mod.rs", "use crate::engine::Finish; pub use crate::api::Finish;");
        passed(reexports, "src/service/mod.rs", "pub(super) use crate::engine::Finish;");
        passed(
            reexports,
            "src/service/mod.rs",
            "pub use next::Next; pub fn f() -> crate::engine::Finish { g() }",
        );
        passed(reexports, "src/service/mod.rs", "pub use crate::service::next::Next;");
    }

    #[test]
    fn an_arrow_that_no_file_uses_is_found() {
        let table: &[Arrow] = &[("a", &["b", "c"]), ("a/x", &["c"]), ("b", &[])];
        let file = Source::new;
        let files = [file("src/a/mod.rs", "use crate::b::B;"), file("src/b.rs", ""), file("src/a/x.rs", "")];
        assert_eq!(unused(table, &files).len(), 2, "neither `a` nor `a/x` imports `c`");
        let files = [
            file("src/a/mod.rs", "use crate::{b::B, c::C};"),
            file("src/a/x.rs", "#[cfg(test)] mod tests { use crate::c::C; }"),
        ];
        assert_eq!(
            unused(table, &files).len(),
            2,
            "`a/x` imports `c` only in its tests, and `b` has no file"
        );
    }
}

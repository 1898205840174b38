//! A Rust file as the rules read it: its module, and its code with comments, literals and, on request, test items blanked.
//! It is a scanner, not a parser, and it knows none of the rules.

use std::ops::Range;

/// A file: its path, its text, and the part of the text that is code.
pub(crate) struct Source {
    /// The path from the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and the insides of literals replaced by spaces. Offsets and line numbers are the same.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: without_prose(text) }
    }

    /// The module path below `src/`: `src/rnn/kernels/mod.rs` is `["rnn", "kernels"]`, `src/lib.rs` is `["lib"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let stem = inside.strip_suffix(".rs").unwrap_or(inside);
        stem.strip_suffix("/mod").unwrap_or(stem).split('/').collect()
    }

    /// `code` without `#[cfg(test)]` items; empty for a file named `tests.rs`.
    pub(crate) fn shipped_code(&self) -> String {
        if self.path.ends_with("/tests.rs") { String::new() } else { without_test_items(&self.code) }
    }

    /// `path:line` of a byte offset into `text` or `code`.
    pub(crate) fn place(&self, offset: usize) -> String {
        let line = self.code.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}

/// The identifiers and keywords of blanked code, each with its byte offset.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |n| start + n);
        rest = end;
        Some((start, &code[start..end]))
    })
}

/// The first names of the path that continues at `after`: `::a` gives `a`, and `::{a, b::c}` gives `a` and `b`.
pub(crate) fn next_names(code: &str, after: usize) -> Vec<&str> {
    let Some(rest) = code[after..].trim_start().strip_prefix("::").map(str::trim_start) else {
        return Vec::new();
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![first_name(rest)];
    };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut element = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(&group[element..at]));
                element = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    if path.starts_with('*') {
        return "*";
    }
    &path[..path.find(|c| !is_word(c)).unwrap_or(path.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks comments and the insides of string and character literals, so that no rule mistakes prose for code.
fn without_prose(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let Token { prose, next } = token_at(text, at);
        blank(&mut code, prose);
        at = next;
    }
    String::from_utf8(code).expect("only whole comments and literals are blanked, so the rest is UTF-8")
}

/// A comment, a literal or a single character of code.
struct Token {
    /// The comment or the inside of the literal; empty for code.
    prose: Range<usize>,
    /// Where the next token begins.
    next: usize,
}

fn token_at(text: &str, at: usize) -> Token {
    let rest = &text[at..];
    let until = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |n| from + n);
    let c = rest.chars().next().expect("`at` is a character boundary inside `text`");
    if rest.starts_with("//") {
        let end = until(at, "\n");
        Token { prose: at..end, next: end }
    } else if rest.starts_with("/*") {
        let end = block_comment_end(text, at);
        Token { prose: at..end, next: end }
    } else if let Some(hashes) = raw_string_hashes(text, at) {
        let open = until(at, "\"") + 1;
        let end = until(open, &format!("\"{}", "#".repeat(hashes)));
        Token { prose: open..end, next: text.len().min(end + 1 + hashes) }
    } else if c == '"' {
        let end = quote_end(text, at + 1, b'"');
        Token { prose: at + 1..end, next: text.len().min(end + 1) }
    } else if c == '\'' && is_char_literal(rest) {
        let end = quote_end(text, at + 1, b'\'');
        Token { prose: at + 1..end, next: text.len().min(end + 1) }
    } else {
        Token { prose: at..at, next: at + c.len_utf8() }
    }
}

fn block_comment_end(text: &str, start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The number of `#` of a raw string (`r"`, `br#"`, ...) that begins at `at`; `None` if none does.
fn raw_string_hashes(text: &str, at: usize) -> Option<usize> {
    if text[..at].ends_with(is_word) {
        return None;
    }
    let rest = text[at..].trim_start_matches(['b', 'c']);
    let after_r = rest.strip_prefix('r')?;
    let quote = after_r.trim_start_matches('#');
    quote.starts_with('"').then(|| after_r.len() - quote.len())
}

fn quote_end(text: &str, start: usize, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Distinguishes `'a'` and `'\n'` from the lifetime `'a`.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn without_test_items(code: &str) -> String {
    let mut left = code.as_bytes().to_vec();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(attribute) {
            blank(&mut left, start..item_end(code, start + "#[".len()));
        }
    }
    String::from_utf8(left).expect("items end at ASCII characters, so the rest is UTF-8")
}

/// The end, at its `;` or its closing brace, of the item whose attribute begins just before `start`.
fn item_end(code: &str, start: usize) -> usize {
    // The attribute's `]` closes a bracket that was opened before `start`.
    let mut depth = 1_i32;
    for (n, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth <= 0 {
                    return start + n + 1;
                }
            }
            ';' | ',' if depth == 0 => return start + n + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(code: &mut [u8], range: Range<usize>) {
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("src/lm/x.rs", text).code
    }

    #[test]
    fn prose_is_blanked_and_code_is_kept() {
        assert_eq!(code("a // unsafe\nb"), "a          \nb");
        assert_eq!(code("a /* x /* y */ z */ b"), "a                   b");
        assert_eq!(code(r#"f("un\"safe") + g"#), r#"f("        ") + g"#);
        assert_eq!(code("r#\"un\"safe\"# + g"), "r#\"       \"# + g");
        assert_eq!(code(r"'\'' + b'x' + '/' + g"), r"'  ' + b' ' + ' ' + g");
        assert_eq!(code("fn f<'a>(x: &'a str) // é"), format!("fn f<'a>(x: &'a str) {}", " ".repeat(5)));
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for text in ["\"abc", "\"abc\\", "/* abc", "r#\"abc\"", "'\\", "// é"] {
            assert_eq!(code(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn test_items_are_not_part_of_the_shipped_code() {
        let shipped = |text| Source::new("src/lm/x.rs", text).shipped_code().trim().to_owned();
        assert_eq!(shipped("#[cfg(test)]\nmod tests { fn f() { g() } }\nstruct A;"), "struct A;");
        assert_eq!(shipped("#[cfg(test)] #[path = \"x\"] mod tests;\nstruct A;"), "struct A;");
        assert_eq!(shipped("#[cfg(test)] fn f(a: [u8; 2], b: B) -> C { x; y }\nstruct A;"), "struct A;");
        assert_eq!(shipped("#[cfg(all(test, unix))] impl A { fn f() {} }\nstruct A;"), "struct A;");
        assert_eq!(Source::new("src/lm/tests.rs", "struct A;").shipped_code(), "");
    }

    #[test]
    fn the_first_names_of_a_path_are_found() {
        assert_eq!(next_names("crate::engine::Job", 5), ["engine"]);
        assert_eq!(next_names("crate::{lm::{A, B}, text, }", 5), ["lm", "text"]);
        assert_eq!(next_names("crate::*", 5), ["*"]);
        assert_eq!(next_names("pub(crate) x", 9), [""; 0]);
    }

    #[test]
    fn a_module_is_named_by_its_path() {
        let module = |path| Source::new(path, "").module().join("::");
        assert_eq!(module("src/lib.rs"), "lib");
        assert_eq!(module("src/rnn/kernels/mod.rs"), "rnn::kernels");
        assert_eq!(module("src/http/next.rs"), "http::next");
    }
}

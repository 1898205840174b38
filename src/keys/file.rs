//! The file of keys: `name:secret` or `name:sha256=HEX` a line, with ` admin` behind an admin's key. Empty lines and lines that begin
//! with `#` are skipped.
//!
//! No message quotes a part of a line that could be a secret.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::secret::SecretDigest;
use crate::error::{Error, ErrorKind, Result};

/// A key as the file has it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) digest: SecretDigest,
    pub(super) is_admin: bool,
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: (i64, i64),
    size: u64,
    device: u64,
    inode: u64,
}

/// Names end up in log lines and in the labels of metrics.
const NAME_LENGTH_MAX: usize = 64;

/// A secret has to fit into the headers of a request, whatever `--max-header` is.
const SECRET_LENGTH_MAX: usize = 1024;

/// Bytes of the file for each key that it may have: the longest line, and some comments.
const LINE_BYTES_MAX: u64 = 2048;

const HASHED: &str = "sha256=";

impl Fingerprint {
    /// That of the file at `path`; `None` if it cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Fingerprint {
    fn from(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Reads at most `keys_max` keys from the file at `path`.
///
/// # Errors
/// `Config`, which names the file and, if a line is wrong, the line.
pub(super) fn read(path: &Path, keys_max: usize) -> Result<Vec<Line>> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Config, format!("`--api-keys {}`: {error}", path.display()))
    };
    let bytes_max = LINE_BYTES_MAX.saturating_mul(keys_max as u64);
    let mut text = String::new();
    // A pipe would block when it is opened, and could be read once only.
    if !std::fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(failed(&"it is not a regular file"));
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > bytes_max {
        return Err(failed(&format!(
            "the file has more than {bytes_max} bytes, {LINE_BYTES_MAX} for each of {keys_max} keys (`--api-keys-max`)"
        )));
    }
    parse(&text, keys_max).map_err(|error| failed(&error))
}

/// The keys in `text`.
///
/// # Errors
/// What is wrong, with the number of the line.
fn parse(text: &str, keys_max: usize) -> Result<Vec<Line>, String> {
    let mut keys: Vec<Line> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |problem: String| format!("line {}: {problem}", index + 1);
        let key = Line::parse(line).map_err(at)?;
        if keys.iter().any(|other| other.digest.equals(&key.digest)) {
            return Err(at("the secret is that of a line before; each must be given once".to_owned()));
        }
        if keys.len() == keys_max {
            return Err(at(format!(
                "more than {keys_max} keys; the maximum is {keys_max} (`--api-keys-max`)"
            )));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(format!("the file has no key; at least one line is required: {EXPECTED}"));
    }
    Ok(keys)
}

const EXPECTED: &str = "`name:secret` or `name:sha256=HEX`, and ` admin` behind it for an admin's key";

impl Line {
    fn parse(line: &str) -> Result<Self, String> {
        let expected = || format!("expected {EXPECTED}");
        let (name, rest) = line.split_once(':').ok_or_else(|| format!("no `:` was found; {}", expected()))?;
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.bytes().all(is_fit) {
            return Err(format!(
                "what is before the `:` is not a name; 1 to {NAME_LENGTH_MAX} letters, digits and `._-` are accepted"
            ));
        }
        let mut words = rest.split_whitespace();
        let secret = words.next().filter(|_| !rest.starts_with(char::is_whitespace));
        let secret = secret.ok_or_else(|| format!("no secret behind the `:`; {}", expected()))?;
        let is_admin = match (words.next(), words.next()) {
            (None, _) => false,
            (Some("admin"), None) => true,
            _ => return Err(format!("more was found behind the secret than ` admin`; {}", expected())),
        };
        let digest = match secret.strip_prefix(HASHED) {
            Some(hex) => {
                SecretDigest::parse(hex).ok_or("`sha256=` is not followed by 64 hexadecimal digits")?
            }
            None if secret.len() > SECRET_LENGTH_MAX => {
                let len = secret.len();
                return Err(format!("the secret has {len} characters; the maximum is {SECRET_LENGTH_MAX}"));
            }
            None if !secret.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err(
                    "the secret has a character that is not ASCII, which a header cannot hold".to_owned()
                );
            }
            None => SecretDigest::of(secret),
        };
        Ok(Self { name: name.to_owned(), digest, is_admin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn problem(text: &str) -> String {
        parse(text, 3).expect_err(text)
    }

    #[test]
    fn secrets_digests_admins_comments_and_empty_lines_are_read() {
        let text = format!("# keys\n\nalice:one\r\n  bob:two:2 admin\nalice:{ABC} \tadmin  \n");
        let keys = parse(&text, 3).unwrap();
        let names: Vec<(&str, bool)> = keys.iter().map(|key| (key.name.as_str(), key.is_admin)).collect();
        assert_eq!(names, [("alice", false), ("bob", true), ("alice", true)]);
        for (key, secret) in keys.iter().zip(["one", "two:2", "abc"]) {
            assert!(key.digest.equals(&SecretDigest::of(secret)), "{secret}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_no_secret_is_shown() {
        for (line, part) in [
            ("hunter2", "no `:`"),
            (":hunter2", "not a name"),
            ("al ice:hunter2", "not a name"),
            ("é:hunter2", "not a name"),
            ("alice:", "no secret"),
            ("alice: hunter2", "no secret"),
            ("alice:hunter2 hunter2", "more was found"),
            ("alice:hunter2 admin admin", "more was found"),
            ("alice:hunter2 Admin", "more was found"),
            ("alice:hunter2é", "not ASCII"),
            ("alice:sha256=hunter2", "64 hexadecimal digits"),
            ("bob:one", "a line before"),
        ] {
            let message = problem(&format!("# keys\nalice:one\n{line}\n"));
            assert!(message.starts_with("line 3: ") && message.contains(part), "{line}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(problem(&format!("{}:x", "n".repeat(65))).contains("1 to 64"));
        assert!(problem(&format!("n:{}", "x".repeat(1025))).contains("1025 characters; the maximum is 1024"));
        assert!(problem("# nothing\n").contains("no key"));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        assert_eq!(parse("a:1\nb:2\nc:3\n", 3).unwrap().len(), 3);
        let message = problem("a:1\nb:2\n\nc:3\nd:4\n");
        assert!(message.starts_with("line 5: ") && message.contains("(`--api-keys-max`)"), "{message}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| read(path, 3).unwrap_err();
        for (path, part) in [("missing", "No such file"), ("", "not a regular file")] {
            let path = folder.path().join(path);
            let error = read(&path);
            assert_eq!(error.kind, ErrorKind::Config);
            assert!(
                error.message.contains(part) && error.message.contains("`--api-keys "),
                "{}",
                error.message
            );
        }
        let path = folder.path().join("keys");
        std::fs::write(&path, "#".repeat(3 * LINE_BYTES_MAX as usize + 1)).unwrap();
        assert!(read(&path).message.contains("`--api-keys-max`"));
        std::fs::write(&path, b"a:\xff").unwrap();
        assert!(read(&path).message.contains("UTF-8"));
    }
}

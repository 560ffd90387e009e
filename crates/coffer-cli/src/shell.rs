//! Lines for a POSIX shell.
//!
//! Pure but for a look at the search path and the current directory.

use std::env;
use std::path::{Path, PathBuf};

/// The text as one word of a shell, in single quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The text, quoted only if a shell would make something of it.
pub(crate) fn word(text: &str) -> String {
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "/_+=.@-:,%".contains(character))
        && !text.starts_with('=');
    if plain { text.to_owned() } else { quoted(text) }
}

/// How to call this program with the same `home` from the current directory, and with `arguments`.
pub(crate) fn command(home: &Path, arguments: &str) -> String {
    let home = match from_here(home) {
        path if path == Path::new(".coffer") => String::new(),
        path => format!(" --home {}", word(&path.display().to_string())),
    };
    format!("{}{home} {arguments}", word(&program()))
}

/// `coffer`, if the search path leads here by that name; else where this program lies.
fn program() -> String {
    let Ok(here) = env::current_exe() else { return "coffer".to_owned() };
    let search_path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&search_path)
        .map(|folder| folder.join("coffer"))
        .find(|path| path.is_file())
        .and_then(|path| path.canonicalize().ok());
    if found.is_some() && found == here.canonicalize().ok() {
        return "coffer".to_owned();
    }
    match from_here(&here) {
        // Without a slash a shell would look it up on the search path.
        path if path.components().count() == 1 => format!("./{}", path.display()),
        path => path.display().to_string(),
    }
}

/// The path as seen from the current directory, if it lies below.
fn from_here(path: &Path) -> PathBuf {
    let below = env::current_dir().ok().and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (text, expected) in [
            ("a/b-c_1.d", "a/b-c_1.d"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("~/x", "'~/x'"),
            ("!a", "'!a'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}

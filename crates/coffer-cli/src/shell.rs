//! Lines for a POSIX shell.
//!
//! Pure but for a look at the search path and the current directory.

use std::env;
use std::path::{Path, PathBuf};

use coffer_types::Region;

use crate::arguments::HOME;

/// The commands that work in a region.
const REGIONAL: &[&str] = &[
    "delete", "describe", "diff", "edit", "get", "import", "list", "put", "restore", "rollback", "tag", "up",
    "versions", "who-can", "who-read",
];

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
        path if path == Path::new(HOME) => String::new(),
        path => format!(" --home {}", word(&path.display().to_string())),
    };
    format!("{}{home} {arguments}", word(&program()))
}

/// The text with every command between backticks as it is to be called from the current directory: this program, the
/// same `home`, and the same `region` where the command takes one.
pub(crate) fn exact(text: &str, home: &Path, region: Option<&Region>) -> String {
    let mut exact = String::with_capacity(text.len());
    for (index, part) in text.split('`').enumerate() {
        if index > 0 {
            exact.push('`');
        }
        match part.strip_prefix("coffer ").filter(|_| index % 2 == 1) {
            None => exact.push_str(part),
            Some(arguments) => {
                exact.push_str(&command(home, arguments));
                let takes_region = arguments.split(' ').next().is_some_and(|name| REGIONAL.contains(&name));
                if let Some(region) = region.filter(|_| takes_region && !arguments.contains(" --region ")) {
                    exact.push_str(" --region ");
                    exact.push_str(region.as_str());
                }
            }
        }
    }
    exact
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
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let below = env::current_dir().ok().and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_text_are_those_to_type() {
        let (program, west) = (program(), "eu-west-1".parse().unwrap());
        for (text, home, region, expected) in [
            ("see `coffer list`", ".coffer", None, "see `coffer list`"),
            ("see `coffer list`, x", "/a b", None, "see `coffer --home '/a b' list`, x"),
            (
                "`coffer get a` or `coffer status`",
                ".coffer",
                Some(&west),
                "`coffer get a --region eu-west-1` or `coffer status`",
            ),
            ("`a` is no `b`; coffer x", "/h", Some(&west), "`a` is no `b`; coffer x"),
        ] {
            let home = env::current_dir().unwrap().join(home);
            let expected = expected.replace("`coffer ", &format!("`{} ", word(&program)));
            assert_eq!(exact(text, &home, region), expected);
        }
    }

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

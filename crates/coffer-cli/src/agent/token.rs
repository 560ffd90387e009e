//! The token that requests over TCP must show, so that a program which can be made to fetch any address can't be made to
//! fetch secrets.
//!
//! I/O: reads a file, or makes one. Invariant: it is compared in constant time and never printed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use coffer_crypto::{Random, SystemRandom, constant_time_eq};
use coffer_wire_local::FailureKind;
use zeroize::Zeroizing;

use crate::failure::Stop;

/// The variables the AWS agent looks at, in its order.
const VARIABLES: [&str; 3] = ["AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
/// What a token is.
const WHAT: &str = "a word of 16 letters or more";
/// Shortest token.
const TOKEN_BYTES_MIN: usize = 16;
/// Largest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token, and the file it is in, if it is in one.
pub(crate) struct Token {
    text: Zeroizing<String>,
    pub(crate) file: Option<PathBuf>,
}

impl Token {
    /// The token of `file`, else what the environment says, else one of its own.
    pub(crate) fn find(file: Option<&Path>) -> Result<Self, Stop> {
        if let Some(file) = file {
            return Self::of_file(file, true);
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Zeroizing::new);
        if let Some(text) = VARIABLES.into_iter().find_map(set) {
            return match text.strip_prefix("file://") {
                Some(path) => Self::of_file(Path::new(path), false),
                None if is_token(&text) => Ok(Self { text, file: None }),
                None => {
                    let what = format!("the environment holds no token: {WHAT}");
                    Err(Stop::new(FailureKind::Refused, what).with_hint("name a file: --token-file FILE"))
                }
            };
        }
        let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|f| f.is_absolute())
        else {
            return Err(Stop::Usage {
                message: "there is no place for the token".into(),
                hint: "name a file: --token-file FILE".into(),
            });
        };
        Self::of_file(&folder.join("coffer-agent.token"), true)
    }

    fn of_file(file: &Path, may_make: bool) -> Result<Self, Stop> {
        let failed = |kind, what: &str| Stop::new(kind, format!("`{}` {what}", file.display()));
        if fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
            let what = "holds the token, and everybody may read or write it";
            return Err(
                failed(FailureKind::Denied, what).with_hint("chmod o= it, and put another token in it")
            );
        }
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make(file),
            read => read.map(Zeroizing::new),
        };
        let text = text.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => FailureKind::NotFound,
                io::ErrorKind::PermissionDenied => FailureKind::Denied,
                _ => FailureKind::Other,
            };
            let what = if may_make { "there can be no token in" } else { "cannot read the token in" };
            Stop::new(kind, format!("{what} `{}`: {error}", file.display()))
                .with_hint("name a file of your own: --token-file FILE")
        })?;
        let text = Zeroizing::new(text.trim().to_owned());
        if !is_token(&text) {
            let what = format!("holds no token: {WHAT}");
            return Err(failed(FailureKind::Refused, &what).with_hint("remove it, and one is made"));
        }
        Ok(Self { text, file: Some(file.to_owned()) })
    }

    /// Whether this is it.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        constant_time_eq(shown, self.text.as_bytes())
    }
}

fn is_token(text: &str) -> bool {
    (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_whitespace)
}

fn make(file: &Path) -> io::Result<Zeroizing<String>> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut random = Zeroizing::new([0; 32]);
    SystemRandom.fill(&mut *random);
    let text = Zeroizing::new(hex::encode(random.as_slice()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(Token::of_file(&file, false).is_err());
        let made = Token::of_file(&file, true).unwrap();
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!((written.trim().len(), fs::metadata(&file).unwrap().mode() & 0o777), (64, 0o600));
        assert!(made.is(written.trim().as_bytes()));
        let again = Token::of_file(&file, true).unwrap();
        assert!(again.is(written.trim().as_bytes()));
        for wrong in [&b""[..], b"x", &written.as_bytes()[..63], written.as_bytes()] {
            assert!(!again.is(wrong));
        }
        for (mode, expected) in [(0o640, true), (0o604, false), (0o602, false), (0o600, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Token::of_file(&file, true).is_ok(), expected, "{mode:o}");
        }
        for text in ["", "short", "two words of more than 16"] {
            fs::write(&file, text).unwrap();
            assert!(Token::of_file(&file, true).is_err(), "{text}");
        }
    }
}

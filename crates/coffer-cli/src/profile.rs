//! Profiles in the files of the AWS tools: the key in one, where the server is in the other.
//!
//! I/O: those two files. Invariants: nothing that stands there is changed; a file made here only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coffer_server::home::Credentials;
use coffer_types::Region;
use coffer_wire_local::FailureKind;
use zeroize::Zeroizing;

use crate::failure::{Stop, with_causes};

/// A profile that is to be written, and is known not to be there.
pub(crate) struct ProfileFiles<'a> {
    name: &'a str,
    credentials: PathBuf,
    config: PathBuf,
}

impl<'a> ProfileFiles<'a> {
    /// Looks whether a profile can be written.
    pub(crate) fn of(name: &'a str) -> Result<Self, Stop> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_legal) {
            return Err(Stop::Usage {
                message: format!("`{name}` is no name of a profile"),
                hint: "a profile's name has letters, digits and any of _-.@+".into(),
            });
        }
        let files = Self {
            name,
            credentials: path("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: path("AWS_CONFIG_FILE", "config")?,
        };
        for (path, section) in [(&files.credentials, files.name.to_owned()), (&files.config, files.section())]
        {
            let text = match fs::read_to_string(path) {
                Ok(text) => Zeroizing::new(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read", path)(error)),
            };
            if has_section(&text, &section) {
                let message = format!("`{}` has a profile `{name}` already", path.display());
                return Err(Stop::new(FailureKind::Conflict, message)
                    .with_hint("choose another name, or remove that one first"));
            }
        }
        Ok(files)
    }

    /// Writes it; where it stands.
    pub(crate) fn write(
        &self,
        credentials: &Credentials,
        region: Option<&Region>,
    ) -> Result<[String; 2], Stop> {
        let secret = std::str::from_utf8(credentials.secret_access_key.expose_secret())
            .map_err(|_| Stop::new(FailureKind::Other, "the secret access key is no text"))?;
        // Room for all of it, so that no outgrown buffer stays behind.
        let mut text = Zeroizing::new(String::with_capacity(4096));
        for piece in [
            "[",
            self.name,
            "]\naws_access_key_id = ",
            &credentials.access_key_id,
            "\naws_secret_access_key = ",
            secret,
            "\n",
        ] {
            text.push_str(piece);
        }
        append(&self.credentials, &text)?;
        let mut text = format!(
            "[{}]\nregion = {}\nendpoint_url = {}\n",
            self.section(),
            region.unwrap_or(&credentials.region),
            credentials.endpoint
        );
        if let Some(bundle) = &credentials.ca_bundle {
            text.push_str(&format!("ca_bundle = {}\n", bundle.display()));
        }
        append(&self.config, &text)?;
        Ok([&self.credentials, &self.config].map(|path| path.display().to_string()))
    }

    /// What the profile's section is called in the file `config`.
    fn section(&self) -> String {
        if self.name == "default" { self.name.to_owned() } else { format!("profile {}", self.name) }
    }
}

fn has_section(text: &str, section: &str) -> bool {
    text.lines().any(|line| {
        let header = line.trim().strip_prefix('[').and_then(|line| line.split_once(']'));
        header.is_some_and(|(found, _)| found.split_whitespace().eq(section.split_whitespace()))
    })
}

fn path(variable: &str, name: &str) -> Result<PathBuf, Stop> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or_else(|| {
        Stop::new(FailureKind::Refused, "there is no home directory for a profile")
            .with_hint(format!("name the file in {variable}"))
    })?;
    Ok(home.join(".aws").join(name))
}

/// Appends a section, after an empty line if anything stands before it.
fn append(path: &Path, section: &str) -> Result<(), Stop> {
    let write = || {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > 0 {
            file.write_all(b"\n")?;
        }
        file.write_all(section.as_bytes())?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Stop {
    let path = path.display().to_string();
    move |error| {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => FailureKind::Denied,
            _ => FailureKind::Other,
        };
        Stop::new(kind, format!("cannot {verb} `{path}`: {}", with_causes(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_profiles_are_there() {
        let text = "[default]\nx = [app]\n [ profile  app ] # mine\n[other]";
        for (section, expected) in [
            ("default", true),
            ("profile app", true),
            ("app", false),
            ("other", true),
            ("profile other", false),
        ] {
            assert_eq!(has_section(text, section), expected, "{section}");
        }
    }
}

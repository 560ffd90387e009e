//! Profiles in the files of the AWS tools: the key in one, where the server is in the other.
//!
//! I/O: those two files. Invariants: what coffer did not write there is never changed; a file made here only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coffer_server::home::Credentials;
use coffer_types::Region;
use coffer_wire_local::FailureKind;
use zeroize::Zeroizing;

use crate::failure::{Stop, with_causes};

/// What coffer writes of a profile into the one file, and into the other.
const KEY_SETTINGS: [&str; 2] = ["aws_access_key_id", "aws_secret_access_key"];
const SERVER_SETTINGS: [&str; 3] = ["region", "endpoint_url", "ca_bundle"];

/// The files that hold profiles.
struct Files {
    credentials: PathBuf,
    config: PathBuf,
}

/// A profile that is to be written.
pub(crate) struct Profile<'a> {
    name: &'a str,
    files: Files,
}

/// What has a profile's name already.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Occupant {
    /// A profile as coffer writes them, for this server; with this access key, if there still is one.
    Ours(Option<String>),
    /// Something else, in this file.
    Other(PathBuf),
}

/// What became of the profiles of a key that is deleted.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Removed {
    /// Those that were taken away.
    pub(crate) removed: Vec<String>,
    /// Those that hold more than coffer wrote, and are left as they are.
    pub(crate) left: Vec<String>,
}

impl<'a> Profile<'a> {
    /// The profile of a name, if that is one.
    pub(crate) fn of(name: &'a str) -> Result<Self, Stop> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_legal) {
            return Err(Stop::Usage {
                message: format!("`{name}` is no name of a profile"),
                hint: "a profile's name has letters, digits and any of _-.@+".into(),
            });
        }
        Ok(Self { name, files: Files::of_user()? })
    }

    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// What has its name already. `endpoint` is where this store is served.
    pub(crate) fn occupant(&self, endpoint: &str) -> Result<Option<Occupant>, Stop> {
        let credentials = read(&self.files.credentials)?;
        let config = read(&self.files.config)?;
        let key = Section::find(&credentials, self.name);
        let server = Section::find(&config, &config_section(self.name));
        Ok(match (key, server) {
            (None, None) => None,
            (Some(key), _) if !key.has_only(&KEY_SETTINGS) => {
                Some(Occupant::Other(self.files.credentials.clone()))
            }
            // A key without a server of ours may be one of AWS's.
            (Some(_), None) => Some(Occupant::Other(self.files.credentials.clone())),
            (_, Some(server))
                if !server.has_only(&SERVER_SETTINGS) || server.value("endpoint_url") != Some(endpoint) =>
            {
                Some(Occupant::Other(self.files.config.clone()))
            }
            (key, Some(_)) => {
                let id = key.as_ref().and_then(|key| key.value("aws_access_key_id"));
                Some(Occupant::Ours(id.map(str::to_owned)))
            }
        })
    }

    /// Writes it, in the place of one of ours if there is one; where it stands.
    pub(crate) fn write(
        &self,
        credentials: &Credentials,
        region: Option<&Region>,
    ) -> Result<[String; 2], Stop> {
        let secret = std::str::from_utf8(credentials.secret_access_key.expose_secret())
            .map_err(|_| Stop::new(FailureKind::Other, "the secret access key is no text"))?;
        self.files.remove(self.name)?;
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
        append(&self.files.credentials, &text)?;
        let mut text = format!(
            "[{}]\nregion = {}\nendpoint_url = {}\n",
            config_section(self.name),
            region.unwrap_or(&credentials.region),
            credentials.endpoint
        );
        if let Some(bundle) = &credentials.ca_bundle {
            text.push_str(&format!("ca_bundle = {}\n", bundle.display()));
        }
        append(&self.files.config, &text)?;
        Ok([&self.files.credentials, &self.files.config].map(|path| path.display().to_string()))
    }
}

/// Whether there is a profile of this name.
pub(crate) fn is_there(name: &str) -> Result<bool, Stop> {
    let files = Files::of_user()?;
    Ok(Section::find(&read(&files.credentials)?, name).is_some()
        || Section::find(&read(&files.config)?, &config_section(name)).is_some())
}

/// Takes away the profiles that hold one of these access keys, which are no more.
pub(crate) fn remove_keys(ids: &[String]) -> Result<Removed, Stop> {
    let files = Files::of_user()?;
    let credentials = read(&files.credentials)?;
    let mut outcome = Removed::default();
    for section in Section::all(&credentials) {
        let id = section.value("aws_access_key_id");
        if !id.is_some_and(|id| ids.iter().any(|known| known == id)) {
            continue;
        }
        if section.has_only(&KEY_SETTINGS) {
            files.remove(&section.name)?;
            outcome.removed.push(section.name);
        } else {
            outcome.left.push(section.name);
        }
    }
    Ok(outcome)
}

impl Files {
    fn of_user() -> Result<Self, Stop> {
        Ok(Self {
            credentials: path("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: path("AWS_CONFIG_FILE", "config")?,
        })
    }

    /// Takes away what coffer wrote of a profile, if it is as coffer wrote it.
    fn remove(&self, name: &str) -> Result<(), Stop> {
        for (path, section, settings) in [
            (&self.credentials, name.to_owned(), &KEY_SETTINGS[..]),
            (&self.config, config_section(name), &SERVER_SETTINGS[..]),
        ] {
            let text = read(path)?;
            if let Some(section) = Section::find(&text, &section).filter(|section| section.has_only(settings))
            {
                rewrite(path, &section.taken_from(&text)).map_err(failed("write", path))?;
            }
        }
        Ok(())
    }
}

/// What a profile's section is called in the file `config`.
fn config_section(name: &str) -> String {
    if name == "default" { name.to_owned() } else { format!("profile {name}") }
}

/// A section of one of the files.
struct Section<'t> {
    name: String,
    /// From its header to the next.
    from: usize,
    to: usize,
    /// Its lines but empty ones, as names and values; what is neither, a remark for one, has no value.
    settings: Vec<(&'t str, Option<&'t str>)>,
}

impl<'t> Section<'t> {
    fn all(text: &'t str) -> Vec<Self> {
        let (mut sections, mut at) = (Vec::<Self>::new(), 0);
        for line in text.split_inclusive('\n') {
            let (begin, content) = (at, line.trim());
            at += line.len();
            let header = content.strip_prefix('[').and_then(|content| content.split_once(']'));
            if let Some((name, _)) = header {
                let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
                sections.push(Self { name, from: begin, to: at, settings: Vec::new() });
            } else if let Some(section) = sections.last_mut() {
                section.to = at;
                if !content.is_empty() {
                    let setting = content.split_once('=').filter(|_| !content.starts_with(['#', ';']));
                    section.settings.push(match setting {
                        Some((name, value)) => (name.trim(), Some(value.trim())),
                        None => (content, None),
                    });
                }
            }
        }
        sections
    }

    fn find(text: &'t str, name: &str) -> Option<Self> {
        Self::all(text).into_iter().find(|section| section.name == name)
    }

    fn value(&self, name: &str) -> Option<&'t str> {
        self.settings.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value)
    }

    /// Whether coffer wrote it: it has these settings and nothing else.
    fn has_only(&self, settings: &[&str]) -> bool {
        self.settings.iter().all(|(name, value)| value.is_some() && settings.contains(name))
    }

    /// The text without it.
    fn taken_from(&self, text: &str) -> Zeroizing<String> {
        let before = text.get(..self.from).unwrap_or_default();
        let after = text.get(self.to..).unwrap_or_default();
        let mut rest = Zeroizing::new(String::with_capacity(text.len()));
        // The line between it and what stands before goes with it.
        let is_last = after.is_empty() && before.ends_with("\n\n");
        rest.push_str(if is_last { before.strip_suffix('\n').unwrap_or(before) } else { before });
        rest.push_str(after);
        rest
    }
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

/// A file's text; none if it is not there.
fn read(path: &Path) -> Result<Zeroizing<String>, Stop> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::new(String::new())),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Gives a file another text, at once and with the permissions it has.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to is written, and the link stays.
    let path = path.canonicalize()?;
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".coffer-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().inspect_err(|_| {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    })
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
            assert_eq!(Section::find(text, section).is_some(), expected, "{section}");
        }
    }

    #[test]
    fn what_coffer_wrote_is_told_from_the_rest() {
        for (settings, expected) in [
            ("aws_access_key_id = A\naws_secret_access_key = s\n", true),
            ("aws_access_key_id=A\n\n", true),
            ("aws_access_key_id = A\nregion = x\n", false),
            ("# the old one\naws_access_key_id = A\n", false),
            ("aws_access_key_id = A\nstray\n", false),
        ] {
            let text = format!("[a]\n{settings}");
            let section = Section::find(&text, "a").unwrap();
            assert_eq!(section.has_only(&KEY_SETTINGS), expected, "{settings}");
            assert_eq!(section.value("aws_access_key_id"), Some("A"));
        }
    }

    #[test]
    fn a_section_goes_and_the_rest_stays_byte_for_byte() {
        for (text, expected) in [
            ("[a]\nx = 1\n", ""),
            ("[a]\nx = 1\n\n[b]\ny = 2\n", "[b]\ny = 2\n"),
            ("# top\n[b]\ny=2\n\n[a]\nx = 1\n", "# top\n[b]\ny=2\n"),
            ("[b]\ny=2\n[a]\nx = 1\n\n[c]\nz", "[b]\ny=2\n[c]\nz"),
            ("[b]\n\n[a]", "[b]\n"),
        ] {
            let section = Section::find(text, "a").unwrap();
            assert_eq!(*section.taken_from(text), expected, "{text:?}");
        }
    }
}

//! The manifest: what an application needs, and where that is looked for.
//!
//! Reads up to three files when asked to; else pure. `coffer.toml` in the application's repository says what; the user's
//! own `coffer/coffer.toml` and the git-ignored `coffer.local.toml` beside it override where, field by field.
//! Invariant: errors name the file, the line and the key, and never show the text, in which someone may have put a value.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffer_types::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::chain::Layer;
use crate::mistake::{EntryFault, ManifestError, PROFILES, Refused, SECRETS, Source};
use crate::overlay::{Document, ProfileText, SecretText};
use crate::provider::Facts;
use crate::reference::Reference;
use crate::span::span;
use crate::surroundings::Surroundings;
use crate::value_type::ValueType;

/// What the manifest is called.
pub const MANIFEST_NAME: &str = "coffer.toml";
/// What overrides it on one machine.
pub const LOCAL_NAME: &str = "coffer.local.toml";
/// Largest file that is read.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest name of a secret.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What an application needs.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    needs: BTreeMap<String, Need>,
    profiles: BTreeMap<String, Profile>,
    profile: Option<String>,
    folder: Option<PathBuf>,
}

/// One value that it needs.
#[derive(Clone, Debug)]
pub struct Need {
    /// The name it is called by, and the environment variable it is given in.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether there is no going on without it.
    pub required: bool,
    /// What it is if no layer has it: a text, or a reference.
    pub default: Option<String>,
    /// What it must look like.
    pub value_type: ValueType,
    /// Where it is, before every chain.
    pub from: Option<Reference>,
    /// How often it should be renewed.
    pub rotate: Option<Duration>,
    /// When it has to be renewed.
    pub renew_at: Option<Date>,
    /// Who to ask for it.
    pub owner: Option<String>,
    /// How long a value that was read counts as fresh.
    pub fresh: Option<Duration>,
}

/// Where names are looked for.
#[derive(Clone, Debug)]
pub struct Profile {
    /// In this order.
    pub chain: Vec<Layer>,
}

impl Manifest {
    /// The manifest in `folder` or the nearest folder above it that has one, with what overrides it; `None` if there is
    /// none.
    pub fn find(surroundings: &Surroundings) -> Result<Option<Self>, ManifestError> {
        let found =
            surroundings.folder().ancestors().map(|f| f.join(MANIFEST_NAME)).find(|path| path.is_file());
        found.map(|path| Self::read(&path, surroundings)).transpose()
    }

    /// The manifest at `path`, with what overrides it.
    pub fn read(path: &Path, surroundings: &Surroundings) -> Result<Self, ManifestError> {
        let (mut document, source) = read_document(path)?;
        let mut sources = vec![source];
        let folder = path.parent().unwrap_or(Path::new("."));
        let configuration = surroundings
            .variable("XDG_CONFIG_HOME")
            .filter(|folder| Path::new(folder).is_absolute())
            .map(PathBuf::from)
            .or_else(|| surroundings.variable("HOME").map(|home| Path::new(home).join(".config")));
        let own = configuration.map(|folder| folder.join("coffer").join(MANIFEST_NAME));
        for path in own.into_iter().chain([folder.join(LOCAL_NAME)]) {
            match read_document(&path) {
                Ok((overlay, source)) => {
                    document.overlay(overlay);
                    sources.push(source);
                }
                Err(ManifestError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut manifest = Self::of_document(document).map_err(|refused| refused.found_in(&sources))?;
        manifest.folder = Some(folder.to_owned());
        Ok(manifest)
    }

    /// The manifest that `text` is; `path` is only what errors call it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        Self::of_document(source.document()?).map_err(|refused| refused.found_in(&[source]))
    }

    /// A manifest of names alone: all required, all text.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ManifestError> {
        let secrets = names.into_iter().map(|name| (name.to_owned(), SecretText::default())).collect();
        let source = Source { path: "names".into(), text: String::new() };
        let document = Document { secrets, ..Document::default() };
        Self::of_document(document).map_err(|refused| refused.found_in(&[source]))
    }

    fn of_document(document: Document) -> Result<Self, Refused> {
        let mut manifest = Self { profile: document.profile, ..Self::default() };
        for (name, text) in document.secrets {
            let need = Need::of(&name, text).map_err(|fault| Refused::new(SECRETS, &name, fault))?;
            manifest.needs.insert(name, need);
        }
        for (name, text) in document.profiles {
            let profile = Profile::of(&text).map_err(|fault| Refused::new(PROFILES, &name, fault))?;
            manifest.profiles.insert(name, profile);
        }
        Ok(manifest)
    }

    /// What is needed, by name.
    pub fn needs(&self) -> impl Iterator<Item = &Need> {
        self.needs.values()
    }

    /// One of them.
    pub fn need(&self, name: &str) -> Option<&Need> {
        self.needs.get(name)
    }

    /// The profile of that name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The profiles' names.
    pub fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The profile to use where nobody names one.
    pub fn usual_profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The folder the manifest lies in: what relative paths in it begin at.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

/// A value that should have been renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overdue {
    /// The manifest's date for it has come.
    Date(Date),
    /// It is older than it should get.
    Age {
        /// How old its version is.
        age: Duration,
        /// How old it should get.
        rotate: Duration,
    },
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = |span: &Duration| span.as_secs() / 86_400;
        match self {
            Self::Date(date) => write!(f, "had to be renewed by {date}"),
            Self::Age { age, rotate } => {
                write!(f, "is {} days old and should be renewed every {} days", days(age), days(rotate))
            }
        }
    }
}

impl Need {
    /// Whether a value should have been renewed by now, as far as can be told: `facts` say when it was made, if its store
    /// knows.
    pub fn overdue(&self, facts: &Facts, now: Timestamp) -> Option<Overdue> {
        let today = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC).date();
        if let Some(date) = self.renew_at.filter(|date| *date <= today) {
            return Some(Overdue::Date(date));
        }
        let (created, rotate) = (Timestamp::from_millis(facts.created_millis?), self.rotate?);
        let age = Duration::from_millis(u64::try_from(now.millis_since(created)).ok()?);
        (age >= rotate && !rotate.is_zero()).then_some(Overdue::Age { age, rotate })
    }

    fn of(name: &str, text: SecretText) -> Result<Self, EntryFault> {
        let is_name = name.len() <= NAME_BYTES_MAX
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !is_name {
            return Err(EntryFault::Name);
        }
        let value_type =
            ValueType::of_manifest(text.r#type.as_deref(), text.values.as_deref(), text.pattern.as_deref())
                .map_err(EntryFault::Type)?;
        if let Some(default) = &text.default {
            match Reference::in_place_of_value(default) {
                Some(Err(error)) => return Err(EntryFault::Reference { key: "default", error }),
                Some(Ok(_)) => {}
                None => value_type.check(default.as_bytes()).map_err(EntryFault::Default)?,
            }
        }
        let spanned = |key, text: Option<String>| {
            text.map(|text| span(&text).map_err(|error| EntryFault::Span { key, error })).transpose()
        };
        let from = text.from.map(|text| text.parse());
        let from = from.transpose().map_err(|error| EntryFault::Reference { key: "from", error })?;
        let date = text.renew_at.map(|text| text.parse().map_err(|_| EntryFault::Date));
        Ok(Self {
            name: name.to_owned(),
            description: text.description,
            required: text.required.unwrap_or(true),
            default: text.default,
            value_type,
            from,
            rotate: spanned("rotate", text.rotate)?,
            renew_at: date.transpose()?,
            owner: text.owner,
            fresh: spanned("fresh", text.fresh)?,
        })
    }
}

impl Profile {
    fn of(text: &ProfileText) -> Result<Self, EntryFault> {
        let layer = |(index, text): (usize, &String)| {
            text.parse().map_err(|error| EntryFault::Layer { position: index + 1, error })
        };
        let chain: Vec<Layer> = text.chain.iter().enumerate().map(layer).collect::<Result<_, _>>()?;
        if chain.is_empty() { Err(EntryFault::NoLayer) } else { Ok(Self { chain }) }
    }
}

fn read_document(path: &Path) -> Result<(Document, Source), ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ManifestError::TooLarge { path: path.to_owned() });
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let (path, message) = (path.to_owned(), "not UTF-8".to_owned());
        ManifestError::Syntax { path, line, section: String::new(), message, meant: None }
    })?;
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    Ok((source.document()?, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_have_been_renewed() {
        let text = "[secrets.A]\nrenew_at = \"2027-01-31\"\nrotate = \"90d\"\n[secrets.B]\nrotate = \"0\"";
        let manifest = Manifest::parse(Path::new("x"), text).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let made = |text: &str| Facts { created_millis: Some(at(text).as_millis()), ..Facts::default() };
        let unknown = Facts::default();
        let new_year = made("2027-01-01T00:00:00Z");
        let summer = made("2026-07-01T00:00:00Z");
        for (name, facts, now, expected) in [
            ("A", &unknown, "2027-01-30T23:59:59Z", None),
            ("A", &unknown, "2027-01-31T00:00:00Z", Some("had to be renewed by 2027-01-31")),
            ("A", &new_year, "2027-01-20T00:00:00Z", None),
            ("A", &summer, "2026-09-28T00:00:00Z", None),
            (
                "A",
                &summer,
                "2026-09-29T00:00:00Z",
                Some("is 90 days old and should be renewed every 90 days"),
            ),
            // Made later than now: by another clock.
            ("A", &new_year, "2026-12-31T00:00:00Z", None),
            ("B", &summer, "2027-09-29T00:00:00Z", None),
        ] {
            let overdue =
                manifest.need(name).unwrap().overdue(facts, at(now)).map(|overdue| overdue.to_string());
            assert_eq!(overdue.as_deref(), expected, "{name} {now}");
        }
    }

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(Path::new("coffer.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn all_that_a_manifest_says() {
        let manifest = parse(
            r#"
            profile = "production"
            [secrets.X_API_KEY]
            description = "posts"
            type = "regex"
            pattern = "[a-z]+"
            rotate = "90d"
            renew_at = "2027-01-31"
            owner = "team bot"
            fresh = "1m"
            from = "aws://bot#key"
            [secrets.PORT]
            required = false
            default = "8080"
            type = "port"
            [profiles.production]
            chain = ["env", "aws:bot/keys?region=us-east-1", "default"]
            "#,
        )
        .unwrap();
        let key = manifest.need("X_API_KEY").unwrap();
        assert!(key.required);
        assert_eq!(key.rotate, Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(key.renew_at.map(|date| date.to_string()).as_deref(), Some("2027-01-31"));
        assert_eq!(key.fresh, Some(Duration::from_secs(60)));
        assert_eq!(key.from.as_ref().map(Reference::to_string).as_deref(), Some("aws://bot#key"));
        let port = manifest.need("PORT").unwrap();
        assert!(!port.required);
        assert_eq!(manifest.profile("production").unwrap().chain.len(), 3);
        assert_eq!(manifest.usual_profile(), Some("production"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_without_the_text() {
        for (text, expected) in [
            (
                "[secrets.A]\nhunter2 = 1",
                "coffer.toml:2: [secrets.A] no key is called `hunter2`; there are description,",
            ),
            (
                "[secret.A]",
                "coffer.toml:1: no key is called `secret`; there are $schema, profile, secrets, profiles",
            ),
            (
                "[secrets.A]\nrequired = \"hunter2\"",
                "coffer.toml:2: [secrets.A] required: expected a boolean",
            ),
            (
                "[secrets.A]\nrequired = \"x, expected hunter2\"",
                "coffer.toml:2: [secrets.A] required: expected a boolean",
            ),
            (
                "[secrets]\nA = \"hunter2\"",
                "coffer.toml:2: [secrets.A] expected a table, such as [secrets.NAME]",
            ),
            ("[profiles.p]\nchain = \"hunter2\"", "coffer.toml:2: [profiles.p] chain: write a list, such as"),
            ("[secrets.A]\n[secrets.A]", "coffer.toml:2: [secrets] `A` stands there twice"),
            ("[secrets.A]\nowner = \"a\"\nowner = \"hunter2\"", "coffer.toml:3: `owner` stands there twice"),
            ("[secrets.A]\ndefault = hunter2", "coffer.toml:2: "),
            ("[secrets.A]\ndefault = \"hunter2", "coffer.toml:2: "),
            ("[secrets.A]\ntype = \"hunter2\"", "coffer.toml:2: [secrets.A] type: no such type"),
            (
                "[secrets.A]\ntype = \"port\"\ndefault = \"hunter2\"",
                "coffer.toml:3: [secrets.A] default: is not a port",
            ),
            ("[secrets.A]\nfrom = \"hunter2\"", "coffer.toml:2: [secrets.A] from: it begins with none of"),
            ("[secrets.A]\ndefault = \"aws://\"", "coffer.toml:2: [secrets.A] default: nothing is named"),
            ("[secrets.A]\nrotate = \"hunter2\"", "coffer.toml:2: [secrets.A] rotate: write a number"),
            ("[secrets.A]\nrenew_at = \"hunter2\"", "coffer.toml:2: [secrets.A] renew_at: write a date"),
            ("[secrets.\"A B\"]", "coffer.toml:1: [secrets.…] is no name"),
            ("[secrets.1A]", "coffer.toml:1: [secrets.1A] is no name"),
            (
                "[profiles.p]\nchain = [\"env\",\n\"hunter2\"]",
                "coffer.toml:3: [profiles.p] chain: layer 2: no such layer; there are env, dotenv:FILE, files:FOLDER, coffer:NAME",
            ),
            ("[profiles.p]\nchain = []", "coffer.toml:2: [profiles.p] chain: names no layer"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{error}\nexpected {expected}");
            assert!(!error.contains("hunter2") || error.contains("no key is called"), "{error}");
        }
    }

    #[test]
    fn what_may_have_been_meant() {
        for (text, expected) in [
            ("[secrets.A]\ntype = \"strng\"", Some("did you mean `string`?")),
            ("[secrets.A]\ntype = \"hunter2\"", None),
            ("[secrets.A]\nrequird = true", Some("did you mean `required`?")),
            ("[secret.A]", Some("did you mean `secrets`?")),
            ("[secrets.A]\nfrom = \"cofer://bot\"", Some("did you mean `coffer`?")),
            ("[profiles.p]\nchain = [\"defualt\"]", Some("did you mean `default`?")),
            ("[profiles.p]\nchain = [\"coffe:bot\"]", Some("did you mean `coffer`?")),
            ("[profiles.p]\nchan = []", Some("did you mean `chain`?")),
        ] {
            let error = Manifest::parse(Path::new("coffer.toml"), text).expect_err(text);
            assert_eq!(error.meant(), expected, "{text}");
        }
    }

    #[test]
    fn overrides_go_field_by_field_and_the_nearest_wins() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "app/coffer.toml",
            "[secrets.A]\ndescription = \"a\"\ndefault = \"1\"\n[profiles.p]\nchain = [\"env\"]",
        );
        write(
            "config/coffer/coffer.toml",
            "[secrets.A]\ndefault = \"2\"\n[profiles.p]\nchain = [\"default\"]",
        );
        write("app/coffer.local.toml", "[secrets.A]\nrequired = false\n[profiles.q]\nchain = [\"env\"]");
        fs::create_dir_all(folder.path().join("app/src/deep")).unwrap();
        let config = folder.path().join("config");
        let surroundings = Surroundings::of(
            &[("XDG_CONFIG_HOME", config.to_str().unwrap())],
            folder.path().join("app/src/deep"),
        );
        let manifest = Manifest::find(&surroundings).unwrap().unwrap();
        let need = manifest.need("A").unwrap();
        assert_eq!(need.description.as_deref(), Some("a"));
        assert_eq!(need.default.as_deref(), Some("2"));
        assert!(!need.required);
        assert_eq!(manifest.profile("p").unwrap().chain, [Layer::Default]);
        assert_eq!(manifest.profile_names().collect::<Vec<_>>(), ["p", "q"]);
        assert_eq!(manifest.folder(), Some(folder.path().join("app").as_path()));
        write("app/coffer.local.toml", "[secrets.A]\nrequired = 5");
        assert!(
            Manifest::find(&surroundings)
                .is_err_and(|error| error.to_string().contains("coffer.local.toml:2"))
        );
        // What is said where it is said last.
        write("app/coffer.local.toml", "\n[secrets.A]\ntype = \"port\"\n");
        assert!(Manifest::find(&surroundings).is_ok());
        write("config/coffer/coffer.toml", "[secrets.A]\ndefault = \"x\"");
        assert!(Manifest::find(&surroundings).is_err_and(|error| {
            error.to_string().contains("config/coffer/coffer.toml:2: [secrets.A] default:")
        }));
    }

    #[test]
    fn no_manifest_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Manifest::find(&Surroundings::of(&[], folder.path())).unwrap().is_none());
    }
}

//! References: where a value is, in one line that can stand wherever a value may.
//!
//! Pure. `aws://NAME?region=eu-west-1#field`, `gcp://project/NAME`, `vault://mount/path#field`, `coffer://NAME#field`,
//! `file:///run/secrets/NAME`, `env:NAME`, `dotenv:.env`, `exec:program argument`.
//! Invariant: a reference that exists names a known provider and only parameters that provider knows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// An environment variable.
    Env,
    /// A `.env` file.
    Dotenv,
    /// A file whose content is the value.
    File,
    /// A program that prints the value.
    Exec,
    /// coffer.
    Coffer,
    /// AWS Secrets Manager.
    Aws,
    /// Google Cloud Secret Manager.
    Gcp,
    /// HashiCorp Vault or OpenBao, the KV engine.
    Vault,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 8] =
        [Self::Env, Self::Dotenv, Self::File, Self::Exec, Self::Coffer, Self::Aws, Self::Gcp, Self::Vault];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Dotenv => "dotenv",
            Self::File => "file",
            Self::Exec => "exec",
            Self::Coffer => "coffer",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Vault => "vault",
        }
    }

    /// The parameters it takes behind `?`.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Env | Self::Dotenv | Self::File | Self::Exec => &[],
            Self::Coffer => &["region", "stage", "version"],
            Self::Aws => &["region", "role_arn", "stage", "version"],
            Self::Gcp => &["version"],
            Self::Vault => &["kv", "namespace", "version"],
        }
    }

    /// Whether what it says is kept in memory. The rest is on this machine, answers faster than a cache is worth, and its
    /// changes show at once.
    pub(crate) fn is_kept(self) -> bool {
        match self {
            Self::Exec | Self::Coffer | Self::Aws | Self::Gcp | Self::Vault => true,
            Self::Env | Self::Dotenv | Self::File => false,
        }
    }

    /// Whether a value found in the environment or in a file may be such a reference: stores only. A variable that
    /// anyone set must not run a program.
    pub(crate) fn may_stand_for_a_value(self) -> bool {
        match self {
            Self::Coffer | Self::Aws | Self::Gcp | Self::Vault => true,
            Self::Env | Self::Dotenv | Self::File | Self::Exec => false,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a value is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reference {
    scheme: Scheme,
    path: String,
    parameters: BTreeMap<String, String>,
    field: Option<String>,
}

/// Why a text is no reference. Does not repeat it, since it may be a value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It begins with no known scheme.
    #[error("it begins with none of env:, dotenv:, file:, exec:, coffer:, aws:, gcp: and vault:")]
    Scheme,
    /// Nothing is named.
    #[error("nothing is named behind `{0}:`")]
    Empty(Scheme),
    /// A control character.
    #[error("it holds a control character")]
    Character,
    /// A parameter that the provider has no use for.
    #[error("`{0}` takes no such parameter; it takes {known}", known = known(*.0))]
    Parameter(Scheme),
    /// A parameter without a value, or twice.
    #[error("a parameter has no value, or stands there twice")]
    ParameterValue,
    /// `#` without a field.
    #[error("no field is named behind `#`")]
    Field,
    /// A project and a name are needed.
    #[error("write gcp://PROJECT/NAME")]
    GoogleProject,
    /// A mount and a path are needed.
    #[error("write vault://MOUNT/PATH#FIELD")]
    VaultMount,
}

fn known(scheme: Scheme) -> String {
    match scheme.parameters() {
        [] => "none".to_owned(),
        parameters => parameters.join(", "),
    }
}

impl Reference {
    /// A field of a document, or the whole of it.
    pub fn new(scheme: Scheme, path: impl Into<String>, field: Option<String>) -> Self {
        Self { scheme, path: path.into(), parameters: BTreeMap::new(), field }
    }

    /// Who is asked.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What is asked for: a name, a path, a command line.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.keys().map(String::as_str)
    }

    /// The same with a parameter, unless it has it.
    pub fn or_parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    /// The same with a parameter, which its scheme must know.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Result<Self, ReferenceError> {
        if !self.scheme.parameters().contains(&name) {
            return Err(ReferenceError::Parameter(self.scheme));
        }
        if value.is_empty()
            || value.contains(|character: char| character.is_control() || "?&#".contains(character))
        {
            return Err(ReferenceError::ParameterValue);
        }
        self.parameters.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    /// Whether it is one of a store, rather than of this machine's environment, files or programs.
    pub fn is_of_store(&self) -> bool {
        self.scheme.may_stand_for_a_value()
    }

    /// Which field of the document is meant.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The document without the field: what is fetched, and what a cache knows it by.
    pub fn document(&self) -> Self {
        Self { field: None, ..self.clone() }
    }

    /// The part of `text`, which is this as it is written, that names the document: what a cache keeps it by.
    pub(crate) fn document_of<'a>(&self, text: &'a str) -> &'a str {
        let field = self.field.as_ref().map_or(0, |field| field.len() + 1);
        text.get(..text.len() - field).unwrap_or(text)
    }

    /// The same document by what its store calls it, which says the region; a version or label is still what was asked for.
    pub(crate) fn identified_by(&self, name: &str) -> Self {
        let mut same = Self { path: name.to_owned(), field: None, ..self.clone() };
        same.parameters.remove("region");
        same
    }

    /// What `name` is looked for by, where this stands in a chain. `{name}` is replaced, and then the document is the
    /// value; without it, the document is a JSON object with a field for each name.
    pub fn of_name(&self, name: &str) -> Self {
        const NAME: &str = "{name}";
        let put = |text: &String| text.replace(NAME, name);
        let takes_name = self.path.contains(NAME) || self.field.as_ref().is_some_and(|f| f.contains(NAME));
        let field = match &self.field {
            Some(field) => Some(put(field)),
            None if takes_name || self.scheme == Scheme::File => None,
            None => Some(name.to_owned()),
        };
        Self { scheme: self.scheme, path: put(&self.path), parameters: self.parameters.clone(), field }
    }

    /// A value that is a reference to a store, if it is one.
    pub(crate) fn in_place_of_value(text: &str) -> Option<Result<Self, ReferenceError>> {
        let (scheme, _) = text.split_once("://")?;
        let scheme = Scheme::ALL.into_iter().find(|known| known.as_str() == scheme)?;
        scheme.may_stand_for_a_value().then(|| text.parse())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = text.split_once(':').ok_or(ReferenceError::Scheme)?;
        let scheme =
            Scheme::ALL.into_iter().find(|known| known.as_str() == scheme).ok_or(ReferenceError::Scheme)?;
        if text.chars().any(char::is_control) {
            return Err(ReferenceError::Character);
        }
        if scheme == Scheme::Exec {
            let path = rest.trim();
            return match path {
                "" => Err(ReferenceError::Empty(scheme)),
                path => Ok(Self::new(scheme, path, None)),
            };
        }
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, field) = match rest.rsplit_once('#') {
            Some((_, "")) => return Err(ReferenceError::Field),
            Some((rest, field)) => (rest, Some(field.to_owned())),
            None => (rest, None),
        };
        // The paths of files may hold anything.
        let (path, query) = match rest.split_once('?').filter(|_| !scheme.parameters().is_empty()) {
            Some((path, query)) => (path, query),
            None => (rest, ""),
        };
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !scheme.parameters().contains(&name) {
                return Err(ReferenceError::Parameter(scheme));
            }
            if value.is_empty() || parameters.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(ReferenceError::ParameterValue);
            }
        }
        match (scheme, path) {
            (_, "") => return Err(ReferenceError::Empty(scheme)),
            (Scheme::Gcp, path) if !has_two_parts(path) => return Err(ReferenceError::GoogleProject),
            (Scheme::Vault, path) if !has_two_parts(path) => return Err(ReferenceError::VaultMount),
            _ => {}
        }
        Ok(Self { scheme, path: path.to_owned(), parameters, field })
    }
}

fn has_two_parts(path: &str) -> bool {
    path.split_once('/').is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = match self.scheme {
            Scheme::Exec => "",
            // A path that begins with two slashes would lose them.
            Scheme::Env | Scheme::Dotenv if !self.path.starts_with("//") => "",
            Scheme::Env | Scheme::Dotenv => "//",
            Scheme::File | Scheme::Coffer | Scheme::Aws | Scheme::Gcp | Scheme::Vault => "//",
        };
        for part in [self.scheme.as_str(), ":", slashes, &self.path] {
            f.write_str(part)?;
        }
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        match &self.field {
            Some(field) => f.write_str("#").and_then(|()| f.write_str(field)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_reference() {
        for (text, shown) in [
            ("aws://bot/keys?region=us-east-1#X_API_KEY", "aws://bot/keys?region=us-east-1#X_API_KEY"),
            ("aws:bot/keys", "aws://bot/keys"),
            (
                "aws:arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf#a",
                "aws://arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf#a",
            ),
            (
                "aws://bot?role_arn=arn:aws:iam::111122223333:role/a/b#X",
                "aws://bot?role_arn=arn:aws:iam::111122223333:role/a/b#X",
            ),
            ("gcp://project/NAME?version=3", "gcp://project/NAME?version=3"),
            ("vault://secret/twitter-bot#X", "vault://secret/twitter-bot#X"),
            ("vault://kv/a/b?kv=1&namespace=n", "vault://kv/a/b?kv=1&namespace=n"),
            ("file:///run/secrets/x", "file:///run/secrets/x"),
            ("file:secrets/x?y", "file://secrets/x?y"),
            ("coffer://a#b", "coffer://a#b"),
            ("env:HOME", "env:HOME"),
            ("dotenv:.env#KEY", "dotenv:.env#KEY"),
            ("exec:pass show x#y?z", "exec:pass show x#y?z"),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.to_string(), shown);
            assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&reference));
        }
    }

    #[test]
    fn what_is_none() {
        for (text, expected) in [
            ("", ReferenceError::Scheme),
            ("hunter2", ReferenceError::Scheme),
            ("https://example.com", ReferenceError::Scheme),
            ("AWS://x", ReferenceError::Scheme),
            ("aws:", ReferenceError::Empty(Scheme::Aws)),
            ("aws://?region=x", ReferenceError::Empty(Scheme::Aws)),
            ("exec:  ", ReferenceError::Empty(Scheme::Exec)),
            ("aws://x#", ReferenceError::Field),
            ("aws://x?hunter2=1", ReferenceError::Parameter(Scheme::Aws)),
            ("gcp://p/n?region=x", ReferenceError::Parameter(Scheme::Gcp)),
            ("aws://x?region=", ReferenceError::ParameterValue),
            ("aws://x?region=a&region=b", ReferenceError::ParameterValue),
            ("gcp://project", ReferenceError::GoogleProject),
            ("vault://secret/", ReferenceError::VaultMount),
            ("aws://a\nb", ReferenceError::Character),
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn what_a_name_is_looked_for_by() {
        for (layer, expected) in [
            ("aws:bot", "aws://bot#KEY"),
            ("aws:bot/{name}", "aws://bot/KEY"),
            ("aws:bot#x-{name}", "aws://bot#x-KEY"),
            ("aws:bot#fixed", "aws://bot#fixed"),
            ("gcp:p/{name}", "gcp://p/KEY"),
            ("vault:secret/bot", "vault://secret/bot#KEY"),
            ("file:/run/{name}", "file:///run/KEY"),
            ("file:/run/x", "file:///run/x"),
            ("exec:show {name}", "exec:show KEY"),
        ] {
            assert_eq!(layer.parse::<Reference>().unwrap().of_name("KEY").to_string(), expected);
        }
    }

    #[test]
    fn only_stores_stand_for_a_value() {
        for (text, expected) in [
            ("aws://a", Some(true)),
            ("coffer://a#b", Some(true)),
            ("vault://", Some(false)),
            ("aws:a", None),
            ("exec:rm", None),
            ("exec://rm", None),
            ("file:///etc/passwd", None),
            ("env://HOME", None),
            ("https://a", None),
        ] {
            let found = Reference::in_place_of_value(text).map(|parsed| parsed.is_ok());
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(text in "(aws|coffer|file|env|dotenv|exec|gcp|vault):(//)?[a-z/?=&#{} ]{0,12}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}

//! `list` and `versions`: what is held, without values.

use coffer_types::{Filter, FilterKey, FilterValue, SecretName, Stage, Timestamp, VersionId, limits};
use coffer_wire_local::{SecretDescription, VersionDescription};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::Wanted;
use crate::failure::Stop;
use crate::output::{Output, age, counted, now, table};
use crate::progress::Progress;
use crate::shell;

/// The secrets of a store; `list --json`.
#[derive(Serialize)]
pub(crate) struct Secrets {
    secrets: Vec<Secret>,
    /// What is said where there are none.
    #[serde(skip)]
    none: String,
}

#[derive(Serialize)]
struct Secret {
    name: SecretName,
    arn: String,
    description: Option<String>,
    /// How many versions it has had: the number of the newest.
    versions: u64,
    created: String,
    last_changed: String,
    /// When its deletion was scheduled for, if it is.
    deleted: Option<String>,
    #[serde(skip)]
    ages: [String; 2],
}

/// `versions --json`.
#[derive(Serialize)]
struct Versions<'a> {
    name: &'a str,
    versions: Vec<Version>,
}

/// A version of a secret, in every object and table that lists versions.
#[derive(Serialize)]
pub(crate) struct Version {
    ordinal: u64,
    version_id: VersionId,
    stages: Vec<Stage>,
    created: String,
    #[serde(skip)]
    age: String,
}

impl Version {
    /// The table's columns.
    pub(crate) const COLUMNS: [&str; 4] = ["Version", "Id", "Labels", "Made"];

    pub(crate) fn new(version: VersionDescription, now: Timestamp) -> Self {
        Self {
            ordinal: version.ordinal,
            version_id: version.version_id,
            stages: version.stages,
            created: version.created.to_string(),
            age: age(now, version.created),
        }
    }

    /// A row of the table.
    pub(crate) fn row(&self) -> Vec<String> {
        let stages: Vec<&str> = self.stages.iter().map(Stage::as_str).collect();
        vec![self.ordinal.to_string(), self.version_id.to_string(), stages.join(", "), self.age.clone()]
    }
}

impl Secrets {
    /// The secrets held in the place's region that are wanted.
    pub(crate) fn of(access: &mut Access, place: &Place, wanted: &Wanted) -> Result<Self, Stop> {
        let now = now();
        let mut secrets = Vec::new();
        let progress = Progress::begin(place.output, "listing");
        for secret in access.secrets(&wanted.filters()?)?.into_iter().filter(|secret| wanted.fits(secret)) {
            secrets.push(Secret {
                name: secret.name,
                arn: secret.arn,
                description: secret.description,
                versions: secret.last_ordinal,
                created: secret.created.to_string(),
                last_changed: secret.last_changed.to_string(),
                deleted: secret.deleted.map(|deleted| deleted.to_string()),
                ages: [age(now, secret.created), age(now, secret.last_changed)],
            });
        }
        drop(progress);
        let none = match (secrets.is_empty(), wanted.is_all()) {
            (false, _) => String::new(),
            (true, true) => said_of_none(access, place)?,
            (true, false) => place.exact("no secret fits; see all with `coffer list`"),
        };
        Ok(Self { secrets, none })
    }

    /// The oldest secret that can be read.
    pub(crate) fn first_name(&self) -> Option<&SecretName> {
        self.secrets.iter().find(|secret| secret.deleted.is_none()).map(|secret| &secret.name)
    }

    /// The table.
    pub(crate) fn describe(&self, text: &mut String) -> std::fmt::Result {
        if self.secrets.is_empty() {
            return writeln(text, &self.none);
        }
        let rows = self.secrets.iter().map(|secret| {
            let [created, changed] = secret.ages.clone();
            let changed = if secret.deleted.is_some() { "to be deleted".to_owned() } else { changed };
            vec![secret.name.to_string(), secret.versions.to_string(), created, changed]
        });
        text.push_str(&table(&["Name", "Versions", "Made", "Changed"], rows));
        Ok(())
    }
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.filter.is_empty() && self.tag.is_empty() && self.prefix.is_none()
    }

    /// What the store is asked for. Its filters go by how a tag begins, and know fewer characters and a `!`: so prefix and
    /// tags only narrow down what it answers, and [`Self::fits`] has the last word on them.
    fn filters(&self) -> Result<Vec<Filter>, Stop> {
        if self.filter.len() > limits::FILTERS_MAX {
            return Err(Stop::Usage {
                message: format!("--filter is given {} times", self.filter.len()),
                hint: format!("give it {} times at most", limits::FILTERS_MAX),
            });
        }
        let words = self.filter.iter().map(|value| (FilterKey::All, value.clone()));
        let prefix = self.prefix.iter().map(|prefix| (FilterKey::Name, prefix.as_str()));
        let tags = self.tag.iter().map(|tag| (FilterKey::TagKey, key_and_value(tag).0));
        let plain = prefix.chain(tags).filter_map(|(key, text)| {
            let value: FilterValue = text.parse().ok()?;
            (!value.is_negated()).then_some((key, value))
        });
        let filters = words.chain(plain).filter_map(|(key, value)| Filter::new(key, vec![value]).ok());
        Ok(filters.take(limits::FILTERS_MAX).collect())
    }

    fn fits(&self, secret: &SecretDescription) -> bool {
        let has = |wanted: &String| {
            let (key, value) = key_and_value(wanted);
            secret.tags.iter().any(|tag| tag.key() == key && value.is_none_or(|value| tag.value() == value))
        };
        self.tag.iter().all(has)
            && self.prefix.as_ref().is_none_or(|prefix| secret.name.as_str().starts_with(prefix.as_str()))
    }
}

fn key_and_value(tag: &str) -> (&str, Option<&str>) {
    tag.split_once('=').map_or((tag, None), |(key, value)| (key, Some(value)))
}

/// A store without secrets, or a region without any of them.
fn said_of_none(access: &mut Access, place: &Place) -> Result<String, Stop> {
    let status = access.status()?;
    let region = place.region.as_ref().unwrap_or(&status.region);
    let said = match usize::try_from(status.secrets).unwrap_or(usize::MAX) {
        0 => "no secrets yet: `coffer import FILE` or `coffer put NAME`".to_owned(),
        elsewhere => format!("no secrets in region {region}; {} in others", counted(elsewhere, "secret")),
    };
    let said = place.exact(&said);
    if status.secrets == 0 || *region == status.region {
        return Ok(said);
    }
    let home = shell::command(place.home.path(), "list");
    Ok(format!("{said} (the store's own is {}: `{home}`)", status.region))
}

pub(crate) fn list(place: &Place, wanted: &Wanted, output: Output) -> Result<(), Stop> {
    let secrets = Access::of(place, "coffer list", |access| Secrets::of(access, place, wanted))?;
    output.data(&secrets, |text| secrets.describe(text))
}

pub(crate) fn versions(place: &Place, name: &str, output: Output) -> Result<(), Stop> {
    let now = now();
    let versions: Vec<Version> = Access::of(place, "coffer versions", |access| access.versions(name))?
        .into_iter()
        .map(|version| Version::new(version, now))
        .collect();
    let object = Versions { name, versions };
    output.data(&object, |text| {
        if object.versions.is_empty() {
            return writeln(text, "no versions");
        }
        text.push_str(&table(&Version::COLUMNS, object.versions.iter().map(Version::row)));
        Ok(())
    })
}

fn writeln(text: &mut String, line: &str) -> std::fmt::Result {
    use std::fmt::Write as _;
    writeln!(text, "{line}")
}

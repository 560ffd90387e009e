//! `list` and `versions`: what is held, without values.

use coffer_types::{SecretName, Stage, VersionId};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::failure::Stop;
use crate::output::{Output, age, now, table};

/// The secrets of a store; `list --json`.
#[derive(Serialize)]
pub(crate) struct Secrets {
    secrets: Vec<Secret>,
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

#[derive(Serialize)]
struct Version {
    ordinal: u64,
    version_id: VersionId,
    stages: Vec<Stage>,
    created: String,
    #[serde(skip)]
    age: String,
}

impl Secrets {
    /// All secrets held.
    pub(crate) fn of(access: &mut Access) -> Result<Self, Stop> {
        let now = now();
        let mut secrets = Vec::new();
        for secret in access.secrets()? {
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
        Ok(Self { secrets })
    }

    /// The oldest secret that can be read.
    pub(crate) fn first_name(&self) -> Option<&SecretName> {
        self.secrets.iter().find(|secret| secret.deleted.is_none()).map(|secret| &secret.name)
    }

    /// The table.
    pub(crate) fn describe(&self, text: &mut String) -> std::fmt::Result {
        if self.secrets.is_empty() {
            return writeln(text, "no secrets yet: `coffer import FILE` or `coffer put NAME`");
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

pub(crate) fn list(place: &Place, output: Output) -> Result<(), Stop> {
    let mut access = Access::to(place, "coffer list")?;
    let secrets = Secrets::of(&mut access);
    access.close()?;
    let secrets = secrets?;
    output.data(&secrets, |text| secrets.describe(text))
}

pub(crate) fn versions(place: &Place, name: &str, output: Output) -> Result<(), Stop> {
    let mut access = Access::to(place, "coffer versions")?;
    let versions = access.versions(name);
    access.close()?;
    let now = now();
    let versions: Vec<Version> = versions?
        .into_iter()
        .map(|version| Version {
            ordinal: version.ordinal,
            version_id: version.version_id,
            stages: version.stages,
            created: version.created.to_string(),
            age: age(now, version.created),
        })
        .collect();
    let object = Versions { name, versions };
    output.data(&object, |text| {
        if object.versions.is_empty() {
            return writeln(text, "no versions");
        }
        let rows = object.versions.iter().map(|version| {
            let stages: Vec<&str> = version.stages.iter().map(Stage::as_str).collect();
            let (ordinal, id) = (version.ordinal.to_string(), version.version_id.to_string());
            vec![ordinal, id, stages.join(", "), version.age.clone()]
        });
        text.push_str(&table(&["Version", "Id", "Labels", "Made"], rows));
        Ok(())
    })
}

fn writeln(text: &mut String, line: &str) -> std::fmt::Result {
    use std::fmt::Write as _;
    writeln!(text, "{line}")
}

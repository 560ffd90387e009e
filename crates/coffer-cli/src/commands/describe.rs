//! `describe`: everything of a secret but its value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_types::SecretName;
use coffer_wire_local::{SecretDescription, VersionDescription};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::Describe;
use crate::commands::list::Version;
use crate::failure::Stop;
use crate::output::{Output, age, counted, now, table};
use crate::shell;

/// `describe --json`.
#[derive(Serialize)]
struct DescribeObject {
    arn: String,
    name: SecretName,
    description: Option<String>,
    tags: BTreeMap<String, String>,
    created: String,
    last_changed: String,
    /// When it will be deleted, if it is to be.
    deleted: Option<String>,
    /// Those with labels, oldest first.
    versions: Vec<Version>,
    #[serde(skip)]
    ages: [String; 2],
    /// How many have none.
    #[serde(skip)]
    unlabelled: usize,
}

pub(crate) fn describe(place: &Place, arguments: &Describe, output: Output) -> Result<(), Stop> {
    let (description, versions) = Access::of(place, "coffer describe", |access| {
        let description = access.describe(&arguments.name)?;
        // Those of a secret that is to be deleted are not told, so that nobody goes on using it.
        let versions = match description.deleted {
            Some(_) => Vec::new(),
            None => access.versions(&arguments.name)?,
        };
        Ok((description, versions))
    })?;
    let object = DescribeObject::new(description, versions);
    output.data(&object, |text| object.describe(text, place))
}

impl DescribeObject {
    fn new(secret: SecretDescription, versions: Vec<VersionDescription>) -> Self {
        let now = now();
        let count = versions.len();
        let labelled = versions.into_iter().filter(|version| !version.stages.is_empty());
        let labelled: Vec<Version> = labelled.map(|version| Version::new(version, now)).collect();
        let pair = |tag: &coffer_types::Tag| (tag.key().to_owned(), tag.value().to_owned());
        Self {
            arn: secret.arn,
            name: secret.name,
            description: secret.description,
            tags: secret.tags.iter().map(pair).collect(),
            created: secret.created.to_string(),
            last_changed: secret.last_changed.to_string(),
            deleted: secret.deleted.map(|deleted| deleted.to_string()),
            unlabelled: count - labelled.len(),
            versions: labelled,
            ages: [age(now, secret.created), age(now, secret.last_changed)],
        }
    }

    fn describe(&self, text: &mut String, place: &Place) -> std::fmt::Result {
        let [created, changed] = &self.ages;
        let mut rows = vec![("Name", self.name.to_string()), ("ARN", self.arn.clone())];
        rows.extend(self.description.iter().map(|description| ("Description", description.clone())));
        let tags = self.tags.iter().enumerate();
        rows.extend(
            tags.map(|(at, (key, value))| (if at == 0 { "Tags" } else { "" }, format!("{key}={value}"))),
        );
        rows.push(("Made", created.clone()));
        rows.push(("Changed", changed.clone()));
        let versions = |arguments: &str| shell::command(place.home.path(), arguments);
        if let Some(deleted) = &self.deleted {
            rows.push((
                "Deleted",
                format!("on {deleted}; until then: {}", versions(&format!("restore {}", self.name))),
            ));
        }
        for (label, cell) in rows {
            writeln!(text, "{label:<13}{}", crate::output::plain(&cell))?;
        }
        if !self.versions.is_empty() {
            let rows = self.versions.iter().map(Version::row);
            write!(text, "\n{}", table(&Version::COLUMNS, rows))?;
        } else if self.deleted.is_none() {
            writeln!(text, "\nno value yet: {}", versions(&format!("put {}", self.name)))?;
        }
        if self.unlabelled > 0 {
            let more = counted(self.unlabelled, "version");
            writeln!(text, "and {more} without labels: {}", versions(&format!("versions {}", self.name)))?;
        }
        Ok(())
    }
}

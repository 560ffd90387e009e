//! How a version is named on the command line: by number, by label, or by id.
//!
//! Pure.

use std::convert::Infallible;
use std::str::FromStr;

use coffer_types::Stage;
use coffer_wire_local::{FailureKind, VersionDescription};

use crate::failure::Stop;

/// One of a secret's versions, as somebody named it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VersionSelector(String);

impl FromStr for VersionSelector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl VersionSelector {
    /// The current one.
    pub(crate) fn current() -> Self {
        Self("current".to_owned())
    }

    /// The version meant: by its number if the text is one, else by its label or id. `current` and `previous` are
    /// short for AWS's labels.
    pub(crate) fn find<'a>(
        &self,
        secret: &str,
        versions: &'a [VersionDescription],
    ) -> Result<&'a VersionDescription, Stop> {
        let wanted = match self.0.as_str() {
            "current" => Stage::CURRENT,
            "previous" => Stage::PREVIOUS,
            text => text,
        };
        let ordinal = wanted.parse::<u64>().ok();
        let is_meant = |version: &&VersionDescription| match ordinal {
            Some(ordinal) => version.ordinal == ordinal,
            None => {
                version.version_id.as_str() == wanted
                    || version.stages.iter().any(|stage| stage.as_str() == wanted)
            }
        };
        // An id of digits only is no number that a secret comes to.
        let by_id = || versions.iter().find(|version| version.version_id.as_str() == wanted);
        versions.iter().find(is_meant).or_else(by_id).ok_or_else(|| {
            Stop::new(FailureKind::NotFound, format!("secret `{secret}` has no version `{}`", self.0))
                .with_hint(format!("see its versions with `coffer versions {secret}`"))
        })
    }
}

/// `version 2 (AWSCURRENT)`.
pub(crate) fn shown(version: &VersionDescription) -> String {
    let labels: Vec<&str> = version.stages.iter().map(Stage::as_str).collect();
    match labels.as_slice() {
        [] => format!("version {}", version.ordinal),
        labels => format!("version {} ({})", version.ordinal, labels.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use coffer_types::Timestamp;

    use super::*;

    const DIGITS: &str = "00000000000000000000000000000003";

    fn versions() -> Vec<VersionDescription> {
        let version = |ordinal, id: &str, stages: &[&str]| VersionDescription {
            version_id: id.parse().unwrap(),
            ordinal,
            stages: stages.iter().map(|stage| stage.parse().unwrap()).collect(),
            created: Timestamp::from_millis(0),
            last_accessed: None,
        };
        vec![
            version(1, "11111111-aaaa-bbbb-cccc-000000000001", &[]),
            version(2, "22222222-aaaa-bbbb-cccc-000000000002", &["AWSPREVIOUS", "blue"]),
            version(3, DIGITS, &["AWSCURRENT"]),
        ]
    }

    #[test]
    fn a_version_by_each_of_its_names() {
        let versions = versions();
        for (text, expected) in [
            ("1", Some(1)),
            ("2", Some(2)),
            ("4", None),
            ("0", None),
            ("current", Some(3)),
            ("AWSCURRENT", Some(3)),
            ("previous", Some(2)),
            ("AWSPREVIOUS", Some(2)),
            ("blue", Some(2)),
            ("green", None),
            ("11111111-aaaa-bbbb-cccc-000000000001", Some(1)),
            (DIGITS, Some(3)),
            ("", None),
        ] {
            let selector: VersionSelector = text.parse().unwrap();
            assert_eq!(selector.find("a", &versions).ok().map(|found| found.ordinal), expected, "{text}");
        }
        assert_eq!(shown(&versions[0]), "version 1");
        assert_eq!(shown(&versions[1]), "version 2 (AWSPREVIOUS, blue)");
    }
}

//! `diff` and `rollback`: what two versions of a secret differ in, by the names of fields.
//!
//! Invariant: no value is shown, nor its length. With `--hash` each stands for itself within one output, under a key
//! that is forgotten with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use coffer_crypto::{Random, SystemRandom, hmac_sha256};
use coffer_types::{SecretValue, Stage, VersionId};
use coffer_wire_local::{ReadValue, VersionDescription};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::access::{Access, Place};
use crate::arguments::{Diff, Rollback};
use crate::failure::Stop;
use crate::fields::{Differences, Fields};
use crate::output::{Output, plain};
use crate::terminal;
use crate::version::{VersionSelector, shown};

/// What stands for a value.
const MASK: &str = "********";

/// `diff --json`.
#[derive(Serialize)]
struct DiffObject<'a> {
    name: &'a str,
    from: Side<'a>,
    to: Side<'a>,
    same: bool,
    /// Names of fields; null if one of the two is no JSON object.
    fields: Option<FieldsObject<'a>>,
    /// With `--hash`: each field's hashes, older and newer; those of other values under an empty name.
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<&'a BTreeMap<String, [Option<String>; 2]>>,
}

#[derive(Serialize)]
struct FieldsObject<'a> {
    #[serde(flatten)]
    differences: &'a Differences,
    same: Vec<&'a str>,
}

#[derive(Serialize)]
struct Side<'a> {
    ordinal: u64,
    version_id: &'a VersionId,
    stages: &'a [Stage],
}

/// `rollback --json`.
#[derive(Serialize)]
struct RollbackObject<'a> {
    name: &'a str,
    /// `changed`, or `unchanged` if the version was current already.
    outcome: &'static str,
    from: Side<'a>,
    to: Side<'a>,
    same: bool,
    fields: Option<FieldsObject<'a>>,
}

/// Two versions, compared.
struct Comparison {
    /// Whether they hold the same, however it is written.
    same: bool,
    /// Names of fields that differ; `None` if the two are not both JSON objects.
    differences: Option<Differences>,
    /// What stands for each field, older and newer; for other values, under an empty name.
    hashes: BTreeMap<String, [Option<String>; 2]>,
}

pub(crate) fn diff(place: &Place, arguments: &Diff, output: Output) -> Result<(), Stop> {
    let Diff { name, from, to, hash, scope: _ } = arguments;
    let (from, to, comparison) = Access::of(place, "coffer diff", |access| {
        let versions = access.versions(name)?;
        let (from, to) = (from.find(name, &versions)?.clone(), to.find(name, &versions)?.clone());
        let comparison = compare(access, name, &from, &to)?;
        Ok((from, to, comparison))
    })?;
    let object = DiffObject {
        name,
        from: Side::of(&from),
        to: Side::of(&to),
        same: comparison.same,
        fields: comparison.fields_object(),
        hashes: hash.then_some(&comparison.hashes),
    };
    output.data(&object, |text| {
        writeln!(text, "secret `{name}`: {} → {}", shown(&from), shown(&to))?;
        comparison.describe(text, *hash, true)
    })
}

pub(crate) fn rollback(place: &Place, arguments: &Rollback, output: Output) -> Result<(), Stop> {
    const COMMAND: &str = "coffer rollback";
    let Rollback { name, to, yes, scope: _ } = arguments;
    if !yes && !terminal::can_ask(output) {
        return Err(Stop::Usage {
            message: "there is nobody to ask whether the current version may change".into(),
            hint: format!(
                "look at what would change with `coffer diff {name} current previous`, then add --yes"
            ),
        });
    }
    let (from, to, comparison) = Access::of(place, COMMAND, |access| {
        let versions = access.versions(name)?;
        let from = VersionSelector::current().find(name, &versions)?.clone();
        let to = to.find(name, &versions)?.clone();
        let comparison = compare(access, name, &from, &to)?;
        Ok((from, to, comparison))
    })?;
    let is_current = from.ordinal == to.ordinal;
    let object = RollbackObject {
        name,
        outcome: if is_current { "unchanged" } else { "changed" },
        from: Side::of(&from),
        to: Side::of(&to),
        same: comparison.same,
        fields: comparison.fields_object(),
    };
    if is_current {
        return output.data(&object, |text| writeln!(text, "{} of secret `{name}` is current", shown(&to)));
    }
    // What would change is part of the question, and told in any case.
    if !output.json {
        let mut text = String::new();
        let _ = writeln!(text, "secret `{name}`: {} → {}", shown(&from), shown(&to));
        let _ = comparison.describe(&mut text, false, false);
        output.people(&text)?;
    }
    if !yes {
        terminal::confirm(output, &format!("make version {} of secret `{name}` current?", to.ordinal))?;
    }
    Access::of(place, COMMAND, |access| access.move_current(name, &from.version_id, &to.version_id))?;
    output.data(&object, |text| writeln!(text, "version {} of secret `{name}` is current now", to.ordinal))
}

fn compare(
    access: &mut Access,
    name: &str,
    from: &VersionDescription,
    to: &VersionDescription,
) -> Result<Comparison, Stop> {
    let older = access.get(name, Some(from.version_id.clone()), None)?;
    let newer = access.get(name, Some(to.version_id.clone()), None)?;
    Ok(Comparison::of(&older, &newer))
}

impl Comparison {
    fn of(older: &ReadValue, newer: &ReadValue) -> Self {
        let (older, newer) = (&older.value.0, &newer.value.0);
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom.fill(&mut *key);
        // 32 bits are enough to tell a secret's fields apart.
        let hash = |bytes: &[u8]| hmac_sha256(&*key, bytes)[..4].iter().fold(String::new(), hex_digits);
        let bytes = |value: &SecretValue| hash(value.bytes().expose_secret());
        let fields =
            Fields::parse(older.bytes().expose_secret()).zip(Fields::parse(newer.bytes().expose_secret()));
        let Some((older_fields, newer_fields)) = fields else {
            let is_text = |value: &SecretValue| matches!(value, SecretValue::String(_));
            let same = is_text(older) == is_text(newer)
                && older.bytes().expose_secret() == newer.bytes().expose_secret();
            let hashes = [(String::new(), [Some(bytes(older)), Some(bytes(newer))])].into();
            return Self { same, differences: None, hashes };
        };
        let of = |fields: &Fields, name: &str| fields.get(name).map(|value| hash(value.expose_secret()));
        let names = older_fields.names().chain(newer_fields.names());
        let hashes =
            names.map(|name| (name.to_owned(), [of(&older_fields, name), of(&newer_fields, name)])).collect();
        let differences = newer_fields.differences(&older_fields);
        Self { same: differences.is_empty(), differences: Some(differences), hashes }
    }

    /// Names of the fields that do not differ.
    fn same_fields(&self, differences: &Differences) -> Vec<&str> {
        let Differences { added, changed, removed } = differences;
        let differs = |name: &&String| [added, changed, removed].iter().any(|names| names.contains(name));
        self.hashes.keys().filter(|name| !differs(name)).map(String::as_str).collect()
    }

    fn fields_object(&self) -> Option<FieldsObject<'_>> {
        let differences = self.differences.as_ref()?;
        Some(FieldsObject { differences, same: self.same_fields(differences) })
    }

    /// A line for each field, with what stands for its values.
    fn describe(&self, text: &mut String, hash: bool, unchanged_too: bool) -> std::fmt::Result {
        let Some(differences) = &self.differences else {
            writeln!(
                text,
                "the values are {}",
                if self.same {
                    "the same"
                } else {
                    "different; they are not both JSON objects, so it is not told where"
                }
            )?;
            if let Some([Some(older), Some(newer)]) = self.hashes.get("").filter(|_| hash) {
                writeln!(text, "  {older} → {newer}")?;
            }
            return Ok(());
        };
        let same = if unchanged_too { self.same_fields(differences) } else { Vec::new() };
        let kinds = [
            ('+', Some(AnsiColor::Green), names_of(&differences.added)),
            ('~', Some(AnsiColor::Yellow), names_of(&differences.changed)),
            ('-', Some(AnsiColor::Red), names_of(&differences.removed)),
            (' ', None, same),
        ];
        let mut lines: Vec<_> = kinds
            .iter()
            .flat_map(|(sign, colour, names)| names.iter().map(move |name| (*name, *sign, *colour)))
            .collect();
        lines.sort_by_key(|(name, ..)| *name);
        let width = lines.iter().map(|(name, ..)| plain(name).chars().count()).max().unwrap_or_default();
        for (name, sign, colour) in lines {
            let style = Style::new().fg_color(colour.map(Into::into));
            let shown = |side: &Option<String>| match side {
                Some(hashed) if hash => hashed.clone(),
                Some(_) | None => MASK.to_owned(),
            };
            let [older, newer] =
                self.hashes.get(name).map(|sides| sides.each_ref().map(shown)).unwrap_or_default();
            let value = match sign {
                '-' => older,
                '~' => format!("{older} → {newer}"),
                _ => newer,
            };
            writeln!(text, "{style}{sign} {:<width$}  {value}{style:#}", plain(name))?;
        }
        if self.same {
            writeln!(text, "no field differs")?;
        }
        Ok(())
    }
}

fn names_of(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn hex_digits(mut text: String, byte: &u8) -> String {
    // Writing to a String can't fail.
    let _ = write!(text, "{byte:02x}");
    text
}

impl<'a> Side<'a> {
    fn of(version: &'a VersionDescription) -> Self {
        Self { ordinal: version.ordinal, version_id: &version.version_id, stages: &version.stages }
    }
}

#[cfg(test)]
mod tests {
    use coffer_types::{SecretBytes, Timestamp};
    use coffer_wire_local::WireValue;

    use super::*;

    fn value(text: &str) -> ReadValue {
        ReadValue {
            arn: String::new(),
            name: "a".parse().unwrap(),
            version_id: "a".repeat(32).parse().unwrap(),
            value: WireValue(SecretValue::string(SecretBytes::copy_from(text.as_bytes())).unwrap()),
            stages: Vec::new(),
            created: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn what_differs_is_told_by_name_and_no_value_is() {
        for (older, newer, expected) in [
            (
                r#"{"a":"x","b":"y"}"#,
                r#"{"b":"z","c":"w"}"#,
                "- a  ********|~ b  ******** → ********|+ c  ********|",
            ),
            (
                r#"{"a":"x","b":"y"}"#,
                r#"{"b": "z", "a":"\u0078"}"#,
                "  a  ********|~ b  ******** → ********|",
            ),
            (r#"{"a":"x"}"#, r#"{"a": "x"}"#, "  a  ********|no field differs|"),
            ("x", "x", "the values are the same|"),
            (
                "x",
                r#"{"a":"x"}"#,
                "the values are different; they are not both JSON objects, so it is not told where|",
            ),
        ] {
            let mut text = String::new();
            Comparison::of(&value(older), &value(newer)).describe(&mut text, false, true).unwrap();
            let text = anstream::adapter::strip_str(&text).to_string().replace('\n', "|");
            assert_eq!(text, expected, "{older} {newer}");
        }
    }

    #[test]
    fn hashes_tell_values_apart_within_one_output_only() {
        let compare = || Comparison::of(&value(r#"{"a":"x","b":"y"}"#), &value(r#"{"a":"y","b":1}"#)).hashes;
        let (one, other) = (compare(), compare());
        assert_eq!(one["a"][1], one["b"][0]);
        assert_ne!(one["a"][0], one["a"][1]);
        assert_ne!(one["a"][0], other["a"][0]);
        assert_eq!(one["a"][0].as_ref().map(String::len), Some(8));
    }
}

//! A manifest as it is written, and how one overrides another.
//!
//! Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A file, each key as it stands there.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct Document {
    #[serde(rename = "$schema")]
    pub(crate) schema: Option<String>,
    pub(crate) profile: Option<String>,
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, SecretText>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, ProfileText>,
}

/// `[secrets.NAME]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, such as [secrets.NAME]")]
pub(crate) struct SecretText {
    pub(crate) description: Option<String>,
    pub(crate) required: Option<bool>,
    pub(crate) default: Option<String>,
    pub(crate) r#type: Option<String>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) pattern: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) rotate: Option<String>,
    pub(crate) renew_at: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) fresh: Option<String>,
}

/// `[profiles.NAME]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, such as [profiles.NAME]")]
pub(crate) struct ProfileText {
    #[serde(default)]
    pub(crate) chain: Vec<String>,
}

impl Document {
    /// Puts `over` on top: what it says counts, what it leaves out stays. A profile's chain is one thing.
    pub(crate) fn overlay(&mut self, over: Self) {
        let Self { schema, profile, secrets, profiles } = over;
        self.schema = schema.or(self.schema.take());
        self.profile = profile.or(self.profile.take());
        for (name, over) in secrets {
            self.secrets.entry(name).or_default().overlay(over);
        }
        self.profiles.extend(profiles);
    }
}

impl SecretText {
    fn overlay(&mut self, over: Self) {
        let under = std::mem::take(self);
        // A type comes with what belongs to it.
        let (r#type, values, pattern) =
            if over.r#type.is_some() || over.values.is_some() || over.pattern.is_some() {
                (over.r#type, over.values, over.pattern)
            } else {
                (under.r#type, under.values, under.pattern)
            };
        *self = Self {
            description: over.description.or(under.description),
            required: over.required.or(under.required),
            default: over.default.or(under.default),
            r#type,
            values,
            pattern,
            from: over.from.or(under.from),
            rotate: over.rotate.or(under.rotate),
            renew_at: over.renew_at.or(under.renew_at),
            owner: over.owner.or(under.owner),
            fresh: over.fresh.or(under.fresh),
        };
    }
}

//! `tag`: a secret's tags, attached and removed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_types::SecretName;
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::Tag;
use crate::failure::Stop;
use crate::output::{Output, plain};

/// `tag --json`.
#[derive(Serialize)]
struct TagObject<'a> {
    name: &'a SecretName,
    arn: &'a str,
    /// All it has now.
    tags: BTreeMap<&'a str, &'a str>,
}

pub(crate) fn tag(place: &Place, arguments: Tag, output: Output) -> Result<(), Stop> {
    let Tag { name, tags, remove, scope: _ } = arguments;
    if let Some(tag) = tags.iter().find(|tag| remove.iter().any(|key| key == tag.key())) {
        return Err(Stop::Usage {
            message: format!("tag `{}` is to be attached and removed at once", tag.key()),
            hint: format!("say one of the two; see what there is with `coffer describe {name}`"),
        });
    }
    let (absent, secret) = Access::of(place, "coffer tag", |access| {
        let mut absent = Vec::new();
        // First away with what is to go: a secret has 50 tags at most.
        if !remove.is_empty() {
            let before = access.describe(&name)?.tags;
            absent = remove.clone();
            absent.retain(|key| before.iter().all(|tag| tag.key() != key));
            access.untag(&name, remove)?;
        }
        if !tags.is_empty() {
            access.tag(&name, tags)?;
        }
        Ok((absent, access.describe(&name)?))
    })?;
    for key in absent {
        output.warning(&format!("secret `{name}` had no tag `{key}`"));
    }
    let tags = secret.tags.iter().map(|tag| (tag.key(), tag.value())).collect();
    let object = TagObject { name: &secret.name, arn: &secret.arn, tags };
    output.data(&object, |text| {
        let tags: Vec<String> =
            object.tags.iter().map(|(key, value)| plain(&format!("{key}={value}"))).collect();
        match tags.as_slice() {
            [] => writeln!(text, "secret `{name}` has no tags"),
            tags => writeln!(text, "secret `{name}` has tags {}", tags.join(", ")),
        }
    })
}

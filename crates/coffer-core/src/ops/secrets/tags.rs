//! What holds for the tags of a secret, for the operations that change them.
//!
//! Pure. Invariant: a secret has at most 50 tags, and no key is added that differs from another in case at most, since a
//! condition could tell neither. `None` means that it never had any, which answers tell apart from an empty list.

use std::collections::HashSet;

use coffer_audit::Members;
use coffer_types::{Tag, limits};

use super::TaggedSecret;
use super::find::FoundSecret;
use crate::Error;
use crate::transaction::Transaction;

fn check_count(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > limits::TAGS_PER_SECRET_MAX {
        let most = limits::TAGS_PER_SECRET_MAX;
        return Err(Error::InvalidParameter(format!("You can't attach more than {most} tags to a secret.")));
    }
    Ok(())
}

/// Refuses more tags than a secret may have, and a key that stands twice, in whatever case.
pub(crate) fn check(tags: &[Tag]) -> Result<(), Error> {
    check_count(tags)?;
    let keys: HashSet<&str> = tags.iter().map(Tag::key).collect();
    if keys.len() < tags.len() {
        return Err(Error::InvalidParameter("You can't use the same tag key more than once.".into()));
    }
    let keys: HashSet<String> = tags.iter().map(|tag| tag.key().to_ascii_lowercase()).collect();
    if keys.len() < tags.len() {
        let text = "You can't use tag keys that differ only in the case of their letters.";
        return Err(Error::InvalidParameter(text.into()));
    }
    Ok(())
}

/// The tags with `new` among them: in the place of those with the same key, or else behind them all.
pub(crate) fn with(tags: Option<&[Tag]>, new: &[Tag]) -> Result<Option<Vec<Tag>>, Error> {
    check(new)?;
    if new.is_empty() {
        return Ok(tags.map(<[Tag]>::to_vec));
    }
    let mut tags = tags.unwrap_or_default().to_vec();
    for tag in new {
        let is_other_case =
            |known: &Tag| known.key() != tag.key() && known.key().eq_ignore_ascii_case(tag.key());
        if tags.iter().any(is_other_case) {
            let key = tag.key();
            return Err(Error::InvalidParameter(format!(
                "The secret has a tag whose key differs from {key} only in the case of its letters. Remove that tag first."
            )));
        }
        match tags.iter_mut().find(|known| known.key() == tag.key()) {
            Some(known) => *known = tag.clone(),
            None => tags.push(tag.clone()),
        }
    }
    check_count(&tags)?;
    Ok(Some(tags))
}

/// The tags without those of `keys`.
pub(crate) fn without(tags: Option<&[Tag]>, keys: &[String]) -> Option<Vec<Tag>> {
    let keys: HashSet<&str> = keys.iter().map(String::as_str).collect();
    tags.map(|tags| tags.iter().filter(|tag| !keys.contains(tag.key())).cloned().collect())
}

/// Gives a secret the tags that `change` makes of its own, if those are others.
pub(super) fn change(
    found: &FoundSecret,
    transaction: &mut Transaction<'_>,
    change: impl FnOnce(Option<&[Tag]>) -> Result<Option<Vec<Tag>>, Error>,
) -> Result<TaggedSecret, Error> {
    let loaded = found.usable()?;
    let known = loaded.record.tags.as_deref();
    let tags = change(known)?;
    if tags.as_deref() != known {
        let mut secret = loaded.record.as_ref().clone();
        secret.tags = tags;
        secret.last_changed = transaction.now();
        transaction.replace(found.key.clone(), Some(loaded.revision), &secret);
    }
    Ok(TaggedSecret { arn: found.arn_of(&loaded.record) })
}

/// Tags for the record.
pub(crate) fn write(members: &mut Members<'_>, tags: &[Tag]) {
    members.objects("tags", tags, |tag, members| {
        members.text("key", tag.key());
        members.text("value", tag.value());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a=1 b=2`
    fn tags(text: &str) -> Vec<Tag> {
        let tag = |pair: &str| pair.split_once('=').and_then(|(key, value)| Tag::new(key, value).ok());
        text.split_whitespace().map(|pair| tag(pair).expect("a tag")).collect()
    }

    #[test]
    fn attaching_and_removing() {
        let merged = |old: Option<&str>, new: &str| {
            with(old.map(tags).as_deref(), &tags(new)).unwrap_or_else(|error| panic!("{error}"))
        };
        assert_eq!(merged(None, "a=1"), Some(tags("a=1")));
        assert_eq!(merged(Some("a=1 b=2"), "c=3 a=9"), Some(tags("a=9 b=2 c=3")));
        assert_eq!(merged(Some("a=1 A=2"), "b=3"), Some(tags("a=1 A=2 b=3")), "tags of an earlier day");
        assert_eq!(merged(None, ""), None, "nothing attached is still never tagged");
        assert_eq!(merged(Some(""), ""), Some(vec![]));

        let left = |old: Option<&str>, keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            without(old.map(tags).as_deref(), &keys)
        };
        assert_eq!(left(Some("a=1 b=2"), &["a", "a", "z"]), Some(tags("b=2")));
        assert_eq!(
            left(Some("a=1 A=2"), &["A"]),
            Some(tags("a=1")),
            "what differs in case is taken away alone"
        );
        assert_eq!(left(Some("a=1"), &["a"]), Some(vec![]), "an empty list: it had some");
        assert_eq!(left(None, &["a"]), None);
    }

    #[test]
    fn fifty_and_no_more_and_each_key_once() {
        let numbered = |range: std::ops::Range<u32>| -> Vec<Tag> {
            range.map(|n| Tag::new(format!("k{n}"), "").expect("a tag")).collect()
        };
        assert!(with(None, &numbered(0..50)).is_ok());
        assert!(with(None, &numbered(0..51)).is_err());
        assert!(with(Some(&numbered(0..50)), &numbered(49..50)).is_ok(), "one in the place of another");
        assert!(with(Some(&numbered(0..50)), &numbered(50..51)).is_err());
        assert!(with(None, &tags("a=1 a=2")).is_err());
        assert!(with(None, &tags("a=1 a=1")).is_err());
        assert!(with(None, &tags("a=1 b=2 A=1")).is_err());
        assert!(with(Some(&tags("a=1")), &tags("A=2")).is_err());
        assert!(with(Some(&tags("a=1 A=2")), &tags("a=3")).is_err());
    }
}

//! What a request says of itself, key by key: the values that conditions and variables look at.
//!
//! Pure. The engine asks for a key only if a statement that is about the request's action and resource looks at it, so
//! that values may be computed when they are asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The values of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values<'a> {
    /// The request has no such key.
    Absent,
    /// The value of a key that has one.
    One(Cow<'a, str>),
    /// The values of a key that can have several, such as `aws:TagKeys`, also if there is one. None at all is as if the key
    /// were absent.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Values<'a> {
    /// The value, if there is one.
    pub fn optional(value: Option<&'a str>) -> Self {
        value.map_or(Self::Absent, |value| Self::One(Cow::Borrowed(value)))
    }
}

/// Values by key.
///
/// Moments are written as `2026-11-22T17:00:00Z` or as seconds since 1970, truth values as `true` and `false`, bytes in base64.
pub trait Context {
    /// The values of a key, whose ASCII letters come in lower case: `aws:sourceip`, `aws:requesttag/project`. What follows
    /// the slash of a tag's key is to be compared without regard to case.
    fn get(&self, key: &str) -> Values<'_>;
}

/// A request that says nothing.
impl Context for () {
    fn get(&self, _key: &str) -> Values<'_> {
        Values::Absent
    }
}

/// Values that are known beforehand, for simulations and tests.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ContextMap(BTreeMap<String, Values<'static>>);

impl ContextMap {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a key a value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), Values::One(Cow::Owned(value.into())));
    }

    /// Gives a key that can have several values its values.
    pub fn set_list<V: Into<String>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) {
        let values = values.into_iter().map(|value| Cow::Owned(value.into())).collect();
        self.0.insert(key.to_ascii_lowercase(), Values::Many(values));
    }
}

impl Context for ContextMap {
    fn get(&self, key: &str) -> Values<'_> {
        match self.0.get(key) {
            None => Values::Absent,
            Some(Values::Absent) => Values::Absent,
            Some(Values::One(value)) => Values::One(Cow::Borrowed(value)),
            Some(Values::Many(values)) => {
                Values::Many(values.iter().map(|value| Cow::Borrowed(value.as_ref())).collect())
            }
        }
    }
}

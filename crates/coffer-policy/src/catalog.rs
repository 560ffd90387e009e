//! What is known of actions and condition keys: for lints only, never for a decision.
//!
//! Pure; the tables are part of the program. `data/refresh.py` makes `catalog.txt` anew and says where from.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How an action bears on what it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    List,
    Read,
    Write,
    Tagging,
    Permissions,
}

/// The type of a key's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyType {
    Text,
    Arn,
    Truth,
    Number,
    Moment,
    Address,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) value: KeyType,
    /// Whether a request can have several values.
    pub(crate) is_list: bool,
}

pub(crate) struct Action {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    pub(crate) has_resources: bool,
    /// The keys of its service, and of tags, that its requests can have.
    keys: Vec<&'static str>,
}

pub(crate) struct Catalog {
    services: Vec<&'static str>,
    keys: BTreeMap<&'static str, Key>,
    /// Of keys that end in `*`, what is before it.
    open_keys: Vec<(&'static str, Key)>,
    actions: Vec<Action>,
}

pub(crate) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog =
        Catalog { services: Vec::new(), keys: BTreeMap::new(), open_keys: Vec::new(), actions: Vec::new() };
    let mut numbered = Vec::new();
    for line in include_str!("../data/catalog.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["service", service] => catalog.services.push(service),
            ["key", key, value] => {
                numbered.push(*key);
                catalog.add_key(key, value);
            }
            ["action", service, name, level, about, keys @ ..] => {
                let keys = keys.first().map_or("", |keys| keys).split(' ');
                let keys =
                    keys.filter_map(|number| numbered.get(number.parse::<usize>().ok()?).copied()).collect();
                let has_resources = *about == "resource";
                catalog.actions.push(Action { service, name, level: level_of(level), has_resources, keys });
            }
            _ => {}
        }
    }
    for line in include_str!("../data/global-keys.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some((key, value)) = line.split_once('\t') {
            catalog.add_key(key, value);
        }
    }
    catalog
});

/// The names of a service's actions, as far as they are known.
pub fn actions_of<'a>(service: &'a str) -> impl Iterator<Item = &'static str> + Clone + use<'a> {
    CATALOG.actions.iter().filter(move |action| action.service == service).map(|action| action.name)
}

/// Whether a request can have several values for a condition key, as far as the key is known.
pub fn has_list(key: &str) -> bool {
    CATALOG.key(&key.to_ascii_lowercase()).is_some_and(|key| key.is_list)
}

fn level_of(level: &str) -> Level {
    match level {
        "list" => Level::List,
        "read" => Level::Read,
        "tagging" => Level::Tagging,
        "permissions" => Level::Permissions,
        _ => Level::Write,
    }
}

impl Catalog {
    fn add_key(&mut self, key: &'static str, value: &str) {
        let (of, is_list) = value.strip_prefix("ArrayOf").map_or((value, false), |of| (of, true));
        let value = match of {
            "ARN" => KeyType::Arn,
            "Bool" => KeyType::Truth,
            "Numeric" => KeyType::Number,
            "Date" => KeyType::Moment,
            "IPAddress" => KeyType::Address,
            _ => KeyType::Text,
        };
        match key.strip_suffix('*') {
            Some(beginning) => self.open_keys.push((beginning, Key { value, is_list })),
            None => {
                self.keys.insert(key, Key { value, is_list });
            }
        }
    }

    /// Whether there is such a service, in lower case.
    pub(crate) fn has_service(&self, service: &str) -> bool {
        self.services.contains(&service)
    }

    /// Whether all actions of a service are known here.
    pub(crate) fn knows(&self, service: &str) -> bool {
        self.actions.iter().any(|action| action.service == service)
    }

    pub(crate) fn actions_of(&self, service: &str) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(move |action| action.service == service)
    }

    /// A key, in lower case.
    pub(crate) fn key(&self, key: &str) -> Option<Key> {
        self.keys.get(key).copied().or_else(|| {
            let is_of = |(beginning, _): &&(&str, Key)| {
                key.strip_prefix(*beginning).is_some_and(|rest| !rest.is_empty())
            };
            self.open_keys.iter().find(is_of).map(|(_, key)| *key)
        })
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.keys().copied()
    }
}

impl Action {
    /// Whether a request for it can have a key, in lower case, of its service or of a tag.
    pub(crate) fn can_have(&self, key: &str) -> bool {
        self.keys.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => *known == key,
        })
    }

    /// Whether its keys are known.
    pub(crate) fn has_known_keys(&self) -> bool {
        !self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read() {
        assert!(CATALOG.has_service("s3") && !CATALOG.has_service("secretmanager"));
        assert!(CATALOG.knows("kms") && !CATALOG.knows("s3"));
        assert!(CATALOG.actions_of("secretsmanager").count() >= 26);
        let action =
            CATALOG.actions_of("secretsmanager").find(|action| action.name == "GetSecretValue").unwrap();
        assert!(action.has_resources && action.level == Level::Read);
        assert!(action.can_have("secretsmanager:versionstage") && !action.can_have("secretsmanager:name"));
        assert!(action.can_have("secretsmanager:resourcetag/project"));
        let list = CATALOG.actions_of("secretsmanager").find(|action| action.name == "ListSecrets").unwrap();
        assert!(!list.has_resources && !list.has_known_keys());
        assert_eq!(CATALOG.key("aws:tagkeys"), Some(Key { value: KeyType::Text, is_list: true }));
        assert_eq!(CATALOG.key("aws:sourceip"), Some(Key { value: KeyType::Address, is_list: false }));
        assert!(CATALOG.key("kms:encryptioncontext:app").is_some());
        assert_eq!(CATALOG.key("aws:principaltag/"), None);
    }
}

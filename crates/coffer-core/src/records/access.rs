//! Who there is and what they may do, as the store holds it: users, access keys, groups, roles, managed policies.
//!
//! Invariant: whatever of this changes is committed with a new policy epoch, and every commit guards the epoch, so one
//! change of access follows the other and what was found together belongs together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use coffer_crypto::digest::sha256;
use coffer_store::KeyRange;
use coffer_types::{AccountId, IssuerUrl, Region, Tag, Timestamp};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Record, keys};
use crate::Principal;
use crate::key_use::NotedAt;

/// Gives its holder everything.
pub(crate) const ADMINISTRATOR_ACCESS: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// Written with every change of who may do what in an account. Each commit guards its revision, so that nothing
/// commits under a permission that has just been taken away.
#[derive(Serialize, Deserialize)]
pub(crate) struct PolicyEpoch {
    pub(crate) changed: Timestamp,
}

impl Record for PolicyEpoch {
    const KIND: &'static str = "policy-epoch";
}

/// An access key. Its secret is sealed once more, under the access key id, and opened only to authenticate.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) account: AccountId,
    pub(crate) user: String,
    #[serde(with = "serde_bytes")]
    pub(crate) sealed_secret: Vec<u8>,
    pub(crate) created: Timestamp,
    /// It is kept, and nobody who signs with it is believed.
    #[serde(default)]
    pub(crate) is_inactive: bool,
    /// Keys derived from the secret, by day, region and service. They go when the record leaves the cache, so a
    /// removed access key leaves none behind.
    #[serde(skip)]
    pub(crate) derived: Mutex<Vec<DerivedKey>>,
    /// When a use of it was last noted.
    #[serde(skip)]
    pub(crate) noted_at: NotedAt,
    /// Whom it stands for, made at first use. Whoever moves or renames a user writes its access keys anew.
    #[serde(skip)]
    pub(crate) principal: OnceLock<Principal>,
}

/// A signing key, good for one day, region and service.
pub(crate) struct DerivedKey {
    pub(crate) date: String,
    pub(crate) region: Region,
    pub(crate) service: &'static str,
    pub(crate) key: Arc<coffer_crypto::sigv4::SigningKey>,
}

impl Record for AccessKey {
    const KIND: &'static str = "access-key";
    /// 2: a key may be inactive, which format 1 would pass over.
    const FORMAT: u8 = 2;
}

impl AccessKey {
    /// The same record as it is to be written again, without what was made of it.
    pub(crate) fn anew(&self) -> Self {
        Self {
            account: self.account,
            user: self.user.clone(),
            sealed_secret: self.sealed_secret.clone(),
            created: self.created,
            is_inactive: self.is_inactive,
            derived: Mutex::default(),
            noted_at: NotedAt::default(),
            principal: OnceLock::new(),
        }
    }
}

/// Policies that a user, group or role has.
#[derive(Serialize, Deserialize, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policies {
    /// Its own, by name: the documents as written.
    pub(crate) inline: BTreeMap<String, String>,
    /// Managed ones, by ARN.
    pub(crate) attached: BTreeSet<String>,
}

/// What users, groups, roles and managed policies have in common.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) name: String,
    /// `/`, or `/…/`.
    pub(crate) path: String,
    /// Never used again, unlike the name.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

/// A user.
#[derive(Serialize, Deserialize, Clone)]
#[serde(from = "StoredUser")]
pub(crate) struct User {
    pub(crate) facts: Facts,
    pub(crate) policies: Policies,
    pub(crate) boundary: Option<String>,
    pub(crate) groups: BTreeSet<String>,
}

impl Record for User {
    const KIND: &'static str = "user";
    /// 2: policies, where format 1 had statements: one that allows everything, or none.
    const FORMAT: u8 = 2;
}

/// A user as either format has it.
#[derive(Deserialize)]
struct StoredUser {
    // Format 2.
    facts: Option<Facts>,
    #[serde(default)]
    policies: Policies,
    #[serde(default)]
    boundary: Option<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
    // Format 1.
    #[serde(default)]
    name: String,
    #[serde(default)]
    statements: Vec<IgnoredAny>,
    #[serde(default)]
    created: Timestamp,
}

impl From<StoredUser> for User {
    fn from(stored: StoredUser) -> Self {
        let StoredUser { facts, mut policies, boundary, groups, name, statements, created } = stored;
        let facts = facts.unwrap_or_else(|| {
            if !statements.is_empty() {
                policies.attached.insert(ADMINISTRATOR_ACCESS.to_owned());
            }
            // It has none of its own; this one stays the same however often it is read.
            let digest = sha256(format!("{name} {}", created.as_millis()).as_bytes());
            Facts {
                id: unique_id(IdOf::User, &digest),
                name,
                path: "/".to_owned(),
                created,
                tags: Vec::new(),
            }
        });
        Self { facts, policies, boundary, groups }
    }
}

/// A group of users.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Group {
    pub(crate) facts: Facts,
    pub(crate) policies: Policies,
}

impl Record for Group {
    const KIND: &'static str = "group";
}

/// A role.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Role {
    pub(crate) facts: Facts,
    pub(crate) policies: Policies,
    pub(crate) boundary: Option<String>,
    /// Who may take it on: the document as written.
    pub(crate) trust: String,
    /// The unique ids of the users and roles that the document names, by ARN, as they were when it was written. Whoever it
    /// names and is not here is not trusted.
    #[serde(default)]
    pub(crate) trusted: BTreeMap<String, String>,
    pub(crate) description: Option<String>,
    pub(crate) session_seconds_max: u32,
}

impl Record for Role {
    const KIND: &'static str = "role";
    /// 2: whom it trusts, by id, which format 1 would pass over.
    const FORMAT: u8 = 2;
}

/// A policy of its own, that users, groups and roles can have.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct ManagedPolicy {
    pub(crate) facts: Facts,
    pub(crate) description: Option<String>,
    pub(crate) updated: Timestamp,
    pub(crate) default_version: u32,
    /// The highest number given to a version; none is given again.
    pub(crate) last_version: u32,
    pub(crate) versions: BTreeMap<u32, PolicyVersion>,
}

/// One version of a managed policy.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct PolicyVersion {
    /// As written.
    pub(crate) document: String,
    pub(crate) created: Timestamp,
}

impl Record for ManagedPolicy {
    const KIND: &'static str = "policy";
}

/// Somebody outside whose tokens roles may trust.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct OidcProvider {
    /// Its name is the issuer's URL without the scheme; it has no path of its own and no unique id.
    pub(crate) facts: Facts,
    /// The issuer, as tokens name it.
    pub(crate) url: IssuerUrl,
    /// The audiences its tokens may have.
    pub(crate) client_ids: Vec<String>,
    /// As they were sent.
    pub(crate) thumbprints: Vec<String>,
}

impl Record for OidcProvider {
    const KIND: &'static str = "oidc-provider";
}

/// What else an account is called.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct AccountAlias {
    pub(crate) alias: String,
}

impl Record for AccountAlias {
    const KIND: &'static str = "account-alias";
}

/// Something with a name and a path.
pub(crate) trait Entity: Record + Clone {
    /// What ARNs call it.
    const NOUN: &'static str;
    /// What AWS's sentences call it.
    const TITLE: &'static str;

    fn facts(&self) -> &Facts;
    fn facts_mut(&mut self) -> &mut Facts;
    fn key(account: AccountId, name: &str) -> Bytes;
    fn range(account: AccountId) -> KeyRange;

    fn arn(&self, account: AccountId) -> String {
        arn_of(account, Self::NOUN, &self.facts().path, &self.facts().name)
    }
}

pub(crate) fn arn_of(account: AccountId, noun: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{noun}{path}{name}")
}

macro_rules! entity {
    ($record:ident, $noun:literal, $title:literal, $key:path, $range:path) => {
        impl Entity for $record {
            const NOUN: &'static str = $noun;
            const TITLE: &'static str = $title;

            fn facts(&self) -> &Facts {
                &self.facts
            }
            fn facts_mut(&mut self) -> &mut Facts {
                &mut self.facts
            }
            fn key(account: AccountId, name: &str) -> Bytes {
                $key(account, name)
            }
            fn range(account: AccountId) -> KeyRange {
                $range(account)
            }
        }
    };
}

entity!(User, "user", "User", keys::user, keys::users_of);
entity!(Group, "group", "Group", keys::group, keys::groups_of);
entity!(Role, "role", "Role", keys::role, keys::roles_of);
entity!(OidcProvider, "oidc-provider", "Provider", keys::oidc_provider, keys::oidc_providers_of);
entity!(ManagedPolicy, "policy", "Policy", keys::policy, keys::policies_of);

/// What an id is of, told by its first letters.
#[derive(Clone, Copy)]
pub(crate) enum IdOf {
    User,
    Group,
    Role,
    Policy,
    AccessKey,
    Session,
}

impl IdOf {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::Policy => "ANPA",
            Self::AccessKey => "AKIA",
            Self::Session => "ASIA",
        }
    }

    /// How many characters follow the prefix.
    fn length(self) -> usize {
        match self {
            Self::User | Self::Group | Self::Role | Self::Policy => 17,
            Self::AccessKey | Self::Session => 16,
        }
    }
}

/// An id in AWS's form: a prefix, and five bits of each byte.
pub(crate) fn unique_id(of: IdOf, random: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let characters = random.iter().take(of.length()).map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    of.prefix().chars().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct FirstFormat<'a> {
        name: &'a str,
        statements: Vec<BTreeMap<&'a str, Vec<&'a str>>>,
        created: Timestamp,
    }

    #[test]
    fn a_user_of_the_first_format_keeps_what_it_may() {
        let everything = BTreeMap::from([("actions", vec!["*"]), ("resources", vec!["*"])]);
        for (statements, attached) in [(vec![everything], vec![ADMINISTRATOR_ACCESS]), (vec![], vec![])] {
            let old = FirstFormat { name: "alice", statements, created: Timestamp::from_millis(5) };
            let bytes = rmp_serde::to_vec_named(&old).unwrap();
            let user: User = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!((user.facts.name.as_str(), user.facts.path.as_str()), ("alice", "/"));
            assert_eq!(user.facts.created, Timestamp::from_millis(5));
            assert!(user.facts.id.starts_with("AIDA") && user.facts.id.len() == 21);
            assert_eq!(user.policies.attached.iter().collect::<Vec<_>>(), attached);
            // And once written it stays what it was read as.
            let again: User = rmp_serde::from_slice(&rmp_serde::to_vec_named(&user).unwrap()).unwrap();
            assert!(again.facts == user.facts && again.policies == user.policies);
        }
    }

    #[test]
    fn ids_have_the_length_of_aws() {
        for (of, length) in [(IdOf::User, 21), (IdOf::Role, 21), (IdOf::AccessKey, 20), (IdOf::Session, 20)] {
            assert_eq!(unique_id(of, &[255; 32]).len(), length);
        }
    }
}

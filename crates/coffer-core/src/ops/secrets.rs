//! The operations on secrets. Their parameters and answers stand here, together, since doors are written
//! against them; each operation's rules stand in a file of its own below.

use coffer_types::{
    Filter, SecretArn, SecretBytes, SecretId, SecretName, SecretValue, Stage, Tag, Timestamp, VersionId,
};

use crate::Error;
use crate::password::PasswordRules;

mod batch_get_secret_value;
mod create_secret;
mod delete_secret;
mod describe_secret;
mod excess;
pub(crate) mod find;
mod get_random_password;
mod get_secret_value;
mod list_secret_version_ids;
mod list_secrets;
mod listing;
mod put_secret_value;
mod restore_secret;
mod tag_resource;
mod tags;
mod untag_resource;
mod update_secret;
mod update_secret_version_stage;
mod versions;

pub(crate) use listing::WALKS_MAX;

/// Makes a secret, with its first version if a value is given.
pub struct CreateSecret {
    /// Its name.
    pub name: SecretName,
    /// The id of the first version. The same request again with the same token changes nothing.
    pub token: VersionId,
    /// What it is for, at most 2048 characters.
    pub description: Option<String>,
    /// The key to encrypt under; only the default key so far (`None`, or `alias/aws/secretsmanager`).
    pub kms_key_id: Option<String>,
    /// The value; without one the secret has no version.
    pub value: Option<SecretValue>,
    /// Tags; `None` if the caller sent none, which is told apart from an empty list in answers.
    pub tags: Option<Vec<Tag>>,
}

/// A secret was made.
pub struct CreatedSecret {
    /// Its ARN.
    pub arn: SecretArn,
    /// Its first version, if a value was given.
    pub version_id: Option<VersionId>,
}

/// Reads a value.
pub struct GetSecretValue {
    /// Whose.
    pub secret_id: SecretId,
    /// Which version, by id.
    pub version_id: Option<VersionId>,
    /// Which version, by label; `AWSCURRENT` if neither is given.
    pub version_stage: Option<Stage>,
}

/// A value.
pub struct ReadValue {
    /// The secret's ARN.
    pub arn: SecretArn,
    /// The version's id.
    pub version_id: VersionId,
    /// The value.
    pub value: SecretValue,
    /// The version's labels, sorted.
    pub stages: Vec<Stage>,
    /// When the version was made.
    pub created: Timestamp,
}

/// Makes a new version.
pub struct PutSecretValue {
    /// Of which secret.
    pub secret_id: SecretId,
    /// The id of the version. The same request again with the same token changes nothing.
    pub token: VersionId,
    /// The value.
    pub value: SecretValue,
    /// The labels it gets, moved from where they are; `AWSCURRENT` if `None`. 1 to 20.
    pub stages: Option<Vec<Stage>>,
}

/// A version was made, or was there.
pub struct PutVersion {
    /// The secret's ARN.
    pub arn: SecretArn,
    /// The version's id.
    pub version_id: VersionId,
    /// Its labels now, sorted.
    pub stages: Vec<Stage>,
}

/// Tells everything of a secret but its value.
pub struct DescribeSecret {
    /// Which.
    pub secret_id: SecretId,
}

/// A secret without its value.
pub struct SecretDescription {
    /// Its ARN.
    pub arn: SecretArn,
    /// What it is for.
    pub description: Option<String>,
    /// `None` if it never had any.
    pub tags: Option<Vec<Tag>>,
    /// When it was made.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub last_changed: Timestamp,
    /// The day on which a value of it was last read; `None` if none ever was.
    pub last_accessed: Option<Timestamp>,
    /// When its deletion was scheduled for, if it is.
    pub deleted: Option<Timestamp>,
    /// The number of its newest version; 0 if it never had one.
    pub last_ordinal: u64,
    /// Versions that have labels, by ordinal, with their labels sorted. Empty if it has none.
    pub versions: Vec<(VersionId, Vec<Stage>)>,
}

/// Lists the secrets of the caller's account and region.
pub struct ListSecrets {
    /// What they must be like: all of these must hold. At most 10.
    pub filters: Vec<Filter>,
    /// Also those that wait for their deletion.
    pub include_planned_deletion: bool,
    /// In which order.
    pub sort_by: SortBy,
    /// From the end of that order. Oldest first is the default: moto's tests that ran against AWS have several secrets listed
    /// without an order, and they come as they were made (`test_with_all_filter`, `test_with_duplicate_filter_keys`).
    pub descending: bool,
    /// At most this many, 1 to 100.
    pub max_results: u32,
    /// Where the last page ended; of the same listing, or it is refused.
    pub next_token: Option<String>,
}

/// What a listing goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortBy {
    /// When a secret was made.
    CreatedDate,
    /// On which day a secret's value was last read; secrets that were never read count as oldest.
    LastAccessedDate,
    /// When anything of a secret last changed.
    LastChangedDate,
    /// The name, byte by byte.
    Name,
}

/// A page of secrets.
pub struct SecretPage {
    /// The secrets.
    pub secrets: Vec<SecretDescription>,
    /// Where the next page begins; `None` at the end.
    pub next_token: Option<String>,
}

/// Lists the versions of a secret, oldest first.
pub struct ListSecretVersionIds {
    /// Which.
    pub secret_id: SecretId,
    /// Also those without labels.
    pub include_deprecated: bool,
    /// At most this many, 1 to 100.
    pub max_results: u32,
    /// Where the last page ended.
    pub next_token: Option<String>,
}

/// A page of versions.
pub struct VersionPage {
    /// The secret's ARN.
    pub arn: SecretArn,
    /// The versions that have a value.
    pub versions: Vec<VersionDescription>,
    /// Where the next page begins; `None` at the end.
    pub next_token: Option<String>,
}

/// A version without its value.
pub struct VersionDescription {
    /// Its id.
    pub version_id: VersionId,
    /// Its number in the secret: 1, 2, 3 …
    pub ordinal: u64,
    /// Its labels, sorted; empty for a deprecated version.
    pub stages: Vec<Stage>,
    /// When it was made.
    pub created: Timestamp,
    /// The day on which it was last read; `None` if it never was.
    pub last_accessed: Option<Timestamp>,
}

/// Moves, attaches or detaches a label.
pub struct UpdateSecretVersionStage {
    /// Of which secret.
    pub secret_id: SecretId,
    /// Which label.
    pub stage: Stage,
    /// The version that has it now; needed if one has.
    pub remove_from: Option<VersionId>,
    /// The version that gets it; `None` to detach.
    pub move_to: Option<VersionId>,
}

/// A secret, by its ARN.
pub struct SecretReference {
    /// The ARN.
    pub arn: SecretArn,
}

/// Schedules a deletion, or deletes at once.
pub struct DeleteSecret {
    /// Which.
    pub secret_id: SecretId,
    /// How.
    pub mode: DeletionMode,
}

/// How a secret is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeletionMode {
    /// After so many days, 7 to 30, in which it can be restored.
    Recoverable {
        /// How many.
        days: u32,
    },
    /// At once and for good. Deleting what is not there succeeds too.
    Immediate,
}

/// A deletion.
pub struct DeletedSecret {
    /// The ARN; of a secret that was not there, the name as supplied stands alone.
    pub arn: Option<SecretArn>,
    /// The name.
    pub name: SecretName,
    /// When it is deleted, or was.
    pub deletion_date: Timestamp,
}

/// Takes back a scheduled deletion.
pub struct RestoreSecret {
    /// Of which secret.
    pub secret_id: SecretId,
}

/// Attaches tags to a secret. A tag whose key is there already takes its place.
pub struct TagResource {
    /// To which secret.
    pub secret_id: SecretId,
    /// Which, each key once.
    pub tags: Vec<Tag>,
}

/// Removes tags from a secret. A key that is not there is no error.
pub struct UntagResource {
    /// From which secret.
    pub secret_id: SecretId,
    /// Their keys.
    pub tag_keys: Vec<String>,
}

/// A secret's tags are as was asked.
pub struct TaggedSecret {
    /// The secret's ARN.
    pub arn: SecretArn,
}

/// Makes a random password. Nothing is kept of it.
pub struct GetRandomPassword {
    /// What it is made of.
    pub rules: PasswordRules,
}

/// A password that was made.
pub struct RandomPassword {
    /// The password, in ASCII.
    pub password: SecretBytes,
}

/// Changes a secret's description, its key, its value, or several of them at once.
pub struct UpdateSecret {
    /// Which.
    pub secret_id: SecretId,
    /// What it is for from now on, at most 2048 characters; empty for nothing at all.
    pub description: Option<String>,
    /// The key to encrypt under; only the default key so far (`None`, or `alias/aws/secretsmanager`).
    pub kms_key_id: Option<String>,
    /// The value of a new version, which becomes the current one.
    pub version: Option<UpdatedVersion>,
}

/// A version that [`UpdateSecret`] makes.
pub struct UpdatedVersion {
    /// Its id. The same request again with the same token changes nothing.
    pub token: VersionId,
    /// Its value.
    pub value: SecretValue,
}

/// A secret was changed.
pub struct UpdatedSecret {
    /// Its ARN.
    pub arn: SecretArn,
    /// The version that was made, or was there; `None` if no value was given.
    pub version_id: Option<VersionId>,
}

/// Reads the values of several secrets. Asking for that needs a permission of its own; each value is then read by a
/// [`GetSecretValue`] of its own, with its own decision and record: see [`crate::Core::read_batch`].
pub struct BatchGetSecretValue {
    /// Of which secrets.
    pub batch: Batch,
}

/// Which secrets a batch reads.
#[derive(Clone)]
pub enum Batch {
    /// These, 1 to 20.
    Listed(Vec<SecretId>),
    /// Those that [`ListSecrets`], put through the gate too, finds.
    Filtered {
        /// What they must be like.
        filters: Vec<Filter>,
        /// At most this many, 1 to 20.
        max_results: u32,
        /// Where the last page ended.
        next_token: Option<String>,
    },
}

/// What came of a batch.
pub struct BatchOfValues {
    /// Each secret, as the caller named it or else by its ARN, and its value or why there is none.
    pub answers: Vec<(SecretId, Result<ReadValue, Error>)>,
    /// Where the next page begins; `None` at the end, and if secrets were listed by the caller.
    pub next_token: Option<String>,
}

//! What may be asked on the socket.
//!
//! Pure. Names, ids and labels are legal once they exist; how a secret is named ([`coffer_types::SecretId`]) is
//! read by the server, so that its error names what the caller wrote.

use coffer_types::{Filter, SecretName, Stage, Tag, Timestamp, VersionId};
use serde::{Deserialize, Serialize};

use crate::{AccessRequest, WireValue};

/// A request: `{"operation":"GetSecretValue","parameters":{…}}`.
///
/// The operation comes first. A parser that meets the parameters first keeps them aside in buffers it does not
/// wipe, so writers keep the order.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", content = "parameters")]
pub enum Request {
    /// Makes a secret.
    CreateSecret {
        /// Its name.
        name: SecretName,
        /// The id of its first version; the server makes one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<VersionId>,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Its value.
        value: WireValue,
        /// Its tags.
        #[serde(default)]
        tags: Vec<Tag>,
    },
    /// Reads a value.
    GetSecretValue {
        /// The name or ARN.
        secret_id: String,
        /// Which version, by id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version_id: Option<VersionId>,
        /// Which version, by label; `AWSCURRENT` if neither is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<Stage>,
    },
    /// Makes a new version.
    PutSecretValue {
        /// The name or ARN.
        secret_id: String,
        /// The id of the version; the server makes one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<VersionId>,
        /// The value.
        value: WireValue,
        /// The labels it gets; `AWSCURRENT` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stages: Option<Vec<Stage>>,
    },
    /// Tells everything of a secret but its value.
    DescribeSecret {
        /// The name or ARN.
        secret_id: String,
    },
    /// Lists secrets, oldest first.
    ListSecrets {
        /// What they must be like: all of these must hold. At most 10.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        filters: Vec<Filter>,
        /// Also those that wait for their deletion.
        #[serde(default)]
        include_planned_deletion: bool,
        /// At most this many, 1 to 100; 100 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_results: Option<u32>,
        /// Where the last page ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_token: Option<String>,
    },
    /// Lists the versions of a secret, oldest first.
    ListSecretVersionIds {
        /// The name or ARN.
        secret_id: String,
        /// Also those without labels.
        #[serde(default)]
        include_deprecated: bool,
        /// At most this many, 1 to 100; 100 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_results: Option<u32>,
        /// Where the last page ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_token: Option<String>,
    },
    /// Moves, attaches or detaches a label.
    UpdateSecretVersionStage {
        /// The name or ARN.
        secret_id: String,
        /// The label.
        stage: Stage,
        /// The version that has it now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remove_from: Option<VersionId>,
        /// The version that gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        move_to: Option<VersionId>,
    },
    /// Deletes a secret, or schedules it.
    DeleteSecret {
        /// The name or ARN.
        secret_id: String,
        /// How.
        mode: DeletionMode,
    },
    /// Takes back a scheduled deletion.
    RestoreSecret {
        /// The name or ARN.
        secret_id: String,
    },
    /// Attaches tags, in the place of those with the same keys.
    TagResource {
        /// The name or ARN.
        secret_id: String,
        /// The tags.
        tags: Vec<Tag>,
    },
    /// Removes tags; keys that are not there are no error.
    UntagResource {
        /// The name or ARN.
        secret_id: String,
        /// Their keys.
        tag_keys: Vec<String>,
    },
    /// Makes a random password; nothing is kept of it.
    GetRandomPassword {
        /// How many characters, 1 to 4096; 32 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<usize>,
        /// Characters it must not have.
        #[serde(default)]
        exclude_characters: String,
        /// No digits.
        #[serde(default)]
        exclude_numbers: bool,
        /// No punctuation.
        #[serde(default)]
        exclude_punctuation: bool,
        /// No capital letters.
        #[serde(default)]
        exclude_uppercase: bool,
        /// No small letters.
        #[serde(default)]
        exclude_lowercase: bool,
        /// A space is a character like others.
        #[serde(default)]
        include_space: bool,
        /// Need not have one of each type.
        #[serde(default)]
        any_types: bool,
    },
    /// Changes a secret's description, its value, or both.
    UpdateSecret {
        /// The name or ARN.
        secret_id: String,
        /// The id of the version; the server makes one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<VersionId>,
        /// What it is for from now on; empty for nothing at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Its value from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<WireValue>,
    },
    /// Something about users, groups, roles and policies.
    Access(AccessRequest),
    /// The newest records of the audit log.
    TailAudit {
        /// How many at most; the server gives fewer if they would not fit a frame.
        count: usize,
    },
    /// The newest records of the audit log that are like this.
    SearchAudit {
        /// How many at most; the server gives fewer if they would not fit a frame.
        count: usize,
        /// What they must be like.
        filter: RecordFilter,
    },
    /// Who read which secrets, as the audit log tells.
    ListReads {
        /// Which secret, who and since when.
        filter: RecordFilter,
    },
    /// Checks the whole audit chain.
    VerifyAudit {},
    /// Tells what the store and its log look like.
    Status {},
    /// Copies the whole store. Between two answers, [`crate::Response::Backup`] and [`crate::Response::EndBackup`],
    /// comes the copy itself: frames of at most [`crate::PIECE_BYTES_MAX`] bytes that are no JSON, then an empty one.
    /// A failure may stand in the place of either answer; in that of the first, nothing else comes.
    Backup {},
}

/// What records of the audit log must be like. All of it must hold.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct RecordFilter {
    /// About the secret of this name or ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
    /// By this user, role, session (`ROLE/SESSION`), access key or ARN, or by `owner`, who owns the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Of this operation. Case does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Of the request with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Refused or failed.
    #[serde(default)]
    pub failed: bool,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// How a secret is deleted: `{"days":7}` or `"immediate"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionMode {
    /// After so many days, 7 to 30, in which it can be restored.
    Days(u32),
    /// At once and for good.
    Immediate,
}

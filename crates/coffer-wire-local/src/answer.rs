//! What is answered on the socket.
//!
//! Pure. ARNs are texts here, since a client shows them and hands them back.

use coffer_types::{AccountId, Region, SecretName, Stage, Tag, Timestamp, VersionId};
use serde::{Deserialize, Serialize};

use crate::{AccessResponse, WireValue};

/// What comes back for a request: `{"response":{…}}` or `{"failure":{…}}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It was done.
    Response(Response),
    /// It was refused or failed.
    Failure(Failure),
}

/// An answer, one for each request: `{"operation":"GetSecretValue","result":{…}}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", content = "result")]
pub enum Response {
    /// A secret was made.
    CreateSecret(CreatedSecret),
    /// A value.
    GetSecretValue(ReadValue),
    /// A version was made, or was there.
    PutSecretValue(PutVersion),
    /// A secret without its value.
    DescribeSecret(SecretDescription),
    /// A page of secrets.
    ListSecrets(SecretPage),
    /// A page of versions.
    ListSecretVersionIds(VersionPage),
    /// A label was moved.
    UpdateSecretVersionStage {
        /// The secret's ARN.
        arn: String,
    },
    /// A secret was deleted, or will be.
    DeleteSecret(DeletedSecret),
    /// A deletion was taken back.
    RestoreSecret {
        /// The secret's ARN.
        arn: String,
    },
    /// Tags were attached.
    TagResource {
        /// The secret's ARN.
        arn: String,
    },
    /// Tags were removed.
    UntagResource {
        /// The secret's ARN.
        arn: String,
    },
    /// A password was made.
    GetRandomPassword {
        /// The password, always a text.
        password: WireValue,
    },
    /// A secret was changed.
    UpdateSecret(UpdatedSecret),
    /// What was asked about users, groups, roles and policies.
    Access(AccessResponse),
    /// Records of the audit log, newest last.
    TailAudit {
        /// Each a JSON object, as it stands in the log.
        lines: Vec<String>,
    },
    /// Records of the audit log that fit, newest last.
    SearchAudit {
        /// Each a JSON object, as it stands in the log.
        lines: Vec<String>,
        /// Whether the log has older records that were not looked at.
        #[serde(default)]
        is_cut: bool,
    },
    /// Who read which secrets.
    ListReads {
        /// The newest first.
        reads: Vec<Reads>,
        /// Whether there are more than these: the older ones are missing.
        is_cut: bool,
    },
    /// The chain is whole.
    VerifyAudit(AuditVerification),
    /// The state of store and log.
    Status(Status),
    /// A backup begins.
    Backup(BegunBackup),
    /// A backup was given out to its end, which is recorded.
    EndBackup(EndedBackup),
}

/// A backup begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BegunBackup {
    /// The store's id.
    pub store_id: String,
    /// The newest change in it.
    pub revision: u64,
    /// When it was taken.
    pub time: Timestamp,
    /// Up to which record the old audit log belongs to it.
    pub audit_sequence: u64,
}

/// A backup was given out to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndedBackup {
    /// How many records the store had.
    pub records: u64,
    /// How many bytes their keys and values have.
    pub bytes: u64,
    /// The hash of the backup, in hex, by which the audit log names it.
    pub hash: String,
}

/// A secret was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedSecret {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: SecretName,
    /// Its first version.
    pub version_id: Option<VersionId>,
}

/// A secret was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdatedSecret {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: SecretName,
    /// The version that was made, or was there; `None` if no value was given.
    pub version_id: Option<VersionId>,
}

/// A value.
#[derive(Serialize, Deserialize)]
pub struct ReadValue {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: SecretName,
    /// The version's id.
    pub version_id: VersionId,
    /// The value.
    pub value: WireValue,
    /// The version's labels, sorted.
    pub stages: Vec<Stage>,
    /// When the version was made.
    pub created: Timestamp,
}

/// A version was made, or was there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PutVersion {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: SecretName,
    /// The version's id.
    pub version_id: VersionId,
    /// Its labels now, sorted.
    pub stages: Vec<Stage>,
}

/// A secret without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretDescription {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: SecretName,
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub last_changed: Timestamp,
    /// The day on which a value of it was last read, if one ever was.
    #[serde(default)]
    pub last_accessed: Option<Timestamp>,
    /// When its deletion was scheduled for, if it is.
    pub deleted: Option<Timestamp>,
    /// The number of its newest version; 0 if it never had one.
    pub last_ordinal: u64,
    /// Its versions with labels, by ordinal.
    pub versions: Vec<VersionLabels>,
}

/// A version and its labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionLabels {
    /// The version's id.
    pub version_id: VersionId,
    /// Its labels, sorted.
    pub stages: Vec<Stage>,
}

/// A page of secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretPage {
    /// The secrets.
    pub secrets: Vec<SecretDescription>,
    /// Where the next page begins; `None` at the end.
    pub next_token: Option<String>,
}

/// A page of versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionPage {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: SecretName,
    /// The versions that have a value.
    pub versions: Vec<VersionDescription>,
    /// Where the next page begins; `None` at the end.
    pub next_token: Option<String>,
}

/// A version without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionDescription {
    /// Its id.
    pub version_id: VersionId,
    /// Its number in the secret: 1, 2, 3 …
    pub ordinal: u64,
    /// Its labels, sorted.
    pub stages: Vec<Stage>,
    /// When it was made.
    pub created: Timestamp,
    /// The day on which it was last read, if it ever was.
    #[serde(default)]
    pub last_accessed: Option<Timestamp>,
}

/// A deletion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeletedSecret {
    /// The ARN, if the secret was there.
    pub arn: Option<String>,
    /// The name.
    pub name: SecretName,
    /// When it is deleted, or was.
    pub deletion_date: Timestamp,
}

/// The audit chain is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditVerification {
    /// How many records came before the first that was checked; 0 unless only the newest are kept.
    pub first: u64,
    /// How many records were checked.
    pub records: u64,
    /// How many segments hold them, the open one among them.
    pub segments: u64,
    /// How many segments have a signed digest.
    pub digests: u64,
    /// The hash of the newest record, in hex.
    pub head: String,
    /// Bytes behind the last record that a power cut left.
    pub torn_bytes: u64,
}

/// The state of a store and its audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The store's id.
    pub store_id: String,
    /// The default account.
    pub account: AccountId,
    /// The default region.
    pub region: Region,
    /// When the store was made.
    pub created: Timestamp,
    /// How many secrets there are, those included that wait for their deletion.
    pub secrets: u64,
    /// The store's newest revision.
    pub revision: u64,
    /// The audit log.
    pub audit: AuditHealth,
}

/// The state of an audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditHealth {
    /// How many records it has.
    pub records: u64,
    /// How many of them are on disk.
    pub synced_records: u64,
    /// The hash of the newest record on disk, in hex.
    pub head: String,
    /// Up to which record the store keeps a signed checkpoint.
    pub checkpoint: Option<u64>,
    /// Free bytes where it lies; `None` if that cannot be told.
    pub free_bytes: Option<u64>,
    /// What is wrong with it, in people's words; nothing is served until it is put right.
    pub failure: Option<String>,
    /// What will be wrong soon, such as a disk that fills up.
    pub warning: Option<String>,
}

/// A request that was refused or failed, as people should read it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind; it decides the command's exit code.
    pub kind: FailureKind,
    /// What happened: lowercase, names in backticks, no full stop.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of failure, one for each exit code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum FailureKind {
    /// Anything else.
    Other,
    /// There is no such thing.
    NotFound,
    /// It is not allowed.
    Denied,
    /// It is there already, or is changing.
    Conflict,
    /// coffer can't serve now.
    Unavailable,
    /// The input is not legal.
    Refused,
    /// The audit chain, or a stored value, is not what was written.
    Verification,
}

impl FailureKind {
    /// The exit code of a command that ends with it. (0 is success and 2 wrong usage, neither of them a failure
    /// of a request.)
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Conflict => 5,
            Self::Unavailable => 6,
            Self::Refused => 7,
            Self::Verification => 8,
        }
    }
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The reads of one secret by one reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reads {
    /// The secret's name.
    pub secret: SecretName,
    /// Its region.
    pub region: String,
    /// Who: the ARN of a user, role or owner; the access key that a stranger claimed; or an address.
    pub who: String,
    /// How often a value was read.
    pub reads: u64,
    /// How often that was refused.
    pub refusals: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How many sessions of a role that were.
    pub sessions: usize,
    /// The newest session's name.
    pub session: Option<String>,
    /// The newest address.
    pub address: String,
    /// How many addresses there were.
    pub addresses: usize,
}

//! A JSON body to an operation.
//!
//! Pure. Invariant: an operation that comes out is valid, and no text of a refusal holds a secret value.
//! Parameters that coffer knows and does not serve are refused by name, never dropped; members unknown to the
//! service model are ignored, as AWS does. How members are read is `input`'s; here stands which there are.
//!
//! The limits are the service model's (`secretsmanager/2017-10-17`), checked before anything else as AWS does:
//! all violations of one request are told at once.

use std::borrow::Cow;

use coffer_core::ops::secrets::{
    Batch, BatchGetSecretValue, CreateSecret, DeleteSecret, DeletionMode, DescribeSecret, GetRandomPassword,
    GetSecretValue, ListSecretVersionIds, ListSecrets, PutSecretValue, RestoreSecret, SortBy, TagResource,
    UntagResource, UpdateSecret, UpdateSecretVersionStage, UpdatedVersion,
};
use coffer_core::password::PasswordRules;
use coffer_types::limits::{
    DESCRIPTION_CHARS_MAX, EXCLUDE_CHARACTERS_MAX, PASSWORD_CHARS_DEFAULT, PASSWORD_CHARS_MAX,
    RECOVERY_WINDOW_DAYS_MAX, RECOVERY_WINDOW_DAYS_MIN, SECRET_NAME_CHARS_MAX, TAG_KEY_CHARS_MAX,
};
use coffer_types::{SecretId, Tag};

mod input;

pub use self::input::{Input, Violations};

/// Largest body taken, in bytes: a secret of 64 KiB may take six times that, escaped.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Longest `KmsKeyId`; the service model's limit.
const KMS_KEY_ID_CHARS_MAX: usize = 2048;

/// Why a body is no operation. The text is the public one, in AWS's words where AWS has words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, not an object, or a member of another type.
    #[error("{0}")]
    Serialization(Cow<'static, str>),
    /// Members that violate the service model.
    #[error("{0}")]
    Validation(Violations),
    /// No legal name or ARN. The text is recorded, for ten operations, in localstack's
    /// `test_invalid_secret_name` snapshots.
    #[error(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
    )]
    InvalidName,
    /// A request that makes no sense.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A parameter with an illegal value, or one that coffer does not serve.
    #[error("{0}")]
    InvalidParameter(Cow<'static, str>),
}

impl Malformed {
    /// AWS's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Serialization(_) => "SerializationException",
            Self::Validation(_) | Self::InvalidName => "ValidationException",
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::InvalidParameter(_) => "InvalidParameterException",
        }
    }

    /// The text for the record: the same, but with nothing of the body in it, since people put values into the
    /// wrong member.
    pub fn record_text(&self) -> String {
        match self {
            Self::Validation(violations) => std::fmt::from_fn(|f| violations.write(f, false)).to_string(),
            Self::Serialization(_)
            | Self::InvalidName
            | Self::InvalidRequest(_)
            | Self::InvalidParameter(_) => self.to_string(),
        }
    }
}

/// An operation that comes as a JSON body.
pub trait FromWire: Sized {
    /// Reads it.
    fn from_wire(input: Input<'_>) -> Result<Self, Malformed>;
}

/// Decodes a body. Any bytes are decoded or refused.
pub fn decode<O: FromWire>(body: &[u8]) -> Result<O, Malformed> {
    O::from_wire(Input::parse(body)?)
}

impl FromWire for CreateSecret {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        for member in ["AddReplicaRegions", "ForceOverwriteReplicaSecret", "Type", "CrossAccountPrimaryARN"] {
            input.refuse_unserved(member)?;
        }
        let name = input.required_text("Name", 1..=SECRET_NAME_CHARS_MAX)?;
        let token = input.version_id("ClientRequestToken")?;
        let description = input.text("Description", 0..=DESCRIPTION_CHARS_MAX)?;
        let kms_key_id = input.text("KmsKeyId", 0..=KMS_KEY_ID_CHARS_MAX)?;
        let value = input.value()?;
        let tags = input.tags("Tags")?;
        let name = input.finish(name)?;
        Ok(Self {
            name: name.parse().map_err(|_| Malformed::InvalidName)?,
            token: token.ok_or(NO_TOKEN)?,
            description: description.map(Cow::into_owned),
            kms_key_id: kms_key_id.filter(|id| !id.is_empty()).map(Cow::into_owned),
            value: value.choose()?,
            tags: tags.map(parse_tags).transpose()?,
        })
    }
}

impl FromWire for GetSecretValue {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        let version_id = input.version_id("VersionId")?;
        let version_stage = input.stage("VersionStage")?;
        Ok(Self { secret_id: parse_secret_id(&input.finish(secret_id)?)?, version_id, version_stage })
    }
}

impl FromWire for PutSecretValue {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        input.refuse_unserved("RotationToken")?;
        let secret_id = input.secret_id()?;
        let token = input.version_id("ClientRequestToken")?;
        let value = input.value()?;
        let stages = input.stages("VersionStages")?;
        let secret_id = input.finish(secret_id)?;
        Ok(Self {
            secret_id: parse_secret_id(&secret_id)?,
            token: token.ok_or(NO_TOKEN)?,
            value: value
                .choose()?
                .ok_or(Malformed::InvalidRequest("You must provide either SecretString or SecretBinary."))?,
            stages,
        })
    }
}

impl FromWire for DescribeSecret {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        Ok(Self { secret_id: parse_secret_id(&input.finish(secret_id)?)? })
    }
}

impl FromWire for ListSecrets {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let filters = input.filters("Filters")?;
        let include_planned_deletion = input.boolean("IncludePlannedDeletion")?.unwrap_or(false);
        let max_results = input.max_results()?;
        let next_token = input.next_token()?;
        let sort_order = input.one_of("SortOrder", &["asc", "desc"])?;
        let sort_by = input.one_of("SortBy", &SORT_BY.map(SortBy::as_str))?;
        input.finish(Some(()))?;
        let sort_by = SORT_BY.into_iter().find(|by| Some(by.as_str()) == sort_by.as_deref());
        Ok(Self {
            filters: filters.parse()?,
            include_planned_deletion,
            sort_by: sort_by.unwrap_or(SortBy::CreatedDate),
            descending: sort_order.as_deref() == Some("desc"),
            max_results,
            next_token,
        })
    }
}

impl FromWire for BatchGetSecretValue {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let ids = input.secret_ids("SecretIdList")?;
        let is_filtered = input.list("Filters")?.is_some();
        let filters = input.filters("Filters")?;
        let max_results = input.integer_within("MaxResults", 1..=BATCH_ENTRIES_MAX)?;
        let next_token = input.next_token()?;
        input.finish(Some(()))?;
        // The texts are moto's, `InvalidParameterException` and all; none was found recorded.
        let batch = match ids {
            Some(_) if is_filtered => return Err(Malformed::InvalidParameter(EITHER_OR.into())),
            None if !is_filtered => return Err(Malformed::InvalidParameter(EITHER_OR.into())),
            Some(_) if max_results.is_some() => return Err(Malformed::InvalidParameter(NO_FILTERS.into())),
            Some(_) if next_token.is_some() => {
                return Err(Malformed::InvalidParameter(
                    NO_FILTERS.replace("MaxResults", "NextToken").into(),
                ));
            }
            Some(ids) => Batch::Listed(ids.iter().map(|id| parse_secret_id(id)).collect::<Result<_, _>>()?),
            None => Batch::Filtered {
                filters: filters.parse()?,
                max_results: max_results.and_then(|most| u32::try_from(most).ok()).unwrap_or(20),
                next_token,
            },
        };
        Ok(Self { batch })
    }
}

/// Most secrets a batch reads.
const BATCH_ENTRIES_MAX: usize = 20;
const EITHER_OR: &str = "Either 'SecretIdList' or 'Filters' must be provided, but not both.";
const NO_FILTERS: &str =
    "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.";

impl FromWire for ListSecretVersionIds {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        let include_deprecated = input.boolean("IncludeDeprecated")?.unwrap_or(false);
        let max_results = input.max_results()?;
        let next_token = input.next_token()?;
        let secret_id = parse_secret_id(&input.finish(secret_id)?)?;
        Ok(Self { secret_id, include_deprecated, max_results, next_token })
    }
}

impl FromWire for UpdateSecretVersionStage {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        let stage = input.stage("VersionStage")?;
        input.require("VersionStage");
        let remove_from = input.version_id("RemoveFromVersionId")?;
        let move_to = input.version_id("MoveToVersionId")?;
        let (secret_id, stage) = input.finish(secret_id.zip(stage))?;
        Ok(Self { secret_id: parse_secret_id(&secret_id)?, stage, remove_from, move_to })
    }
}

impl FromWire for DeleteSecret {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        let window = input.integer("RecoveryWindowInDays")?;
        let force = input.boolean("ForceDeleteWithoutRecovery")?.unwrap_or(false);
        let secret_id = input.finish(secret_id)?;
        let mode = match (force, window) {
            (true, Some(_)) => {
                return Err(Malformed::InvalidParameter(
                    "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
                        .into(),
                ));
            }
            (true, None) => DeletionMode::Immediate,
            (false, None) => DeletionMode::Recoverable { days: RECOVERY_WINDOW_DAYS_MAX },
            (false, Some(days)) => match u32::try_from(days) {
                Ok(days @ RECOVERY_WINDOW_DAYS_MIN..=RECOVERY_WINDOW_DAYS_MAX) => {
                    DeletionMode::Recoverable { days }
                }
                _ => {
                    return Err(Malformed::InvalidParameter(
                        "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).".into(),
                    ));
                }
            },
        };
        Ok(Self { secret_id: parse_secret_id(&secret_id)?, mode })
    }
}

impl FromWire for RestoreSecret {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        Ok(Self { secret_id: parse_secret_id(&input.finish(secret_id)?)? })
    }
}

/// In the order of the service model.
const SORT_BY: [SortBy; 4] =
    [SortBy::CreatedDate, SortBy::LastAccessedDate, SortBy::LastChangedDate, SortBy::Name];

impl FromWire for TagResource {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        input.require("Tags");
        let tags = input.tags("Tags")?;
        let (secret_id, tags) = input.finish(secret_id.zip(tags))?;
        Ok(Self { secret_id: parse_secret_id(&secret_id)?, tags: parse_tags(tags)? })
    }
}

impl FromWire for UntagResource {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let secret_id = input.secret_id()?;
        input.require("TagKeys");
        let tag_keys = input.texts("TagKeys", 1..=TAG_KEY_CHARS_MAX)?;
        let (secret_id, tag_keys) = input.finish(secret_id.zip(tag_keys))?;
        Ok(Self { secret_id: parse_secret_id(&secret_id)?, tag_keys })
    }
}

impl FromWire for GetRandomPassword {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        let length = input.integer_within("PasswordLength", 1..=PASSWORD_CHARS_MAX)?;
        let exclude_characters = input.text("ExcludeCharacters", 0..=EXCLUDE_CHARACTERS_MAX)?;
        let switch = |name| input.boolean(name).map(|given| given.unwrap_or(false));
        let rules = PasswordRules {
            length: length.unwrap_or(PASSWORD_CHARS_DEFAULT),
            exclude_characters: exclude_characters.map(Cow::into_owned).unwrap_or_default(),
            exclude_numbers: switch("ExcludeNumbers")?,
            exclude_punctuation: switch("ExcludePunctuation")?,
            exclude_uppercase: switch("ExcludeUppercase")?,
            exclude_lowercase: switch("ExcludeLowercase")?,
            include_space: switch("IncludeSpace")?,
            require_each_included_type: input.boolean("RequireEachIncludedType")?.unwrap_or(true),
        };
        input.finish(Some(Self { rules }))
    }
}

impl FromWire for UpdateSecret {
    fn from_wire(mut input: Input<'_>) -> Result<Self, Malformed> {
        input.refuse_unserved("Type")?;
        let secret_id = input.secret_id()?;
        let token = input.version_id("ClientRequestToken")?;
        let description = input.text("Description", 0..=DESCRIPTION_CHARS_MAX)?;
        let kms_key_id = input.text("KmsKeyId", 0..=KMS_KEY_ID_CHARS_MAX)?;
        let value = input.value()?;
        let secret_id = input.finish(secret_id)?;
        let version = match value.choose()? {
            Some(value) => Some(UpdatedVersion { token: token.ok_or(NO_TOKEN)?, value }),
            None => None,
        };
        Ok(Self {
            secret_id: parse_secret_id(&secret_id)?,
            description: description.map(Cow::into_owned),
            kms_key_id: kms_key_id.filter(|id| !id.is_empty()).map(Cow::into_owned),
            version,
        })
    }
}

/// Recorded in localstack's `test_no_client_request_token` snapshots.
const NO_TOKEN: Malformed =
    Malformed::InvalidRequest("You must provide a ClientRequestToken value. We recommend a UUID-type value.");

fn unserved(parameter: &str) -> Malformed {
    Malformed::InvalidParameter(format!("The parameter {parameter} is not supported by this server.").into())
}

fn parse_secret_id(text: &str) -> Result<SecretId, Malformed> {
    text.parse().map_err(|_| Malformed::InvalidName)
}

fn parse_tags(pairs: Vec<(String, String)>) -> Result<Vec<Tag>, Malformed> {
    // Lengths have been checked with the service model's limits; what remains is the reserved prefix.
    pairs
        .into_iter()
        .map(|(key, value)| {
            Tag::new(key, value).map_err(|_| {
                Malformed::InvalidParameter(
                    "aws: prefixed tag key names are not allowed for external use.".into(),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;

//! Requests of the machine's own users: what they mean to core, and how people read what comes of them.
//!
//! One function for both ways in, so that a command prints the same whether it has opened the store itself or
//! asks a server. No I/O of its own.

use coffer_core::backup::{Backup, BackupStream, Totals};
use coffer_core::ops::audit::{ListReads, SearchAudit};
use coffer_core::ops::local::{ReadStatus, TailAudit, VerifyAudit};
use coffer_core::ops::secrets::{
    CreateSecret, DeleteSecret, DeletionMode, DescribeSecret, GetRandomPassword, GetSecretValue,
    ListSecretVersionIds, ListSecrets, PutSecretValue, RestoreSecret, SecretDescription, TagResource,
    UntagResource, UpdateSecret, UpdateSecretVersionStage, UpdatedVersion,
};
use coffer_core::password::PasswordRules;
use coffer_core::{
    AuthenticationError, Claim, Context, Core, Error, IamError, Refusal, RequestInfo, Transport,
};
use coffer_types::{CorrelationId, Region, SecretArn, SecretId, SecretValue, limits};
use coffer_wire_local as wire;
use coffer_wire_local::{AccessRequest, Failure, FailureKind, Request, Response, WireValue};

use crate::home::{AUDIT_EVIDENCE_HINT, Home, with_causes};

mod access;
mod audit;
mod providers;

/// This door, in records.
pub(crate) const EVENT_SOURCE: &str = "coffer.local";

/// Most bytes of records in one answer, as they stand in its JSON.
const TAIL_BYTES_MAX: usize = wire::ANSWER_BYTES_MAX - 1024;

/// Who a process of this machine is to core. `program` goes into the record as its user agent, and so does what it calls its
/// requests, `id`.
///
/// The request works in `region`: a secret named by its name alone is that region's, and its record says so. With
/// `None` it works in the store's default.
///
/// A uid that does not own the store is refused, and that is recorded.
pub async fn authenticate(
    core: &Core,
    uid: u32,
    program: &str,
    region: Option<Region>,
    id: Option<CorrelationId>,
) -> Result<Context, Failure> {
    let request = RequestInfo {
        request_id: core.new_request_id(),
        correlation_id: id,
        source: None,
        user_agent: program.into(),
        transport: Transport::Local,
    };
    let error = match core.authenticate(Claim::Local { uid }, request.clone(), EVENT_SOURCE).await {
        Ok(mut context) => {
            if let Some(region) = region {
                context.region = region;
            }
            return Ok(context);
        }
        Err(error) => error,
    };
    let failure = match &error {
        AuthenticationError::NotOwner { uid } => {
            Failure::new(FailureKind::Denied, format!("user `{uid}` of this machine does not own this store"))
                .with_hint("run the command as the owner, or use an access key at the AWS endpoint")
        }
        AuthenticationError::Unavailable => {
            Failure::new(FailureKind::Unavailable, "coffer cannot look up who you are")
        }
        AuthenticationError::UnknownAccessKey
        | AuthenticationError::InvalidSessionToken
        | AuthenticationError::ExpiredToken
        | AuthenticationError::WrongSignature
        | AuthenticationError::RateExceeded
        | AuthenticationError::WebIdentity(_)
        | AuthenticationError::Expired { .. }
        | AuthenticationError::NotYetCurrent { .. } => Failure::new(FailureKind::Denied, error.to_string()),
    };
    let refusal = Refusal {
        context: None,
        request,
        event_source: EVENT_SOURCE,
        event_name: None,
        region: None,
        access_key_id: None,
        code: "AccessDenied",
        message: error.to_string(),
    };
    match core.refuse(refusal).await {
        Ok(()) => Err(failure),
        Err(error) => Err(failure_of(&error, None)),
    }
}

/// This process's own user, for a command that has opened the store itself. The rest is as in [`authenticate`].
pub async fn authenticate_self(
    core: &Core,
    program: &str,
    region: Option<Region>,
    id: Option<CorrelationId>,
) -> Result<Context, Failure> {
    authenticate(core, rustix::process::geteuid().as_raw(), program, region, id).await
}

/// Does what is asked.
pub async fn serve(core: &Core, context: &Context, request: Request) -> Result<Response, Failure> {
    let subject = subject_of(&request).map(str::to_owned);
    match run(core, context, request).await {
        Ok(response) => Ok(response),
        Err(Failed::Core(error)) => Err(failure_of(&error, subject.as_deref())),
        Err(Failed::Input { operation, failure, recorded }) => {
            let refusal = Refusal {
                context: Some(context.clone()),
                request: context.request.clone(),
                event_source: EVENT_SOURCE,
                event_name: Some(operation.to_owned()),
                region: None,
                access_key_id: None,
                code: "InvalidParameterException",
                message: recorded,
            };
            match core.refuse(refusal).await {
                Ok(()) => Err(failure),
                Err(error) => Err(failure_of(&error, None)),
            }
        }
    }
}

/// Why a request was not done.
enum Failed {
    /// By core, which has recorded it.
    Core(Error),
    /// It did not become an operation.
    Input {
        operation: &'static str,
        failure: Failure,
        /// What the record says of it. Unlike the answer it repeats nothing of what the caller wrote, who may
        /// have put the value in the wrong place.
        recorded: String,
    },
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

async fn run(core: &Core, context: &Context, request: Request) -> Result<Response, Failed> {
    Ok(match request {
        Request::CreateSecret { name, token, description, value, tags } => {
            const OPERATION: &str = "CreateSecret";
            check_description(OPERATION, description.as_deref())?;
            let operation = CreateSecret {
                name: name.clone(),
                token: token.unwrap_or_else(|| core.new_version_id()),
                description,
                kms_key_id: None,
                value: Some(value.0),
                tags: (!tags.is_empty()).then_some(tags),
            };
            let created = core.execute(context, operation).await?;
            Response::CreateSecret(wire::CreatedSecret {
                arn: created.arn.to_string(),
                name,
                version_id: created.version_id,
            })
        }
        Request::GetSecretValue { secret_id, version_id, stage } => {
            let secret_id = secret_id_of("GetSecretValue", &secret_id)?;
            let operation = GetSecretValue { secret_id, version_id, version_stage: stage };
            let read = core.execute(context, operation).await?;
            Response::GetSecretValue(wire::ReadValue {
                arn: read.arn.to_string(),
                name: read.arn.name.clone(),
                version_id: read.version_id,
                value: WireValue(read.value),
                stages: read.stages,
                created: read.created,
            })
        }
        Request::PutSecretValue { secret_id, token, value, stages } => {
            let secret_id = secret_id_of("PutSecretValue", &secret_id)?;
            let token = token.unwrap_or_else(|| core.new_version_id());
            let operation = PutSecretValue { secret_id, token, value: value.0, stages };
            let put = core.execute(context, operation).await?;
            Response::PutSecretValue(wire::PutVersion {
                arn: put.arn.to_string(),
                name: put.arn.name.clone(),
                version_id: put.version_id,
                stages: put.stages,
            })
        }
        Request::DescribeSecret { secret_id } => {
            let secret_id = secret_id_of("DescribeSecret", &secret_id)?;
            Response::DescribeSecret(description(core.execute(context, DescribeSecret { secret_id }).await?))
        }
        Request::ListSecrets { filters, include_planned_deletion, max_results, next_token } => {
            const OPERATION: &str = "ListSecrets";
            let max_results = page_entries(OPERATION, max_results)?;
            if filters.len() > limits::FILTERS_MAX {
                let message =
                    format!("a listing has at most {} filters, not {}", limits::FILTERS_MAX, filters.len());
                return Err(refused(OPERATION, message));
            }
            let operation = ListSecrets {
                filters,
                include_planned_deletion,
                max_results,
                next_token,
                ..Default::default()
            };
            let page = core.execute(context, operation).await?;
            let secrets = page.secrets.into_iter().map(description).collect();
            Response::ListSecrets(wire::SecretPage { secrets, next_token: page.next_token })
        }
        Request::ListSecretVersionIds { secret_id, include_deprecated, max_results, next_token } => {
            const OPERATION: &str = "ListSecretVersionIds";
            let secret_id = secret_id_of(OPERATION, &secret_id)?;
            let max_results = page_entries(OPERATION, max_results)?;
            let operation = ListSecretVersionIds { secret_id, include_deprecated, max_results, next_token };
            let page = core.execute(context, operation).await?;
            let versions = page.versions.into_iter().map(|version| wire::VersionDescription {
                version_id: version.version_id,
                ordinal: version.ordinal,
                stages: version.stages,
                created: version.created,
                last_accessed: version.last_accessed,
            });
            Response::ListSecretVersionIds(wire::VersionPage {
                arn: page.arn.to_string(),
                versions: versions.collect(),
                name: page.arn.name.clone(),
                next_token: page.next_token,
            })
        }
        Request::UpdateSecretVersionStage { secret_id, stage, remove_from, move_to } => {
            let secret_id = secret_id_of("UpdateSecretVersionStage", &secret_id)?;
            let operation = UpdateSecretVersionStage { secret_id, stage, remove_from, move_to };
            let arn = arn_text(&core.execute(context, operation).await?.arn);
            Response::UpdateSecretVersionStage { arn }
        }
        Request::DeleteSecret { secret_id, mode } => {
            const OPERATION: &str = "DeleteSecret";
            let secret_id = secret_id_of(OPERATION, &secret_id)?;
            let mode = match mode {
                wire::DeletionMode::Immediate => DeletionMode::Immediate,
                wire::DeletionMode::Days(days) => {
                    let (least, most) = (limits::RECOVERY_WINDOW_DAYS_MIN, limits::RECOVERY_WINDOW_DAYS_MAX);
                    if !(least..=most).contains(&days) {
                        let message = format!("a deletion waits {least} to {most} days, not {days}");
                        return Err(refused(OPERATION, message));
                    }
                    DeletionMode::Recoverable { days }
                }
            };
            let deleted = core.execute(context, DeleteSecret { secret_id, mode }).await?;
            Response::DeleteSecret(wire::DeletedSecret {
                arn: deleted.arn.as_ref().map(arn_text),
                name: deleted.name,
                deletion_date: deleted.deletion_date,
            })
        }
        Request::RestoreSecret { secret_id } => {
            let secret_id = secret_id_of("RestoreSecret", &secret_id)?;
            let arn = arn_text(&core.execute(context, RestoreSecret { secret_id }).await?.arn);
            Response::RestoreSecret { arn }
        }
        Request::TagResource { secret_id, tags } => {
            let secret_id = secret_id_of("TagResource", &secret_id)?;
            let arn = arn_text(&core.execute(context, TagResource { secret_id, tags }).await?.arn);
            Response::TagResource { arn }
        }
        Request::UntagResource { secret_id, tag_keys } => {
            const OPERATION: &str = "UntagResource";
            let secret_id = secret_id_of(OPERATION, &secret_id)?;
            let most = limits::TAG_KEY_CHARS_MAX;
            if tag_keys.iter().any(|key| !(1..=most).contains(&key.chars().count())) {
                return Err(refused(OPERATION, format!("a tag's key has 1 to {most} characters")));
            }
            let arn = arn_text(&core.execute(context, UntagResource { secret_id, tag_keys }).await?.arn);
            Response::UntagResource { arn }
        }
        Request::GetRandomPassword {
            length,
            exclude_characters,
            exclude_numbers,
            exclude_punctuation,
            exclude_uppercase,
            exclude_lowercase,
            include_space,
            any_types,
        } => {
            let most = limits::EXCLUDE_CHARACTERS_MAX;
            if exclude_characters.chars().count() > most {
                let message = format!("at most {most} characters can be excluded");
                return Err(refused("GetRandomPassword", message));
            }
            let rules = PasswordRules {
                length: length.unwrap_or(limits::PASSWORD_CHARS_DEFAULT),
                exclude_characters,
                exclude_numbers,
                exclude_punctuation,
                exclude_uppercase,
                exclude_lowercase,
                include_space,
                require_each_included_type: !any_types,
            };
            let made = core.execute(context, GetRandomPassword { rules }).await?;
            let password = SecretValue::string(made.password);
            let password =
                password.ok_or_else(|| Error::unavailable("a password has 1 to 4096 characters"))?;
            Response::GetRandomPassword { password: WireValue(password) }
        }
        Request::UpdateSecret { secret_id, token, description, value } => {
            const OPERATION: &str = "UpdateSecret";
            let secret_id = secret_id_of(OPERATION, &secret_id)?;
            check_description(OPERATION, description.as_deref())?;
            let version = value.map(|value| UpdatedVersion {
                token: token.unwrap_or_else(|| core.new_version_id()),
                value: value.0,
            });
            let operation = UpdateSecret { secret_id, description, kms_key_id: None, version };
            let updated = core.execute(context, operation).await?;
            Response::UpdateSecret(wire::UpdatedSecret {
                arn: updated.arn.to_string(),
                name: updated.arn.name.clone(),
                version_id: updated.version_id,
            })
        }
        Request::Access(request) => Response::Access(access::run(core, context, request).await?),
        Request::TailAudit { count } => {
            let lines = core.execute(context, TailAudit { count }).await?;
            Response::TailAudit { lines: newest_that_fit(lines, TAIL_BYTES_MAX) }
        }
        Request::SearchAudit { count, filter } => {
            let filter = audit::filter("SearchAudit", filter)?;
            let found = core.execute(context, SearchAudit { filter, count }).await?;
            let lines = newest_that_fit(found.lines, TAIL_BYTES_MAX);
            Response::SearchAudit { lines, is_cut: found.is_cut }
        }
        Request::ListReads { filter } => {
            let filter = audit::filter("ListReads", filter)?;
            audit::reads(core.execute(context, ListReads { filter }).await?)
        }
        Request::VerifyAudit {} => {
            let verification = core.execute(context, VerifyAudit).await?;
            let verified = verification.outcome.map_err(|what| {
                // Recorded by core as an operation that was done: the check was.
                let recorded = what.clone();
                let failure = Failure::new(FailureKind::Verification, what).with_hint(AUDIT_EVIDENCE_HINT);
                Failed::Input { operation: "VerifyAudit", failure, recorded }
            })?;
            Response::VerifyAudit(verification_of(&verified))
        }
        Request::Status {} => {
            let status = core.execute(context, ReadStatus).await?;
            Response::Status(wire::Status {
                store_id: status.store_id.to_string(),
                account: status.account,
                region: status.region,
                created: status.created,
                secrets: status.secrets,
                revision: status.revision,
                audit: wire::AuditHealth {
                    records: status.audit.written.sequence,
                    synced_records: status.audit.synced.sequence,
                    head: hex::encode(status.audit.synced.hash),
                    checkpoint: status.checkpoint.map(|checkpoint| checkpoint.head.sequence),
                    free_bytes: status.audit.free_bytes,
                    failure: status.audit.failure,
                    warning: status.audit.low_space.then(|| {
                        "disk space for the audit log runs low; when it is used up, nothing is served"
                            .to_owned()
                    }),
                },
            })
        }
        // Answered by a stream, which whoever has the connection gives out: `backup`.
        Request::Backup {} => return Err(refused("Backup", "a backup is a stream".to_owned())),
    })
}

/// Begins a backup of the store in `home`; the stream's first piece is its beginning.
pub async fn backup(core: &Core, context: &Context, home: &Home) -> Result<BackupStream, Failure> {
    let enclosures = home.enclosures().map_err(Failure::from)?;
    core.execute(context, Backup { enclosures }).await.map_err(|error| failure_of(&error, None))
}

/// The next piece of a backup; `None` once its end is recorded.
pub async fn next_piece(stream: &mut BackupStream) -> Result<Option<Vec<u8>>, Failure> {
    stream.next().await.map_err(|error| failure_of(&error, None))
}

/// Records that a backup could not be taken to its end.
pub async fn abandon(stream: BackupStream) -> Result<(), Failure> {
    stream.abandon().await.map_err(|error| failure_of(&error, None))
}

/// What a backup is of, as it is answered.
pub fn beginning_of(stream: &BackupStream) -> wire::BegunBackup {
    let header = stream.header();
    wire::BegunBackup {
        store_id: header.store_id.to_string(),
        revision: header.revision,
        time: header.time,
        audit_sequence: header.audit.head.sequence,
    }
}

/// What a backup held, as it is answered.
pub fn end_of(totals: &Totals) -> wire::EndedBackup {
    let Totals { entries, bytes, hash } = totals;
    wire::EndedBackup { records: *entries, bytes: *bytes, hash: hex::encode(hash) }
}

/// What was verified, as it is answered.
pub fn verification_of(verified: &coffer_audit::Verified) -> wire::AuditVerification {
    wire::AuditVerification {
        first: verified.first.sequence,
        records: verified.records,
        segments: verified.segments,
        digests: verified.digests,
        head: hex::encode(verified.head.hash),
        torn_bytes: verified.torn_bytes,
    }
}

fn description(secret: SecretDescription) -> wire::SecretDescription {
    wire::SecretDescription {
        arn: secret.arn.to_string(),
        name: secret.arn.name.clone(),
        description: secret.description,
        tags: secret.tags.unwrap_or_default(),
        created: secret.created,
        last_changed: secret.last_changed,
        last_accessed: secret.last_accessed,
        deleted: secret.deleted,
        last_ordinal: secret.last_ordinal,
        versions: secret
            .versions
            .into_iter()
            .map(|(version_id, stages)| wire::VersionLabels { version_id, stages })
            .collect(),
    }
}

fn arn_text(arn: &SecretArn) -> String {
    arn.to_string()
}

fn secret_id_of(operation: &'static str, text: &str) -> Result<SecretId, Failed> {
    text.parse().map_err(|error| {
        let shown: String = text.chars().take(limits::SECRET_NAME_CHARS_MAX).collect();
        let message = format!("`{}` names no secret: {error}", shown.escape_debug());
        let failure = Failure::new(FailureKind::Refused, message);
        Failed::Input { operation, failure, recorded: "what was given names no secret".to_owned() }
    })
}

fn check_description(operation: &'static str, description: Option<&str>) -> Result<(), Failed> {
    let most = limits::DESCRIPTION_CHARS_MAX;
    match description.map_or(0, |description| description.chars().count()) {
        chars if chars > most => {
            Err(refused(operation, format!("a description has at most {most} characters, not {chars}")))
        }
        _ => Ok(()),
    }
}

fn page_entries(operation: &'static str, asked: Option<u32>) -> Result<u32, Failed> {
    let most = limits::PAGE_ENTRIES_MAX;
    match asked {
        None => Ok(most),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(asked) => Err(refused(operation, format!("a page has 1 to {most} entries, not {asked}"))),
    }
}

/// `message` repeats no text of the caller's; it is recorded too.
fn refused(operation: &'static str, message: String) -> Failed {
    let recorded = message.clone();
    Failed::Input { operation, failure: Failure::new(FailureKind::Refused, message), recorded }
}

/// The newest of `lines` that fit an answer, in their order.
fn newest_that_fit(mut lines: Vec<String>, bytes_max: usize) -> Vec<String> {
    let escaped = |byte: u8| if byte == b'"' || byte == b'\\' { 2 } else { 1 };
    let mut left = bytes_max;
    let mut first = lines.len();
    for line in lines.iter().rev() {
        let bytes = 3 + line.bytes().map(escaped).sum::<usize>();
        if bytes > left {
            break;
        }
        left -= bytes;
        first -= 1;
    }
    lines.split_off(first)
}

/// The secret a request is about, as the caller named it.
fn subject_of(request: &Request) -> Option<&str> {
    match request {
        Request::CreateSecret { name, .. } => Some(name.as_str()),
        Request::GetSecretValue { secret_id, .. }
        | Request::PutSecretValue { secret_id, .. }
        | Request::DescribeSecret { secret_id }
        | Request::ListSecretVersionIds { secret_id, .. }
        | Request::UpdateSecretVersionStage { secret_id, .. }
        | Request::DeleteSecret { secret_id, .. }
        | Request::RestoreSecret { secret_id }
        | Request::TagResource { secret_id, .. }
        | Request::UntagResource { secret_id, .. }
        | Request::UpdateSecret { secret_id, .. } => Some(secret_id),
        Request::Access(request) => match request {
            AccessRequest::WhoCan { secret_id, .. } => Some(secret_id),
            _ => None,
        },
        Request::ListSecrets { .. }
        | Request::GetRandomPassword { .. }
        | Request::TailAudit { .. }
        | Request::SearchAudit { .. }
        | Request::ListReads { .. }
        | Request::VerifyAudit {}
        | Request::Status {}
        | Request::Backup {} => None,
    }
}

/// Core's errors in people's words. `subject` is the secret, as the caller named it.
fn failure_of(error: &Error, subject: Option<&str>) -> Failure {
    let secret = subject.unwrap_or("it");
    let (kind, message, hint) = match error {
        Error::SecretNotFound => (
            FailureKind::NotFound,
            format!("there is no secret `{secret}`"),
            Some("see what there is with `coffer list`".to_owned()),
        ),
        Error::ValueNotFound(selected) => (
            FailureKind::NotFound,
            format!("secret `{secret}` has no value for {selected}"),
            Some(format!("see its versions with `coffer versions {secret}`")),
        ),
        Error::VersionNotFound(version) => (
            FailureKind::NotFound,
            format!("secret `{secret}` has no version `{version}`"),
            Some(format!("see its versions with `coffer versions {secret}`")),
        ),
        Error::Denied(denial) => (
            FailureKind::Denied,
            {
                let because =
                    if denial.is_reason_told { format!(" {}", denial.because()) } else { String::new() };
                format!(
                    "`{}` may not do `{}` on `{}`{because}",
                    denial.principal, denial.action, denial.resource
                )
            },
            None,
        ),
        Error::SecretExists(name) => (
            FailureKind::Conflict,
            format!("secret `{name}` exists already"),
            Some(format!("give it a new value with `coffer put {name}`")),
        ),
        Error::TokenInUse { token, arn: _ } => (
            FailureKind::Conflict,
            format!("version `{token}` of secret `{secret}` exists with another value"),
            None,
        ),
        Error::MarkedForDeletion { due } => (
            FailureKind::Conflict,
            format!("secret `{secret}` is marked for deletion"),
            Some(format!("until {due} it can be restored with `coffer restore {secret}`")),
        ),
        Error::AlreadyScheduledForDeletion => (
            FailureKind::Conflict,
            format!("secret `{secret}` is marked for deletion already"),
            Some(format!("take that back with `coffer restore {secret}`")),
        ),
        Error::NameScheduledForDeletion => (
            FailureKind::Conflict,
            format!("a secret `{secret}` is there and marked for deletion"),
            Some("choose another name, or wait until it is deleted".to_owned()),
        ),
        Error::StageNotOnVersion => (
            FailureKind::Refused,
            format!("that version of secret `{secret}` does not have that staging label"),
            Some(format!("see its versions with `coffer versions {secret}`")),
        ),
        Error::StageElsewhere { stage, version } => (
            FailureKind::Refused,
            format!("staging label `{stage}` is on version `{version}`, which was not named"),
            None,
        ),
        // Whoever names the version has seen the label there.
        Error::StageNotThere { stage, version } => (
            FailureKind::Conflict,
            format!("staging label `{stage}` is not on version `{version}` of secret `{secret}`"),
            Some(format!("see its versions with `coffer versions {secret}`")),
        ),
        Error::CurrentCannotBeRemoved => (
            FailureKind::Refused,
            "staging label `AWSCURRENT` can be moved to another version and never be removed".to_owned(),
            None,
        ),
        Error::LimitExceeded(message) | Error::InvalidParameter(message) | Error::InvalidRequest(message) => {
            (FailureKind::Refused, in_our_style(message), None)
        }
        Error::InvalidNextToken => {
            (FailureKind::Refused, "the page token is not one of this listing".to_owned(), None)
        }
        Error::EncryptionFailure => {
            (FailureKind::Refused, "coffer cannot encrypt with the key that was named".to_owned(), None)
        }
        Error::DecryptionFailure => (
            FailureKind::Verification,
            format!(
                "the stored value of secret `{secret}` does not open: it was changed, or is another key's"
            ),
            None,
        ),
        Error::Iam(error) => (kind_of(error), in_our_style(&error.to_string()), None),
        Error::Busy => (
            FailureKind::Unavailable,
            format!("too many others are changing secret `{secret}`"),
            Some("try again".to_owned()),
        ),
        // Whoever is here owns the store, so the cause is theirs to know.
        Error::Unavailable(cause) => {
            (FailureKind::Unavailable, format!("coffer cannot serve: {}", with_causes(&**cause)), None)
        }
    };
    Failure { kind, message, hint }
}

fn kind_of(error: &IamError) -> FailureKind {
    match error {
        IamError::NoSuchEntity(_) => FailureKind::NotFound,
        IamError::EntityAlreadyExists(_)
        | IamError::DeleteConflict(_)
        | IamError::ConcurrentModification(_) => FailureKind::Conflict,
        IamError::MalformedPolicyDocument(_)
        | IamError::InvalidInput(_)
        | IamError::LimitExceeded(_)
        | IamError::PackedPolicyTooLarge(_)
        | IamError::InvalidAuthorizationMessage
        | IamError::NotForSessions(_)
        | IamError::NotTrusted(_) => FailureKind::Refused,
    }
}

/// AWS's sentence as one of ours: lowercase and without its full stop.
fn in_our_style(sentence: &str) -> String {
    let sentence = sentence.strip_suffix('.').unwrap_or(sentence);
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_that_fit_are_kept() {
        let lines = || ["aaaa", "b\"b", "cc"].map(str::to_owned).to_vec();
        assert_eq!(newest_that_fit(lines(), 100), ["aaaa", "b\"b", "cc"]);
        assert_eq!(newest_that_fit(lines(), 12), ["b\"b", "cc"]);
        assert_eq!(newest_that_fit(lines(), 11), ["cc"]);
        assert!(newest_that_fit(lines(), 4).is_empty());
    }

    #[test]
    fn sentences_become_ours() {
        assert_eq!(in_our_style("Invalid name. Must be legal."), "invalid name. Must be legal");
        assert_eq!(in_our_style(""), "");
    }
}

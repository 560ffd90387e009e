//! Why a request was denied: the record of the denial, and what each statement of the principal's says to it now.

use std::net::IpAddr;
use std::sync::Arc;

use coffer_audit::{Members, Record};
use coffer_policy::{ContextMap, Effect};
use coffer_types::{Action, Region, SecretId, Timestamp};
use serde_json::Value;

use super::questions::{Bearing, Question, known_of, statements};
use super::refusals::{Asker, Trust, key_verdict, refused_key, trust_of};
use super::subjects::{EVERYBODY, Held, Subject};
use super::who_can::set_resource_tags;
use super::{Considered, ExplainDenial, Explanation, Verdict};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::ops::audit::is_own_id;
use crate::ops::iam::Directory;
use crate::ops::secrets::find::{FoundSecret, Freshness, find_secret};
use crate::records::AccessKey;
use crate::records::access::Entity;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// How the refusal begins that sessions of users get from IAM.
const NOT_FOR_SESSIONS: &str = "Cannot call IAM operations";
/// How far back a denial is looked for.
const RECORDS_MAX: usize = 10_000;

/// The denial, everybody there is, and the secret it was about.
#[derive(Default)]
pub struct Found(Option<FoundDenial>);

struct FoundDenial {
    denial: RecordedDenial,
    directory: Directory,
    secret: Option<FoundSecret>,
    /// The access key that was refused, if it is there.
    key: Option<Arc<AccessKey>>,
}

/// What a record tells of a denial.
#[derive(Debug)]
struct RecordedDenial {
    record: Value,
    action: String,
    /// As the caller wrote it; `*` if it was about none.
    resource: String,
    reason: String,
}

impl RecordedDenial {
    /// The denial in a line of the log, if it is one.
    fn of(line: &str) -> Option<Self> {
        // Most records are of what was done.
        if !line.contains("\"errorCode\"") {
            return None;
        }
        let record: Value = serde_json::from_str(line).ok()?;
        let message = record.get("errorMessage")?.as_str()?.to_owned();
        let is_of_session = message.starts_with(NOT_FOR_SESSIONS);
        if is_of_session || refused_key(&record).is_some() {
            let action = record.get("eventName")?.as_str()?.to_owned();
            return Some(Self { record, action, resource: "*".to_owned(), reason: message });
        }
        if record.get("errorCode")?.as_str()? != "AccessDenied" {
            return None;
        }
        let (_, rest) = message.split_once(" is not authorized to perform: ")?;
        let (action, rest) = rest.split_once(' ')?;
        let reason_at =
            [" because no ", " with an explicit deny "].iter().filter_map(|reason| rest.rfind(reason)).max();
        let (resource, reason) = match (rest.strip_prefix("on resource: "), reason_at) {
            (Some(_), Some(at)) => (rest.get("on resource: ".len()..at)?, rest.get(at + 1..)?),
            (Some(_), None) => return None,
            (None, _) => ("*", rest),
        };
        let (action, resource, reason) = (action.to_owned(), resource.to_owned(), reason.to_owned());
        Some(Self { record, action, resource, reason })
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.record.pointer(pointer).and_then(Value::as_str)
    }

    /// Who asked, if an identity provider vouched for them.
    fn vouched(&self) -> Option<Vouched<'_>> {
        let id = self.text("/userIdentity/principalId")?;
        let provider = self.text("/userIdentity/identityProvider")?;
        let subject = self.text("/userIdentity/userName")?;
        let (_, issuer) = provider.split_once(":oidc-provider/")?;
        let audience = id.strip_prefix(provider)?.strip_suffix(subject)?;
        let audience = audience.strip_prefix(':')?.strip_suffix(':')?;
        Some(Vouched { id, provider, issuer, audience, subject })
    }

    /// What the request said of itself, as far as the log tells.
    fn tell(&self, known: &mut ContextMap) {
        if let Some(address) = self.text("/sourceIPAddress").filter(|text| text.parse::<IpAddr>().is_ok()) {
            known.set("aws:SourceIp", address);
        }
        if let Some(time) = self.text("/eventTime") {
            known.set("aws:CurrentTime", time);
            if let Ok(time) = time.parse::<Timestamp>() {
                known.set("aws:EpochTime", time.as_millis().div_euclid(1000).to_string());
            }
        }
        for (key, pointer) in [
            ("aws:UserAgent", "/userAgent"),
            ("aws:RequestedRegion", "/awsRegion"),
            ("aws:userid", "/userIdentity/principalId"),
            ("secretsmanager:VersionId", "/requestParameters/versionId"),
            ("secretsmanager:VersionStage", "/requestParameters/versionStage"),
        ] {
            if let Some(value) = self.text(pointer) {
                known.set(key, value);
            }
        }
        // What a trust policy's conditions are about.
        for (key, name) in [
            ("sts:RoleSessionName", "roleSessionName"),
            ("sts:ExternalId", "externalId"),
            ("sts:SourceIdentity", "sourceIdentity"),
        ] {
            if let Some(value) = self.text(&format!("/requestParameters/{name}")) {
                known.set(key, value);
            }
        }
        let tags = self.record.pointer("/requestParameters/tags").and_then(Value::as_array);
        for tag in tags.into_iter().flatten() {
            if let (Some(key), Some(value)) = (tag.get("key"), tag.get("value")) {
                let (key, value) = (key.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
                known.set(&format!("aws:RequestTag/{key}"), value);
            }
        }
        if let Some(vouched) = self.vouched() {
            known.set("aws:FederatedProvider", vouched.provider);
            known.set(&format!("{}:aud", vouched.issuer), vouched.audience);
            known.set(&format!("{}:sub", vouched.issuer), vouched.subject);
        }
        if self.action == "secretsmanager:CreateSecret"
            && let Some(name) = self.text("/requestParameters/name")
        {
            known.set("secretsmanager:Name", name);
        }
    }
}

/// Whom an identity provider vouched for, as a record tells it.
struct Vouched<'a> {
    /// All of the following in one, as CloudTrail has it.
    id: &'a str,
    provider: &'a str,
    issuer: &'a str,
    audience: &'a str,
    subject: &'a str,
}

impl Vouched<'_> {
    /// Whether who vouched for them then would do so now: by its name only, as a record has no more of it.
    fn holds(&self, directory: &Directory) -> bool {
        let provider = directory.providers.get(self.issuer);
        let provider = provider.filter(|provider| provider.arn(directory.account) == self.provider);
        provider.is_some_and(|provider| provider.client_ids.iter().any(|id| id == self.audience))
    }
}

/// Keys that are known to be absent where the log does not have them.
fn is_absent(key: &str) -> bool {
    key.starts_with("aws:principaltag/")
        || key.starts_with("aws:resourcetag/")
        || key.starts_with("secretsmanager:resourcetag/")
        || key.starts_with("kms:")
        || ["secretsmanager:versionid", "secretsmanager:versionstage"].contains(&key)
}

impl Operation for ExplainDenial {
    type Found = Found;
    type Output = Option<Explanation>;
    const NAME: OperationName = OperationName { name: "ExplainDenial", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        self.filter.parameters(members);
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<Found, Error> {
        Ok(Found::default())
    }

    async fn find_more(&self, context: &Context, view: &mut View, found: &mut Found) -> Result<(), Error> {
        let inner = Arc::clone(view.inner());
        let _permit = inner.walk_permits.acquire().await;
        inner.drain().await?;
        let lines = view.inner().audit.tail(RECORDS_MAX).map_err(Error::unavailable)?;
        let mut denials = lines.iter().rev().filter_map(|line| Some((line, RecordedDenial::of(line)?)));
        let denial = denials.find(|(line, _)| {
            let record = serde_json::from_str::<Record<'_>>(line);
            // What a caller called its request is no proof that it is the one that is asked about.
            let is_it =
                |record: &Record<'_>| self.filter.request_id.as_ref().is_none_or(|id| is_own_id(record, id));
            record.is_ok_and(|record| is_it(&record) && self.filter.fits(&record, &context.region))
        });
        let denial = denial.map(|(_, denial)| denial);
        let Some(denial) = denial else { return Ok(()) };
        let mut directory = Directory::new(context.account);
        for through in EVERYBODY {
            directory.read_all(view, through).await?;
        }
        let mut there = context.clone();
        if let Some(region) = denial.text("/awsRegion").and_then(|region| region.parse::<Region>().ok()) {
            there.region = region;
        }
        let secret = match denial.resource.parse::<SecretId>() {
            Ok(id) if denial.action.starts_with("secretsmanager:") && denial.resource != "*" => {
                Some(find_secret(&there, view, &id, Freshness::Snapshot).await?)
            }
            Ok(_) | Err(_) => None,
        };
        let key = match refused_key(&denial.record) {
            Some(id) => view.get::<AccessKey>(&keys::access_key(id)).await?.map(|key| key.record),
            None => None,
        };
        let key = key.filter(|key| key.account == context.account);
        found.0 = Some(FoundDenial { denial, directory, secret, key });
        Ok(())
    }

    fn requires(&self, _: &Context, _: &Found) -> Requirements {
        let action = Action::new("coffer", "ExplainDenial");
        Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
    }

    fn run(
        &self,
        context: &Context,
        grant: Grant<Found>,
        _: &mut Transaction<'_>,
    ) -> Result<Option<Explanation>, Error> {
        let Some(FoundDenial { denial, directory, secret, key }) = grant.into_found().0 else {
            return Ok(None);
        };
        let vouched = denial.vouched();
        let principal = match &vouched {
            Some(vouched) => vouched.id,
            None => denial.text("/userIdentity/arn").unwrap_or_default(),
        };
        let principal = principal.to_owned();
        let resource = match &secret {
            Some(found) => match &found.secret {
                Some(secret) => found.arn_of(&secret.record).as_str().to_owned(),
                None => found.bare_arn().to_string(),
            },
            None => denial.resource.clone(),
        };
        let subject = subject_of(&directory, &principal)?;
        let mut considered = Vec::new();
        let mut now = Verdict::NotAllowed;
        let mut conditions = Vec::new();
        let mut access_key = None;
        if let Some(subject) = &subject {
            let account = context.account;
            let mut known = known_of(subject, account);
            denial.tell(&mut known);
            if let Some(found) = &secret {
                known.set("secretsmanager:SecretId", &*resource);
                let stored = found.secret.as_ref().and_then(|secret| secret.record.tags.as_deref());
                set_resource_tags(&mut known, stored.unwrap_or_default());
            }
            let (action, resource) = (denial.action.as_str(), resource.as_str());
            let question = Question { account, subject, action, resource, known, is_absent };
            for held in &subject.identity {
                considered.extend(question.consider(held, false));
            }
            if let Some(held) = &subject.boundary {
                considered.extend(question.consider(held, true));
            }
            now = verdict(&considered, subject.boundary.is_some());
            if is_taking_on(action) {
                let asker = Asker::Subject(subject, &principal);
                let asked = (action, resource);
                (now, conditions) = taking_on(&directory, &asker, asked, &question.known, now)?;
            }
        }
        if let Some(vouched) = &vouched {
            let mut known = ContextMap::new();
            denial.tell(&mut known);
            let asker = Asker::WebIdentity(vouched.provider);
            let asked = (denial.action.as_str(), resource.as_str());
            (now, conditions) = match vouched.holds(&directory) {
                true => taking_on(&directory, &asker, asked, &known, Verdict::NotAllowed)?,
                false => (Verdict::NoProvider, Vec::new()),
            };
        }
        let is_missing = secret.as_ref().is_some_and(|found| found.secret.is_none());
        if is_missing && !denial.action.ends_with(":CreateSecret") && now != Verdict::Denied {
            now = Verdict::NoSecret;
        }
        if now == Verdict::Allowed && denial.reason.contains("session policy") {
            now = Verdict::OutOfSession;
        }
        if denial.reason.starts_with(NOT_FOR_SESSIONS) {
            now = Verdict::NotForSessions;
        }
        if let Some(id) = refused_key(&denial.record) {
            let code = denial.text("/errorCode").unwrap_or_default();
            let (verdict, state) = key_verdict(id, key.as_deref(), code);
            now = verdict;
            access_key = Some((id.to_owned(), state, key.map(|key| key.user.clone())));
        }
        let advice = match now {
            Verdict::NotAllowed if subject.is_some() => {
                Some(advice(&denial.action, &resource, secret.as_ref()))
            }
            Verdict::NotAllowed
            | Verdict::Allowed
            | Verdict::Denied
            // What would have to change is the boundary, and others may have it too.
            | Verdict::OutOfBounds
            | Verdict::NoSecret
            | Verdict::NoRole
            | Verdict::NotTrusted
            | Verdict::NoProvider
            | Verdict::OutOfSession
            | Verdict::NotForSessions
            | Verdict::NotAuthenticated => None,
        };
        Ok(Some(Explanation {
            time: denial.text("/eventTime").unwrap_or_default().to_owned(),
            request_id: denial.text("/requestID").map(str::to_owned),
            event_name: denial.text("/eventName").unwrap_or_default().to_owned(),
            principal,
            is_gone: subject.is_none() && access_key.is_none() && vouched.is_none(),
            action: denial.action,
            resource,
            reason: denial.reason,
            considered,
            now,
            advice,
            conditions,
            access_key,
        }))
    }
}

/// Whether an action is one that a role's trust policy has a say in.
fn is_taking_on(action: &str) -> bool {
    ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]
        .contains(&action)
}

/// What comes of taking a role on, by its trust policy and by what the policies of who asks say, and what would have to hold besides.
fn taking_on(
    directory: &Directory,
    asker: &Asker<'_>,
    (action, resource): (&str, &str),
    known: &ContextMap,
    own: Verdict,
) -> Result<(Verdict, Vec<String>), Error> {
    let account = directory.account;
    let role = directory.roles.values().find(|role| role.arn(account) == resource);
    let trust = match role {
        Some(role) => trust_of(role, account, asker, action, known)?,
        None => Trust::No,
    };
    Ok(match (role, trust, own) {
        (_, _, Verdict::Denied) => (Verdict::Denied, Vec::new()),
        (None, ..) => (Verdict::NoRole, Vec::new()),
        (Some(_), Trust::No, _) => (Verdict::NotTrusted, Vec::new()),
        (Some(_), Trust::If(open), _) => (Verdict::NotTrusted, open),
        (Some(_), Trust::Alone, Verdict::NotAllowed) => (Verdict::Allowed, Vec::new()),
        (Some(_), Trust::Alone | Trust::WithPermission, own) => (own, Vec::new()),
    })
}

/// Whose policies counted: the user's, or those of the role whose session it was.
fn subject_of(directory: &Directory, arn: &str) -> Result<Option<Subject>, Error> {
    let mut parts = arn.splitn(6, ':').skip(5).flat_map(|resource| resource.split('/'));
    Ok(match (parts.next(), parts.next()) {
        (Some("user"), _) => {
            let user = arn.rsplit('/').next().and_then(|name| directory.users.get(name));
            user.map(|user| Subject::of_user(directory, user)).transpose()?
        }
        (Some("assumed-role"), Some(name)) => {
            let role = directory.roles.get(name);
            role.map(|role| Subject::of_role(directory, role)).transpose()?
        }
        _ => None,
    })
}

impl Question<'_> {
    fn consider(&self, held: &Held, is_boundary: bool) -> Vec<Considered> {
        let consider = |(place, statement): (_, &coffer_policy::Statement)| {
            let (applies, why) = match self.bearing(held.document.version, statement) {
                Bearing::About(open) if open.is_empty() => (true, "it applies".to_owned()),
                Bearing::About(open) => {
                    (false, format!("it applies only if {}, which the log does not tell", open.join(" and ")))
                }
                Bearing::OtherAction => (false, "it is about other actions".to_owned()),
                Bearing::OtherResource => (false, "it is about other resources".to_owned()),
                Bearing::Fails(condition) => (false, format!("it wants that {condition}")),
            };
            Considered { place, allows: statement.effect == Effect::Allow, is_boundary, applies, why }
        };
        statements(held).map(consider).collect()
    }
}

fn verdict(considered: &[Considered], is_bounded: bool) -> Verdict {
    let some = |allows, is_boundary| {
        let mut applying = considered.iter().filter(|statement| statement.applies);
        applying.any(|statement| (statement.allows, statement.is_boundary) == (allows, is_boundary))
    };
    if some(false, false) || some(false, true) {
        Verdict::Denied
    } else if !some(true, false) {
        Verdict::NotAllowed
    } else if is_bounded && !some(true, true) {
        Verdict::OutOfBounds
    } else {
        Verdict::Allowed
    }
}

/// A document of one statement that allows just this. It goes on holding if the secret is deleted and made anew.
fn advice(action: &str, resource: &str, secret: Option<&FoundSecret>) -> String {
    let resource = match secret {
        // Before it is made it has no suffix.
        Some(found) if action.ends_with(":CreateSecret") => found.bare_arn().to_string(),
        Some(found) => format!("{}-??????", found.bare_arn()),
        None => resource.to_owned(),
    };
    // A text within JSON; serializing one can't fail.
    let quoted = |text: &str| Value::from(text).to_string();
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{},"Resource":{}}}]}}"#,
        quoted(action),
        quoted(&resource)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_read_from_its_sentence() {
        let user = "User: arn:aws:iam::123456789012:user/a is not authorized to perform:";
        for (message, expected) in [
            (
                "secretsmanager:GetSecretValue on resource: app/db because no identity-based policy allows the secretsmanager:GetSecretValue action",
                Some((
                    "app/db",
                    "because no identity-based policy allows the secretsmanager:GetSecretValue action",
                )),
            ),
            (
                "secretsmanager:GetSecretValue on resource: x because no y with an explicit deny in an identity-based policy",
                Some(("x because no y", "with an explicit deny in an identity-based policy")),
            ),
            (
                "secretsmanager:ListSecrets because no permissions boundary allows the secretsmanager:ListSecrets action",
                Some(("*", "because no permissions boundary allows the secretsmanager:ListSecrets action")),
            ),
            ("secretsmanager:GetSecretValue on resource: x", None),
            ("x", None),
        ] {
            let line = serde_json::json!({
                "errorCode": "AccessDenied", "errorMessage": format!("{user} {message}"),
            });
            let denial = RecordedDenial::of(&line.to_string());
            let read = denial.as_ref().map(|denial| (denial.resource.as_str(), denial.reason.as_str()));
            assert_eq!(read, expected, "{message}");
        }
        for line in ["", "{}", r#"{"errorCode":"AccessDenied"}"#, r#"{"errorCode":"ValidationException"}"#] {
            assert!(RecordedDenial::of(line).is_none(), "{line}");
        }
    }
}

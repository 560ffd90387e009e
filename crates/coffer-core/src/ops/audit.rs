//! Looking through the audit log: the records that fit, and who read what.
//!
//! Both go through the gate like all others, as `coffer:SearchAudit` and `coffer:ListReads`, and look at records only once that is
//! allowed. Invariant: what they keep in memory, how many records they look at, and how many look at once are bounded, however long
//! the log is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use coffer_audit::{IdentityType, Members, Record, UserIdentity};
use coffer_types::{Action, CorrelationId, Region, SecretId, SecretName, Timestamp};
use serde::Deserialize;

use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// Most records that are looked at, the newest of the log.
const LOOKED_AT_MAX: usize = 2_000_000;
/// How many go through the log at once.
pub(crate) const SEARCHES_MAX: usize = 2;
/// Most records that are answered.
const RECORDS_MAX: usize = 10_000;
/// Most pairs of a reader and a secret that are told apart.
const READERS_MAX: usize = 10_000;
/// Most names of sessions, and most addresses, that are counted of each.
const DISTINCT_MAX: usize = 1_000;
/// How a record says that there was nothing to read; an import looks before it writes.
const ABSENT: &str = "ResourceNotFoundException";
/// What reading a value is called.
const READ: &str = "GetSecretValue";

/// What records must be like. All of it must hold.
#[derive(Clone, Default)]
pub struct RecordFilter {
    /// About this secret.
    pub secret: Option<SecretId>,
    /// By this user, role, session (`ROLE/SESSION`) or access key, or by this ARN; `owner` is the owner of the store.
    pub who: Option<String>,
    /// Of this operation. Case does not count.
    pub operation: Option<String>,
    /// Of the request with this id; or, if there is none, of those that their callers called so.
    pub request_id: Option<String>,
    /// Refused or failed.
    pub failed: bool,
    /// Not before this.
    pub since: Option<Timestamp>,
}

/// Finds the newest records that fit.
pub struct SearchAudit {
    /// What they must be like.
    pub filter: RecordFilter,
    /// How many, at most 10,000.
    pub count: usize,
}

/// Records that fit, newest last.
#[derive(Default, Debug)]
pub struct FoundRecords {
    /// Each a JSON object, as it stands in the log.
    pub lines: Vec<String>,
    /// Whether the log has older records that were not looked at.
    pub is_cut: bool,
}

/// Tells who read which secrets.
pub struct ListReads {
    /// Of which secret, by whom, since when. The rest of a filter is not looked at.
    pub filter: RecordFilter,
}

/// The reads of one secret by one reader.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// When first, of what the log tells.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How many sessions of a role that were; at most 1,000 are counted.
    pub sessions: usize,
    /// The newest session's name.
    pub session: Option<String>,
    /// Whence: the newest address.
    pub address: String,
    /// From how many addresses; at most 1,000 are counted.
    pub addresses: usize,
}

/// Who read what, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedReads {
    /// The reads.
    pub reads: Vec<Reads>,
    /// Whether there are more readers than are told apart: the older ones are missing.
    pub is_cut: bool,
}

/// What the parameters of a request tell of a secret.
#[derive(Deserialize)]
struct AboutSecret {
    #[serde(rename = "secretId")]
    secret_id: Option<String>,
    name: Option<String>,
}

/// What a record tells besides.
#[derive(Deserialize)]
struct Additional {
    #[serde(rename = "correlationId")]
    correlation_id: Option<String>,
}

/// The secret that a record is about, and its region.
fn secret_of(record: &Record<'_>) -> Option<(SecretName, String)> {
    let parameters = record.request_parameters.as_ref()?.get();
    let about: AboutSecret = serde_json::from_str(parameters).ok()?;
    // Requests about users and policies have names as well.
    let name = about.name.filter(|_| record.event_name == "CreateSecret");
    match about.secret_id.or(name)?.parse().ok()? {
        SecretId::Name(name) => Some((name, record.aws_region.to_string())),
        SecretId::Arn { region, name, .. } => Some((name, region.to_string())),
    }
}

/// A role's name and a session's, in the ARN of one.
fn session_of(identity: &UserIdentity<'_>) -> Option<(String, String)> {
    let (_, session) = identity.arn.as_deref()?.split_once(":assumed-role/")?;
    let (role, session) = session.split_once('/')?;
    Some((role.to_owned(), session.to_owned()))
}

/// Whether this is the id of a record's request: coffer's own, which no caller chooses.
pub(crate) fn is_own_id(record: &Record<'_>, id: &str) -> bool {
    record.request_id.as_deref() == Some(id)
}

/// Whether this is the id of a record's request: coffer's own, or what its caller called it.
fn is_called(record: &Record<'_>, id: &str) -> bool {
    if is_own_id(record, id) {
        return true;
    }
    let told = record.additional_event_data.as_ref().filter(|told| told.get().contains(id));
    let told: Option<Additional> = told.and_then(|told| serde_json::from_str(told.get()).ok());
    told.and_then(|told| told.correlation_id).is_some_and(|told| CorrelationId::is_named_by(&told, id))
}

fn is_by(identity: &UserIdentity<'_>, who: &str) -> bool {
    if identity.identity_type == IdentityType::Root && who == "owner" {
        return true;
    }
    // A token's subject is what its issuer calls somebody, and no user's name.
    let user_name =
        identity.user_name.as_ref().filter(|_| identity.identity_type != IdentityType::WebIdentityUser);
    let told = [
        identity.arn.as_ref(),
        user_name,
        identity.access_key_id.as_ref(),
        identity.principal_id.as_ref(),
        identity.invoked_by.as_ref(),
    ];
    if told.into_iter().flatten().any(|told| told == who) {
        return true;
    }
    session_of(identity).is_some_and(|(role, session)| {
        who == role || who.strip_prefix(&role).and_then(|rest| rest.strip_prefix('/')) == Some(&session)
    })
}

impl RecordFilter {
    pub(crate) fn fits(&self, record: &Record<'_>, region: &Region) -> bool {
        if self.failed && record.error_code.is_none() {
            return false;
        }
        if self.operation.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(&record.event_name)) {
            return false;
        }
        if self.request_id.as_ref().is_some_and(|id| !is_called(record, id)) {
            return false;
        }
        if self.who.as_ref().is_some_and(|who| !is_by(&record.user_identity, who)) {
            return false;
        }
        let Some(wanted) = &self.secret else { return true };
        secret_of(record).is_some_and(|(name, of_region)| {
            let wanted_region = match wanted {
                SecretId::Name(_) => region,
                SecretId::Arn { region, .. } => region,
            };
            name == *wanted.name() && of_region == wanted_region.as_str()
        })
    }

    /// Whether the log has nothing more to tell before a record. Records come in the order of their ends, and so may be a little older
    /// than those before them.
    fn is_past(&self, record: &Record<'_>) -> bool {
        const DISORDER_MILLIS: i64 = 60_000;
        self.since.is_some_and(|since| since.millis_since(record.event_time) > DISORDER_MILLIS)
    }

    fn is_recent(&self, record: &Record<'_>) -> bool {
        // Records have whole seconds.
        self.since.is_none_or(|since| since.millis_since(record.event_time) < 1000)
    }

    pub(crate) fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("secretId", self.secret.as_ref());
        members.optional_text("principal", self.who.as_ref());
        members.optional_text("operation", self.operation.as_ref());
        members.optional_text("requestId", self.request_id.as_ref());
        members.optional_text("since", self.since.map(Timestamp::to_rfc3339_seconds).as_ref());
        if self.failed {
            members.json("failed", true);
        }
    }
}

/// Shows each record that fits, newest first. Whether the log has more than are looked at.
async fn visit(
    context: &Context,
    view: &mut View,
    filter: &RecordFilter,
    mut visit: impl FnMut(&str, &Record<'_>) -> ControlFlow<()>,
) -> Result<bool, Error> {
    // A long log takes its time: who walks through the store must not wait for it.
    let inner = Arc::clone(view.inner());
    let _permit = inner.search_permits.acquire().await;
    let (mut looked_at, mut is_cut) = (0, false);
    // Committed changes whose records are still in the outbox belong to the log as well.
    view.inner().drain().await?;
    let look = &mut |line: &str| {
        looked_at += 1;
        if looked_at > LOOKED_AT_MAX {
            is_cut = true;
            return ControlFlow::Break(());
        }
        let Ok(record) = serde_json::from_str::<Record<'_>>(line) else { return ControlFlow::Continue(()) };
        if filter.is_past(&record) {
            return ControlFlow::Break(());
        }
        if !filter.is_recent(&record) || !filter.fits(&record, &context.region) {
            return ControlFlow::Continue(());
        }
        visit(line, &record)
    };
    view.inner().audit.visit_newest(look).map_err(Error::unavailable)?;
    Ok(is_cut)
}

fn requires(action: &'static str) -> Requirements {
    let action = Action::new("coffer", action);
    Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
}

impl Operation for SearchAudit {
    type Found = FoundRecords;
    type Output = FoundRecords;
    const NAME: OperationName = OperationName { name: "SearchAudit", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        members.json("count", self.count);
        self.filter.parameters(members);
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<FoundRecords, Error> {
        Ok(FoundRecords::default())
    }

    async fn find_more(
        &self,
        context: &Context,
        view: &mut View,
        found: &mut FoundRecords,
    ) -> Result<(), Error> {
        let count = self.count.min(RECORDS_MAX);
        let (mut lines, mut others) = (Vec::new(), Vec::new());
        if count > 0 {
            found.is_cut = visit(context, view, &self.filter, |line, record| {
                // Whoever calls a request by another's id does not push that one out.
                let is_others = self.filter.request_id.as_ref().is_some_and(|id| !is_own_id(record, id));
                let lines = if is_others { &mut others } else { &mut lines };
                if lines.len() < count {
                    lines.push(line.to_owned());
                }
                if is_others || lines.len() < count {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .await?;
        }
        found.lines = if lines.is_empty() { others } else { lines };
        found.lines.reverse();
        Ok(())
    }

    fn requires(&self, _: &Context, _: &FoundRecords) -> Requirements {
        requires(Self::NAME.name)
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<FoundRecords>,
        _: &mut Transaction<'_>,
    ) -> Result<FoundRecords, Error> {
        Ok(grant.into_found())
    }
}

/// The reads by one, as they are counted.
struct Counted {
    reads: Reads,
    sessions: BTreeSet<String>,
    addresses: BTreeSet<String>,
}

/// All readers, by region, secret and who.
#[derive(Default)]
pub struct FoundReads {
    counted: BTreeMap<(String, SecretName, String), Counted>,
    is_cut: bool,
}

impl FoundReads {
    /// Counts a read. They come newest first.
    fn count(&mut self, record: &Record<'_>) {
        let Some((secret, region)) = secret_of(record) else { return };
        let identity = &record.user_identity;
        let session = session_of(identity);
        let role_arn = || {
            let (role, _) = session.as_ref()?;
            Some(format!("arn:aws:iam::{}:role/{role}", identity.account_id.as_deref()?))
        };
        let told = || identity.arn.as_deref().or(identity.access_key_id.as_deref()).map(str::to_owned);
        let who = role_arn().or_else(told).unwrap_or_else(|| record.source_ip_address.to_string());
        let key = (region.clone(), secret.clone(), who.clone());
        if self.counted.len() >= READERS_MAX && !self.counted.contains_key(&key) {
            self.is_cut = true;
            return;
        }
        let counted = self.counted.entry(key).or_insert_with(|| Counted {
            reads: Reads {
                secret,
                region,
                who,
                reads: 0,
                refusals: 0,
                first: record.event_time,
                last: record.event_time,
                sessions: 0,
                session: session.as_ref().map(|(_, name)| name.clone()),
                address: record.source_ip_address.to_string(),
                addresses: 0,
            },
            sessions: BTreeSet::new(),
            addresses: BTreeSet::new(),
        });
        match record.error_code {
            None => counted.reads.reads += 1,
            Some(_) => counted.reads.refusals += 1,
        }
        counted.reads.first = counted.reads.first.min(record.event_time);
        counted.reads.last = counted.reads.last.max(record.event_time);
        for (known, more) in [
            (&mut counted.sessions, session.map(|(_, name)| name)),
            (&mut counted.addresses, Some(record.source_ip_address.to_string())),
        ] {
            if known.len() < DISTINCT_MAX {
                known.extend(more);
            }
        }
    }
}

impl Operation for ListReads {
    type Found = FoundReads;
    type Output = ListedReads;
    const NAME: OperationName = OperationName { name: "ListReads", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        self.filter.parameters(members);
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<FoundReads, Error> {
        Ok(FoundReads::default())
    }

    async fn find_more(
        &self,
        context: &Context,
        view: &mut View,
        found: &mut FoundReads,
    ) -> Result<(), Error> {
        let filter = RecordFilter { operation: Some(READ.to_owned()), failed: false, ..self.filter.clone() };
        let is_cut = visit(context, view, &filter, |_, record| {
            // Where there was nothing, nobody read it and nobody was refused it.
            if record.error_code.as_deref() != Some(ABSENT) {
                found.count(record);
            }
            ControlFlow::Continue(())
        })
        .await?;
        found.is_cut |= is_cut;
        Ok(())
    }

    fn requires(&self, _: &Context, _: &FoundReads) -> Requirements {
        requires(Self::NAME.name)
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<FoundReads>,
        _: &mut Transaction<'_>,
    ) -> Result<ListedReads, Error> {
        let FoundReads { counted, is_cut } = grant.into_found();
        let counted = counted.into_values().map(|counted| Reads {
            sessions: counted.sessions.len(),
            addresses: counted.addresses.len(),
            ..counted.reads
        });
        let mut reads: Vec<Reads> = counted.collect();
        reads.sort_by_key(|reads| std::cmp::Reverse(reads.last));
        Ok(ListedReads { reads, is_cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(members: &str) -> String {
        format!(
            r#"{{"eventVersion":"1.11","eventTime":"2026-11-22T10:00:00Z","eventSource":"s","eventName":"GetSecretValue","awsRegion":"us-east-1",
            "sourceIPAddress":"127.0.0.1","eventID":"00000000-0000-4000-8000-000000000001","readOnly":true,"eventType":"AwsApiCall",
            "managementEvent":true,"eventCategory":"Management",{members}}}"#
        )
    }

    fn filter(text: &str) -> RecordFilter {
        let mut filter = RecordFilter::default();
        for part in text.split_whitespace() {
            match part.split_once('=') {
                Some(("secret", name)) => filter.secret = Some(name.parse().unwrap()),
                Some(("who", who)) => filter.who = Some(who.to_owned()),
                Some(("operation", name)) => filter.operation = Some(name.to_owned()),
                Some(("request", id)) => filter.request_id = Some(id.to_owned()),
                Some(("since", time)) => filter.since = Some(time.parse().unwrap()),
                _ => filter.failed = true,
            }
        }
        filter
    }

    #[test]
    fn which_records_fit() {
        let user = r#""userIdentity":{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::123456789012:user/app","accessKeyId":"AKIA1","userName":"app"},"requestParameters":{"secretId":"app/db"},"requestID":"r1""#;
        let session = r#""userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/deploy/s1"},"requestParameters":{"secretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf"},"errorCode":"AccessDenied""#;
        let owner = r#""userIdentity":{"type":"Root","principalId":"local:0"},"requestParameters":null"#;
        for (members, wanted, expected) in [
            (user, "", true),
            (user, "secret=app/db", true),
            (user, "secret=app/d", false),
            (user, "secret=arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db", true),
            (user, "secret=arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db", false),
            (user, "who=app", true),
            (user, "who=AKIA1", true),
            (user, "who=arn:aws:iam::123456789012:user/app", true),
            (user, "who=ap", false),
            (user, "who=owner", false),
            (user, "operation=getsecretvalue who=app request=r1", true),
            (user, "operation=PutSecretValue", false),
            (user, "request=r2", false),
            (user, "failed", false),
            (user, "since=2026-11-22T10:00:00.900Z", true),
            (user, "since=2026-11-22T10:00:01Z", false),
            (session, "failed", true),
            (session, "who=deploy", true),
            (session, "who=deploy/s1", true),
            (session, "who=deploy/s2", false),
            (session, "who=deploys1", false),
            (session, "secret=app/db", false),
            (session, "secret=arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db", true),
            (owner, "who=owner", true),
            (owner, "who=local:0", true),
            (owner, "secret=app/db", false),
        ] {
            let line = record(members);
            let (record, filter) = (serde_json::from_str(&line).unwrap(), filter(wanted));
            let fits = filter.is_recent(&record) && filter.fits(&record, &"us-east-1".parse().unwrap());
            assert_eq!(fits, expected, "{wanted} of {members}");
        }
    }

    #[test]
    fn reads_are_counted_by_secret_and_reader() {
        let by = |session: &str, code: &str| {
            record(&format!(
                r#""userIdentity":{{"type":"AssumedRole","accountId":"123456789012","arn":"arn:aws:sts::123456789012:assumed-role/deploy/{session}"}},"requestParameters":{{"secretId":"app/db"}}{code}"#
            ))
        };
        let mut found = FoundReads::default();
        for line in [by("s2", ""), by("s2", ""), by("s1", r#","errorCode":"AccessDenied""#)] {
            found.count(&serde_json::from_str(&line).unwrap());
        }
        let counted = found.counted.into_values().next().unwrap();
        assert_eq!(counted.reads.who, "arn:aws:iam::123456789012:role/deploy");
        assert_eq!((counted.reads.reads, counted.reads.refusals), (2, 1));
        assert_eq!((counted.sessions.len(), counted.reads.session.as_deref()), (2, Some("s2")));
    }
}

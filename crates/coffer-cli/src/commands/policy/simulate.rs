//! `policy simulate`: what policies answer to a request, and which statements had to do with it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use coffer_policy::{
    Considered, ContextMap, Decision, Document, DocumentKind, Effect, Explanation, Mismatch, Policies,
    Policy, PolicyKind, Principal, Request, ResourcePolicy, explain, has_list, smallest_statement,
};
use coffer_wire_local::FailureKind;
use serde::Serialize;

use crate::arguments::Simulate;
use crate::failure::Stop;
use crate::output::{Output, now, plain, table};

/// `policy simulate --json`.
#[derive(Serialize)]
struct SimulationObject<'a> {
    /// `allowed`, `explicit-deny` or `implicit-deny`.
    decision: &'static str,
    /// The statement that decided.
    by: Option<StatementObject<'a>>,
    /// The kind of policy that does not allow it.
    missing: Option<String>,
    statements: Vec<StatementObject<'a>>,
}

#[derive(Clone, Serialize)]
struct StatementObject<'a> {
    policy: &'a str,
    kind: String,
    /// Counted from 1.
    statement: usize,
    sid: Option<&'a str>,
    line: u32,
    effect: &'static str,
    /// Whether it is about the request.
    matches: bool,
    /// Why not.
    because: Option<String>,
}

pub(crate) fn simulate(arguments: &Simulate, output: Output) -> Result<(), Stop> {
    let asker = Asker::parse(&arguments.principal)?;
    let (principal, context) = (asker.principal(), context(arguments, &asker));
    let all = |files: &[std::path::PathBuf], kind| {
        files.iter().map(|file| compile(file, kind)).collect::<Result<Vec<_>, _>>()
    };
    let identity = all(&arguments.identity, DocumentKind::Inline)?;
    let session = all(&arguments.session, DocumentKind::Session)?;
    let levels = all(&arguments.service_control, DocumentKind::ServiceControl)?;
    let levels: Vec<&[Arc<Policy>]> = levels.iter().map(std::slice::from_ref).collect();
    let boundary =
        arguments.boundary.as_deref().map(|file| compile(file, DocumentKind::Inline)).transpose()?;
    let resource = arguments.resource_policy.as_deref().map(compile_resource).transpose()?;
    let account = arguments.resource.split(':').nth(4).filter(|account| !account.is_empty());
    let policies = Policies {
        identity: &identity,
        resource: match &resource {
            None => ResourcePolicy::None,
            // Without a key's or a role's own policy nothing is allowed.
            Some((policy, kind)) if *kind == DocumentKind::Trust || arguments.resource.contains(":kms:") => {
                ResourcePolicy::Required(policy)
            }
            Some((policy, _)) => ResourcePolicy::Optional(policy),
        },
        boundary: boundary.as_deref(),
        session: (!session.is_empty()).then_some(session.as_slice()),
        service_control: &levels,
        is_same_account: account.is_none() || principal.account().is_none() || account == principal.account(),
    };
    let request =
        Request { principal, action: &arguments.action, resource: &arguments.resource, context: &context };
    let explanation = explain(&policies, &request);
    let object = SimulationObject::of(&explanation);
    output.data(&object, |text| object.describe(text))?;
    let Some(reason) = explanation.decision.aws_reason(&arguments.action) else { return Ok(()) };
    let Simulate { principal, action, resource, .. } = arguments;
    let message = format!("`{principal}` is not authorized to perform `{action}` on `{resource}` {reason}");
    let stop = Stop::new(FailureKind::Denied, message);
    let hint = match explanation.decision {
        Decision::ImplicitlyDenied(kind) => hint(kind, &explanation, arguments),
        Decision::Allowed(_) | Decision::AllowedToOwner | Decision::ExplicitlyDenied(_) => None,
    };
    Err(match hint {
        Some(hint) => stop.with_hint(hint),
        None => stop,
    })
}

/// What would allow it: the condition that stands in the way of a statement, or the smallest statement there could be.
fn hint(kind: PolicyKind, explanation: &Explanation<'_>, arguments: &Simulate) -> Option<String> {
    let of_kind = explanation.statements.iter().filter(|considered| considered.statement.kind == kind);
    let mut nearly =
        of_kind.filter(|considered| considered.effect == Effect::Allow && considered.condition.is_some());
    if let Some(considered) = nearly.next() {
        let name = StatementObject::of(considered).name();
        let key = considered.condition.map_or("", |failed| failed.key);
        return Some(format!(
            "{name} is about it, but for its condition; say what the request has with --context {key}=…"
        ));
    }
    let statement = smallest_statement(&arguments.action, &arguments.resource);
    // A resource's policy would have to say for whom, too.
    (kind != PolicyKind::Resource).then(|| format!("{kind} that would allow it: {statement}"))
}

fn compile(file: &Path, kind: DocumentKind) -> Result<Arc<Policy>, Stop> {
    let text = super::read(file)?;
    let document = Document::parse(&text, kind).map_err(|error| super::malformed(file, &error))?;
    Ok(Arc::new(Policy::compile(file.display().to_string(), &document)))
}

/// A resource's policy, and of which kind it is.
fn compile_resource(file: &Path) -> Result<(Arc<Policy>, DocumentKind), Stop> {
    let text = super::read(file)?;
    let kind = match super::kind_of(&text) {
        DocumentKind::Trust => DocumentKind::Trust,
        DocumentKind::Managed
        | DocumentKind::Inline
        | DocumentKind::Resource
        | DocumentKind::Session
        | DocumentKind::ServiceControl => DocumentKind::Resource,
    };
    let document = Document::parse(&text, kind).map_err(|error| super::malformed(file, &error))?;
    Ok((Arc::new(Policy::compile(file.display().to_string(), &document)), kind))
}

/// Who asks, as the arguments name them.
struct Asker {
    name: String,
    account: String,
    kind: AskerKind,
}

enum AskerKind {
    Anonymous,
    Root,
    User { name: String },
    Session { role_arn: String },
    FederatedUser,
    Service,
}

impl Asker {
    fn parse(text: &str) -> Result<Self, Stop> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let (account, kind) = match parts.as_slice() {
            ["anonymous"] => ("", AskerKind::Anonymous),
            [service] if service.contains('.') => ("", AskerKind::Service),
            ["arn", _, "iam", "", account, "root"] => (*account, AskerKind::Root),
            ["arn", partition, service, "", account, resource] => {
                match (*service, resource.split_once('/')) {
                    ("iam", Some(("user", path))) => {
                        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                        (*account, AskerKind::User { name })
                    }
                    ("sts", Some(("federated-user", _))) => (*account, AskerKind::FederatedUser),
                    ("sts", Some(("assumed-role", session))) => {
                        let (role, _) = session.split_once('/').ok_or_else(|| unnamed(text))?;
                        let role_arn = format!("arn:{partition}:iam::{account}:role/{role}");
                        (*account, AskerKind::Session { role_arn })
                    }
                    _ => return Err(unnamed(text)),
                }
            }
            _ => return Err(unnamed(text)),
        };
        Ok(Self { name: text.to_owned(), account: account.to_owned(), kind })
    }

    fn principal(&self) -> Principal<'_> {
        let (arn, account) = (self.name.as_str(), self.account.as_str());
        match &self.kind {
            AskerKind::Anonymous => Principal::Anonymous,
            AskerKind::Root => Principal::Root { account },
            AskerKind::User { .. } => Principal::User { arn, account, unique_id: "" },
            AskerKind::Session { role_arn } => {
                Principal::RoleSession { arn, role_arn, account, unique_id: "" }
            }
            AskerKind::FederatedUser => Principal::FederatedUser { arn, account },
            AskerKind::Service => Principal::Service { name: arn },
        }
    }

    /// What every request of it says of it.
    fn tell(&self, context: &mut ContextMap) {
        let (principal_type, arn) = match &self.kind {
            AskerKind::Anonymous => ("Anonymous", None),
            AskerKind::Root => ("Account", Some(&self.name)),
            AskerKind::User { name } => {
                context.set("aws:username", name.as_str());
                ("User", Some(&self.name))
            }
            // The key has the role, not the session.
            AskerKind::Session { role_arn } => ("AssumedRole", Some(role_arn)),
            AskerKind::FederatedUser => ("FederatedUser", Some(&self.name)),
            AskerKind::Service => {
                context.set("aws:PrincipalServiceName", self.name.as_str());
                ("Service", None)
            }
        };
        context.set("aws:PrincipalType", principal_type);
        context.set("aws:PrincipalIsAWSService", matches!(self.kind, AskerKind::Service).to_string());
        if let Some(arn) = arn {
            context.set("aws:PrincipalArn", arn.as_str());
            context.set("aws:PrincipalAccount", self.account.as_str());
        }
    }
}

fn unnamed(text: &str) -> Stop {
    Stop::Usage {
        message: format!("`{text}` names no principal"),
        hint: "write the ARN of a user, of a role's session (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION) or of an account's root, \
               the name of a service, or anonymous"
            .into(),
    }
}

/// What follows from who asks for what, and then what the arguments say.
fn context(arguments: &Simulate, asker: &Asker) -> ContextMap {
    let mut context = ContextMap::new();
    asker.tell(&mut context);
    let now = now();
    context.set("aws:CurrentTime", now.to_rfc3339_seconds());
    context.set("aws:EpochTime", now.as_millis().div_euclid(1000).to_string());
    let parts: Vec<&str> = arguments.resource.splitn(6, ':').collect();
    if let ["arn", _, _, region, account, _] = parts.as_slice() {
        [("aws:RequestedRegion", region), ("aws:ResourceAccount", account)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .for_each(|(key, value)| context.set(key, *value));
    }
    for (key, value) in &arguments.context {
        let of_key = arguments.context.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key));
        let values: Vec<&str> = of_key.map(|(_, value)| value.as_str()).collect();
        if values.len() > 1 || has_list(key) {
            context.set_list(key, values);
        } else {
            context.set(key, value.as_str());
        }
    }
    context
}

impl<'a> SimulationObject<'a> {
    fn of(explanation: &Explanation<'a>) -> Self {
        let statements: Vec<StatementObject<'a>> =
            explanation.statements.iter().map(StatementObject::of).collect();
        let (decision, determining, missing) = match explanation.decision {
            Decision::Allowed(by) => ("allowed", Some(by), None),
            Decision::AllowedToOwner => ("allowed", None, None),
            Decision::ExplicitlyDenied(by) => ("explicit-deny", Some(by), None),
            Decision::ImplicitlyDenied(kind) => ("implicit-deny", None, Some(kind.to_string())),
        };
        let place =
            explanation.statements.iter().position(|considered| Some(considered.statement) == determining);
        let by = place.and_then(|place| statements.get(place)).cloned();
        Self { decision, by, missing, statements }
    }

    fn describe(&self, text: &mut String) -> std::fmt::Result {
        match (self.decision, &self.by) {
            ("allowed", Some(by)) => writeln!(text, "allowed by {}", by.name())?,
            ("allowed", None) => writeln!(text, "allowed to the owner of the account")?,
            (_, Some(by)) => writeln!(text, "denied by {}", by.name())?,
            (_, None) => {
                writeln!(text, "denied: no {} allows it", self.missing.as_deref().unwrap_or("policy"))?
            }
        }
        if self.statements.is_empty() {
            return Ok(());
        }
        let row = |statement: &StatementObject<'_>| {
            let because = match &statement.because {
                Some(because) => format!("no: {because}"),
                None => "yes".to_owned(),
            };
            vec![statement.policy.to_owned(), statement.label(), statement.effect.to_owned(), because]
        };
        writeln!(text)?;
        text.push_str(&table(&["Policy", "Statement", "Effect", "Matches"], self.statements.iter().map(row)));
        Ok(())
    }
}

impl<'a> StatementObject<'a> {
    fn of(considered: &Considered<'a>) -> Self {
        let statement = considered.statement;
        Self {
            policy: statement.policy,
            kind: statement.kind.to_string(),
            statement: statement.statement + 1,
            sid: statement.sid,
            line: statement.position.line,
            effect: match considered.effect {
                Effect::Allow => "Allow",
                Effect::Deny => "Deny",
            },
            matches: considered.mismatch.is_none(),
            because: considered.mismatch.map(|mismatch| because(considered, mismatch)),
        }
    }

    fn label(&self) -> String {
        match self.sid {
            Some(sid) => format!("{} {sid}", self.statement),
            None => self.statement.to_string(),
        }
    }

    fn name(&self) -> String {
        plain(&format!("statement {} of `{}`", self.label(), self.policy))
    }
}

fn because(considered: &Considered<'_>, mismatch: Mismatch) -> String {
    match (mismatch, considered.condition) {
        (Mismatch::Principal, _) => "other principals".to_owned(),
        (Mismatch::Action, _) => "other actions".to_owned(),
        (Mismatch::Resource, _) => "other resources".to_owned(),
        (Mismatch::Condition(_), Some(failed)) if failed.is_absent => {
            format!("{} {}: the request does not have it", failed.operator, failed.key)
        }
        (Mismatch::Condition(_), Some(failed)) => format!("{} {} does not hold", failed.operator, failed.key),
        (Mismatch::Condition(at), None) => format!("condition {} does not hold", at + 1),
    }
}

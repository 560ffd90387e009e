//! `policy put`, `show`, `list`, `attach`, `detach` and `delete`: policies as the store holds them.

use std::fmt::Write as _;
use std::path::Path;

use coffer_policy::{Document, DocumentKind, Severity, lint};
use coffer_wire_local::{AccessRequest, FailureKind, Holder, Policy as Found};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::access::{Access, Place, unexpected};
use crate::arguments::PolicyDocuments;
use crate::failure::Stop;
use crate::layout::indented;
use crate::near::did_you_mean;
use crate::output::{Output, age, counted, now, table};
use crate::people::document_object;
use crate::terminal;

use super::{Change, malformed, read};

/// `policy put` and `policy show --json`.
#[derive(Serialize)]
struct PolicyObject {
    name: String,
    arn: Option<String>,
    version: Option<u32>,
    document: Box<RawValue>,
}

pub(super) fn documents(place: &Place, command: &PolicyDocuments, output: Output) -> Result<(), Stop> {
    match command {
        PolicyDocuments::Put { name, file, holder, replace, despite_errors } => {
            let put = Put { name, file, holder: holder.holder(), replace: *replace };
            put.run(place, *despite_errors, output)
        }
        PolicyDocuments::Show { name, holder } => show(place, name, holder.holder(), output),
        PolicyDocuments::List { holder, aws } => match holder.holder() {
            Some(holder) => list_of(place, &holder, output),
            None => list(place, *aws, output),
        },
        PolicyDocuments::Attach { policy, holder } => {
            let holder = holder.holder().ok_or_else(unexpected)?;
            attach(place, policy, holder, true, output)
        }
        PolicyDocuments::Detach { policy, holder } => {
            let holder = holder.holder().ok_or_else(unexpected)?;
            attach(place, policy, holder, false, output)
        }
        PolicyDocuments::Delete { name, holder } => delete(place, name, holder.holder(), output),
    }
}

/// What of `policy put`.
struct Put<'a> {
    name: &'a str,
    file: &'a Path,
    holder: Option<Holder>,
    replace: bool,
}

impl Put<'_> {
    fn run(&self, place: &Place, despite_errors: bool, output: Output) -> Result<(), Stop> {
        const COMMAND: &str = "coffer policy put";
        let document = read(self.file)?;
        let kind = if self.holder.is_some() { DocumentKind::Inline } else { DocumentKind::Managed };
        let parsed = Document::parse(&document, kind).map_err(|error| malformed(self.file, &error))?;
        self.look_over(&parsed, despite_errors, output)?;
        let known = Access::of(place, COMMAND, |access| self.known(access))?;
        if let Some(known) = &known {
            let change = Change::between(&known.document, &document);
            if change.is_empty() {
                let object = PolicyObject::of(known.clone());
                return output.data(&object, |text| writeln!(text, "{} is so already", self.subject()));
            }
            if !self.replace {
                self.ask(known, &change, output)?;
            }
        }
        let found = Access::of(place, COMMAND, |access| self.write(access, known.as_ref(), document))?;
        let version = found.version;
        let said = match (version, &known) {
            (Some(version), Some(Found { version: Some(before), .. })) => {
                format!("{} is now version {version}, in the place of version {before}", self.subject())
            }
            (Some(version), _) => format!("{} is now version {version}", self.subject()),
            (None, Some(_)) => format!("{} says something else now", self.subject()),
            (None, None) => match &self.holder {
                Some(holder) => {
                    format!("{} `{}` has policy `{}`", holder.kind.noun(), holder.name, self.name)
                }
                None => format!("made {}", self.subject()),
            },
        };
        let object = PolicyObject::of(found);
        output.data(&object, |text| writeln!(text, "{said}"))
    }

    fn subject(&self) -> String {
        match &self.holder {
            Some(holder) => format!("policy `{}` of {} `{}`", self.name, holder.kind.noun(), holder.name),
            None => format!("policy `{}`", self.name),
        }
    }

    /// Tells what the document says and hardly means. Errors are refused unless they are meant.
    fn look_over(&self, document: &Document, despite_errors: bool, output: Output) -> Result<(), Stop> {
        let mut errors = 0;
        for finding in lint(document) {
            let severity = finding.lint.severity();
            if severity == Severity::Note {
                continue;
            }
            errors += usize::from(severity == Severity::Error);
            output.warning(&format!(
                "{}:{}:{}: {} [{}]: {}",
                self.file.display(),
                finding.position.line,
                finding.position.column,
                finding.message,
                finding.lint.name(),
                finding.advice
            ));
        }
        if errors == 0 || despite_errors {
            return Ok(());
        }
        let message =
            format!("`{}` does not do what it says: {}", self.file.display(), counted(errors, "error"));
        Err(Stop::new(FailureKind::Refused, message)
            .with_hint("correct it as the warnings say, or add --despite-errors if it is meant"))
    }

    /// The policy of this name, if there is one.
    fn known(&self, access: &mut Access) -> Result<Option<Found>, Stop> {
        let request = match &self.holder {
            Some(holder) => {
                let policies = access.policies_of(holder)?;
                if !policies.inline.iter().any(|name| name == self.name) {
                    return Ok(None);
                }
                AccessRequest::GetInlinePolicy { holder: holder.clone(), name: self.name.to_owned() }
            }
            None => match resolve_known(access, self.name)? {
                Some(arn) => AccessRequest::GetPolicy { arn },
                None => return Ok(None),
            },
        };
        access.policy(request).map(Some)
    }

    /// Shows what would change, and goes on only if that is meant.
    fn ask(&self, known: &Found, change: &Change, output: Output) -> Result<(), Stop> {
        output.shown(&change.shown());
        if terminal::can_ask(output) {
            return terminal::confirm(output, &format!("write over {}?", self.subject()));
        }
        let holder = self.holder.as_ref();
        let of =
            holder.map(|holder| format!(" --{} {}", holder.kind.noun(), holder.name)).unwrap_or_default();
        let message = format!("there is a {} already, and it says something else", self.subject());
        Err(Stop::new(FailureKind::Conflict, message).with_hint(format!(
            "add --replace to write over it; see it with `coffer policy show {}{of}`",
            known.name
        )))
    }

    fn write(&self, access: &mut Access, known: Option<&Found>, document: String) -> Result<Found, Stop> {
        let name = self.name.to_owned();
        match (&self.holder, known.and_then(|known| known.arn.clone())) {
            (Some(holder), _) => {
                let (holder, copy) = (holder.clone(), document.clone());
                access.change(AccessRequest::PutPolicy { holder, name: name.clone(), document: copy })?;
                Ok(Found { name, arn: None, version: None, document })
            }
            (None, Some(arn)) => {
                make_room(access, &arn)?;
                access.policy(AccessRequest::CreatePolicyVersion { arn, document })
            }
            (None, None) => access.policy(AccessRequest::CreatePolicy { name, document }),
        }
    }
}

/// A managed policy keeps five versions: the oldest that does not count makes room for another.
fn make_room(access: &mut Access, arn: &str) -> Result<(), Stop> {
    let versions = access.policy_versions(arn)?;
    if versions.len() < coffer_types::iam_limits::VERSIONS_PER_POLICY_MAX {
        return Ok(());
    }
    let oldest = versions.iter().filter(|(_, is_default)| !is_default).map(|(number, _)| *number).min();
    match oldest {
        Some(number) => access.change(AccessRequest::DeletePolicyVersion { arn: arn.to_owned(), number }),
        None => Ok(()),
    }
}

fn show(place: &Place, name: &str, holder: Option<Holder>, output: Output) -> Result<(), Stop> {
    let found = Access::of(place, "coffer policy show", |access| {
        let request = match holder {
            Some(holder) => AccessRequest::GetInlinePolicy { holder, name: name.to_owned() },
            None => AccessRequest::GetPolicy { arn: resolve(access, name)? },
        };
        access.policy(request)
    })?;
    let object = PolicyObject::of(found);
    let document = indented(object.document.get().as_bytes());
    let document = String::from_utf8_lossy(document.expose_secret());
    output.data(&object, |text| write!(text, "{document}"))
}

fn list(place: &Place, with_aws: bool, output: Output) -> Result<(), Stop> {
    let policies = Access::of(place, "coffer policy list", |access| access.policies(with_aws))?;
    let now = now();
    let objects: Vec<Value> = policies
        .iter()
        .map(|policy| {
            serde_json::json!({
                "name": policy.name,
                "arn": policy.arn,
                "version": policy.version,
                "attachments": policy.attachments,
                "updated": policy.updated.to_string(),
            })
        })
        .collect();
    output.data(&serde_json::json!({ "policies": objects }), |text| {
        if policies.is_empty() {
            let said = "no managed policies yet: `coffer policy put NAME FILE`; AWS's own: `coffer policy list --aws`";
            return writeln!(text, "{}", place.exact(said));
        }
        let rows = policies.iter().map(|policy| {
            let (version, attachments) = (policy.version.to_string(), policy.attachments.to_string());
            vec![policy.name.clone(), version, attachments, age(now, policy.updated), policy.arn.clone()]
        });
        text.push_str(&table(&["Name", "Version", "Attached", "Changed", "ARN"], rows));
        Ok(())
    })
}

fn list_of(place: &Place, holder: &Holder, output: Output) -> Result<(), Stop> {
    let policies = Access::of(place, "coffer policy list", |access| access.policies_of(holder))?;
    let attached: Vec<&str> = policies.attached.iter().map(|(_, arn)| arn.as_str()).collect();
    let object = serde_json::json!({ "inline_policies": policies.inline, "attached_policies": attached });
    output.data(&object, |text| {
        if policies.inline.is_empty() && attached.is_empty() {
            return writeln!(text, "{} `{}` has no policies", holder.kind.noun(), holder.name);
        }
        let own = policies.inline.iter().map(|name| vec![name.clone(), "its own".to_owned()]);
        let managed = policies.attached.iter().map(|(name, arn)| vec![name.clone(), arn.clone()]);
        text.push_str(&table(&["Name", "ARN"], own.chain(managed)));
        Ok(())
    })
}

fn attach(place: &Place, policy: &str, holder: Holder, is_given: bool, output: Output) -> Result<(), Stop> {
    let (command, how) = if is_given { ("attach", "has") } else { ("detach", "no longer has") };
    let (noun, name) = (holder.kind.noun(), holder.name.clone());
    let arn = Access::of(place, &format!("coffer policy {command}"), |access| {
        let arn = resolve(access, policy)?;
        let (kept, holder) = (arn.clone(), holder);
        access.change(match is_given {
            true => AccessRequest::AttachPolicy { holder, arn },
            false => AccessRequest::DetachPolicy { holder, arn },
        })?;
        Ok(kept)
    })?;
    let object = serde_json::json!({ noun: name, "arn": arn });
    output.data(&object, |text| writeln!(text, "{noun} `{name}` {how} policy `{arn}`"))
}

fn delete(place: &Place, name: &str, holder: Option<Holder>, output: Output) -> Result<(), Stop> {
    Access::of(place, "coffer policy delete", |access| match holder {
        Some(holder) => access.change(AccessRequest::DeleteInlinePolicy { holder, name: name.to_owned() }),
        None => {
            let arn = resolve(access, name)?;
            for (number, is_default) in access.policy_versions(&arn)? {
                if !is_default {
                    access.change(AccessRequest::DeletePolicyVersion { arn: arn.clone(), number })?;
                }
            }
            access.change(AccessRequest::DeletePolicy { arn })
        }
    })?;
    output.data(&serde_json::json!({ "name": name }), |text| writeln!(text, "deleted policy `{name}`"))
}

/// The ARN of the managed policy that is called so.
fn resolve(access: &mut Access, name: &str) -> Result<String, Stop> {
    if name.starts_with("arn:") {
        return Ok(name.to_owned());
    }
    let policies = access.policies(true)?;
    if let Some(policy) = policies.iter().find(|policy| policy.name == name) {
        return Ok(policy.arn.clone());
    }
    let near = did_you_mean(name, policies.iter().map(|policy| policy.name.as_str()));
    let hint = "see what there is with `coffer policy list --aws`";
    let hint = near.map_or(hint.to_owned(), |near| format!("{near} {hint}"));
    Err(Stop::new(FailureKind::NotFound, format!("there is no managed policy `{name}`")).with_hint(hint))
}

/// The same among the account's own; `None` if there is none.
fn resolve_known(access: &mut Access, name: &str) -> Result<Option<String>, Stop> {
    let policies = access.policies(false)?;
    Ok(policies.into_iter().find(|policy| policy.name == name || policy.arn == name).map(|policy| policy.arn))
}

impl PolicyObject {
    fn of(found: Found) -> Self {
        let Found { name, arn, version, document } = found;
        Self { name, arn, version, document: document_object(&document) }
    }
}

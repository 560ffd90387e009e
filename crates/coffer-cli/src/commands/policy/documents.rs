//! `policy put`, `show`, `list`, `attach`, `detach` and `delete`: policies as the store holds them.

use std::fmt::Write as _;
use std::path::Path;

use coffer_policy::{Document, DocumentKind};
use coffer_wire_local::{AccessRequest, FailureKind, Holder, Policy as Found};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::access::{Access, Place, unexpected};
use crate::arguments::PolicyDocuments;
use crate::failure::Stop;
use crate::layout::indented;
use crate::output::{Output, age, now, table};
use crate::people::document_object;

use super::{malformed, read};

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
        PolicyDocuments::Put { name, file, holder } => put(place, name, file, holder.holder(), output),
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

fn put(place: &Place, name: &str, file: &Path, holder: Option<Holder>, output: Output) -> Result<(), Stop> {
    let document = read(file)?;
    let kind = if holder.is_some() { DocumentKind::Inline } else { DocumentKind::Managed };
    Document::parse(&document, kind).map_err(|error| malformed(file, &error))?;
    let (found, said) = Access::of(place, "coffer policy put", |access| match &holder {
        Some(holder) => {
            let request = AccessRequest::PutPolicy {
                holder: holder.clone(),
                name: name.to_owned(),
                document: document.clone(),
            };
            access.change(request)?;
            let found = Found { name: name.to_owned(), arn: None, version: None, document };
            Ok((found, format!("{} `{}` has policy `{name}`", holder.kind.noun(), holder.name)))
        }
        None => {
            let found = match resolve_known(access, name)? {
                Some(arn) => {
                    make_room(access, &arn)?;
                    access.policy(AccessRequest::CreatePolicyVersion { arn, document })?
                }
                None => access.policy(AccessRequest::CreatePolicy { name: name.to_owned(), document })?,
            };
            let said =
                format!("policy `{}` is now version {}", found.name, found.version.unwrap_or_default());
            Ok((found, said))
        }
    })?;
    let object = PolicyObject::of(found);
    output.data(&object, |text| writeln!(text, "{said}"))
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
    let arn = policies.into_iter().find(|policy| policy.name == name).map(|policy| policy.arn);
    arn.ok_or_else(|| {
        Stop::new(FailureKind::NotFound, format!("there is no managed policy `{name}`"))
            .with_hint("see what there is with `coffer policy list --aws`")
    })
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

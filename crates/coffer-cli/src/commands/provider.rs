//! `provider`: whose tokens roles may trust.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_policy::{Document, DocumentKind};
use coffer_wire_local::{AccessRequest, Entity, HolderKind, Provider};
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments;
use crate::failure::Stop;
use crate::output::{Output, age, now, plain, table};

/// An identity provider, as every object has it.
#[derive(Serialize)]
struct ProviderObject {
    issuer: String,
    arn: String,
    audiences: Vec<String>,
    /// The names of the roles whose trust policies name it.
    roles: Vec<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbprints: Option<Vec<String>>,
    #[serde(skip)]
    age: String,
}

impl ProviderObject {
    fn of(provider: &Provider, roles: &[Entity]) -> Self {
        let trusting = roles.iter().filter(|role| trusts(role, &provider.arn));
        Self {
            issuer: provider.issuer.clone(),
            arn: provider.arn.clone(),
            audiences: provider.audiences.clone(),
            roles: trusting.map(|role| role.name.clone()).collect(),
            created: provider.created.to_string(),
            tags: None,
            thumbprints: None,
            age: age(now(), provider.created),
        }
    }
}

/// Whether a role's trust policy names a provider.
fn trusts(role: &Entity, arn: &str) -> bool {
    let trust = role.role.as_ref().map_or("", |role| role.trust.as_str());
    let Ok(document) = Document::parse(trust, DocumentKind::Trust) else { return false };
    let listed = document.statements.iter().filter_map(|statement| statement.principals.as_ref());
    listed.flat_map(|listed| &listed.entries).any(|entry| entry.name.text == arn)
}

pub(crate) fn provider(place: &Place, command: &arguments::Provider, output: Output) -> Result<(), Stop> {
    match command {
        arguments::Provider::Add { issuer, audience } => {
            let (provider, roles) = Access::of(place, "coffer provider add", |access| {
                let arn = access.identity_provider(issuer, audience)?;
                Ok((access.provider(&arn)?, access.entities(HolderKind::Role)?))
            })?;
            let object = ProviderObject::of(&provider, &roles);
            output.data(&object, |text| {
                let (issuer, audiences) = (&object.issuer, object.audiences.join(" and "));
                writeln!(text, "tokens of `{}` for {} can be trusted", plain(issuer), plain(&audiences))
            })?;
            output.hint(&place.exact(
                "let somebody with one take a role on: `coffer role add NAME --github REPOSITORY`, or --trust-policy FILE",
            ));
            Ok(())
        }
        arguments::Provider::List => list(place, output),
        arguments::Provider::Show { issuer } => show(place, issuer, output),
        arguments::Provider::Delete { issuer } => delete(place, issuer, output),
    }
}

fn list(place: &Place, output: Output) -> Result<(), Stop> {
    let (providers, roles) = Access::of(place, "coffer provider list", |access| {
        Ok((access.providers()?, access.entities(HolderKind::Role)?))
    })?;
    let objects: Vec<ProviderObject> =
        providers.iter().map(|provider| ProviderObject::of(provider, &roles)).collect();
    output.data(&serde_json::json!({ "providers": objects }), |text| {
        if objects.is_empty() {
            return writeln!(text, "{}", place.exact("no identity providers yet: `coffer provider add URL`"));
        }
        let joined = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        let rows = objects.iter().map(|object| {
            vec![object.issuer.clone(), joined(&object.audiences), joined(&object.roles), object.age.clone()]
        });
        text.push_str(&table(&["Issuer", "Audiences", "Trusted by", "Made"], rows));
        Ok(())
    })
}

fn show(place: &Place, issuer: &str, output: Output) -> Result<(), Stop> {
    let (provider, roles) = Access::of(place, "coffer provider show", |access| {
        Ok((access.provider(issuer)?, access.entities(HolderKind::Role)?))
    })?;
    let mut object = ProviderObject::of(&provider, &roles);
    let tags = provider.tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
    object.tags = Some(tags.collect());
    object.thumbprints = Some(provider.thumbprints);
    output.data(&object, |text| {
        let mut rows = vec![("Issuer", object.issuer.clone()), ("ARN", object.arn.clone())];
        let mut several = |label: &'static str, cells: &mut dyn Iterator<Item = String>| {
            rows.extend(cells.enumerate().map(|(at, cell)| (if at == 0 { label } else { "" }, cell)));
        };
        several("Audiences", &mut object.audiences.iter().cloned());
        several("Trusted by", &mut object.roles.iter().map(|role| format!("role {role}")));
        let mut tags = object.tags.iter().flatten().map(|(key, value)| format!("{key}={value}"));
        several("Tags", &mut tags);
        rows.push(("Made", object.age.clone()));
        rows.iter().try_for_each(|(label, cell)| writeln!(text, "{label:<13}{}", plain(cell)))
    })
}

fn delete(place: &Place, issuer: &str, output: Output) -> Result<(), Stop> {
    let (provider, roles) = Access::of(place, "coffer provider delete", |access| {
        let provider = access.provider(issuer)?;
        let roles = access.entities(HolderKind::Role)?;
        access.change(AccessRequest::DeleteProvider { issuer: provider.arn.clone() })?;
        Ok((provider, roles))
    })?;
    let object = ProviderObject::of(&provider, &roles);
    let deleted = serde_json::json!({ "issuer": object.issuer, "arn": object.arn, "roles": object.roles });
    output.data(&deleted, |text| writeln!(text, "deleted identity provider `{}`", plain(&object.issuer)))?;
    if !object.roles.is_empty() {
        let roles: Vec<String> = object.roles.iter().map(|role| format!("`{role}`")).collect();
        output.note(&format!(
            "still named by the trust of {}, which nobody takes on with its tokens any more",
            roles.join(" and ")
        ));
    }
    Ok(())
}

//! `policy generate`: the policy of least privilege for a workload.

use coffer_policy::{Needs, Workload, least_privilege};
use coffer_types::SecretName;
use coffer_wire_local::FailureKind;

use crate::access::{Access, Place};
use crate::arguments::Generate;
use crate::failure::Stop;
use crate::output::Output;

pub(crate) fn generate(place: &Place, arguments: &Generate, output: Output) -> Result<(), Stop> {
    let Generate { secrets, workload, account_id, key, scope } = arguments;
    secrets.iter().try_for_each(|secret| check(secret))?;
    if let Some(key) = key.as_ref().filter(|key| !key.starts_with("arn:") || !key.contains(":kms:")) {
        return Err(Stop::Usage {
            message: format!("`{key}` is no key's ARN"),
            hint: "write it as arn:aws:kms:us-east-1:123456789012:key/…".into(),
        });
    }
    let has_names = secrets.iter().any(|secret| !secret.starts_with("arn:"));
    let is_told = account_id.is_some() && scope.region.is_some();
    let store = match has_names && !is_told && place.home.exists() {
        true => Some(Access::of(place, "coffer policy generate", |access| access.status())?),
        false => None,
    };
    let account = account_id.as_ref().or(store.as_ref().map(|store| &store.account)).map(ToString::to_string);
    let region = scope.region.as_ref().or(store.as_ref().map(|store| &store.region));
    if has_names && (account.is_none() || region.is_none()) {
        output.warning("the policy is for names in any region or account: no store says which");
        output.hint("add --region and --account-id");
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let text = least_privilege(&Needs {
        workload: Workload::from(*workload),
        secrets: &secrets,
        partition: "aws",
        region: region.map_or("*", |region| region.as_str()),
        account: account.as_deref().unwrap_or("*"),
        key: key.as_deref(),
    });
    if output.json {
        // On one line, as everything else is; no text in it has a line break.
        let line: Vec<&str> = text.lines().map(str::trim_start).collect();
        return output.bytes(format!("{}\n", line.concat()).as_bytes());
    }
    output.bytes(text.as_bytes())
}

/// A name that no secret can have would make a policy that matches nothing.
fn check(secret: &str) -> Result<(), Stop> {
    let is_name = match secret.strip_suffix('*') {
        _ if secret.starts_with("arn:") => {
            let parts: Vec<&str> = secret.splitn(6, ':').collect();
            matches!(parts.as_slice(), [_, _, "secretsmanager", _, _, name] if name.starts_with("secret:"))
        }
        Some("") => true,
        Some(beginning) => beginning.parse::<SecretName>().is_ok(),
        None => secret.parse::<SecretName>().is_ok(),
    };
    if is_name {
        return Ok(());
    }
    Err(Stop::new(FailureKind::Refused, format!("`{secret}` names no secret"))
        .with_hint("write a name such as app/db, the beginning of names such as app/*, or an ARN"))
}

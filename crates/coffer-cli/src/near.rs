//! Secrets with names like one that is not there: what somebody may have meant.
//!
//! No I/O but the store's.

pub(crate) use coffer_resolver::{did_you_mean, near};
use coffer_wire_local::{Failure, FailureKind, Request, Response};

use crate::access::{Access, Place};
use crate::failure::Stop;
use crate::output::Output;

/// Most secrets whose names are looked at.
const SECRETS_MAX: usize = 2_000;
/// How a failure begins that names a secret which is not there.
const NO_SECRET: &str = "there is no secret `";

/// The names of secrets, as many as are looked at.
pub(crate) fn secret_names(access: &mut Access) -> Result<Vec<String>, Stop> {
    let (mut names, mut next_token) = (Vec::new(), None);
    loop {
        let request = Request::ListSecrets {
            filters: Vec::new(),
            include_planned_deletion: true,
            max_results: None,
            next_token,
        };
        let Response::ListSecrets(page) = access.call(request)? else {
            return Err(crate::access::unexpected());
        };
        names.extend(page.secrets.into_iter().map(|secret| secret.name.to_string()));
        match page.next_token {
            Some(token) if names.len() < SECRETS_MAX => next_token = Some(token),
            Some(_) | None => return Ok(names),
        }
    }
}

/// Warns if there is no such secret, with those that are called almost so.
pub(crate) fn warn_of_absence(access: &mut Access, name: &str, output: Output) -> Result<(), Stop> {
    match access.describe(name) {
        Ok(_) => Ok(()),
        Err(Stop::Failure(failure)) if failure.kind == FailureKind::NotFound => {
            let names = secret_names(access)?;
            let advice = did_you_mean(name, names.iter().map(String::as_str));
            let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
            output.warning(&format!("there is no secret `{name}` now{advice}"));
            Ok(())
        }
        Err(stop) => Err(stop),
    }
}

/// The same stop; where it says that there is no such secret, with those that are called almost so.
pub(crate) fn advised(place: &Place, stop: Stop) -> Stop {
    let Stop::Failure(Failure { kind: FailureKind::NotFound, message, hint }) = &stop else { return stop };
    let name = message.strip_prefix(NO_SECRET).and_then(|rest| rest.strip_suffix('`'));
    let Some(name) = name else { return stop };
    // That the names can't be had is no failure of what was asked for.
    let Ok(names) = Access::of(place, "coffer list", secret_names) else { return stop };
    let Some(advice) = did_you_mean(name, names.iter().map(String::as_str)) else { return stop };
    let hint = match hint {
        Some(hint) => format!("{advice} {hint}"),
        None => advice,
    };
    stop.with_hint(hint)
}

//! `delete` and `restore`.

use std::fmt::Write as _;

use coffer_types::SecretName;
use coffer_wire_local::DeletionMode;
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::{Delete, Restore};
use crate::failure::Stop;
use crate::output::Output;
use crate::terminal;

/// `delete --json`.
#[derive(Serialize)]
struct DeleteObject<'a> {
    name: &'a SecretName,
    arn: Option<&'a str>,
    /// When it is deleted, or was.
    deletion_date: String,
    /// Whether it is gone already, and can't be restored.
    immediate: bool,
}

/// `restore --json`.
#[derive(Serialize)]
struct RestoreObject<'a> {
    name: &'a str,
    arn: &'a str,
}

pub(crate) fn delete(place: &Place, arguments: &Delete, output: Output) -> Result<(), Stop> {
    const COMMAND: &str = "coffer delete";
    let Delete { name, days, now, yes, scope: _ } = arguments;
    if *now {
        if !yes && !terminal::can_ask(output) {
            return Err(Stop::Usage {
                message: "`--now` deletes a secret for good, and there is nobody to ask whether it may"
                    .into(),
                hint: format!(
                    "say so with `coffer delete {name} --now --yes`, or keep it restorable for a while with `coffer delete {name}`"
                ),
            });
        }
        // The service says yes to deleting what is not there; a person has mistyped a name.
        Access::of(place, COMMAND, |access| access.describe(name))?;
        if !yes {
            terminal::confirm(output, &format!("delete secret `{name}` and all its versions for good?"))?;
        }
    }
    let mode = if *now { DeletionMode::Immediate } else { DeletionMode::Days(*days) };
    let deleted = Access::of(place, COMMAND, |access| access.delete(name, mode))?;
    let object = DeleteObject {
        name: &deleted.name,
        arn: deleted.arn.as_deref(),
        deletion_date: deleted.deletion_date.to_string(),
        immediate: *now,
    };
    output.data(&object, |text| match object.immediate {
        true => writeln!(text, "secret `{name}` is deleted"),
        false => writeln!(text, "secret `{name}` will be deleted on {}", object.deletion_date),
    })?;
    if !now {
        output.hint(&place.exact(&format!("until then, take that back with `coffer restore {name}`")));
    }
    Ok(())
}

pub(crate) fn restore(place: &Place, arguments: &Restore, output: Output) -> Result<(), Stop> {
    let name = &arguments.name;
    let (marked, arn) = Access::of(place, "coffer restore", |access| {
        let marked = access.describe(name)?.deleted.is_some();
        Ok((marked, access.restore(name)?))
    })?;
    output.data(&RestoreObject { name, arn: &arn }, |text| match marked {
        true => writeln!(text, "secret `{name}` is restored"),
        false => writeln!(text, "secret `{name}` was not marked for deletion"),
    })
}

//! `up`: from a `.env` file to a served store, in one command.

use std::fmt::Write as _;

use coffer_server::service_manager::PassedSockets;
use coffer_types::SecretName;
use coffer_wire_local::FailureKind;
use serde::Serialize;

use crate::access::{Access, Place};
use crate::arguments::{Up, Wanted};
use crate::commands::init::NewStore;
use crate::commands::list::Secrets;
use crate::commands::serve::serve_store;
use crate::failure::Stop;
use crate::import::{Imported, Plan};
use crate::output::Output;
use crate::shell;

/// `up --json`.
#[derive(Serialize)]
struct UpObject {
    home: String,
    /// The store, if it was made now.
    store: Option<NewStore>,
    endpoint: String,
    /// What became of the file, if there was one.
    imported: Option<Imported>,
    environment_command: String,
    try_command: Option<String>,
    #[serde(flatten)]
    secrets: Secrets,
}

pub(crate) fn up(place: &Place, arguments: &Up, output: Output) -> Result<(), Stop> {
    let place = &place.accepting_audit_loss(arguments.accept_audit_loss).limited(&arguments.transport.limits);
    let home = &place.home;
    let plan = match &arguments.file {
        Some(file) => Some(Plan::read(file, arguments.name.as_deref(), false)?),
        None => None,
    };
    let store = if home.exists() {
        None
    } else {
        arguments.transport.ensure_free()?;
        match NewStore::make(place, &arguments.founding) {
            Ok(store) => Some(store),
            // Another `up` was faster; go on beside it.
            Err(_) if home.exists() => None,
            Err(stop) => return Err(stop),
        }
    };
    if let Some(store) = &store {
        store.warn(output);
    }
    if let Some(plan) = &plan {
        plan.warn(output);
    }
    let mut access = Access::to(place, "coffer up")?;
    let found = if store.is_none() { look_at(&mut access, arguments) } else { Ok(()) };
    let done = found.and_then(|()| {
        let tried = plan.as_ref().and_then(|plan| plan.first_name().cloned());
        let imported = plan.map(|plan| plan.import(&mut access, output)).transpose()?;
        Ok((tried, imported, Secrets::of(&mut access, place, &Wanted::default())?))
    });
    let (tried, imported, secrets) = match done {
        Ok(done) => done,
        Err(stop) => {
            access.close()?;
            return Err(stop);
        }
    };
    let tried = tried.or_else(|| secrets.first_name().cloned());
    let env = match &place.region {
        Some(region) if store.is_none() => format!("env --region {region}"),
        _ => "env".to_owned(),
    };
    let object = |endpoint: String| UpObject {
        home: home.path().display().to_string(),
        store,
        endpoint,
        imported,
        environment_command: format!("eval \"$({})\"", shell::command(home.path(), &env)),
        try_command: tried.as_ref().map(try_command),
        secrets,
    };
    match access {
        Access::Socket(client) => {
            let endpoint = client.server().endpoint.clone().unwrap_or_default();
            output
                .note(&format!("a server runs already, on {endpoint}; it goes on, and --listen is its own"));
            let object = object(endpoint);
            output.data(&object, |text| object.describe(text))
        }
        Access::InPlace(opened) => {
            serve_store(home, opened, &arguments.transport, PassedSockets::default(), output, |bound| {
                let object = object(bound.endpoint());
                output.data(&object, |text| object.describe(text))?;
                output.note("serving; Ctrl-C stops");
                Ok(())
            })
        }
    }
}

/// Before anything is imported: the port must be free, and the store the one that was asked for.
fn look_at(access: &mut Access, arguments: &Up) -> Result<(), Stop> {
    if access.server().is_none() {
        arguments.transport.ensure_free()?;
    }
    let Some(asked_for) = arguments.founding.account_id else { return Ok(()) };
    let account = access.status()?.account;
    if account == asked_for {
        return Ok(());
    }
    let message = format!("this store's account is {account}, and was settled when it was made");
    Err(Stop::new(FailureKind::Conflict, message)
        .with_hint("leave the option out, or name another folder with --home"))
}

fn try_command(name: &SecretName) -> String {
    format!("aws secretsmanager get-secret-value --secret-id {}", shell::word(name.as_str()))
}

impl UpObject {
    fn describe(&self, text: &mut String) -> std::fmt::Result {
        if let Some(store) = &self.store {
            store.describe(text)?;
        }
        if let Some(imported) = &self.imported {
            imported.describe(text)?;
        }
        writeln!(text, "serving on {}\n", self.endpoint)?;
        writeln!(text, "In another terminal:\n\n    {}", self.environment_command)?;
        if let Some(try_command) = &self.try_command {
            writeln!(text, "    {try_command}")?;
        }
        text.push('\n');
        self.secrets.describe(text)
    }
}

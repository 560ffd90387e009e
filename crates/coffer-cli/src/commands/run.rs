//! `run`: a program with its secrets.
//!
//! I/O: the resolver's; this process becomes the program, or looks after it where something has to be done while it runs or
//! when it ends. Invariant: a value goes into the program's environment or into files of its own, and nowhere else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use coffer_resolver::{Change, Credentials, Resolver, Subscription, WatchOptions};
use coffer_wire_local::FailureKind;
use tokio::sync::mpsc;

use crate::access::Place;
use crate::arguments::Run;
use crate::commands::wanted::{load, resolver};
use crate::failure::{Stop, with_causes};
use crate::output::{Output, plain};
use crate::scratch::ScratchFolder;
use crate::supervise::{self, Next};

/// What `--pristine` hands on besides the secrets.
const PRISTINE: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// How the values get to the program.
enum Delivery {
    Environment,
    Files(ScratchFolder),
}

/// Becomes the program, or runs it until it ends and ends as it did.
pub(crate) fn run(place: &Place, arguments: &Run, output: Output) -> Result<(), Stop> {
    let resolver = Arc::new(resolver(place, &arguments.wanting)?);
    let credentials = load(&resolver, output)?;
    let delivery = if arguments.files {
        let hint = "give the values in the environment: leave --files out";
        Delivery::Files(ScratchFolder::new("run", hint)?)
    } else {
        Delivery::Environment
    };
    let mut names = BTreeSet::new();
    deliver(&delivery, &credentials, &mut names)?;
    let command = command(arguments, &delivery, &credentials)?;
    if !arguments.watch && !arguments.files {
        return Err(not_run(arguments, &become_it(command)));
    }
    supervise_it(arguments, &resolver, delivery, names, command, output)
}

/// Only comes back if there is no such program.
fn become_it(mut command: Command) -> io::Error {
    command.exec()
}

/// Runs the program until it ends for good.
fn supervise_it(
    arguments: &Run,
    resolver: &Arc<Resolver>,
    delivery: Delivery,
    mut names: BTreeSet<String>,
    first: Command,
    output: Output,
) -> Result<(), Stop> {
    let (sender, mut changes) = mpsc::unbounded_channel::<Change>();
    let options = WatchOptions { poll: arguments.poll, ..WatchOptions::default() };
    let subscription = arguments
        .watch
        .then(|| Subscription::new(Arc::clone(resolver), options, move |change| drop(sender.send(change))))
        .transpose()
        .map_err(|error| Stop::new(FailureKind::Other, format!("cannot look for changes: {error}")))?;
    // What is different, and what to do about it.
    let on_change = |change: Change| {
        for problem in &change.lost {
            output.warning(&format!(
                "{}; the program goes on with what it has; {}",
                plain(&with_causes(problem)),
                plain(&problem.action())
            ));
        }
        if change.changed.is_empty() {
            return Next::GoOn;
        }
        let changed: Vec<String> = change.changed.iter().map(|(name, _)| format!("`{name}`")).collect();
        let renewed = load(resolver, output).and_then(|credentials| {
            deliver(&delivery, &credentials, &mut names)?;
            command(arguments, &delivery, &credentials)
        });
        match renewed {
            Ok(command) => {
                output.note(&format!("coffer: changed: {}", changed.join(", ")));
                match arguments.on_change {
                    Some(signal) => Next::Send(signal),
                    None => Next::Restart(Box::new(command)),
                }
            }
            Err(stop) => {
                if let Some((text, _)) = stop.texts() {
                    output.warning(&format!("the program goes on with what it has: {text}"));
                }
                Next::GoOn
            }
        }
    };
    let ended = supervise::run(first, arguments.grace, &mut changes, on_change);
    drop(subscription);
    match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(Stop::Ended(code)),
        Err(error) => Err(not_run(arguments, &error)),
    }
}

/// Puts the values where the program finds them, and takes away what is no longer one.
fn deliver(delivery: &Delivery, credentials: &Credentials, names: &mut BTreeSet<String>) -> Result<(), Stop> {
    let Delivery::Files(folder) = delivery else { return Ok(()) };
    let failed = |name: &str, error: io::Error| {
        let path = folder.path().join(name);
        Stop::new(FailureKind::Other, format!("cannot write `{}`: {error}", path.display()))
    };
    for (name, resolved) in credentials.iter() {
        folder.put(name, resolved.value.expose_secret()).map_err(|error| failed(name, error))?;
    }
    let now: BTreeSet<String> = credentials.iter().map(|(name, _)| name.to_owned()).collect();
    for gone in names.difference(&now) {
        folder.remove(gone).map_err(|error| failed(gone, error))?;
    }
    *names = now;
    Ok(())
}

fn command(arguments: &Run, delivery: &Delivery, credentials: &Credentials) -> Result<Command, Stop> {
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Stop::Usage {
            message: "no program is named".into(),
            hint: "coffer run -- PROGRAM".into(),
        });
    };
    let mut command = Command::new(program);
    command.args(rest);
    if arguments.pristine {
        command.env_clear();
        command.envs(std::env::vars_os().filter(|(name, _)| is_pristine(name)));
    }
    for (name, resolved) in credentials.iter() {
        match delivery {
            Delivery::Files(folder) => {
                // Inherited, it would stand beside the file, and be another value.
                command.env_remove(name).env(format!("{name}_FILE"), folder.path().join(name));
            }
            Delivery::Environment => {
                let value = resolved.value.expose_secret();
                if value.contains(&0) {
                    let message = format!("`{name}` holds a null byte, which no environment can");
                    let hint = "give it to the program as a file: --files";
                    return Err(Stop::new(FailureKind::Refused, message).with_hint(hint));
                }
                command.env_remove(format!("{name}_FILE")).env(name, OsStr::from_bytes(value));
            }
        }
    }
    Ok(command)
}

fn not_run(arguments: &Run, error: &io::Error) -> Stop {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        io::ErrorKind::PermissionDenied => FailureKind::Denied,
        _ => FailureKind::Other,
    };
    let program = arguments.command.first().map(|program| program.as_bytes().to_vec()).unwrap_or_default();
    let program = plain(&OsString::from_vec(program).to_string_lossy());
    Stop::new(kind, format!("cannot run `{program}`: {error}"))
        .with_hint("name a program on the search path, or its path")
}

fn is_pristine(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| PRISTINE.contains(&name) || name.starts_with("LC_"))
}

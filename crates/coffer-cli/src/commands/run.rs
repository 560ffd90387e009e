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
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use coffer_resolver::{Credentials, Problem, Problems, Resolver, Watch, WatchOptions};
use coffer_wire_local::FailureKind;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::access::Place;
use crate::arguments::Run;
use crate::commands::wanted::{load, resolver, warn_of_stale};
use crate::failure::{Stop, with_causes};
use crate::output::{Output, plain};
use crate::scratch::ScratchFolder;
use crate::supervise::{Next, Supervisor};

/// What `--pristine` hands on besides the secrets.
const PRISTINE: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// When what could not be loaded is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// When it is seen at the latest that something could not be given to the program.
const UNDELIVERED_SEEN_AFTER: Duration = Duration::from_secs(5);

/// How the values get to the program.
enum Delivery {
    Environment,
    Files(ScratchFolder),
}

/// Becomes the program, or runs it until it ends and ends as it did.
pub(crate) fn run(place: &Place, arguments: &Run, output: Output) -> Result<(), Stop> {
    let resolver = Arc::new(resolver(place, &arguments.wanting)?);
    let credentials = load(&resolver, &arguments.wanting, output)?;
    if !arguments.watch && !arguments.files {
        let command = command(arguments, &Delivery::Environment, &credentials)?;
        return Err(not_run(arguments, &become_it(command)));
    }
    // Before there is a file that a signal could leave behind.
    let supervisor = Supervisor::catch()
        .map_err(|error| Stop::new(FailureKind::Other, format!("cannot catch signals: {error}")))?;
    let delivery = if arguments.files {
        let hint = "give the values in the environment: leave --files out";
        Delivery::Files(ScratchFolder::new("run", hint)?)
    } else {
        Delivery::Environment
    };
    let mut names = BTreeSet::new();
    deliver(&delivery, &credentials, &mut names)?;
    let first = command(arguments, &delivery, &credentials)?;
    let (sender, mut renewals) = mpsc::unbounded_channel::<Renewal>();
    let (undelivered, returned) = std::sync::mpsc::channel();
    if arguments.watch {
        let options = WatchOptions { poll: arguments.poll, ..WatchOptions::default() };
        let watch = Watch::following(Arc::clone(&resolver), options, &credentials);
        let follower = Follower { resolver, watch, delivered: Arc::new(credentials), returned, output };
        // It ends with this process, whatever a store keeps it waiting for.
        let thread = thread::Builder::new().name("coffer-watch".to_owned());
        thread
            .spawn(move || follower.follow(&sender))
            .map_err(|error| Stop::new(FailureKind::Other, format!("cannot look for changes: {error}")))?;
    }
    let mut warnings = Warnings { output, last: None };
    let on_renewal = |renewal: Renewal| {
        let renewed = deliver(&delivery, &renewal.credentials, &mut names)
            .and_then(|()| command(arguments, &delivery, &renewal.credentials));
        match renewed {
            Ok(command) => {
                warnings.last = None;
                let changed: Vec<String> = renewal.changed.iter().map(|name| format!("`{name}`")).collect();
                output.note(&format!("coffer: changed: {}", changed.join(", ")));
                match arguments.on_change {
                    Some(signal) => Next::Send(signal),
                    None => Next::Restart(Box::new(command)),
                }
            }
            Err(stop) => {
                warnings.goes_on(&stop);
                // Whoever follows ends with this process, and not before.
                let _ = undelivered.send(renewal.changed);
                Next::GoOn
            }
        }
    };
    match supervisor.run(first, arguments.grace, &mut renewals, on_renewal) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Stop::Ended(code)),
        Err(error) => Err(not_run(arguments, &error)),
    }
}

/// Only comes back if there is no such program.
fn become_it(mut command: Command) -> io::Error {
    command.exec()
}

/// Other values than the program has.
struct Renewal {
    credentials: Arc<Credentials>,
    changed: BTreeSet<String>,
}

/// Looks for changes, and loads what they are, beside whoever looks after the program: no slow store holds that up.
struct Follower {
    resolver: Arc<Resolver>,
    watch: Watch,
    /// What the program has, but for what is returned.
    delivered: Arc<Credentials>,
    /// Names whose new value could not be given to the program.
    returned: Receiver<BTreeSet<String>>,
    output: Output,
}

impl Follower {
    /// Until nobody takes renewals any more. What could not be loaded or given is tried again at each look.
    fn follow(mut self, renewals: &UnboundedSender<Renewal>) {
        let mut told = BTreeSet::new();
        let (mut is_due, mut undelivered) = (false, BTreeSet::new());
        while !renewals.is_closed() {
            let change = self.watch.wait(if is_due { AGAIN_AFTER } else { UNDELIVERED_SEEN_AFTER });
            let change = change.unwrap_or_default();
            for problem in &change.lost {
                told.remove(&with_causes(problem));
                self.goes_on(problem, &mut told);
            }
            undelivered.extend(self.returned.try_iter().flatten());
            is_due |= !change.changed.is_empty() || !undelivered.is_empty();
            if !is_due {
                continue;
            }
            match self.resolver.load() {
                Ok(credentials) => {
                    warn_of_stale(&credentials, self.output);
                    is_due = false;
                    told.clear();
                    let mut changed = differing(&self.delivered, &credentials);
                    changed.append(&mut undelivered);
                    self.delivered = Arc::new(credentials);
                    if !changed.is_empty() {
                        let credentials = Arc::clone(&self.delivered);
                        // Nobody takes it once the program has ended.
                        let _ = renewals.send(Renewal { credentials, changed });
                    }
                }
                Err(Problems(problems)) => {
                    problems.iter().for_each(|problem| self.goes_on(problem, &mut told));
                }
            }
        }
    }

    /// Says why the program has not got what is new, unless that is among what was told.
    fn goes_on(&self, problem: &Problem, told: &mut BTreeSet<String>) {
        let text = with_causes(problem);
        let id = problem.correlation_id().map(|id| format!(" (correlation id {id})")).unwrap_or_default();
        let (what, action) = (plain(&text), plain(&problem.action()));
        if told.insert(text) {
            self.output.warning(&format!("{what}{id}; the program goes on with what it has; {action}"));
        }
    }
}

/// The names whose value is not the same in both, or only in one.
fn differing(before: &Credentials, now: &Credentials) -> BTreeSet<String> {
    let is_same = |name: &str| match (before.get(name), now.get(name)) {
        (Some(before), Some(now)) => before.expose_secret() == now.expose_secret(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let names = before.iter().chain(now.iter()).map(|(name, _)| name);
    names.filter(|name| !is_same(name)).map(str::to_owned).collect()
}

/// Says why the program has not got what is new, once and not at each attempt.
struct Warnings {
    output: Output,
    last: Option<String>,
}

impl Warnings {
    fn goes_on(&mut self, stop: &Stop) {
        let Some((text, _)) = stop.texts() else { return };
        let text = text.to_string();
        if self.last.as_deref() != Some(&text) {
            self.output.warning(&format!("the program goes on with what it has: {text}"));
            self.last = Some(text);
        }
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

//! The `coffer` command: reads the arguments, runs one command, says why it stopped.
//!
//! I/O: all of it, in the modules below. Invariant: before a value is read, the process has shut out core dumps
//! and other processes.

use std::panic;
use std::process::ExitCode;
use std::rc::Rc;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};
use coffer_server::home::{Home, OpenOptions};
use coffer_wire_local::Failure;

use crate::access::Place;
use crate::arguments::{Arguments, Audit, Command};
use crate::failure::{Stop, with_causes};
use crate::output::Output;
use crate::passphrase::Passphrase;

mod access;
mod agent;
mod arguments;
mod commands;
mod export;
mod failure;
mod fault;
mod fields;
mod given;
mod import;
mod interrupt;
mod layout;
mod near;
mod output;
mod passphrase;
mod people;
mod profile;
mod progress;
mod scratch;
mod shell;
mod supervise;
mod terminal;
mod transport;
mod version;

/// The server's threads each answer whole requests, which glibc's allocator serves more slowly. Secrets are wiped by
/// their owners before they are given back, whatever allocator takes them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fault::tell_quietly(Output { json: asks_for_json() });
    // A fault has been told where it happened; to a script it is a failure like others.
    panic::catch_unwind(run_command).unwrap_or(ExitCode::FAILURE)
}

fn run_command() -> ExitCode {
    let hardened = coffer_crypto::process::harden_process();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_arguments(&without_environment(error)),
    };
    let output = Output { json: arguments.json };
    if let Err(error) = hardened {
        output.warning(&format!("this process's memory is not shut off: {}", with_causes(&error)));
    }
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            output.stop(&stop);
            ExitCode::from(stop.exit_code())
        }
    }
}

fn run(arguments: Arguments, output: Output) -> Result<(), Stop> {
    let home = Home::at(&arguments.home).map_err(Failure::from)?;
    let options = OpenOptions { sync: arguments.sync.unwrap_or_default(), ..OpenOptions::default() };
    let region = arguments.command.region().cloned();
    let passphrase = Rc::new(Passphrase::new(output));
    let place = Place { home, region, options, passphrase, output };
    let advised = |stop| near::advised(&place, stop).map_hint(|hint| place.exact(hint));
    run_at(&place, arguments.command, output).map_err(advised)
}

fn run_at(place: &Place, command: Command, output: Output) -> Result<(), Stop> {
    match command {
        Command::Up(arguments) => commands::up::up(place, &arguments, output),
        Command::Init(founding) => commands::init::init(place, &founding, output),
        Command::Serve(arguments) => commands::serve::serve(place, &arguments, output),
        Command::Import(arguments) => commands::value::import(place, &arguments, output),
        Command::Get(arguments) => commands::value::get(place, arguments, output),
        Command::Put(arguments) => commands::value::put(place, arguments, output),
        Command::List(list) => commands::list::list(place, &list.wanted, output),
        Command::Versions { name, scope: _ } => commands::list::versions(place, &name, output),
        Command::Describe(arguments) => commands::describe::describe(place, &arguments, output),
        Command::Diff(arguments) => commands::diff::diff(place, &arguments, output),
        Command::Rollback(arguments) => commands::diff::rollback(place, &arguments, output),
        Command::Edit(arguments) => commands::edit::edit(place, &arguments, output),
        Command::Tag(arguments) => commands::tag::tag(place, arguments, output),
        Command::Random(arguments) => commands::random::random(place, &arguments, output),
        Command::Delete(arguments) => commands::deletion::delete(place, &arguments, output),
        Command::Restore(arguments) => commands::deletion::restore(place, &arguments, output),
        Command::User { command } => commands::people::user(place, &command, output),
        Command::Group { command } => commands::people::group(place, &command, output),
        Command::Role { command } => commands::people::role(place, &command, output),
        Command::Provider { command } => commands::provider::provider(place, &command, output),
        Command::Key { command } => commands::key::key(place, &command, output),
        Command::WhoCan(arguments) => commands::who_can::who_can(place, &arguments, output),
        Command::WhoRead(arguments) => commands::who_read::who_read(place, &arguments, output),
        Command::Audit { command: Audit::Tail(arguments) } => {
            commands::audit::tail(place, &arguments, output)
        }
        Command::Audit { command: Audit::Show { id } } => commands::audit::show(place, &id, output),
        Command::Audit { command: Audit::Verify } => commands::audit::verify(place, output),
        Command::Policy { command } => commands::policy::policy(place, command, output),
        Command::Status => commands::status::status(place, output),
        Command::Backup(arguments) => commands::backup::backup(place, &arguments, output),
        Command::RestoreBackup(arguments) => commands::backup::restore(place, &arguments, output),
        Command::Agent(arguments) => commands::agent::agent(place, &arguments, output),
        Command::Run(arguments) => commands::run::run(place, &arguments, output),
        Command::Check(arguments) => commands::wanted::check(place, &arguments, output),
        Command::Explain(arguments) => commands::wanted::explain(place, &arguments, output),
        Command::Render(arguments) => commands::render::render(place, &arguments, output),
        Command::Export(arguments) => commands::wanted::export(place, &arguments, output),
        Command::Completions { shell } => commands::reference::completions(shell, output),
        Command::Man { out } => commands::reference::man(out.as_deref(), output),
        Command::Env(arguments) => commands::env::env(&place.home, &arguments, output),
    }
}

/// Whether `--json` is among the arguments, legal or not.
fn asks_for_json() -> bool {
    std::env::args_os().any(|argument| argument == "--json")
}

/// The same refusal, if there is one, as where no option stands in the environment: the usage that goes with it shows those that are
/// given as if they had to be.
fn without_environment(error: clap::Error) -> clap::Error {
    fn unset(command: clap::Command) -> clap::Command {
        command.mut_args(|argument| argument.env(Resettable::Reset)).mut_subcommands(unset)
    }
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error;
    }
    let again = unset(Arguments::command()).try_get_matches().err();
    again.filter(|again| again.kind() == error.kind()).unwrap_or(error)
}

/// Help and version are no refusals; the rest is wrong usage.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked_for && asks_for_json() {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        // Up to the first empty line: what is missing stands on lines of its own.
        let what: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let message = what.join(" ");
        let stop = Stop::Usage { message, hint: "see how it is used: coffer --help".into() };
        Output { json: true }.stop(&stop);
    } else {
        // A closed pipe ends quietly.
        let _ = error.print();
    }
    ExitCode::from(if asked_for { 0 } else { 2 })
}

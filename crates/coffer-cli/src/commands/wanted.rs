//! `check`, `explain` and `export`: an application's secrets.
//!
//! I/O: the resolver's. Invariant: a value goes to where `export` was told to print it, and nowhere else.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_resolver::providers::Coffer;
use coffer_resolver::{
    Answer, Credentials, ErrorKind, Fault, Manifest, ManifestError, Problem, Problems, Resolver,
    ResolverOptions, Surroundings, Walk,
};
use coffer_wire_local::FailureKind;
use serde::Serialize;

use crate::access::{Access, Place, correlation_id};
use crate::arguments::{Check, Explain, Export, HOME, Wanting};
use crate::export;
use crate::failure::{Stop, with_causes};
use crate::near;
use crate::output::{Output, counted, now, plain, stdout_is_terminal};
use crate::shell::{from_here, word};

/// `check --json` and `explain --json`.
#[derive(Serialize)]
struct Report {
    profile: String,
    chain: Vec<String>,
    secrets: Vec<Entry>,
}

/// One name, without its value.
#[derive(Serialize)]
struct Entry {
    name: String,
    /// `ok`, `stale`, `absent`, `missing`, `empty`, `malformed` or `failed`.
    state: &'static str,
    /// Where the value is, if it was found.
    place: Option<String>,
    /// How old it is, if it is older than it should be.
    stale_seconds: Option<u64>,
    /// That it should have been renewed, if it should.
    overdue: Option<String>,
    /// Who was asked, in order.
    asked: Vec<AskedEntry>,
    message: Option<String>,
    /// What the call that failed is known by, in the records of the store that was asked.
    correlation_id: Option<String>,
    action: Option<String>,
    description: Option<String>,
}

#[derive(Serialize)]
struct AskedEntry {
    place: String,
    /// `found`, `stale`, `not found`, or the kind of error.
    answer: &'static str,
}

/// Tells of every name whether it has a usable value, and what to do about those that have none.
pub(crate) fn check(place: &Place, arguments: &Check, output: Output) -> Result<(), Stop> {
    let resolver = resolver(place, &arguments.wanting)?;
    let mut problems = Vec::new();
    let walks = resolver.walk_all();
    for (_, walk) in &walks {
        problems.extend(walk.result.as_ref().err().map(|problem| (**problem).clone()));
    }
    let mut report = report(&resolver, walks);
    advise(place, &mut report);
    output.data(&report, |text| {
        for entry in &report.secrets {
            describe(text, entry)?;
        }
        Ok(())
    })?;
    warn_of_overdue(&report, output);
    if problems.is_empty() { Ok(()) } else { Err(stop(&Problems(problems), None)) }
}

/// Tells of each name which layer has it and which were asked.
pub(crate) fn explain(place: &Place, arguments: &Explain, output: Output) -> Result<(), Stop> {
    let resolver = resolver(place, &arguments.wanting)?;
    for name in &arguments.names {
        if resolver.manifest().need(name).is_none() {
            let message = format!("the manifest has no secret `{}`", plain(name));
            return Err(
                Stop::new(FailureKind::NotFound, message).with_hint("see all of them: `coffer explain`")
            );
        }
    }
    let mut walks = resolver.walk_all();
    if !arguments.names.is_empty() {
        walks.retain(|(name, _)| arguments.names.contains(name));
    }
    let report = report(&resolver, walks);
    output.data(&report, |text| {
        writeln!(text, "profile {}: {}", report.profile, plain(&report.chain.join(", ")))?;
        for entry in &report.secrets {
            writeln!(text, "{}: {}", entry.name, entry.state)?;
            for asked in &entry.asked {
                writeln!(text, "  {}: {}", plain(&asked.place), asked.answer)?;
            }
        }
        Ok(())
    })?;
    warn_of_overdue(&report, output);
    Ok(())
}

/// It works until somebody else's clock says otherwise, so it is worth a look and no error. In objects it stands with the name.
fn warn_of_overdue(report: &Report, output: Output) {
    for entry in report.secrets.iter().filter(|_| !output.json) {
        if let Some(overdue) = &entry.overdue {
            output.warning(&format!("`{}` {overdue}", entry.name));
        }
    }
}

/// Prints all values in a format.
pub(crate) fn export(place: &Place, arguments: &Export, output: Output) -> Result<(), Stop> {
    if stdout_is_terminal() && !arguments.show {
        return Err(Stop::Usage {
            message: "values are not printed to a terminal unasked".into(),
            hint: "add --show, or send them to a file or another program".into(),
        });
    }
    let resolver = resolver(place, &arguments.wanting)?;
    let credentials = load(&resolver, &arguments.wanting, output)?;
    let folder = resolver.manifest().folder().and_then(|folder| folder.canonicalize().ok());
    let of_folder = || folder.as_ref()?.file_name()?.to_str().map(export::k8s_name_of);
    let name = arguments.name.clone().or_else(of_folder).unwrap_or_else(|| "app".to_owned());
    let values = credentials.iter().map(|(name, resolved)| (name, resolved.value.expose_secret()));
    let text = export::export(arguments.format, &name, values)
        .map_err(|refusal| Stop::new(FailureKind::Refused, refusal.to_string()).with_hint(refusal.hint()))?;
    output.bytes(&text)
}

/// All values; what is stale is warned of.
pub(crate) fn load(resolver: &Resolver, wanting: &Wanting, output: Output) -> Result<Credentials, Stop> {
    let credentials = resolver.load().map_err(|problems| stop(&problems, Some(wanting)))?;
    warn_of_stale(&credentials, output);
    Ok(credentials)
}

/// Says what is older than it should be.
pub(crate) fn warn_of_stale(credentials: &Credentials, output: Output) {
    for (name, resolved) in credentials.iter() {
        if let Some(age) = resolved.stale {
            let age = counted(usize::try_from(age.as_secs()).unwrap_or(usize::MAX), "second");
            output.warning(&format!("`{name}` is {age} old: `{}` can't be asked", resolved.place));
        }
    }
}

/// The resolver of the manifest that is meant.
pub(crate) fn resolver(place: &Place, wanting: &Wanting) -> Result<Resolver, Stop> {
    let surroundings = surroundings()?;
    let manifest = manifest(wanting, &surroundings)?.ok_or_else(|| {
        Stop::new(FailureKind::NotFound, "there is no `coffer.toml` here or in a folder above").with_hint(
            "write one that names what the program needs, such as `[secrets.API_KEY]`; docs/resolver.md",
        )
    })?;
    resolver_of(place, wanting, manifest, surroundings, ResolverOptions::default())
}

/// The resolver of the manifest that is meant, if there is one; else of no names.
pub(crate) fn resolver_of_any(
    place: &Place,
    wanting: &Wanting,
    options: ResolverOptions,
) -> Result<Resolver, Stop> {
    let surroundings = surroundings()?;
    let manifest = manifest(wanting, &surroundings)?.unwrap_or_default();
    resolver_of(place, wanting, manifest, surroundings, options)
}

fn surroundings() -> Result<Surroundings, Stop> {
    Surroundings::of_process()
        .map_err(|error| Stop::new(FailureKind::Other, format!("there is no current folder: {error}")))
}

fn manifest(wanting: &Wanting, surroundings: &Surroundings) -> Result<Option<Manifest>, Stop> {
    let manifest = match &wanting.manifest {
        Some(path) => Some(Manifest::read(path, surroundings)),
        None => Manifest::find(surroundings).transpose(),
    };
    manifest.transpose().map_err(|error| unreadable(&error))
}

fn resolver_of(
    place: &Place,
    wanting: &Wanting,
    manifest: Manifest,
    surroundings: Surroundings,
    options: ResolverOptions,
) -> Result<Resolver, Stop> {
    let coffer = Coffer::new(store_of(place, manifest.folder()));
    let coffer = match std::env::current_exe() {
        Ok(program) => coffer.or_in_place(program),
        Err(_) => coffer,
    };
    let options = ResolverOptions {
        profile: wanting.profile.clone(),
        providers: vec![Arc::new(coffer)],
        id: correlation_id(),
        ..options
    };
    Resolver::new(manifest, surroundings, options).map_err(|unknown| {
        let hint = match unknown.known.as_slice() {
            [] => "the manifest has none".to_owned(),
            known => {
                let meant = near::did_you_mean(&unknown.name, known.iter().map(String::as_str));
                let meant = meant.map(|meant| format!("{meant} ")).unwrap_or_default();
                format!("{meant}the manifest has {}", known.join(", "))
            }
        };
        Stop::new(FailureKind::NotFound, plain(&unknown.to_string())).with_hint(hint)
    })
}

/// The folder of the store: beside the manifest if nothing says where, and none is here.
fn store_of(place: &Place, manifest: Option<&Path>) -> PathBuf {
    let home = place.home.path();
    let beside = manifest
        .filter(|_| from_here(home) == Path::new(HOME) && !home.exists())
        .map(|folder| folder.join(HOME));
    beside.filter(|beside| beside.exists()).unwrap_or_else(|| home.to_owned())
}

fn unreadable(error: &ManifestError) -> Stop {
    let (kind, hint) = match error {
        ManifestError::Read { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => (FailureKind::NotFound, "name a manifest that is there"),
            io::ErrorKind::PermissionDenied => {
                (FailureKind::Denied, "name a manifest that this user may read")
            }
            _ => (FailureKind::Refused, "name a manifest that can be read"),
        },
        ManifestError::TooLarge { .. } | ManifestError::Syntax { .. } | ManifestError::Entry { .. } => {
            (FailureKind::Refused, "correct it; docs/resolver.md says what a manifest says")
        }
    };
    let hint = match error.meant() {
        Some(meant) => format!("{meant} {hint}"),
        None => hint.to_owned(),
    };
    Stop::new(kind, with_causes(error)).with_hint(hint)
}

/// Why the command stops; and unless each was told already, what was wanted, to say how to read of each.
pub(crate) fn stop(problems: &Problems, untold: Option<&Wanting>) -> Stop {
    let kind = problems.0.first().map_or(FailureKind::Other, |problem| match problem.kind() {
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::Denied => FailureKind::Denied,
        ErrorKind::Throttled | ErrorKind::Unavailable => FailureKind::Unavailable,
        ErrorKind::Malformed | ErrorKind::Misconfigured => FailureKind::Refused,
        ErrorKind::DecryptionFailed => FailureKind::Verification,
    });
    match (untold, problems.0.as_slice()) {
        (None, _) => Stop::new(kind, problems.to_string()),
        // One is said outright.
        (Some(_), [problem]) => {
            let id = problem.correlation_id().map(|id| format!(" (correlation id {id})"));
            let message = with_causes(problem) + &id.unwrap_or_default();
            Stop::new(kind, message).with_hint(problem.action())
        }
        (Some(wanting), _) => {
            let hint = format!("see each, and what to do: `coffer check{}`", options_of(wanting));
            Stop::new(kind, problems.to_string()).with_hint(hint)
        }
    }
}

/// What was wanted, as it is typed.
fn options_of(wanting: &Wanting) -> String {
    let mut options = String::new();
    if let Some(profile) = &wanting.profile {
        options.extend([" --profile ", &word(profile)]);
    }
    if let Some(manifest) = &wanting.manifest {
        options.extend([" --manifest ", &word(&manifest.to_string_lossy())]);
    }
    options
}

fn report(resolver: &Resolver, walks: Vec<(String, Walk)>) -> Report {
    let entry = |(name, walk): (String, Walk)| entry(resolver, name, walk);
    Report {
        profile: resolver.profile().to_owned(),
        chain: resolver.chain().iter().map(ToString::to_string).collect(),
        secrets: walks.into_iter().map(entry).collect(),
    }
}

fn entry(resolver: &Resolver, name: String, walk: Walk) -> Entry {
    let asked = walk.asked.into_iter().map(|asked| AskedEntry {
        answer: match asked.answer {
            Answer::Found => "found",
            Answer::Stale(_) => "stale",
            Answer::NotFound => ErrorKind::NotFound.as_str(),
            Answer::Failed(kind) => kind.as_str(),
        },
        place: asked.place,
    });
    let description = resolver.manifest().need(&name).and_then(|need| need.description.clone());
    let asked = asked.collect();
    let need = resolver.manifest().need(&name);
    let overdue = walk.result.as_ref().ok().and_then(Option::as_ref);
    let overdue = overdue.and_then(|found| need?.overdue(&found.facts, now()));
    let bare = Entry {
        name,
        state: "absent",
        place: None,
        stale_seconds: None,
        overdue: None,
        asked,
        message: None,
        correlation_id: None,
        action: None,
        description,
    };
    match walk.result {
        Ok(None) => bare,
        Ok(Some(found)) => Entry {
            state: if found.stale.is_some() { "stale" } else { "ok" },
            place: Some(found.place),
            stale_seconds: found.stale.map(|age| age.as_secs()),
            overdue: overdue.map(|overdue| overdue.to_string()),
            ..bare
        },
        Err(problem) => Entry {
            state: state_of(&problem),
            message: Some(with_causes(&*problem)),
            correlation_id: problem.correlation_id().map(ToString::to_string),
            action: Some(problem.action()),
            ..bare
        },
    }
}

/// Says what is called almost as what is missing in the store, and each command as it is to be typed.
fn advise(place: &Place, report: &mut Report) {
    const SCHEME: &str = "coffer://";
    let mut names: Option<Vec<String>> = None;
    for entry in &mut report.secrets {
        let Some(action) = &mut entry.action else { continue };
        if entry.state == "missing" {
            let missing = entry.asked.iter().filter(|asked| asked.answer == ErrorKind::NotFound.as_str());
            for reference in missing.filter_map(|asked| asked.place.strip_prefix(SCHEME)) {
                let end = reference.find(['#', '?']).unwrap_or(reference.len());
                let (name, rest) = reference.split_at(end);
                let field = rest.rsplit_once('#').map(|(_, field)| field);
                // That the names can't be had is no reason to say less than is known.
                let known = names.get_or_insert_with(|| {
                    Access::of(place, "coffer check", near::secret_names).unwrap_or_default()
                });
                if known.is_empty() {
                    continue;
                }
                match (known.iter().any(|known| known == name), field) {
                    (true, Some(field)) => {
                        action.push_str(&format!("; secret `{name}` is there, without a field `{field}`"));
                    }
                    (true, None) => {}
                    (false, _) => {
                        let meant = near::did_you_mean(name, known.iter().map(String::as_str));
                        let meant =
                            meant.unwrap_or_else(|| "see what there is with `coffer list`".to_owned());
                        action.push_str(&format!("; there is no secret `{name}`: {meant}"));
                    }
                }
            }
        }
        *action = place.exact(action);
    }
}

fn state_of(problem: &Problem) -> &'static str {
    match problem.fault {
        Fault::Missing => "missing",
        Fault::Empty { .. } => "empty",
        Fault::Malformed { .. } => "malformed",
        Fault::Failed { .. } => "failed",
    }
}

/// A line for what is well, and a few for what is not.
fn describe(text: &mut String, entry: &Entry) -> std::fmt::Result {
    let Some(message) = &entry.message else {
        return match &entry.place {
            Some(place) => writeln!(text, "{:<9} {} from {}", entry.state, entry.name, plain(place)),
            None => writeln!(text, "{:<9} {}, which need not be there", entry.state, entry.name),
        };
    };
    write!(text, "{:<9} {}", entry.state, entry.name)?;
    if let Some(description) = &entry.description {
        write!(text, ", {}", plain(description))?;
    }
    writeln!(text, "\n{:<9}   {}", "", plain(message))?;
    let asked: Vec<String> =
        entry.asked.iter().map(|asked| format!("{} ({})", plain(&asked.place), asked.answer)).collect();
    if !asked.is_empty() {
        writeln!(text, "{:<9}   looked for in {}", "", asked.join(", "))?;
    }
    if let Some(id) = &entry.correlation_id {
        writeln!(text, "{:<9}   correlation id {id}", "")?;
    }
    match &entry.action {
        Some(action) => writeln!(text, "{:<9}   to do: {}", "", plain(action)),
        None => Ok(()),
    }
}

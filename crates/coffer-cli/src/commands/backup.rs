//! `backup`, `backup verify` and `restore-backup`.

mod draft;
mod progress;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use coffer_core::backup::{AccessKeyFacts, Contents, Header, Totals, Undone};
use coffer_server::home::{CheckedBackup, HomeError, RestoreOptions, Restored, check_backup, data_dir};
use coffer_server::{RuntimeSpawn, local};
use coffer_types::{AccountId, Region};
use coffer_wire_local::{BegunBackup, EndedBackup, Failure, FailureKind};
use serde::Serialize;

use self::draft::Draft;
use self::progress::{Progress, amount};
use crate::access::{Access, PROGRAM, Place, call_failed, correlation_id, runtime, unexpected};
use crate::arguments::{Backup, BackupCommand, RestoreBackup};
use crate::failure::{Stop, with_causes};
use crate::output::{Output, counted, stdout_is_terminal, table};
use crate::shell;

/// Most names of one kind that are printed to people.
const SHOWN_MAX: usize = 20;
/// Names standard output, or standard input.
const STANDARD: &str = "-";

/// `backup --json`.
#[derive(Serialize)]
struct BackupObject {
    file: String,
    store_id: String,
    revision: u64,
    time: String,
    audit_sequence: u64,
    records: u64,
    bytes: u64,
    hash: String,
    /// The file without which nobody can restore it.
    root_key: Option<String>,
}

pub(crate) fn backup(place: &Place, arguments: &Backup, output: Output) -> Result<(), Stop> {
    match (&arguments.command, &arguments.file) {
        (Some(BackupCommand::Verify { file, log }), _) => verify(place, file, log.as_deref(), output),
        (None, Some(file)) if file.as_os_str() == STANDARD => back_up_to_stdout(place, output),
        (None, Some(file)) => back_up_to(place, file, arguments.force, output),
        (None, None) => Err(Stop::Usage {
            message: "there is no file to write to".to_owned(),
            hint: "name one: coffer backup FILE, or - for standard output".to_owned(),
        }),
    }
}

fn back_up_to(place: &Place, file: &Path, force: bool, output: Output) -> Result<(), Stop> {
    let mut draft = Draft::make(file, force)?;
    let (begun, ended) = take(place, output, |bytes| draft.write(bytes))
        .map_err(|taking| taking.into_stop(|error| cannot_write(&file.display().to_string(), error)))?;
    let file = draft.publish()?.display().to_string();
    let facts = place.home.facts(&data_dir().map_err(Failure::from)?).map_err(Failure::from)?;
    let BegunBackup { store_id, revision, time, audit_sequence } = begun;
    let EndedBackup { records, bytes, hash } = ended;
    let root_key = facts.key_file.map(|path| path.display().to_string());
    let time = time.to_string();
    let object =
        BackupObject { file, store_id, revision, time, audit_sequence, records, bytes, hash, root_key };
    output.data(&object, |text| {
        let (records, bytes) = (count(object.records, "record"), amount(object.bytes));
        writeln!(text, "backed up to {}: revision {}, {records}, {bytes}", object.file, object.revision)?;
        match &object.root_key {
            Some(path) => {
                writeln!(text, "restoring takes the key file too: {path} (keep a copy of it elsewhere)")
            }
            None => writeln!(text, "restoring takes your passphrase too"),
        }
    })
}

fn back_up_to_stdout(place: &Place, output: Output) -> Result<(), Stop> {
    if stdout_is_terminal() {
        return Err(Stop::Usage {
            message: "a backup is not for a terminal".to_owned(),
            hint: "name a file, or pipe it on: coffer backup - | ssh host 'cat > backup'".to_owned(),
        });
    }
    let taken = take(place, output, |bytes| {
        use io::Write as _;
        io::stdout().lock().write_all(bytes)
    });
    let (begun, ended) = taken.map_err(|taking| taking.into_stop(Stop::from))?;
    let (records, bytes) = (count(ended.records, "record"), amount(ended.bytes));
    output.note(&format!("backed up: revision {}, {records}, {bytes}", begun.revision));
    Ok(())
}

/// Why a backup was not taken.
enum Taking {
    /// It could not be had.
    Had(Stop),
    /// It could not be kept.
    Kept(io::Error),
}

impl Taking {
    fn into_stop(self, kept: impl FnOnce(io::Error) -> Stop) -> Stop {
        match self {
            Self::Had(stop) => stop,
            Self::Kept(error) => kept(error),
        }
    }
}

impl<T: Into<Stop>> From<T> for Taking {
    fn from(stop: T) -> Self {
        Self::Had(stop.into())
    }
}

/// Takes a backup, from the running server or in place, and has each piece of it kept.
fn take(
    place: &Place,
    output: Output,
    mut keep: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(BegunBackup, EndedBackup), Taking> {
    let mut access = Access::to(place, "coffer backup")?;
    let mut progress = Progress::new("backing up:", None, output);
    let mut kept = 0;
    let keep = |bytes: &[u8]| {
        keep(bytes)?;
        kept += bytes.len() as u64;
        progress.at(kept);
        Ok(())
    };
    let taken = match &mut access {
        Access::Socket(client) => client.backup(|_| (), keep).map_err(|error| match error {
            coffer_wire_local::BackupError::Call(error) => Taking::Had(call_failed(error)),
            coffer_wire_local::BackupError::Unexpected => Taking::Had(unexpected()),
            coffer_wire_local::BackupError::Write(error) => Taking::Kept(error),
        }),
        Access::InPlace(store) => store.runtime.block_on(take_in_place(&store.opened.core, place, keep)),
    };
    let closed = access.close();
    let taken = taken?;
    closed?;
    Ok(taken)
}

async fn take_in_place(
    core: &coffer_core::Core,
    place: &Place,
    mut keep: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(BegunBackup, EndedBackup), Taking> {
    let context = local::authenticate_self(core, PROGRAM, None, correlation_id()).await?;
    let mut stream = local::backup(core, &context, &place.home).await?;
    let begun = local::beginning_of(&stream);
    while let Some(piece) = local::next_piece(&mut stream).await? {
        if let Err(error) = keep(&piece) {
            local::abandon(stream).await?;
            return Err(Taking::Kept(error));
        }
    }
    Ok((begun, local::end_of(&stream.totals())))
}

fn cannot_write(file: &str, error: io::Error) -> Stop {
    Stop::new(FailureKind::Other, format!("cannot write `{file}`: {error}"))
}

/// What is read: a file or standard input, and how much there is of it.
fn open(file: &Path) -> Result<(Box<dyn Read>, Option<u64>), Stop> {
    if file.as_os_str() == STANDARD {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let opened = File::open(file).map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FailureKind::NotFound,
            io::ErrorKind::PermissionDenied => FailureKind::Denied,
            _ => FailureKind::Other,
        };
        Stop::new(kind, format!("cannot open `{}`: {error}", file.display()))
    })?;
    let bytes = opened.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    Ok((Box::new(opened), bytes))
}

/// What a backup is, wherever an object tells it.
#[derive(Serialize)]
struct Facts {
    store_id: String,
    account: AccountId,
    region: Region,
    revision: u64,
    time: String,
    records: u64,
    bytes: u64,
    hash: String,
    /// The old audit log belongs to the backup up to here.
    audit_head: AuditHead,
    signed_by: String,
}

#[derive(Serialize)]
struct AuditHead {
    sequence: u64,
    hash: String,
}

impl Facts {
    fn new(header: &Header, totals: &Totals) -> Self {
        let head = header.audit.head;
        Self {
            store_id: header.store_id.to_string(),
            account: header.account,
            region: header.region.clone(),
            revision: header.revision,
            time: header.time.to_string(),
            records: totals.entries,
            bytes: totals.bytes,
            hash: hex(&totals.hash),
            audit_head: AuditHead { sequence: head.sequence, hash: hex(&head.hash) },
            signed_by: header.public_key.to_string(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `backup verify --json`.
#[derive(Serialize)]
struct VerifyObject {
    file: String,
    #[serde(flatten)]
    facts: Facts,
    /// `null` without the root key.
    contents: Option<ContentsObject>,
    /// Why the records were not opened.
    unchecked: Option<String>,
    /// How many records of the old log were checked, if it was given.
    log_records: Option<u64>,
}

#[derive(Serialize)]
struct ContentsObject {
    secrets: u64,
    versions: u64,
    users: u64,
    access_keys: usize,
    undrained_records: u64,
    unknown_records: u64,
}

fn verify(place: &Place, file: &Path, log: Option<&Path>, output: Output) -> Result<(), Stop> {
    let (source, bytes) = open(file)?;
    let data_dir = data_dir().map_err(Failure::from)?;
    let mut progress = Progress::new("checking:", bytes, output);
    let checked = check_backup(source, &data_dir, || place.passphrase(), log, |bytes| progress.at(bytes));
    drop(progress);
    let CheckedBackup { header, totals, contents, log } = checked.map_err(Failure::from)?;
    if let Ok(contents) = &contents
        && contents.fault_count > 0
    {
        return Err(tell_faults(contents, output));
    }
    let object = VerifyObject {
        file: file.display().to_string(),
        facts: Facts::new(&header, &totals),
        contents: contents.as_ref().ok().map(|contents| ContentsObject {
            secrets: contents.secrets,
            versions: contents.versions,
            users: contents.users,
            access_keys: contents.access_keys.len(),
            undrained_records: contents.outbox,
            unknown_records: contents.unknown,
        }),
        unchecked: contents.as_ref().err().map(why_unchecked),
        log_records: log.map(|log| log.records),
    };
    output.data(&object, |text| object.describe(text))?;
    if let Some(why) = &object.unchecked {
        output.warning(&format!(
            "whether its records open, and whether the signature is the store's own, was not checked: {why}"
        ));
    }
    if let Some(contents @ ContentsObject { unknown_records: 1.., .. }) = &object.contents {
        let unknown = count(contents.unknown_records, "record");
        output.warning(&format!(
            "{unknown} of kinds that this coffer does not know: use a newer coffer to check them"
        ));
    }
    Ok(())
}

fn why_unchecked(error: &HomeError) -> String {
    with_causes(error)
}

fn tell_faults(contents: &Contents, output: Output) -> Stop {
    contents.faults.iter().for_each(|fault| output.warning(fault));
    let message = match contents.fault_count {
        1 => "the backup is what the store was, and the store was not whole: 1 fault".to_owned(),
        faults => format!("the backup is what the store was, and the store was not whole: {faults} faults"),
    };
    Stop::new(FailureKind::Verification, message)
        .with_hint("take an earlier backup, or restore this one and put right what is named above")
}

impl VerifyObject {
    fn describe(&self, text: &mut String) -> std::fmt::Result {
        let Facts { store_id, revision, time, records, bytes, audit_head, signed_by, .. } = &self.facts;
        writeln!(text, "the backup is whole: {}, {}", count(*records, "record"), amount(*bytes))?;
        writeln!(text, "store      {store_id}, revision {revision}, taken {time}")?;
        if let Some(contents) = &self.contents {
            let (secrets, versions) =
                (count(contents.secrets, "secret"), count(contents.versions, "version"));
            let (users, keys) = (count(contents.users, "user"), counted(contents.access_keys, "access key"));
            writeln!(text, "holds      {secrets}, {versions}, {users}, {keys}; all open")?;
        }
        writeln!(text, "audit log  up to record {}, head {}", audit_head.sequence, audit_head.hash)?;
        if let Some(records) = self.log_records {
            writeln!(text, "           is whole where it was looked at: {}", count(records, "record"))?;
        }
        writeln!(text, "signed by  {signed_by}")
    }
}

/// `restore-backup --json`.
#[derive(Serialize)]
struct RestoreObject {
    home: String,
    backup: Facts,
    secrets: u64,
    versions: u64,
    access_keys: Vec<AccessKeyObject>,
    undone: Option<UndoneObject>,
    fault_count: u64,
    faults: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct AccessKeyObject {
    id: String,
    user: String,
    created: String,
}

#[derive(Serialize)]
struct UndoneObject {
    access_keys: Vec<AccessKeyObject>,
    users: Vec<String>,
    groups: Vec<String>,
    roles: Vec<String>,
    policies: Vec<String>,
    providers: Vec<String>,
    secrets: Vec<SecretObject>,
    secret_count: u64,
    older_secrets: u64,
    lost_secrets: u64,
    lost_access_keys: u64,
    lost_access: u64,
}

#[derive(Serialize)]
struct SecretObject {
    name: String,
    region: String,
}

impl From<&AccessKeyFacts> for AccessKeyObject {
    fn from(key: &AccessKeyFacts) -> Self {
        Self { id: key.id.clone(), user: key.user.clone(), created: key.created.to_string() }
    }
}

impl From<&Undone> for UndoneObject {
    fn from(undone: &Undone) -> Self {
        Self {
            access_keys: undone.access_keys.iter().map(AccessKeyObject::from).collect(),
            users: undone.users.clone(),
            groups: undone.groups.clone(),
            roles: undone.roles.clone(),
            policies: undone.policies.clone(),
            providers: undone.providers.clone(),
            secrets: undone
                .secrets
                .iter()
                .map(|(region, name)| SecretObject { name: name.to_string(), region: region.to_string() })
                .collect(),
            secret_count: undone.secret_count,
            older_secrets: undone.older_secrets,
            lost_secrets: undone.lost_secrets,
            lost_access_keys: undone.lost_access_keys,
            lost_access: undone.lost_access,
        }
    }
}

pub(crate) fn restore(place: &Place, arguments: &RestoreBackup, output: Output) -> Result<(), Stop> {
    let home = &place.home;
    if home.exists() {
        let message = format!("there is a store in `{}` already", home.path().display());
        return Err(Stop::new(FailureKind::Conflict, message).with_hint(
            "move its folder aside and restore with --replacing that folder, or name another with --home",
        ));
    }
    let (source, bytes) = open(&arguments.file)?;
    let options = RestoreOptions {
        data_dir: data_dir().map_err(Failure::from)?,
        sync: place.options.sync,
        replacing: arguments.replacing.clone(),
        keep_access: arguments.keep_access,
        program: PROGRAM.to_owned(),
    };
    let mut progress = Progress::new("restoring:", bytes, output);
    let restored = runtime()?.block_on(async {
        let spawn = Arc::new(RuntimeSpawn::here());
        home.restore(source, &options, || place.passphrase(), spawn, |bytes| progress.at(bytes)).await
    });
    drop(progress);
    let restored = restored.map_err(Failure::from)?;
    let object = RestoreObject::new(place, &restored);
    output.data(&object, |text| object.describe(text))?;
    object.warnings.iter().chain(&object.faults).for_each(|warning| output.warning(warning));
    Ok(())
}

impl RestoreObject {
    fn new(place: &Place, restored: &Restored) -> Self {
        let Restored { header, totals, contents, undone, missing_credentials, missing_authority } = restored;
        let mut warnings = Vec::new();
        if let Some(path) = missing_credentials {
            warnings.push(format!(
                "`coffer env` has no access key to print: there is no `{}`; copy it from where the store was",
                path.display()
            ));
        }
        if let Some(path) = missing_authority {
            warnings.push(format!(
                "the certificate authority that clients trust has no key here: there is no `{}`; copy it from where the store was before it is served with TLS, which else makes another, and clients have to be given its `tls/ca.pem`",
                path.display()
            ));
        }
        if let Some(undone) = undone {
            warn_of(undone, &mut warnings);
        }
        Self {
            home: place.home.path().display().to_string(),
            backup: Facts::new(header, totals),
            secrets: contents.secrets,
            versions: contents.versions,
            access_keys: contents.access_keys.iter().map(AccessKeyObject::from).collect(),
            undone: undone.as_ref().map(UndoneObject::from),
            fault_count: contents.fault_count,
            faults: contents.faults.clone(),
            warnings,
        }
    }

    fn describe(&self, text: &mut String) -> std::fmt::Result {
        let Facts { store_id, revision, time, audit_head, .. } = &self.backup;
        let (secrets, versions) = (count(self.secrets, "secret"), count(self.versions, "version"));
        writeln!(text, "restored store {store_id} to {}: {secrets}, {versions}", self.home)?;
        writeln!(text, "it is as it was at {time}, revision {revision}")?;
        writeln!(
            text,
            "its audit log begins anew; the old log tells what came before, up to record {}",
            audit_head.sequence
        )?;
        writeln!(text, "these access keys are good:")?;
        let rows = self.access_keys.iter().take(SHOWN_MAX);
        let rows = rows.map(|key| vec![key.id.clone(), key.user.clone(), key.created.clone()]);
        text.push_str(&table(&["Access key", "User", "Made"], rows));
        if self.access_keys.len() > SHOWN_MAX {
            writeln!(text, "and {} more", self.access_keys.len() - SHOWN_MAX)?;
        }
        writeln!(text, "next: {}", shell::command(Path::new(&self.home), "serve"))
    }
}

/// What the operator has to know of a step back.
fn warn_of(undone: &Undone, warnings: &mut Vec<String>) {
    let again = "to have users, roles, policies and access keys as they are in the replaced store, remove the new folder and restore again with --keep-access";
    if !undone.access_keys.is_empty() {
        let keys: Vec<_> =
            undone.access_keys.iter().map(|key| format!("{} ({})", key.id, key.user)).collect();
        warnings.push(format!(
            "removed or deactivated after the backup and good again: access keys {}; {again}",
            listed(&keys)
        ));
    }
    let changed: Vec<_> = [
        ("users", &undone.users),
        ("groups", &undone.groups),
        ("roles", &undone.roles),
        ("policies", &undone.policies),
        ("identity providers", &undone.providers),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(kind, names)| format!("{kind} {}", listed(names)))
    .collect();
    if !changed.is_empty() {
        warnings.push(format!(
            "removed or changed after the backup and again as they were: {}; {again}",
            changed.join("; ")
        ));
    }
    if undone.secret_count > 0 {
        let names: Vec<_> = undone.secrets.iter().map(|(_, name)| name.to_string()).collect();
        warnings.push(format!(
            "deleted after the backup and back again: {} {}; delete them again with `coffer delete`",
            count(undone.secret_count, "secret"),
            listed(&names)
        ));
    }
    if undone.lost_secrets + undone.older_secrets + undone.lost_access_keys + undone.lost_access > 0 {
        let access = match undone.lost_access {
            0 => String::new(),
            number => format!(", {number} users, groups, roles, policies or identity providers"),
        };
        warnings.push(format!(
            "not in the backup: {}{access} and {} made after it, and later changes of {}",
            count(undone.lost_secrets, "secret"),
            count(undone.lost_access_keys, "access key"),
            count(undone.older_secrets, "secret")
        ));
    }
    if let Some(signed) = undone.older_than_backup {
        warnings.push(format!(
            "the replaced store last signed its audit log at {signed}, before the backup: it does not tell what was undone"
        ));
    }
}

fn listed(names: &[String]) -> String {
    let mut text =
        names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX {
        let _ = write!(text, " and {} more", names.len() - SHOWN_MAX);
    }
    text
}

fn count(number: u64, noun: &str) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

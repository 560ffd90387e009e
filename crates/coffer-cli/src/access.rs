//! The two ways in: the store's own lock decides. Free, the store is opened in place; held, the socket of the
//! running server is used. Requests and answers are the same, so a command does not know which it got.
//!
//! I/O: the store's folder or a Unix socket.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coffer_core::Core;
use coffer_server::home::{Home, HomeError, OpenOptions, Opened, WayIn, data_dir};
use coffer_server::{RuntimeSpawn, local};
use coffer_types::{
    CorrelationId, Filter, Region, SecretBytes, SecretName, SecretValue, Stage, Tag, VersionId,
};
use coffer_wire_local::{
    AuditVerification, CallError, Client, DeletedSecret, DeletionMode, Failure, FailureKind, FrameError,
    PutVersion, ReadValue, Reads, RecordFilter, Request, Response, SecretDescription, Status,
    VersionDescription, WireValue,
};
use tokio::runtime::Runtime;

use crate::arguments::{LimitArguments, PasswordOptions};
use crate::failure::{Stop, with_causes};
use crate::output::Output;
use crate::passphrase::Passphrase;
use crate::progress::Progress;
use crate::shell;

/// What the record calls this program.
pub(crate) const PROGRAM: &str = concat!("coffer/", env!("CARGO_PKG_VERSION"));
/// What is shown of a check of the audit log.
const CHECKING: &str = "checking the audit log";
/// How the seal of a passphrase is called.
const PASSPHRASE_SEAL: &str = "passphrase";
/// How long a store held by another command is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// The store a command is about, and how it is opened if nobody serves it.
pub(crate) struct Place {
    pub(crate) home: Home,
    /// The region to work in; the store's if none.
    pub(crate) region: Option<Region>,
    pub(crate) options: OpenOptions,
    /// What opens it, if that is a passphrase.
    pub(crate) passphrase: Rc<Passphrase>,
    /// Where is told what takes its time.
    pub(crate) output: Output,
}

impl Place {
    /// The same store, opened although its audit log has lost records if `accept` is set.
    pub(crate) fn accepting_audit_loss(&self, accept: bool) -> Self {
        self.opened_with(OpenOptions { accept_audit_loss: accept, ..self.options })
    }

    /// The text with each command in it as it is to be called from here.
    pub(crate) fn exact(&self, text: &str) -> String {
        shell::exact(text, self.home.path(), self.region.as_ref())
    }

    /// Asks for the passphrase, if it takes one to open the store, before anything is under way.
    fn ask_passphrase(&self, data_dir: &Path) -> Result<(), Stop> {
        let seal = self.home.facts(data_dir).map_err(Failure::from)?.seal;
        if seal == PASSPHRASE_SEAL { self.passphrase.get().map(drop) } else { Ok(()) }
    }

    /// The passphrase for whoever opens the store. Why there is none comes back as that failure.
    pub(crate) fn passphrase(&self) -> io::Result<SecretBytes> {
        self.passphrase.get().map_err(|stop| match stop {
            Stop::Failure(failure) => io::Error::other(failure),
            Stop::Usage { message, .. } => io::Error::other(message),
            Stop::ClosedPipe | Stop::Ended(_) => io::ErrorKind::Other.into(),
        })
    }

    /// The same store, opened to be served within limits.
    pub(crate) fn limited(&self, limits: &LimitArguments) -> Self {
        let cache = limits.cache_size.unwrap_or_default();
        self.opened_with(OpenOptions { rate_limit: limits.rate_limit, cache, ..self.options })
    }

    /// The same store, to work in another region if one is named.
    pub(crate) fn in_region(&self, region: Option<Region>) -> Self {
        Self { region: region.or_else(|| self.region.clone()), ..self.opened_with(self.options) }
    }

    fn opened_with(&self, options: OpenOptions) -> Self {
        Self {
            home: self.home.clone(),
            region: self.region.clone(),
            options,
            passphrase: Rc::clone(&self.passphrase),
            output: self.output,
        }
    }

    fn way_in(&self, command: &str) -> Result<WayIn, Stop> {
        let _progress = Progress::begin(self.output, "waiting for the store");
        Ok(self
            .home
            .way_in(command, self.region.as_ref(), correlation_id().as_ref(), LOCK_WAIT_MAX)
            .map_err(Failure::from)?)
    }
}

/// A way to the store.
pub(crate) enum Access {
    /// Over the socket of a running server.
    Socket(Client),
    /// In this process.
    InPlace(InPlace),
}

/// A store opened by this process, and the runtime its work runs on.
pub(crate) struct InPlace {
    pub(crate) runtime: Runtime,
    pub(crate) opened: Opened,
    region: Option<Region>,
}

impl Access {
    /// Opens the store, or connects to the server that holds it. `command` is what others are told of this
    /// process while it holds the store.
    pub(crate) fn to(place: &Place, command: &str) -> Result<Self, Stop> {
        match place.way_in(command)? {
            WayIn::Server(client) => Ok(Self::Socket(client)),
            WayIn::InPlace(lock) => {
                let runtime = runtime()?;
                let data_dir = data_dir().map_err(Failure::from)?;
                place.ask_passphrase(&data_dir)?;
                let _progress = Progress::begin(place.output, "opening the store");
                let opened = runtime
                    .block_on(async {
                        let spawn = Arc::new(RuntimeSpawn::here());
                        place.home.open(lock, &data_dir, || place.passphrase(), place.options, spawn).await
                    })
                    .map_err(Failure::from)?;
                Ok(Self::InPlace(InPlace { runtime, opened, region: place.region.clone() }))
            }
        }
    }

    /// What `ask` gets of the store, which is left in order whatever that is.
    pub(crate) fn of<T>(
        place: &Place,
        command: &str,
        ask: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let mut access = Self::to(place, command)?;
        let answer = ask(&mut access);
        access.close()?;
        answer
    }

    /// Checks the audit chain, which is recorded like everything else. Where the log keeps the store from opening it is
    /// only read, and the answer says what is wrong with it.
    pub(crate) fn verify_audit(place: &Place) -> Result<AuditVerification, Stop> {
        const COMMAND: &str = "coffer audit verify";
        let mut access = match Self::to(place, COMMAND) {
            Err(stop) if stop.exit_code() == FailureKind::Verification.exit_code() => {
                return Self::verify_unopened(place, COMMAND);
            }
            access => access?,
        };
        let progress = Progress::begin(place.output, CHECKING);
        let verified = access.call(Request::VerifyAudit {});
        drop(progress);
        access.close()?;
        match verified? {
            Response::VerifyAudit(verification) => Ok(verification),
            _ => Err(unexpected()),
        }
    }

    fn verify_unopened(place: &Place, command: &str) -> Result<AuditVerification, Stop> {
        match place.way_in(command)? {
            // Somebody has got the store open in the meantime, so its log is whole enough to ask again.
            WayIn::Server(_) => Self::verify_audit(place),
            WayIn::InPlace(lock) => {
                let data_dir = data_dir().map_err(Failure::from)?;
                place.ask_passphrase(&data_dir)?;
                let _progress = Progress::begin(place.output, CHECKING);
                let verified = async {
                    let verified = place.home.verify_audit(lock, &data_dir, || place.passphrase()).await?;
                    Ok::<_, HomeError>(local::verification_of(&verified))
                };
                Ok(runtime()?.block_on(verified).map_err(Failure::from)?)
            }
        }
    }

    /// Whether a server answers.
    pub(crate) fn server(&self) -> Option<&Client> {
        match self {
            Self::Socket(client) => Some(client),
            Self::InPlace(_) => None,
        }
    }

    /// Leaves the store in order. What was acknowledged is safe without it.
    pub(crate) fn close(self) -> Result<(), Stop> {
        match self {
            Self::Socket(_) => Ok(()),
            Self::InPlace(InPlace { runtime, opened, region: _ }) => {
                Ok(runtime.block_on(opened.close()).map_err(Failure::from)?)
            }
        }
    }

    pub(crate) fn call(&mut self, request: Request) -> Result<Response, Stop> {
        match self {
            Self::Socket(client) => client.call(&request).map_err(call_failed),
            Self::InPlace(InPlace { runtime, opened, region }) => {
                Ok(runtime.block_on(serve_in_place(&opened.core, region.clone(), request))?)
            }
        }
    }

    /// Reads a value.
    pub(crate) fn get(
        &mut self,
        secret_id: &str,
        version_id: Option<VersionId>,
        stage: Option<Stage>,
    ) -> Result<ReadValue, Stop> {
        match self.call(Request::GetSecretValue { secret_id: secret_id.to_owned(), version_id, stage })? {
            Response::GetSecretValue(value) => Ok(value),
            _ => Err(unexpected()),
        }
    }

    /// Writes a new version and makes it current.
    pub(crate) fn put(&mut self, secret_id: &str, value: WireValue) -> Result<PutVersion, Stop> {
        self.put_with(secret_id, value, None)
    }

    fn put_with(
        &mut self,
        secret_id: &str,
        value: WireValue,
        stages: Option<Vec<Stage>>,
    ) -> Result<PutVersion, Stop> {
        let secret_id = secret_id.to_owned();
        match self.call(Request::PutSecretValue { secret_id, token: None, value, stages })? {
            Response::PutSecretValue(version) => Ok(version),
            _ => Err(unexpected()),
        }
    }

    /// Writes a new version and makes it current if `seen` is still the version that was, `None` being a secret
    /// without a value. Otherwise the new version stays, without a label, and the command ends with a conflict.
    pub(crate) fn put_in_place_of(
        &mut self,
        secret_id: &str,
        seen: Option<&VersionId>,
        value: WireValue,
    ) -> Result<VersionId, Stop> {
        let written = self.put_with(secret_id, value, Some(Vec::new()))?;
        // A secret's first version is current without being asked to be.
        if written.stages.iter().any(|stage| stage.as_str() == Stage::CURRENT) {
            return Ok(written.version_id);
        }
        let id = &written.version_id;
        let changed = || {
            let message = format!(
                "secret `{secret_id}` was changed by others meanwhile; what was to be written is kept as version `{id}`, which is not current"
            );
            Stop::new(FailureKind::Conflict, message).with_hint(format!(
                "see what differs with `coffer diff {secret_id} current {id}`; make it current with `coffer rollback {secret_id} --to {id}`"
            ))
        };
        let Some(seen) = seen else { return Err(changed()) };
        match self.move_current(secret_id, seen, id) {
            Ok(()) => Ok(written.version_id),
            Err(Stop::Failure(failure)) if failure.kind == FailureKind::Conflict => Err(changed()),
            Err(stop) => Err(stop),
        }
    }

    /// Makes the version `to` current; a conflict if it is not `from` that was.
    pub(crate) fn move_current(
        &mut self,
        secret_id: &str,
        from: &VersionId,
        to: &VersionId,
    ) -> Result<(), Stop> {
        let request = Request::UpdateSecretVersionStage {
            secret_id: secret_id.to_owned(),
            stage: Stage::current(),
            remove_from: Some(from.clone()),
            move_to: Some(to.clone()),
        };
        match self.call(request)? {
            Response::UpdateSecretVersionStage { .. } => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Everything of a secret but its value.
    pub(crate) fn describe(&mut self, secret_id: &str) -> Result<SecretDescription, Stop> {
        match self.call(Request::DescribeSecret { secret_id: secret_id.to_owned() })? {
            Response::DescribeSecret(description) => Ok(description),
            _ => Err(unexpected()),
        }
    }

    /// Deletes a secret, or schedules that.
    pub(crate) fn delete(&mut self, secret_id: &str, mode: DeletionMode) -> Result<DeletedSecret, Stop> {
        match self.call(Request::DeleteSecret { secret_id: secret_id.to_owned(), mode })? {
            Response::DeleteSecret(deleted) => Ok(deleted),
            _ => Err(unexpected()),
        }
    }

    /// Attaches tags, in the place of those with the same keys.
    pub(crate) fn tag(&mut self, secret_id: &str, tags: Vec<Tag>) -> Result<(), Stop> {
        match self.call(Request::TagResource { secret_id: secret_id.to_owned(), tags })? {
            Response::TagResource { .. } => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Removes tags by their keys.
    pub(crate) fn untag(&mut self, secret_id: &str, tag_keys: Vec<String>) -> Result<(), Stop> {
        match self.call(Request::UntagResource { secret_id: secret_id.to_owned(), tag_keys })? {
            Response::UntagResource { .. } => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// A password that is kept nowhere.
    pub(crate) fn random_password(&mut self, options: &PasswordOptions) -> Result<SecretBytes, Stop> {
        let request = Request::GetRandomPassword {
            length: options.length,
            exclude_characters: options.exclude.clone().unwrap_or_default(),
            exclude_numbers: options.no_numbers,
            exclude_punctuation: options.no_punctuation,
            exclude_uppercase: options.no_uppercase,
            exclude_lowercase: options.no_lowercase,
            include_space: options.include_space,
            any_types: options.any_types,
        };
        match self.call(request)? {
            Response::GetRandomPassword { password: WireValue(SecretValue::String(password)) } => {
                Ok(password)
            }
            _ => Err(unexpected()),
        }
    }

    /// Takes back a scheduled deletion; the secret's ARN.
    pub(crate) fn restore(&mut self, secret_id: &str) -> Result<String, Stop> {
        match self.call(Request::RestoreSecret { secret_id: secret_id.to_owned() })? {
            Response::RestoreSecret { arn } => Ok(arn),
            _ => Err(unexpected()),
        }
    }

    /// Writes a new version, or a new secret if there is none by that name: the version's id, and whether the
    /// secret is new.
    pub(crate) fn put_or_create(
        &mut self,
        name: &SecretName,
        value: SecretValue,
    ) -> Result<(VersionId, bool), Stop> {
        match self.put(name.as_str(), copy_of(&value)) {
            Ok(version) => Ok((version.version_id, false)),
            Err(Stop::Failure(failure)) if failure.kind == FailureKind::NotFound => {
                Ok((self.create(name, WireValue(value))?, true))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Makes a secret, or writes the first version of one that has no value yet: the version's id, and whether the
    /// secret is new. A conflict if somebody else has given it a value meanwhile.
    pub(crate) fn create_or_put(
        &mut self,
        name: &SecretName,
        value: SecretValue,
    ) -> Result<(VersionId, bool), Stop> {
        match self.create(name, copy_of(&value)) {
            Ok(version_id) => Ok((version_id, true)),
            Err(Stop::Failure(failure)) if failure.kind == FailureKind::Conflict => {
                Ok((self.put_in_place_of(name.as_str(), None, WireValue(value))?, false))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Makes a secret with a first version; that version's id.
    fn create(&mut self, name: &SecretName, value: WireValue) -> Result<VersionId, Stop> {
        let name = name.clone();
        let request = Request::CreateSecret { name, token: None, description: None, value, tags: Vec::new() };
        match self.call(request)? {
            Response::CreateSecret(created) => created.version_id.ok_or_else(unexpected),
            _ => Err(unexpected()),
        }
    }

    /// All secrets that the filters let through, oldest first.
    pub(crate) fn secrets(&mut self, filters: &[Filter]) -> Result<Vec<SecretDescription>, Stop> {
        let (mut secrets, mut next_token) = (Vec::new(), None);
        loop {
            let filters = filters.to_vec();
            let request = Request::ListSecrets {
                filters,
                include_planned_deletion: true,
                max_results: None,
                next_token,
            };
            let Response::ListSecrets(page) = self.call(request)? else { return Err(unexpected()) };
            secrets.extend(page.secrets);
            match page.next_token {
                Some(token) => next_token = Some(token),
                None => return Ok(secrets),
            }
        }
    }

    /// All versions of a secret, oldest first, also those without labels.
    pub(crate) fn versions(&mut self, secret_id: &str) -> Result<Vec<VersionDescription>, Stop> {
        let (mut versions, mut next_token) = (Vec::new(), None);
        loop {
            let request = Request::ListSecretVersionIds {
                secret_id: secret_id.to_owned(),
                include_deprecated: true,
                max_results: None,
                next_token,
            };
            let Response::ListSecretVersionIds(page) = self.call(request)? else { return Err(unexpected()) };
            versions.extend(page.versions);
            match page.next_token {
                Some(token) => next_token = Some(token),
                None => return Ok(versions),
            }
        }
    }

    /// The newest records of the audit log, newest last.
    pub(crate) fn audit_tail(&mut self, count: usize) -> Result<Vec<String>, Stop> {
        match self.call(Request::TailAudit { count })? {
            Response::TailAudit { lines } => Ok(lines),
            _ => Err(unexpected()),
        }
    }

    /// The newest records that fit, newest last, and whether the log has older ones that were not looked at.
    pub(crate) fn search_audit(
        &mut self,
        filter: RecordFilter,
        count: usize,
    ) -> Result<(Vec<String>, bool), Stop> {
        match self.call(Request::SearchAudit { count, filter })? {
            Response::SearchAudit { lines, is_cut } => Ok((lines, is_cut)),
            _ => Err(unexpected()),
        }
    }

    /// Who read which secrets, and whether there is more to tell than that.
    pub(crate) fn reads(&mut self, filter: RecordFilter) -> Result<(Vec<Reads>, bool), Stop> {
        match self.call(Request::ListReads { filter })? {
            Response::ListReads { reads, is_cut } => Ok((reads, is_cut)),
            _ => Err(unexpected()),
        }
    }

    /// The state of store and log.
    pub(crate) fn status(&mut self) -> Result<Status, Stop> {
        match self.call(Request::Status {})? {
            Response::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }
}

/// A copy of a value, wiped like the first.
fn copy_of(value: &SecretValue) -> WireValue {
    let copy = |bytes: &SecretBytes| SecretBytes::copy_from(bytes.expose_secret());
    WireValue(match value {
        SecretValue::String(bytes) => SecretValue::String(copy(bytes)),
        SecretValue::Binary(bytes) => SecretValue::Binary(copy(bytes)),
    })
}

/// As the socket of a server does it: each request is authenticated for itself, by the kernel's word on the uid.
async fn serve_in_place(core: &Core, region: Option<Region>, request: Request) -> Result<Response, Failure> {
    let context = local::authenticate_self(core, PROGRAM, region, correlation_id()).await?;
    local::serve(core, &context, request).await
}

/// A call that came to no answer.
pub(crate) fn call_failed(error: CallError) -> Stop {
    match error {
        CallError::Failure(failure) => failure.into(),
        // In words of our own, whatever it was: what can't be read may hold a value.
        CallError::Frame(FrameError::Json(_)) => {
            Stop::new(FailureKind::Unavailable, "the server's answer is not one that this coffer can read")
                .with_hint("start the server again with the same coffer as this command")
        }
        error @ (CallError::Transport(_) | CallError::Frame(FrameError::TooLarge)) => {
            Stop::of(FailureKind::Unavailable, &error)
                .with_hint("see whether the server still runs: `coffer status`")
        }
    }
}

pub(crate) fn unexpected() -> Stop {
    Stop::new(FailureKind::Other, "the answer is of another operation")
}

/// What whoever runs this command calls what it asks for; `None` if that does not look like an id.
pub(crate) fn correlation_id() -> Option<CorrelationId> {
    std::env::var(coffer_resolver::CORRELATION_VARIABLE).ok()?.parse().ok()
}

/// The runtime that a store's work runs on: one thread, this one.
pub(crate) fn runtime() -> Result<Runtime, Stop> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Stop::new(FailureKind::Other, format!("cannot start the runtime: {}", with_causes(&error)))
    })
}

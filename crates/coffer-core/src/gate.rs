//! The gate: the one way from a request to an effect.
//!
//! Find, authorize everything required, run, commit, record, answer. No operation authorizes or records itself, and
//! none can run without a [`Grant`], which only this file can make. If the record can't be made safe the caller
//! gets no answer but a failure.

use std::future::Future;
use std::sync::Arc;

use coffer_audit::{Members, RecordBody};
use coffer_policy::{Policy, Values};
use coffer_types::Action;

use crate::authorize::authorize;
use crate::commit::Committed;
use crate::core::{Core, Inner};
use crate::metrics::Outcome;
use crate::recorder::Event;
use crate::records::PolicyEpoch;
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// How often an operation is tried again after somebody else changed what it had found. Of any number of writers
/// to one secret one always gets through, so this many can meet there at once.
const ATTEMPTS_MAX: usize = 128;

/// Writes stop while reads and their records still have this much room on the disk: a store that runs out of it in the
/// middle of a commit ends the process.
const HEADROOM_BYTES: u64 = 32 * 1024 * 1024;

/// What an operation is called, in the record and in the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationName {
    /// CloudTrail's `eventName`.
    pub name: &'static str,
    /// Whether it changes nothing.
    pub read_only: bool,
}

/// Something a caller can ask for. A value of such a type is valid; what it means is decided in `run`.
pub trait Operation: Send + Sync + 'static {
    /// What it is about, read from the snapshot.
    type Found: Send;
    /// The answer.
    type Output: Send + 'static;
    /// Its name.
    const NAME: OperationName;
    /// Whether [`Operation::find_more`] has something to read.
    const FINDS_MORE: bool = false;
    /// Whether whoever is known may do it, whatever its policies say.
    const IS_FOR_EVERYBODY: bool = false;

    /// Writes its parameters into the record, as members of an object: names, tags and descriptions, never a value.
    /// Without members the record has `null`. Called again when somebody else's change makes it try again.
    fn parameters(&self, members: &mut Members<'_>);

    /// Reads what it is about: a few records. Only this and [`Operation::find_more`] wait. What is not there is found to
    /// be absent, and no error: the caller may not be allowed to know.
    fn find(
        &self,
        context: &Context,
        view: &mut View,
    ) -> impl Future<Output = Result<Self::Found, Error>> + Send;

    /// Reads what is more than a few records, such as a page: only for a caller who was found to be allowed, so that
    /// nobody else can make coffer look through its store. Called if it [finds more](Self::FINDS_MORE).
    fn find_more(
        &self,
        _context: &Context,
        _view: &mut View,
        _found: &mut Self::Found,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Every permission it needs.
    fn requires(&self, context: &Context, found: &Self::Found) -> Requirements;

    /// What the request says of itself under a key of the policy language, in lower case: the service's own keys, and those of
    /// tags. What every request says is told for all of them. Asked only for keys that a statement looks at.
    fn condition<'a>(&'a self, _found: &'a Self::Found, _key: &str) -> Values<'a> {
        Values::Absent
    }

    /// Decides, and stages writes. Pure: its time and randomness are the transaction's.
    fn run(
        &self,
        context: &Context,
        grant: Grant<Self::Found>,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error>;

    /// Writes what the record says of the answer; nothing for reads, where CloudTrail has `null`.
    fn response(_output: &Self::Output, _members: &mut Members<'_>) {}
}

/// A permission an operation needs.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// To do what.
    pub action: Action,
    /// On what: an ARN, also of what is not there, or `*`.
    pub resource: Arc<str>,
    /// How a denial names it: as the caller did, so that it tells nobody what exists.
    pub as_supplied: Arc<str>,
    /// A policy of the resource's that must allow it too, such as a role's trust policy.
    pub trust: Option<Arc<Policy>>,
}

/// All permissions an operation needs; every one must be there.
#[derive(Clone, Debug)]
pub struct Requirements(pub Vec<Requirement>);

/// Proof that the caller may do what the operation requires, over what was found. Only the gate makes one.
pub struct Grant<F> {
    found: F,
}

impl<F> Grant<F> {
    /// What was found, and may now be used.
    pub(crate) fn into_found(self) -> F {
        self.found
    }
}

/// How one attempt ended.
enum Attempt<T> {
    Done(Result<T, Error>),
    /// Somebody changed what was found; find again.
    Conflict,
}

impl Core {
    /// Does an operation for a caller: finds, authorizes, runs, commits, records, and only then answers.
    ///
    /// After a conflict everything begins again at *find*, the policies included. A committed change is not
    /// undone if the caller stops waiting for it.
    pub async fn execute<O: Operation>(&self, context: &Context, operation: O) -> Result<O::Output, Error> {
        let inner = self.inner();
        let begun = inner.clock.elapsed();
        let result = inner.try_until_done(context, &operation).await;
        let outcome = result.as_ref().map_or_else(Outcome::from, |_| Outcome::Ok);
        inner.metrics.count(O::NAME.name, outcome, inner.clock.elapsed().saturating_sub(begun));
        result
    }
}

impl Inner {
    async fn try_until_done<O: Operation>(
        self: &Arc<Self>,
        context: &Context,
        operation: &O,
    ) -> Result<O::Output, Error> {
        self.refuse_if_unsafe()?;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(context, operation).await {
                Attempt::Done(result) => return result,
                Attempt::Conflict => {}
            }
        }
        self.record_failure(context, operation, Error::Busy).await
    }

    async fn attempt<O: Operation>(self: &Arc<Self>, context: &Context, operation: &O) -> Attempt<O::Output> {
        let mut transaction = Transaction::new(self, context.now);
        let output = match self.decide(context, operation, &mut transaction).await {
            Ok(output) => output,
            Err(error) => return Attempt::Done(self.record_failure(context, operation, error).await),
        };
        let record = self.record_done(context, operation, &output);
        if transaction.is_empty() {
            return Attempt::Done(self.append(record).await.map(|()| output));
        }
        if !self.has_headroom() {
            let error = Error::unavailable("the disk is nearly full");
            return Attempt::Done(self.record_failure(context, operation, error).await);
        }
        match self.commit_recorded(transaction.into_change(), record).await {
            Committed::Landed => Attempt::Done(Ok(output)),
            Committed::Conflict => Attempt::Conflict,
            Committed::Failed(cause) => {
                Attempt::Done(self.record_failure(context, operation, Error::unavailable(cause)).await)
            }
            Committed::Unknown(cause) => Attempt::Done(Err(Error::unavailable(cause))),
        }
    }

    /// Find, authorize, find more, authorize, run. A write it stages is guarded by the policy epoch that the permission was read
    /// under.
    async fn decide<O: Operation>(
        self: &Arc<Self>,
        context: &Context,
        operation: &O,
        transaction: &mut Transaction<'_>,
    ) -> Result<O::Output, Error> {
        let mut view = View::new(Arc::clone(self));
        let epoch_key = keys::policy_epoch(context.account);
        let epoch = match O::NAME.read_only {
            // It stages nothing that a guard could stand beside.
            true => None,
            false => view.get::<PolicyEpoch>(&epoch_key).await?.map(|epoch| epoch.revision),
        };
        let mut found = operation.find(context, &mut view).await?;
        let requirements = operation.requires(context, &found);
        if O::IS_FOR_EVERYBODY != requirements.0.is_empty() {
            // Decided over nothing, it would be allowed to all.
            return Err(Error::unavailable("an operation that is not for everybody requires nothing"));
        }
        let guarded = (!O::NAME.read_only).then_some(epoch);
        if O::FINDS_MORE {
            let permissions = self.permissions(context, guarded).await?;
            authorize(context, &permissions, operation, &found, &requirements)?;
            operation.find_more(context, &mut view, &mut found).await?;
        }
        // By policies that are not older than anything that was read.
        if !O::IS_FOR_EVERYBODY {
            let permissions = self.permissions(context, guarded).await?;
            authorize(context, &permissions, operation, &found, &requirements)?;
        }
        let output = operation.run(context, Grant { found }, transaction)?;
        if !transaction.is_empty() {
            debug_assert!(!O::NAME.read_only, "what changes nothing stages no write");
            transaction.guard(epoch_key, epoch);
        }
        Ok(output)
    }

    /// Whether there is room on the disk for more than the records of reads.
    pub(crate) fn has_headroom(&self) -> bool {
        self.audit.health().free_bytes.is_none_or(|free| free >= HEADROOM_BYTES)
    }

    /// Records that an operation was refused or failed, and answers with why. Without a record: with that instead.
    async fn record_failure<O: Operation>(
        &self,
        context: &Context,
        operation: &O,
        error: Error,
    ) -> Result<O::Output, Error> {
        let message = error.record_message();
        let event = Event { failure: Some((error.record_code(), &message)), ..O::NAME.into() };
        let record = self.record(context, event, &|members| operation.parameters(members), &|_| {});
        self.append(record).await?;
        Err(error)
    }

    fn record_done<O: Operation>(&self, context: &Context, operation: &O, output: &O::Output) -> RecordBody {
        let parameters = |members: &mut Members<'_>| operation.parameters(members);
        self.record(context, O::NAME.into(), &parameters, &|members| O::response(output, members))
    }
}

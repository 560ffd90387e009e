//! The writer thread: takes all changes that wait, commits them as one redb transaction, answers all.
//!
//! Does I/O, and blocks on it. Invariant: every job that is taken is answered, and none before the batch it
//! belongs to is durable, in the current view, and in the history. Conflicts wait with the rest, because what
//! they conflict with may be a change of the same batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use coffer_store::{Change, CommitError, Guard, Revision, Snapshot, StoreError, Write};
use futures_channel::oneshot;
use redb::{Database, ReadableTable, Table, WriteTransaction};

use crate::RedbOptions;
use crate::file::{META, META_REVISION, RECORDS};
use crate::view::{Shared, View, decode_record, encode_record};

/// Most changes in one redb transaction, so that the first of many does not wait for all.
const BATCH_CHANGES_MAX: usize = 1024;
/// Once this many bytes are in a batch, it takes no more changes.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A change, and where its author waits.
pub(crate) struct Job {
    pub(crate) change: Change,
    pub(crate) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

pub(crate) struct Writer {
    database: Database,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    options: RedbOptions,
    revision: Revision,
}

/// What became of a change within its batch: the keys it wrote at a revision, or a conflict.
type Outcome = Option<(Revision, Vec<Bytes>)>;

/// The file failed before or during the commit, and the cause.
enum Failure {
    BeforeCommit(redb::Error),
    AtCommit(redb::Error),
}

#[derive(Debug, thiserror::Error)]
#[error("the file of the store failed")]
struct FileFailed;

#[derive(Debug, thiserror::Error)]
#[error("the writer of the store panicked")]
struct Panicked;

impl Writer {
    pub(crate) fn new(
        database: Database,
        shared: Arc<Shared>,
        jobs: Receiver<Job>,
        options: RedbOptions,
    ) -> Self {
        let revision = shared.view().map_or(Revision(0), |view| view.revision());
        Self { database, shared, jobs, options, revision }
    }

    /// Until every sender is gone and their jobs are done. If the file fails, every later job is answered so.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_batches()));
        self.shared.close();
        if ended.is_err() {
            (self.options.on_fatal)(&Panicked);
        }
        let Self { database, jobs, .. } = self;
        let closed = database.close();
        // Empty after a clean end, because the senders were gone before.
        for job in jobs {
            answer(job, Err(CommitError::Determinate(StoreError::Closed)));
        }
        match ended {
            Ok(Ok(())) => closed.map_err(|error| StoreError::Backend(Box::new(error))),
            Ok(Err(FileFailed)) => Err(StoreError::Backend(Box::new(FileFailed))),
            Err(_panic) => Err(StoreError::Backend(Box::new(Panicked))),
        }
    }

    fn run_batches(&mut self) -> Result<(), FileFailed> {
        while let Ok(first) = self.jobs.recv() {
            let batch = self.gather(first);
            self.run_batch(batch)?;
        }
        Ok(())
    }

    /// The jobs that wait, within bounds. While one batch is on its way to the disk, the next one gathers.
    fn gather(&self, first: Job) -> Vec<Job> {
        let mut bytes = size_of_change(&first.change);
        let mut batch = vec![first];
        while batch.len() < BATCH_CHANGES_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += size_of_change(&job.change);
            batch.push(job);
        }
        batch
    }

    fn run_batch(&mut self, batch: Vec<Job>) -> Result<(), FileFailed> {
        match self.commit_batch(&batch) {
            Ok(outcomes) => {
                self.shared.history.publish(outcomes.iter().flatten().cloned());
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    answer(job, outcome.map(|(revision, _)| revision).ok_or(CommitError::Conflict));
                }
                Ok(())
            }
            Err(failure) => {
                let (error, certain) = match failure {
                    Failure::BeforeCommit(error) => (error, true),
                    Failure::AtCommit(error) => (error, false),
                };
                // After an error redb refuses everything until the file is opened again.
                (self.options.on_fatal)(&error);
                self.shared.close();
                for job in batch {
                    let error = StoreError::Backend(Box::new(FileFailed));
                    let error = if certain {
                        CommitError::Determinate(error)
                    } else {
                        CommitError::Indeterminate(error)
                    };
                    answer(job, Err(error));
                }
                Err(FileFailed)
            }
        }
    }

    /// Commits those changes of a batch whose guards hold, each at a revision of its own, and shows the result.
    fn commit_batch(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, Failure> {
        let (transaction, outcomes, last) = self.stage(batch).map_err(Failure::BeforeCommit)?;
        if outcomes.iter().all(Option::is_none) {
            transaction.abort().map_err(|error| Failure::BeforeCommit(error.into()))?;
            return Ok(outcomes);
        }
        transaction.commit().map_err(|error| Failure::AtCommit(error.into()))?;
        self.revision = last;
        self.shared.show(View::take(&self.database).map_err(Failure::AtCommit)?);
        Ok(outcomes)
    }

    fn stage(&self, batch: &[Job]) -> Result<(WriteTransaction, Vec<Outcome>, Revision), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(self.options.quick_repair);
        let mut last = self.revision;
        let mut outcomes = Vec::with_capacity(batch.len());
        {
            let mut records = transaction.open_table(RECORDS)?;
            for job in batch {
                let next = Revision(last.0 + 1);
                let outcome = apply(&mut records, &job.change, next)?;
                if outcome.is_some() {
                    last = next;
                }
                outcomes.push(outcome);
            }
            transaction.open_table(META)?.insert(META_REVISION, last.0)?;
        }
        Ok((transaction, outcomes, last))
    }
}

/// Checks the guards of a change and does its writes, or does nothing.
fn apply(
    records: &mut Table<'_, &'static [u8], &'static [u8]>,
    change: &Change,
    revision: Revision,
) -> Result<Outcome, redb::Error> {
    for guard in &change.guards {
        if !holds(records, guard)? {
            return Ok(None);
        }
    }
    for write in &change.writes {
        match write {
            Write::Put(key, value) => {
                records.insert(key.as_ref(), encode_record(revision, value).as_slice())?;
            }
            Write::Delete(key) => {
                records.remove(key.as_ref())?;
            }
        }
    }
    Ok(Some((revision, change.writes.iter().map(|write| write.key().clone()).collect())))
}

fn holds(records: &Table<'_, &'static [u8], &'static [u8]>, guard: &Guard) -> Result<bool, redb::Error> {
    Ok(match guard {
        Guard::Absent(key) => records.get(key.as_ref())?.is_none(),
        Guard::At(key, revision) => match records.get(key.as_ref())? {
            Some(record) => revision_of(record.value())? == *revision,
            None => false,
        },
    })
}

fn revision_of(record: &[u8]) -> Result<Revision, redb::Error> {
    let (revision, _) = decode_record(record).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    Ok(revision)
}

fn size_of_change(change: &Change) -> usize {
    let put = |write: &Write| match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    };
    change.writes.iter().map(put).sum()
}

fn answer(job: Job, result: Result<Revision, CommitError>) {
    // Whoever hung up learns nothing; the change stands.
    drop(job.answer.send(result));
}

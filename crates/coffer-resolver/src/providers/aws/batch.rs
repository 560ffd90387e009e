//! Reading several secrets by one call: whoever asks within the same moment is answered together.
//!
//! I/O: one call of `BatchGetSecretValue` for at most twenty. Invariant: a batch answers nothing that a read of its own would not:
//! what it does not name, and all of it where batches are not allowed, is read one by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use coffer_types::CorrelationId;
use tokio::sync::oneshot;

use super::{Read, failed, named, refused, refused_by_code};
use crate::error::{ErrorKind, FetchError};
use crate::provider::Fetched;

/// How long the first one waits for others.
const GATHER_TIME: Duration = Duration::from_millis(2);
/// AWS takes no more at once.
const NAMES_MAX: usize = 20;

/// Those who ask one region as one caller.
pub(super) struct Batch {
    waiting: Mutex<Vec<Waiting>>,
    allowed: AtomicBool,
}

struct Waiting {
    name: String,
    id: Option<CorrelationId>,
    answer: oneshot::Sender<Answer>,
}

/// `None`: read it by itself.
type Answer = Option<Result<Fetched, FetchError>>;

impl Batch {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), allowed: AtomicBool::new(true) }
    }

    /// What `name` is answered in a batch, if there is one.
    pub(super) async fn read(&self, client: &Client, name: &str, id: Option<&CorrelationId>) -> Answer {
        if !self.allowed.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let (is_first, full) = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Waiting { name: name.to_owned(), id: id.cloned(), answer });
            let full = (waiting.len() >= NAMES_MAX).then(|| std::mem::take(&mut *waiting));
            (waiting.len() == 1, full)
        };
        if let Some(batch) = full {
            self.ask(client, batch).await;
        } else if is_first {
            tokio::time::sleep(GATHER_TIME).await;
            let batch = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            self.ask(client, batch).await;
        }
        // Whoever asked for all may have been given up on: then each asks for itself.
        answered.await.ok().flatten()
    }

    async fn ask(&self, client: &Client, batch: Vec<Waiting>) {
        if batch.len() < 2 {
            return;
        }
        let names = batch.iter().map(|waiting| waiting.name.clone()).collect();
        let mut call = client.batch_get_secret_value().set_secret_id_list(Some(names)).customize();
        // Those of all who are answered, as far as there is room.
        if let Some(id) = CorrelationId::joined(batch.iter().filter_map(|waiting| waiting.id.as_ref())) {
            call = call.mutate_request(move |request| named(request, &id));
        }
        let output = match call.send().await {
            Ok(output) => output,
            Err(error) => {
                let refusal = refused(&error, "several secrets");
                if refusal.kind() == ErrorKind::Denied {
                    self.allowed.store(false, Ordering::Relaxed);
                }
                if refusal.kind().is_transient() {
                    for waiting in batch {
                        // Nobody waits any more: nobody is told.
                        let _ = waiting.answer.send(Some(Err(refusal.clone())));
                    }
                }
                return;
            }
        };
        let (mut values, errors) =
            (output.secret_values.unwrap_or_default(), output.errors.unwrap_or_default());
        for waiting in batch {
            let name = waiting.name.as_str();
            let is_it = |called: &Option<String>| called.as_deref() == Some(name);
            let value = values.iter().position(|value| is_it(&value.name) || is_it(&value.arn));
            let answer = match value {
                Some(index) => {
                    let value = values.swap_remove(index);
                    Some(
                        Read {
                            name: value.name,
                            arn: value.arn,
                            version_id: value.version_id,
                            stages: value.version_stages,
                            created: value.created_date,
                            text: value.secret_string,
                            bytes: value.secret_binary,
                        }
                        .fetched(),
                    )
                }
                None => errors.iter().find(|error| is_it(&error.secret_id)).and_then(|error| {
                    let (kind, what, action) = refused_by_code(error.error_code.as_deref()?, name)?;
                    Some(Err(failed(kind, what, action)))
                }),
            };
            let _ = waiting.answer.send(answer);
        }
    }
}

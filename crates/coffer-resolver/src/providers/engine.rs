//! A runtime of one process, begun when it is first asked for something.
//!
//! I/O: one thread. Invariant: nothing is begun before the first question, and a forked child begins one of its own: the
//! threads of its parent's did not come along.

use std::time::Duration;

use crate::error::{ErrorKind, FetchError};
use crate::per_process::PerProcess;
use crate::reference::Scheme;

/// How long one question may take in all, signing in included.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(8);

/// A runtime for each process, with what lives on it.
pub(crate) struct Engine<T> {
    scheme: Scheme,
    started: PerProcess<Option<Started<T>>>,
}

struct Started<T> {
    process: u32,
    runtime: Option<tokio::runtime::Runtime>,
    state: T,
}

impl<T> Engine<T> {
    /// Begins nothing yet.
    pub(crate) fn new(scheme: Scheme) -> Self {
        Self { scheme, started: PerProcess::new() }
    }

    /// Runs `work` to its end on this thread, with the state that `make` made on this process's first question.
    pub(crate) fn run<R>(
        &self,
        make: impl Fn() -> T,
        work: impl AsyncFnOnce(&T) -> Result<R, FetchError>,
    ) -> Result<R, FetchError> {
        let process = std::process::id();
        let started = self.started.of(process, || {
            let name = format!("coffer-{}", self.scheme);
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).thread_name(name).enable_all().build().ok()?;
            Some(Started { process, runtime: Some(runtime), state: make() })
        });
        match started.as_ref().and_then(|started| Some((started.runtime.as_ref()?, &started.state))) {
            Some((runtime, state)) => runtime.block_on(async {
                tokio::time::timeout(QUESTION_TIME_MAX, work(state)).await.unwrap_or_else(|_| {
                    let action = "see whether it can be reached from here";
                    Err(FetchError::new(ErrorKind::Unavailable, self.scheme, "no answer in time", action))
                })
            }),
            None => {
                let what = "no thread can be had to ask on";
                let action = "allow this process more threads";
                Err(FetchError::new(ErrorKind::Unavailable, self.scheme, what, action))
            }
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if self.process == std::process::id() {
                runtime.shutdown_background();
            } else {
                // A forked child: the threads that would be waited for are its parent's.
                Box::leak(Box::new(runtime));
            }
        }
    }
}

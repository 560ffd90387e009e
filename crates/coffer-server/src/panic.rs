//! Keeps a panic to the request it happened in.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// It panicked. What it said is left to the panic hook: it may hold anything.
pub(crate) struct Panicked;

/// Runs `future`, and catches a panic of it. What it borrowed is shared with other requests, and is core's to
/// keep whole: core stages writes and commits them at once.
pub(crate) async fn catch<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_payload) => Poll::Ready(Err(Panicked)),
    })
    .await
}

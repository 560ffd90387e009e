//! Work on a thread of its own, for callers that must not block: a future that needs no runtime, and that any executor can
//! wait for.
//!
//! I/O: one thread, which ends with the work. Where none can be had the caller does the work itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

/// What comes of some work, once it is done. Dropping it leaves the work to end by itself.
#[must_use = "the work goes on, but nobody hears what came of it"]
pub struct OnThread<T> {
    shared: Arc<Mutex<State<T>>>,
}

enum State<T> {
    Working(Option<Waker>),
    Done(T),
    /// What came of it was taken, or the work panicked.
    Over,
}

/// Work that one of two threads does: the new one, or the caller's where there is no new one.
type Work<T> = Arc<Mutex<Option<Box<dyn FnOnce() -> T + Send>>>>;

impl<T: Send + 'static> OnThread<T> {
    /// Begins the work.
    pub(crate) fn new(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let shared = Arc::new(Mutex::new(State::Working(None)));
        let work: Work<T> = Arc::new(Mutex::new(Some(Box::new(work))));
        let (there, theirs) = (Arc::clone(&shared), Arc::clone(&work));
        let thread = thread::Builder::new().name("coffer-async".to_owned());
        if thread.spawn(move || finish(&there, &theirs)).is_err() {
            finish(&shared, &work);
        }
        Self { shared }
    }
}

fn finish<T>(shared: &Mutex<State<T>>, work: &Work<T>) {
    let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(work) = work else { return };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let state = result.map_or(State::Over, State::Done);
    let before = std::mem::replace(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner), state);
    if let State::Working(Some(waker)) = before {
        waker.wake();
    }
}

impl<T> Future for OnThread<T> {
    type Output = T;

    /// # Panics
    ///
    /// If the work did, or if it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Over) {
            State::Done(result) => Poll::Ready(result),
            State::Working(_) => {
                *state = State::Working(Some(context.waker().clone()));
                Poll::Pending
            }
            #[expect(clippy::panic, reason = "as every future does that is polled once too often")]
            State::Over => panic!("there is nothing left to wait for"),
        }
    }
}

// Only what came of the work is moved, and nothing points into it.
impl<T> Unpin for OnThread<T> {}

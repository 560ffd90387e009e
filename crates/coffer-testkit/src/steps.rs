//! Futures run a step at a time on one thread, in an order the test decides.
//!
//! No I/O. Invariant: a future moves only within [`Steps::step`], so the same choices give the same run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use coffer_core::Spawn;
use coffer_store::BoxFuture;

/// A handful of futures under way. Clones share them.
#[derive(Clone, Default)]
pub struct Steps {
    tasks: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl Steps {
    /// Begins a future; it moves with the next steps.
    pub fn begin(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks().push(Box::pin(future));
    }

    /// How many are not at their end.
    pub fn count(&self) -> usize {
        self.tasks().len()
    }

    /// Takes all of them away, so that others run alone; begin them again later.
    pub fn set_aside(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.tasks())
    }

    /// Moves one of them; which one, `choice` decides.
    pub fn step(&self, choice: usize) {
        let Some(mut task) = self.take(choice) else { return };
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.tasks().push(task);
        }
    }

    fn take(&self, choice: usize) -> Option<BoxFuture<'static, ()>> {
        let mut tasks = self.tasks();
        let count = tasks.len();
        // Not swapped, so that taking turns is fair.
        (count > 0).then(|| tasks.remove(choice % count))
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<BoxFuture<'static, ()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spawn for Steps {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.tasks().push(future);
    }
}

/// Moves a future once, and answers what it came to if that was its end.
pub fn poll_once<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

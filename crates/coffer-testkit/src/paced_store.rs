//! A store that takes its time, so that readers and writers meet in every order.
//!
//! Around each call it waits, a number of times drawn from its seed: by sleeping, for threads, or by yielding to
//! [`Steps`](crate::Steps), for an order that the seed alone decides. Invariant: what it answers is what the inner
//! store answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coffer_store::{
    BoxFuture, Change, CommitError, Entry, KeyRange, Order, Revision, Snapshot, Store, StoreError, Watch,
};

use crate::SeededRandom;

/// How a paced store waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Gives way to other futures this often at most.
    Yield(u64),
    /// Stops its thread for this many microseconds at most.
    Sleep(u64),
}

/// A store around another that waits before and after each call.
pub struct PacedStore {
    inner: Arc<dyn Store>,
    pacer: Pacer,
}

#[derive(Clone)]
struct Pacer {
    pace: Pace,
    dice: Arc<SeededRandom>,
}

struct PacedSnapshot {
    inner: Box<dyn Snapshot>,
    pacer: Pacer,
}

impl PacedStore {
    /// A store that waits as `pace` says, the same for the same seed.
    pub fn new(inner: Arc<dyn Store>, pace: Pace, seed: u64) -> Self {
        Self { inner, pacer: Pacer { pace, dice: Arc::new(SeededRandom::new(seed)) } }
    }
}

impl Pacer {
    async fn wait(&self) {
        match self.pace {
            Pace::Yield(most) => {
                for _ in 0..self.dice.next_u64() % (most + 1) {
                    Yield { done: false }.await;
                }
            }
            Pace::Sleep(most) => {
                std::thread::sleep(Duration::from_micros(self.dice.next_u64() % (most + 1)));
            }
        }
    }
}

/// Pending once, and woken at once.
struct Yield {
    done: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.done, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Store for PacedStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        Box::pin(async move {
            self.pacer.wait().await;
            let inner = self.inner.snapshot().await?;
            self.pacer.wait().await;
            let snapshot: Box<dyn Snapshot> = Box::new(PacedSnapshot { inner, pacer: self.pacer.clone() });
            Ok(snapshot)
        })
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        let (inner, pacer) = (Arc::clone(&self.inner), self.pacer.clone());
        Box::pin(async move {
            pacer.wait().await;
            let committed = inner.commit(change).await;
            pacer.wait().await;
            committed
        })
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, from)
    }
}

impl Snapshot for PacedSnapshot {
    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            let found = self.inner.get(key).await;
            self.pacer.wait().await;
            found
        })
    }

    fn range(
        &self,
        range: KeyRange,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(async move {
            let found = self.inner.range(range, order, limit).await;
            self.pacer.wait().await;
            found
        })
    }
}

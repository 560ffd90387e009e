//! Runs what must not end with the connection that asked for it.

use coffer_core::Spawn;
use coffer_store::BoxFuture;
use tokio::runtime::Handle;

/// Spawns on a runtime that outlives every connection: the one [`crate::serve`] is called on.
pub struct RuntimeSpawn(Handle);

impl RuntimeSpawn {
    /// On the runtime this is called on.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn here() -> Self {
        Self(Handle::current())
    }
}

impl Spawn for RuntimeSpawn {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        drop(self.0.spawn(future));
    }
}

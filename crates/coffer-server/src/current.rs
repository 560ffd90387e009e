//! The core that requests go to. It changes only when a throw-away server is emptied.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use coffer_core::Core;

/// The core, for all threads.
pub(crate) struct CurrentCore {
    core: RwLock<Core>,
    generation: AtomicU64,
}

impl CurrentCore {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        Arc::new(Self { core: RwLock::new(core), generation: AtomicU64::new(0) })
    }

    pub(crate) fn get(&self) -> Core {
        self.core.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that begin after this returns go to `core`. Those under way end in the old one.
    pub(crate) fn replace(&self, core: Core) {
        *self.core.write().unwrap_or_else(PoisonError::into_inner) = core;
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// The core, for one thread: no lock and no shared count to fight over on the way of each request.
pub(crate) struct ThreadCore {
    current: Arc<CurrentCore>,
    cached: RefCell<(u64, Rc<Core>)>,
}

impl ThreadCore {
    pub(crate) fn new(current: Arc<CurrentCore>) -> Self {
        let generation = current.generation.load(Ordering::Acquire);
        let core = Rc::new(current.get());
        Self { current, cached: RefCell::new((generation, core)) }
    }

    pub(crate) fn get(&self) -> Rc<Core> {
        let generation = self.current.generation.load(Ordering::Acquire);
        let mut cached = self.cached.borrow_mut();
        if cached.0 != generation {
            *cached = (generation, Rc::new(self.current.get()));
        }
        Rc::clone(&cached.1)
    }

    pub(crate) fn replace(&self, core: Core) {
        self.current.replace(core);
    }
}

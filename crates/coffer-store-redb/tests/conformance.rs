//! The facts that hold for every store, over a file on disk; with and without quick repair.

#![allow(clippy::unwrap_used, reason = "a test, and its helpers too")]

use std::sync::Arc;

use coffer_store_redb::{RedbOptions, RedbStore};

/// A store in a file that has no name any more, and goes with the store.
fn make(quick_repair: bool) -> Arc<RedbStore> {
    let folder = tempfile::tempdir().unwrap();
    let options = RedbOptions { quick_repair, ..RedbOptions::default() };
    Arc::new(RedbStore::create(folder.path().join("store"), options).unwrap())
}

mod plain {
    coffer_store::conformance_tests!(|| super::make(false));
}

mod quick_repair {
    coffer_store::conformance_tests!(|| super::make(true));
}

//! Listeners, limits and wiring: a [`coffer_core::Core`] on TCP and on a Unix socket, and a store's folder.
//!
//! All of coffer's I/O that is not a store's or a log's is here. [`serve`] runs the two listeners, [`home`] knows
//! the layout of a store's folder, [`local`] answers requests of the machine's own users, over the socket or in
//! place. Secrets pass through; a `main` calls [`coffer_crypto::process::harden_process`] before any of it.
//!
//! Invariants: whatever a stranger sends, what it makes the server keep in memory and for how long is bounded by
//! [`Limits`]; a panic in one request ends that request alone; nothing that came in is left unrecorded.

mod body;
mod cache_size;
mod connection;
mod current;
mod dev;
pub mod home;
mod issuers;
pub mod local;
mod metrics;
mod metrics_listener;
mod options;
mod panic;
mod progress;
mod route;
mod serve;
pub mod service_manager;
mod socket;
mod sources;
mod spawn;
mod stream;
mod tls;
mod worker;

pub use cache_size::{CacheSize, NotACacheSize};
pub use dev::{DEV_BANNER, DevSettings, dev_core};
pub use issuers::check_oidc_keys;
pub use options::{BODY_BYTES_FREE, Limits, ServeError, ServeOptions, Warn, Watcher};
pub use serve::{Bound, serve};
pub use spawn::RuntimeSpawn;
pub use tls::{Authority, TlsError, TlsIdentity, names_of_this_machine};

//! The throw-away server: everything in memory, known keys, and a way to empty it.

use std::num::NonZeroU32;
use std::sync::Arc;

use coffer_audit::{AuditSink, MemoryLog};
use coffer_core::{Core, CoreOptions, Founding, FoundingUser, Parts, Spawn, StartError, SystemClock};
use coffer_crypto::{RootKey, StoreId, SystemRandom};
use coffer_store::MemoryStore;
use coffer_types::{AccountId, Region, SecretBytes};

use crate::CacheSize;

/// What a throw-away server says at every start.
pub const DEV_BANNER: &str =
    "DEV: a throw-away server. Everything is in memory and gone when it stops: put no real secret in it.";

/// Settings of a throw-away server.
pub struct DevSettings {
    /// The administrator's access key, id and secret.
    pub admin_key: (String, SecretBytes),
    /// The default region.
    pub region: Region,
    /// The default account.
    pub account: AccountId,
    /// Whether it may listen beyond loopback.
    pub expose: bool,
    /// Most requests a second of a principal; see [`CoreOptions::rate_limit`].
    pub rate_limit: Option<NonZeroU32>,
    /// Memory for what was read; the store is in memory beside it.
    pub cache: CacheSize,
}

impl Default for DevSettings {
    /// `test`/`test`, the account every AWS emulator uses, loopback only.
    fn default() -> Self {
        Self {
            admin_key: ("test".to_owned(), SecretBytes::copy_from(b"test")),
            region: Region::us_east_1(),
            account: AccountId::EXAMPLE,
            expose: false,
            rate_limit: None,
            cache: CacheSize::default(),
        }
    }
}

/// A fresh core of a throw-away server. Beside the administrator it knows `nobody`/`nobody`, who may do nothing.
pub async fn dev_core(settings: &DevSettings, spawn: Arc<dyn Spawn>) -> Result<Core, StartError> {
    let random = SystemRandom;
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        audit: Box::new(|_key, _checkpoint| Ok(Arc::new(MemoryLog::new()) as Arc<dyn AuditSink>)),
        root: RootKey::make(&random),
        store_id: StoreId::make(&random),
        clock: Arc::new(SystemClock),
        random: Arc::new(random),
        spawn,
        options: CoreOptions {
            rate_limit: settings.rate_limit,
            cache_bytes_max: settings.cache.record_bytes(),
            ..CoreOptions::default()
        },
    };
    let user = |name: &str, (id, secret): (&str, &[u8]), administrator| FoundingUser {
        name: name.to_owned(),
        id: None,
        access_key_id: id.to_owned(),
        secret_access_key: SecretBytes::copy_from(secret),
        administrator,
    };
    let (id, secret) = &settings.admin_key;
    let founding = Founding {
        account: settings.account,
        region: settings.region.clone(),
        users: vec![
            user("admin", (id, secret.expose_secret()), true),
            user("nobody", ("nobody", b"nobody"), false),
        ],
        owner_uid: rustix::process::geteuid().as_raw(),
    };
    Core::found(parts, founding).await
}

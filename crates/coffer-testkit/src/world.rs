//! A whole core in memory, with its clock, store and log at hand.

use std::sync::Arc;

use coffer_audit::{AuditSink, MemoryLog};
use coffer_core::{
    Context, Core, CoreOptions, Founding, FoundingUser, Parts, Principal, RequestInfo, Spawn, StartError,
};
use coffer_crypto::{RootKey, StoreId};
use coffer_store::{BoxFuture, MemoryStore, Store};
use coffer_types::{AccountId, Region, SecretBytes, VersionId};
use futures_executor::block_on;

use crate::{SeededRandom, TestClock};

/// Runs each future on a thread of its own.
pub struct ThreadSpawn;

impl Spawn for ThreadSpawn {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(future));
    }
}

/// A core and everything it stands on.
pub struct World {
    /// The core.
    pub core: Core,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Its audit log.
    pub log: Arc<MemoryLog>,
    /// What the core sees as its store.
    pub store: Arc<dyn Store>,
    seed: u64,
}

/// The uid that owns every world.
const OWNER: u32 = 1000;

impl World {
    /// A newly founded world in memory.
    pub fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), 1)
    }

    /// A newly founded world over a store.
    pub fn over(store: Arc<dyn Store>, seed: u64) -> Self {
        let (clock, log) = (Arc::new(TestClock::default()), Arc::new(MemoryLog::new()));
        let parts = parts(&store, &clock, &log, seed, "core");
        let users = [("administrator", "AKIAADMINISTRATOR", true), ("nobody", "AKIANOBODY", false)];
        let founding = Founding {
            account: AccountId::EXAMPLE,
            region: Region::us_east_1(),
            users: users
                .into_iter()
                .map(|(name, id, administrator)| FoundingUser {
                    name: name.into(),
                    access_key_id: id.into(),
                    secret_access_key: SecretBytes::copy_from(format!("secret of {name}").as_bytes()),
                    administrator,
                })
                .collect(),
            owner_uid: OWNER,
        };
        let core = block_on(Core::found(parts, founding)).expect("a world can be founded");
        Self { core, clock, log, store, seed }
    }

    /// The same store and log under a new core, as after a crash: nothing of the old core is used.
    pub fn reopen(self) -> Result<Self, StartError> {
        let Self { clock, log, store, seed, .. } = self;
        let store_now = Arc::clone(&store);
        Self::open_over(store_now, clock, log, seed)
    }

    /// A core opened over what another world left.
    pub fn open_over(
        store: Arc<dyn Store>,
        clock: Arc<TestClock>,
        log: Arc<MemoryLog>,
        seed: u64,
    ) -> Result<Self, StartError> {
        // Another sequence than the first core's, or event ids would come twice.
        let parts = parts(&store, &clock, &log, seed, "reopened");
        let core = block_on(Core::open(parts))?;
        Ok(Self { core, clock, log, store, seed })
    }

    /// The user who may do all.
    pub fn administrator(&self) -> Context {
        self.context("administrator", "AKIAADMINISTRATOR")
    }

    /// The user who may do nothing.
    pub fn nobody(&self) -> Context {
        self.context("nobody", "AKIANOBODY")
    }

    fn context(&self, name: &str, access_key_id: &str) -> Context {
        Context {
            principal: Principal::User {
                name: name.into(),
                arn: format!("arn:aws:iam::{}:user/{name}", AccountId::EXAMPLE),
                access_key_id: access_key_id.into(),
            },
            account: AccountId::EXAMPLE,
            region: Region::us_east_1(),
            request: RequestInfo {
                request_id: self.core.new_request_id(),
                source: Some([127, 0, 0, 1].into()),
                user_agent: "testkit".into(),
            },
            now: self.core.now(),
            event_source: "secretsmanager.amazonaws.com",
        }
    }

    /// Every record, decoded, oldest first; what is still in the outbox is drained before.
    pub fn records(&self) -> Vec<String> {
        block_on(self.core.maintain());
        self.log.tail(usize::MAX).expect("a log in memory can be read")
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

fn parts(
    store: &Arc<dyn Store>,
    clock: &Arc<TestClock>,
    log: &Arc<MemoryLog>,
    seed: u64,
    salt: &str,
) -> Parts {
    let sink: Arc<dyn AuditSink> = log.clone();
    // The root key and the store's id are the seed's, so that a world opens again what it founded.
    let keys = SeededRandom::new(seed);
    let salted = salt.bytes().fold(seed, |state, byte| state.rotate_left(9) ^ u64::from(byte));
    Parts {
        store: Arc::clone(store),
        audit: Box::new(move |_, _| Ok(sink)),
        root: RootKey::make(&keys),
        store_id: StoreId::make(&keys),
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(salted)),
        spawn: Arc::new(ThreadSpawn),
        options: CoreOptions::default(),
    }
}

/// The version id with this number.
pub fn version_id(number: u64) -> VersionId {
    format!("00000000-0000-4000-8000-{number:012}").parse().expect("36 printable characters")
}

//! A whole core in memory, with its clock, store and log at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_audit::{AuditSink, MemoryLog};
use coffer_core::backup::{Backup, Contents, Enclosures, Reader, RestoreError, Undone, compare, load};
use coffer_core::{
    Context, Core, CoreOptions, Error, Founding, FoundingUser, Operation, Parts, Principal, RequestInfo,
    Spawn, StartError, Transport,
};
use coffer_crypto::{RootKey, StoreId};
use coffer_store::{BoxFuture, MemoryStore, Snapshot, Store};
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
    ground: Ground,
}

/// What a world is made on. All of it outlives the core, as disks outlive a process.
#[derive(Clone)]
pub struct Ground {
    /// What the core sees as its store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<TestClock>,
    /// Where records end up.
    pub log: Arc<MemoryLog>,
    /// What the core sees as its log, if not `log` itself.
    pub sink: Option<Arc<dyn AuditSink>>,
    /// What runs commits to their end.
    pub spawn: Arc<dyn Spawn>,
    /// The core's settings.
    pub options: CoreOptions,
    /// What ids, keys and nonces come from.
    pub seed: u64,
    /// How many cores there have been; each draws a sequence of its own, or event ids would come twice.
    cores: Arc<AtomicU64>,
}

/// The uid that owns every world.
pub const OWNER: u32 = 1000;

impl Ground {
    /// A store, with an empty log beside it.
    pub fn new(store: Arc<dyn Store>, seed: u64) -> Self {
        Self {
            store,
            clock: Arc::new(TestClock::default()),
            log: Arc::new(MemoryLog::new()),
            sink: None,
            spawn: Arc::new(ThreadSpawn),
            options: CoreOptions::default(),
            seed,
            cores: Arc::default(),
        }
    }

    /// Another store and an empty log, with the same keys and never the same random numbers.
    pub fn elsewhere(&self, store: Arc<dyn Store>) -> Self {
        Self { store, log: Arc::new(MemoryLog::new()), sink: None, ..self.clone() }
    }

    /// Founds a store on it, with an administrator and a user who may do nothing.
    pub fn found(self) -> Result<World, StartError> {
        let users = [("administrator", "AKIAADMINISTRATOR", true), ("nobody", "AKIANOBODY", false)];
        let founding = Founding {
            account: AccountId::EXAMPLE,
            region: Region::us_east_1(),
            users: users
                .into_iter()
                .map(|(name, access_key_id, administrator)| FoundingUser {
                    name: name.into(),
                    id: Some(user_id(name)),
                    access_key_id: access_key_id.into(),
                    secret_access_key: secret_access_key(name),
                    administrator,
                })
                .collect(),
            owner_uid: OWNER,
        };
        let parts = self.parts();
        let core = block_on(Core::found(parts, founding))?;
        Ok(self.world(core))
    }

    /// Opens the store that was founded on it.
    pub fn open(self) -> Result<World, StartError> {
        let core = block_on(Core::open(self.parts()))?;
        Ok(self.world(core))
    }

    /// Makes a store of a backup of a world of the same seed on this ground, which is empty. With `replaced`, tells what
    /// is undone; with `keep_access`, takes users and access keys from there.
    pub fn restore(
        self,
        backup: &[u8],
        replaced: Option<&dyn Snapshot>,
        keep_access: bool,
    ) -> Result<(World, Contents, Option<Undone>), RestoreError> {
        let mut reader = Reader::open(backup)?;
        let (root, store_id) = self.keys();
        let access = replaced.filter(|_| keep_access);
        let loaded = block_on(load(&*self.store, &root, &mut reader, access, |_| ()))?;
        let restored = block_on(self.store.snapshot()).map_err(RestoreError::Store)?;
        let taken = loaded.header().time;
        let undone = replaced.map(|replaced| block_on(compare(&root, store_id, &*restored, replaced, taken)));
        let undone = undone.map(|undone| undone.expect("records that open").expect("the same store"));
        drop(restored);
        let contents = loaded.contents().clone();
        let core = block_on(Core::restore(self.parts(), loaded, OWNER + 1, "testkit", undone.as_ref()));
        Ok((self.world(core.expect("a loaded store begins")), contents, undone))
    }

    /// The root key and the store's id, which are the seed's.
    pub fn keys(&self) -> (RootKey, StoreId) {
        let keys = SeededRandom::new(self.seed);
        (RootKey::make(&keys), StoreId::make(&keys))
    }

    fn world(self, core: Core) -> World {
        let (clock, log, store) = (self.clock.clone(), self.log.clone(), Arc::clone(&self.store));
        World { core, clock, log, store, ground: self }
    }

    fn parts(&self) -> Parts {
        let log: Arc<dyn AuditSink> = self.log.clone();
        let sink = self.sink.clone().unwrap_or(log);
        let (root, store_id) = self.keys();
        let core = self.cores.fetch_add(1, Ordering::Relaxed) + 1;
        let core_seed = SeededRandom::new(self.seed ^ core.rotate_left(32)).next_u64();
        Parts {
            store: Arc::clone(&self.store),
            audit: Box::new(move |_, _| Ok(sink)),
            root,
            store_id,
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(core_seed)),
            spawn: Arc::clone(&self.spawn),
            options: self.options.clone(),
        }
    }
}

impl World {
    /// A newly founded world in memory.
    pub fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), 1)
    }

    /// A newly founded world over a store.
    pub fn over(store: Arc<dyn Store>, seed: u64) -> Self {
        Ground::new(store, seed).found().expect("a world can be founded")
    }

    /// The same store and log under a new core, as after a crash: nothing of the old core is used.
    pub fn reopen(self) -> Result<Self, StartError> {
        self.into_ground().open()
    }

    /// What stays when the core is gone.
    pub fn into_ground(self) -> Ground {
        self.ground
    }

    /// What stays, while the core goes on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Does an operation as the administrator.
    pub fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        block_on(self.core.execute(&self.administrator(), operation))
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
                arn: format!("arn:aws:iam::{}:user/{name}", AccountId::EXAMPLE).into(),
                id: user_id(name).into(),
                access_key_id: access_key_id.into(),
            },
            account: AccountId::EXAMPLE,
            region: Region::us_east_1(),
            request: RequestInfo {
                request_id: self.core.new_request_id(),
                correlation_id: None,
                source: Some([127, 0, 0, 1].into()),
                user_agent: "testkit".into(),
                transport: Transport::Local,
            },
            now: self.core.now(),
            event_source: "secretsmanager.amazonaws.com",
        }
    }

    /// A whole backup, as the administrator takes it.
    pub fn backup(&self) -> Vec<u8> {
        let mut stream = self.run(self.backup_operation()).expect("a backup begins");
        let mut bytes = Vec::new();
        while let Some(piece) = block_on(stream.next()).expect("a store in memory can be read") {
            bytes.extend(piece);
        }
        bytes
    }

    /// What takes a backup.
    pub fn backup_operation(&self) -> Backup {
        let seal = serde_json::json!({"format": 1});
        Backup { enclosures: Enclosures { seal, certificates: Some("in PEM".to_owned()) } }
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

/// The unique id of a world's user.
fn user_id(user: &str) -> String {
    format!("AIDA{:A<17}", user.to_ascii_uppercase())
}

/// The secret access key of a world's user.
pub fn secret_access_key(user: &str) -> SecretBytes {
    SecretBytes::copy_from(format!("secret of {user}").as_bytes())
}

/// The version id with this number.
pub fn version_id(number: u64) -> VersionId {
    format!("00000000-0000-4000-8000-{number:012}").parse().expect("36 printable characters")
}

//! Backups over a store in memory: what is in one, what is told of it, what a restored store is.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_audit::AuditSink;
use coffer_core::backup::{BackupError, Check, Contents, Reader, RestoreError};
use coffer_core::ops::iam::{
    AddClientIDToOpenIDConnectProvider, AddUserToGroup, AttachPolicy, CreateGroup,
    CreateOpenIDConnectProvider, CreatePolicy, CreatePolicyVersion, CreateRole, CreateUser, DeleteGroup,
    DeletePolicy, DeleteRole, EntityReference, OfGroup, OfRole, OfUser, PutPermissionsBoundary, PutPolicy,
    TagEntity, UpdateAccessKey, UpdateAssumeRolePolicy, UpdateUser,
};
use coffer_core::ops::secrets::ListSecrets;
use coffer_core::{AuthenticationError, Claim, Error, RequestInfo, Transport};
use coffer_store::{
    BoxFuture, Change, CommitError, MemoryStore, Revision, Snapshot, Store, StoreError, Watch, Write,
};
use coffer_testkit::shorthand::{create, delete, get, move_stage, put};
use coffer_testkit::{Ground, OWNER, World, poll_once, version_id};
use coffer_types::{EntityName, OidcProviderArn, PolicyArn, Tag};
use futures_executor::block_on;
use serde_json::Value;

/// A world with something of each kind.
fn furnished() -> World {
    let world = World::new();
    for number in 0..150 {
        world.run(create(&format!("many/{number:03}"), 1000 + number, Some("value"))).unwrap();
    }
    world.run(create("a", 1, Some("one"))).unwrap();
    world.run(put("a", 2, "two", None)).unwrap();
    world.run(put("a", 3, "three", Some(&["BLUE"]))).unwrap();
    world.run(move_stage("a", "BLUE", Some(3), Some(1))).unwrap();
    world.run(create("without a value".replace(' ', "-").as_str(), 4, None)).unwrap();
    world.run(create("waiting", 5, Some("x"))).unwrap();
    world.run(delete("waiting", false)).unwrap();
    world.run(create("gone", 6, Some("y"))).unwrap();
    world.run(delete("gone", true)).unwrap();
    // A read, and the day of it written down.
    world.run(get("a", None, None)).unwrap();
    world.clock.advance_millis(61_000);
    block_on(world.core.maintain());
    // Until nothing is left to be done by itself.
    while !events(&world.records()).contains(&"EndSecretVersionDelete".to_owned()) {}
    world
}

/// Every secret that can be read, by name and label.
fn values(world: &World) -> BTreeMap<String, Vec<String>> {
    let read = |name: &str, label: &str| match world.run(get(name, None, Some(label))) {
        Ok(read) => String::from_utf8(read.value.bytes().expose_secret().to_vec()).unwrap(),
        Err(error) => error.to_string(),
    };
    let secrets = world.secrets(1000).unwrap().into_iter();
    let labels = ["AWSCURRENT", "AWSPREVIOUS", "BLUE"];
    secrets
        .map(|secret| secret.arn.name.to_string())
        .map(|name| (name.clone(), labels.iter().map(|label| read(&name, label)).collect()))
        .collect()
}

/// An empty place for a restored world.
fn elsewhere(world: &World) -> Ground {
    world.ground().elsewhere(Arc::new(MemoryStore::new()))
}

fn check(world: &World, backup: &[u8]) -> Result<Contents, BackupError> {
    let (root, store_id) = world.ground().keys();
    let mut reader = Reader::open(backup)?;
    let mut check = Check::new(&root, store_id);
    while let Some(entries) = reader.next()? {
        entries.iter().for_each(|entry| check.record(entry));
    }
    check.finish(reader.header())
}

fn events(records: &[String]) -> Vec<String> {
    records.iter().map(|record| field(record, "/eventName")).collect()
}

fn field(record: &str, pointer: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    match record.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[test]
fn a_restored_store_holds_what_was_backed_up() {
    let world = furnished();
    let (expected, backup) = (values(&world), world.backup());
    world.run(put("a", 9, "later", None)).unwrap();
    world.run(create("later", 10, Some("z"))).unwrap();

    let contents = check(&world, &backup).unwrap();
    assert_eq!((contents.fault_count, contents.unknown), (0, 0), "{:?}", contents.faults);
    assert_eq!((contents.secrets, contents.users, contents.access_keys.len()), (153, 2, 2));
    let (restored, again, _) = elsewhere(&world).restore(&backup, None, false).unwrap();
    assert_eq!((again.secrets, again.versions), (contents.secrets, contents.versions));
    let read = world.describe("a").unwrap().last_accessed;
    assert!(read.is_some());
    assert_eq!(restored.describe("a").unwrap().last_accessed, read);
    assert_eq!(values(&restored), expected);

    // It goes on as any store does, and after a start.
    restored.run(put("a", 11, "after", None)).unwrap();
    let restored = restored.reopen().unwrap();
    assert_eq!(values(&restored)["a"][0], "after");
    assert_eq!(check(&restored, &restored.backup()).unwrap().fault_count, 0);
}

#[test]
fn nobody_gets_a_backup_unrecorded() {
    let world = furnished();
    let before = world.records().len();
    let mut stream = world.run(world.backup_operation()).unwrap();
    assert_eq!(events(&world.records()[before..]), ["Backup"]);
    while block_on(stream.next()).unwrap().is_some() {
        assert_eq!(world.records().len(), before + 1);
    }
    let totals = stream.totals();
    drop(stream);
    let records = world.records();
    let [begun, ended] = &records[before..] else { panic!("{records:?}") };
    assert_eq!(field(begun, "/requestID"), field(ended, "/requestID"));
    assert_eq!(field(begun, "/responseElements/revision"), field(ended, "/responseElements/revision"));
    assert_eq!(field(ended, "/eventName"), "EndBackup");
    assert_eq!(field(ended, "/responseElements/records"), totals.entries.to_string());
    assert_eq!(field(ended, "/errorCode"), "");

    let mut given_up = world.run(world.backup_operation()).unwrap();
    block_on(given_up.next()).unwrap();
    drop(given_up);
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.records().len() < before + 4 {
        assert!(Instant::now() < deadline, "the end is recorded by whoever runs futures");
        std::thread::yield_now();
    }
    assert_eq!(field(world.records().last().unwrap(), "/errorCode"), "BackupAbandoned");
}

#[test]
fn who_may_do_nothing_gets_no_backup() {
    let world = furnished();
    let refused = block_on(world.core.execute(&world.nobody(), world.backup_operation()));
    assert!(matches!(refused.err(), Some(Error::Denied(_))));
    assert_eq!(field(world.records().last().unwrap(), "/errorCode"), "AccessDenied");
}

#[test]
fn a_restored_store_begins_a_new_epoch() {
    let world = furnished();
    let listing = |next_token| ListSecrets { max_results: 1, next_token, ..ListSecrets::default() };
    let cursor = world.run(listing(None)).unwrap().next_token;
    assert!(world.run(listing(cursor.clone())).is_ok());
    let backup = world.backup();
    let head = Reader::open(&backup[..]).unwrap().header().audit.head;
    let old = world.records();
    assert_eq!(field(&old[usize::try_from(head.sequence).unwrap()], "/eventName"), "Backup");

    let (restored, _, _) = elsewhere(&world).restore(&backup, None, false).unwrap();
    let first = restored.records().remove(0);
    for (pointer, expected) in [
        ("/eventName", "RestoreBackup".to_owned()),
        ("/userIdentity/principalId", format!("local:{}", OWNER + 1)),
        ("/requestParameters/storeId", Reader::open(&backup[..]).unwrap().header().store_id.to_string()),
        ("/requestParameters/previousLog/sequence", head.sequence.to_string()),
        (
            "/requestParameters/backup/revision",
            Reader::open(&backup[..]).unwrap().header().revision.to_string(),
        ),
        ("/responseElements/previousOwner", OWNER.to_string()),
        ("/responseElements/accessKeys", "2".to_owned()),
        ("/chain/sequence", "1".to_owned()),
    ] {
        assert_eq!(field(&first, pointer), expected, "{pointer}");
    }
    assert!(matches!(restored.run(listing(cursor)).err(), Some(Error::InvalidNextToken)));

    let claim = |uid| {
        let request = RequestInfo {
            request_id: "1".into(),
            correlation_id: None,
            source: None,
            user_agent: "test".into(),
            transport: Transport::Local,
        };
        block_on(restored.core.authenticate(Claim::Local { uid }, request, "coffer.local")).err()
    };
    assert_eq!(claim(OWNER), Some(AuthenticationError::NotOwner { uid: OWNER }));
    assert_eq!(claim(OWNER + 1), None);
}

/// A store whose commits land, and whose authors are not told while it is held.
struct HeldStore {
    inner: MemoryStore,
    is_held: AtomicBool,
}

impl Store for HeldStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, StoreError>> {
        self.inner.snapshot()
    }

    fn commit(&self, change: Change) -> BoxFuture<'static, Result<Revision, CommitError>> {
        let committed = self.inner.commit(change);
        match self.is_held.load(Ordering::SeqCst) {
            true => Box::pin(std::future::pending()),
            false => committed,
        }
    }

    fn watch(&self, prefix: Bytes, from: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, from)
    }
}

#[test]
fn a_record_that_was_not_in_the_old_log_yet_is_in_the_new_one() {
    let store = Arc::new(HeldStore { inner: MemoryStore::new(), is_held: AtomicBool::new(false) });
    let world = World::over(store.clone(), 1);
    world.run(create("a", 1, Some("one"))).unwrap();
    world.records();
    let before = block_on(store.snapshot()).unwrap().revision();
    store.is_held.store(true, Ordering::SeqCst);
    let administrator = world.administrator();
    let mut creating: BoxFuture<'_, _> =
        Box::pin(world.core.execute(&administrator, create("b", 2, Some("two"))));
    assert!(poll_once(&mut creating).is_none());
    while block_on(store.snapshot()).unwrap().revision() == before {
        std::thread::yield_now();
    }
    let backup = world.backup();
    let old = world.records();
    let until = usize::try_from(Reader::open(&backup[..]).unwrap().header().audit.head.sequence).unwrap();
    let (restored, contents, _) = elsewhere(&world).restore(&backup, None, false).unwrap();
    assert_eq!(contents.outbox, 1);
    let told = [&old[..until], &restored.records()].concat();
    let creations: Vec<_> =
        told.iter().filter(|record| field(record, "/eventName") == "CreateSecret").collect();
    let names: Vec<_> = creations.iter().map(|record| field(record, "/requestParameters/name")).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(values(&restored)["b"][0], "two");
}

fn remove(world: &World, key: &[u8]) {
    let change = Change { guards: vec![], writes: vec![Write::Delete(Bytes::copy_from_slice(key))] };
    block_on(world.store.commit(change)).unwrap();
}

#[test]
fn what_was_revoked_later_is_told_or_stays_revoked() {
    let world = furnished();
    let backup = world.backup();
    remove(&world, b"k\0AKIANOBODY\0");
    remove(&world, b"u\x00123456789012\0nobody\0");
    world.run(delete("many/007", true)).unwrap();
    world.run(delete("a", false)).unwrap();
    world.run(delete("many/008", true)).unwrap();
    world.run(create("many/008", 77, Some("another"))).unwrap();
    world.run(put("many/009", 78, "newer", None)).unwrap();
    world.run(create("newest", 79, Some("x"))).unwrap();
    let replaced = block_on(world.store.snapshot()).unwrap();

    let (restored, contents, undone) = elsewhere(&world).restore(&backup, Some(&*replaced), false).unwrap();
    let undone = undone.unwrap();
    let ids = |keys: &[coffer_core::backup::AccessKeyFacts]| -> Vec<_> {
        keys.iter().map(|key| format!("{} of {}", key.id, key.user)).collect()
    };
    assert_eq!(ids(&undone.access_keys), ["AKIANOBODY of nobody"]);
    assert_eq!(undone.users, ["nobody"]);
    let names: Vec<_> = undone.secrets.iter().map(|(_, name)| name.to_string()).collect();
    assert_eq!(names, ["a", "many/007", "many/008"]);
    assert_eq!((undone.secret_count, undone.older_secrets, undone.lost_secrets), (3, 1, 1));
    assert_eq!(ids(&contents.access_keys).len(), 2);
    let first = restored.records().remove(0);
    assert_eq!(field(&first, "/responseElements/undone/accessKeys"), r#"["AKIANOBODY"]"#);

    let (_, contents, undone) = elsewhere(&world).restore(&backup, Some(&*replaced), true).unwrap();
    let undone = undone.unwrap();
    assert!(undone.access_keys.is_empty() && undone.users.is_empty());
    assert_eq!(ids(&contents.access_keys), ["AKIAADMINISTRATOR of administrator"]);
    assert_eq!(contents.fault_count, 0, "{:?}", contents.faults);
}

const ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

fn trust(principal: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole"}}}}"#
    )
}

fn name(text: &str) -> EntityName {
    text.parse().unwrap()
}

fn policy_arn(text: &str) -> PolicyArn {
    format!("arn:aws:iam::123456789012:policy/{text}").parse().unwrap()
}

/// A world with a user, a group, a role and a policy, none of which has anything.
fn peopled() -> World {
    let world = World::new();
    for user in ["alice", "bob"] {
        world
            .run(CreateUser { name: name(user), path: Default::default(), boundary: None, tags: vec![] })
            .unwrap();
    }
    world.run(CreateGroup { name: name("team"), path: Default::default() }).unwrap();
    let role = CreateRole {
        name: name("job"),
        path: Default::default(),
        trust: trust("123456789012"),
        description: None,
        session_seconds_max: 3600,
        boundary: None,
        tags: vec![],
    };
    world.run(role).unwrap();
    let policy = CreatePolicy {
        name: name("p"),
        path: Default::default(),
        document: ALL.to_owned(),
        description: None,
        tags: vec![],
    };
    world.run(policy).unwrap();
    let provider = CreateOpenIDConnectProvider {
        url: "https://tokens.example.com".parse().unwrap(),
        client_ids: vec!["coffer".to_owned()],
        thumbprints: vec![],
        tags: vec![],
    };
    world.run(provider).unwrap();
    world
}

fn provider_arn() -> OidcProviderArn {
    "arn:aws:iam::123456789012:oidc-provider/tokens.example.com".parse().unwrap()
}

/// What is told to be again as it was after these changes, and how much that was made is lost.
fn undone_of(change: impl Fn(&World)) -> (Vec<String>, u64) {
    let world = peopled();
    let backup = world.backup();
    change(&world);
    let replaced = block_on(world.store.snapshot()).unwrap();
    let (restored, _, undone) = elsewhere(&world).restore(&backup, Some(&*replaced), false).unwrap();
    let undone = undone.unwrap();
    let first = restored.records().remove(0);
    let mut told = Vec::new();
    for (kind, names) in [
        ("users", &undone.users),
        ("groups", &undone.groups),
        ("roles", &undone.roles),
        ("policies", &undone.policies),
        ("providers", &undone.providers),
    ] {
        let recorded = field(&first, &format!("/responseElements/undone/{kind}"));
        assert_eq!(recorded, serde_json::to_string(names).unwrap());
        told.extend(names.iter().map(|name| format!("{kind} {name}")));
    }
    let (_, _, kept) = elsewhere(&world).restore(&backup, Some(&*replaced), true).unwrap();
    let kept = kept.unwrap();
    let left = [kept.users, kept.groups, kept.roles, kept.policies, kept.providers].concat();
    assert!(left.is_empty() && kept.lost_access == 0, "{left:?}");
    (told, undone.lost_access)
}

#[test]
fn every_change_of_who_may_do_what_is_told() {
    macro_rules! changes {
        ($($told:expr, $lost:expr, [$($operation:expr),+];)*) => {$(
            let (told, lost) = undone_of(|world| { $(world.run($operation).unwrap();)+ });
            assert_eq!((told, lost), (to_texts(&$told), $lost), "{}", stringify!($($operation),+));
        )*};
    }
    let tag = || vec![Tag::new("team", "blue").unwrap()];
    changes! {
        ["users alice"], 0, [PutPolicy::<OfUser> { holder: name("alice"), name: name("own"), document: ALL.into(), kind: PhantomData }];
        ["groups team"], 0, [PutPolicy::<OfGroup> { holder: name("team"), name: name("own"), document: ALL.into(), kind: PhantomData }];
        ["roles job"], 0, [PutPolicy::<OfRole> { holder: name("job"), name: name("own"), document: ALL.into(), kind: PhantomData }];
        ["users alice"], 0, [AttachPolicy::<OfUser> { holder: name("alice"), policy: policy_arn("p"), kind: PhantomData }];
        ["groups team"], 0, [AttachPolicy::<OfGroup> { holder: name("team"), policy: policy_arn("p"), kind: PhantomData }];
        ["roles job"], 0, [AttachPolicy::<OfRole> { holder: name("job"), policy: policy_arn("p"), kind: PhantomData }];
        ["roles job"], 0, [PutPermissionsBoundary::<OfRole> { holder: name("job"), policy: policy_arn("p"), kind: PhantomData }];
        ["users alice"], 0, [AddUserToGroup { group: name("team"), user: name("alice") }];
        ["users alice"], 0, [TagEntity::<OfUser> { entity: EntityReference::Named(name("alice")), tags: tag(), kind: PhantomData }];
        ["roles job"], 0, [UpdateAssumeRolePolicy { name: name("job"), trust: trust("arn:aws:iam::123456789012:user/bob"), expected: None }];
        ["policies p"], 0, [CreatePolicyVersion { arn: policy_arn("p"), document: allowing("iam:*"), set_as_default: true }];
        [], 0, [CreatePolicyVersion { arn: policy_arn("p"), document: allowing("iam:*"), set_as_default: false }];
        ["providers tokens.example.com"], 0, [AddClientIDToOpenIDConnectProvider { arn: provider_arn(), client_id: "other".to_owned() }];
        ["groups team"], 0, [DeleteGroup { name: name("team") }];
        ["policies p"], 0, [DeletePolicy { arn: policy_arn("p") }];
        ["roles job"], 0, [DeleteRole { name: name("job") }];
        ["groups team"], 0, [DeleteGroup { name: name("team") }, CreateGroup { name: name("team"), path: Default::default() }];
        [], 1, [CreateGroup { name: name("other"), path: Default::default() }];
        ["users bob"], 1, [UpdateUser { name: name("bob"), new_name: Some(name("carol")), new_path: None }];
    }
}

fn to_texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A document that allows one action.
fn allowing(action: &str) -> String {
    ALL.replacen('*', action, 1)
}

#[test]
fn an_access_key_that_was_deactivated_later_is_told_and_one_that_was_inactive_before_is_not() {
    let world = furnished();
    let switch = |is_active| {
        let user = Some("nobody".parse().unwrap());
        world.run(UpdateAccessKey { user, id: "AKIANOBODY".to_owned(), is_active }).unwrap();
    };
    let again = |backup: &[u8]| -> Vec<_> {
        let replaced = block_on(world.store.snapshot()).unwrap();
        let (_, _, undone) = elsewhere(&world).restore(backup, Some(&*replaced), false).unwrap();
        undone.unwrap().access_keys.into_iter().map(|key| key.id).collect()
    };
    let backup_of_active = world.backup();
    switch(false);
    let backup_of_inactive = world.backup();
    assert_eq!(again(&backup_of_active), ["AKIANOBODY"]);
    assert_eq!(again(&backup_of_inactive), Vec::<String>::new());
    remove(&world, b"k\0AKIANOBODY\0");
    assert_eq!(again(&backup_of_active), ["AKIANOBODY"]);
    assert_eq!(again(&backup_of_inactive), Vec::<String>::new());
}

#[test]
fn what_does_not_open_or_points_at_nothing_is_named_and_restored_as_it_is() {
    let world = furnished();
    let snapshot = block_on(world.store.snapshot()).unwrap();
    let all = coffer_store::KeyRange::prefix(Bytes::new());
    let entries = block_on(snapshot.range(all, coffer_store::Order::Ascending, 10_000)).unwrap();
    let some = |letter: u8| entries.iter().rfind(|entry| entry.key[0] == letter).unwrap().key.clone();
    let (index, version, creation) = (some(b'i'), some(b'v'), some(b'c'));
    for (removed, words) in [
        (index, "is missing from the index"),
        (version, "points at a version that is missing"),
        (creation, "is missing from the list of secrets"),
        (
            Bytes::from_static(b"u\x00123456789012\0nobody\0"),
            "access key `AKIANOBODY` is of user `nobody`, who is missing",
        ),
        (Bytes::from_static(b"x\0token-key\0"), "the token key is missing"),
        (Bytes::from_static(b"e\x00123456789012\0us-east-1\0"), "generation 1 of its key is missing"),
    ] {
        let world = furnished();
        // Ids are drawn alike in each world, so the keys are the same.
        remove(&world, &removed);
        let contents = check(&world, &world.backup()).unwrap();
        assert!(contents.faults.iter().any(|fault| fault.contains(words)), "{words}: {:?}", contents.faults);
        assert!(contents.faults.len() <= 20 && contents.fault_count >= contents.faults.len() as u64);
    }

    let world = furnished();
    let place = Bytes::from_static(b"s\x00123456789012\0us-east-1\0many/003");
    let garbage =
        Change { guards: vec![], writes: vec![Write::Put(place, Bytes::from_static(b"\x01garbage"))] };
    block_on(world.store.commit(garbage)).unwrap();
    let backup = world.backup();
    let (restored, contents, _) = elsewhere(&world).restore(&backup, None, false).unwrap();
    assert!(contents.faults[0].contains("many/003"), "{:?}", contents.faults);
    assert!(restored.run(get("many/004", None, None)).is_ok());
    assert!(restored.run(get("many/003", None, None)).is_err());
}

#[test]
fn another_stores_key_or_a_full_place_is_refused() {
    let (world, other) = (furnished(), World::over(Arc::new(MemoryStore::new()), 2));
    let backup = world.backup();
    assert!(matches!(check(&other, &backup), Err(BackupError::NotAuthentic(_))));
    let refused = elsewhere(&other).restore(&backup, None, false);
    assert!(matches!(refused.err(), Some(RestoreError::Backup(BackupError::NotAuthentic(_)))));
    let refused = world.ground().clone().restore(&backup, None, false);
    assert!(matches!(refused.err(), Some(RestoreError::NotEmpty)));
}

#[test]
fn a_backup_under_sixteen_writers_is_one_moment() {
    const WRITERS: u64 = 16;
    let world = World::new();
    for writer in 0..WRITERS {
        world.run(create(&format!("writer/{writer}"), writer * 1000 + 1, Some("0"))).unwrap();
    }
    let (acknowledged, stop) =
        ((0..WRITERS).map(|_| AtomicU64::new(1)).collect::<Vec<_>>(), AtomicBool::new(false));
    let taken = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (world, acknowledged, stop) = (&world, &acknowledged, &stop);
            scope.spawn(move || {
                for number in 2..1000 {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let value = number.to_string();
                    world
                        .run(put(&format!("writer/{writer}"), writer * 1000 + number, &value, None))
                        .unwrap();
                    acknowledged[writer as usize].store(number, Ordering::SeqCst);
                }
            });
        }
        let mut taken = Vec::new();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(30));
            let read = || acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
            let before = read();
            taken.push((before, world.backup(), read()));
        }
        stop.store(true, Ordering::SeqCst);
        taken
    });
    for (before, backup, after) in taken {
        let (restored, contents, _) = elsewhere(&world).restore(&backup, None, false).unwrap();
        assert_eq!(contents.fault_count, 0, "{:?}", contents.faults);
        for writer in 0..WRITERS {
            let current = restored.run(get(&format!("writer/{writer}"), None, None)).unwrap();
            let number: u64 = String::from_utf8(current.value.bytes().expose_secret().to_vec())
                .unwrap()
                .parse()
                .unwrap_or(1)
                .max(1);
            assert_eq!(current.version_id, version_id(writer * 1000 + number));
            let (least, most) = (before[writer as usize], after[writer as usize] + 1);
            assert!((least..=most).contains(&number), "{least} <= {number} <= {most}");
        }
        let head = Reader::open(&backup[..]).unwrap().header().audit.head.sequence;
        let old = world.log.tail(usize::MAX).unwrap();
        let puts = |records: &[String]| {
            records.iter().filter(|record| field(record, "/eventName") == "PutSecretValue").count() as u64
        };
        // Each change up to the backup is told once: in the old log up to its head, or in the new one.
        let told = puts(&old[..usize::try_from(head).unwrap()]) + puts(&restored.records());
        assert_eq!(told, contents.versions - WRITERS);
    }
}

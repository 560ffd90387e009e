//! What policies allow, decided by the gate, and that nothing commits under one that was just taken away.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::marker::PhantomData;
use std::sync::Arc;

use coffer_core::ops::iam::{
    AttachPolicy, CreateAccessKey, CreateRole, CreateUser, DeleteAccessKey, DeleteInlinePolicy, DeleteRole,
    DetachPolicy, GetAccessKeyLastUsed, GetUser, ListUsers, OfRole, OfUser, Page, PutPolicy,
};
use coffer_core::ops::secrets::{CreateSecret, GetSecretValue};
use coffer_core::ops::sts::{AssumeRole, GetSessionToken};
use coffer_core::{AuthenticationError, Claim, Context, Credentials, Error, IamError, Principal, SigV4Claim};
use coffer_crypto::digest::sha256_hex;
use coffer_crypto::sigv4::SigningKey;
use coffer_store::{Fault, FaultyStore, MemoryStore};
use coffer_testkit::{World, version_id};
use coffer_types::{EntityName, SecretValue};
use futures_executor::block_on;

const READ_ALL: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}}"#;

fn name(text: &str) -> EntityName {
    text.parse().unwrap()
}

fn put(document: &str) -> PutPolicy<OfUser> {
    PutPolicy { holder: name("nobody"), name: name("p"), document: document.into(), kind: PhantomData }
}

fn take_away() -> DeleteInlinePolicy<OfUser> {
    DeleteInlinePolicy { holder: name("nobody"), name: name("p"), kind: PhantomData }
}

fn create(secret: &str) -> CreateSecret {
    CreateSecret {
        name: secret.parse().unwrap(),
        token: version_id(1),
        description: None,
        kms_key_id: None,
        value: Some(SecretValue::string("v".to_owned().into()).unwrap()),
        tags: None,
    }
}

fn read(secret: &str) -> GetSecretValue {
    GetSecretValue { secret_id: secret.parse().unwrap(), version_id: None, version_stage: None }
}

fn may_create(world: &World, context: &Context, secret: &str) -> bool {
    match block_on(world.core.execute(context, create(secret))) {
        Ok(_) => true,
        Err(Error::Denied(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_given_is_there_at_once_and_what_is_taken_is_gone_at_once() {
    let world = World::new();
    let nobody = world.nobody();
    for round in 0..20 {
        assert!(!may_create(&world, &nobody, "x"));
        world.run(put(READ_ALL)).unwrap();
        assert!(may_create(&world, &nobody, &format!("s{round}")));
        assert!(block_on(world.core.execute(&nobody, read(&format!("s{round}")))).is_ok());
        world.run(take_away()).unwrap();
        assert!(block_on(world.core.execute(&nobody, read(&format!("s{round}")))).is_err());
    }
}

#[test]
fn nothing_is_written_after_the_answer_that_took_its_permission_away() {
    let world = Arc::new(World::new());
    for round in 0..15 {
        world.run(put(READ_ALL)).unwrap();
        let writer = {
            let world = Arc::clone(&world);
            std::thread::spawn(move || {
                let nobody = world.nobody();
                // Until it is denied.
                (0..).take_while(|number| may_create(&world, &nobody, &format!("r{round}/{number}"))).count()
            })
        };
        std::thread::sleep(std::time::Duration::from_millis(3));
        world.run(take_away()).unwrap();
        let count_at_the_answer = world.run(coffer_core::ops::local::ReadStatus).unwrap().secrets;
        writer.join().unwrap();
        let count_later = world.run(coffer_core::ops::local::ReadStatus).unwrap().secrets;
        assert_eq!(count_at_the_answer, count_later);
    }
}

#[test]
fn changes_of_access_that_meet_do_not_undo_each_other() {
    for _ in 0..10 {
        let world = Arc::new(World::new());
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let world = Arc::clone(&world);
                std::thread::spawn(move || {
                    let policy = PutPolicy::<OfUser> { name: name(&format!("p{number}")), ..put(READ_ALL) };
                    world.run(policy).unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for number in 0..8 {
            let gone = DeleteInlinePolicy::<OfUser> { name: name(&format!("p{number}")), ..take_away() };
            world.run(gone).unwrap();
        }
    }
}

#[test]
fn an_administrator_stays_one_after_a_restart() {
    let world = World::new().reopen().unwrap();
    assert!(may_create(&world, &world.administrator(), "x"));
    assert!(!may_create(&world, &world.nobody(), "y"));
    let detach = DetachPolicy::<OfUser> {
        holder: name("administrator"),
        policy: "arn:aws:iam::aws:policy/AdministratorAccess".parse().unwrap(),
        kind: PhantomData,
    };
    world.run(detach).unwrap();
    assert!(!may_create(&world, &world.administrator(), "y"));
}

#[test]
fn a_change_of_access_over_a_store_that_fails_is_there_or_is_not() {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::over(faulty.clone(), 3);
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Refused] {
        faulty.inject([fault]);
        let outcome = world.run(put(READ_ALL)).is_ok();
        assert_eq!(may_create(&world, &world.nobody(), &format!("{fault:?}")), outcome, "{fault:?}");
        drop(world.run(take_away()));
    }
}

#[test]
fn a_policy_that_is_none_is_refused_and_nothing_is_changed() {
    let world = World::new();
    for bad in [
        "",
        "{",
        "[]",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "x", "Resource": "*"}]}"#,
    ] {
        let refused = world.run(put(bad)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Iam(IamError::MalformedPolicyDocument(_))), "{bad}: {refused}");
    }
    assert!(world.run(take_away()).is_err());
}

#[test]
fn the_last_use_of_a_key_is_known_after_a_restart_and_gone_with_the_key() {
    let world = World::new();
    let key = world.run(CreateAccessKey { user: Some(name("nobody")) }).unwrap();
    let last =
        |world: &World| world.run(GetAccessKeyLastUsed { id: key.key.id.clone() }).map(|used| used.last);
    assert_eq!(last(&world).unwrap(), None);
    let claim = SigV4Claim {
        access_key_id: key.key.id.as_str().into(),
        session_token: None,
        date: world.core.now().to_amz_date()[..8].to_owned(),
        region: "eu-west-1".parse().unwrap(),
        service: "sts",
        signed_at: world.core.now(),
        string_to_sign: b"x".to_vec(),
        signature: [0; 32],
    };
    let signing = SigningKey::derive(&key.secret, &claim.date, "eu-west-1", "sts");
    let request = world.administrator().request;
    let wrong = SigV4Claim { date: claim.date.clone(), ..copy(&claim) };
    assert!(block_on(world.core.authenticate(Claim::SigV4(wrong), request.clone(), "sts")).is_err());
    assert_eq!(last(&world).unwrap(), None);
    let right = SigV4Claim { signature: signing.sign(b"x"), ..copy(&claim) };
    assert!(block_on(world.core.authenticate(Claim::SigV4(right), request, "sts")).is_ok());
    let used = (world.core.now(), "eu-west-1".parse().unwrap(), "sts".to_owned());
    assert_eq!(last(&world).unwrap(), Some(used.clone()));
    world.clock.advance_millis(61_000);
    block_on(world.core.maintain());
    let world = world.reopen().unwrap();
    assert_eq!(last(&world).unwrap(), Some(used));
    world.run(DeleteAccessKey { user: Some(name("nobody")), id: key.key.id.clone() }).unwrap();
    assert!(matches!(last(&world).unwrap_err(), Error::Iam(IamError::NoSuchEntity(_))));
}

fn copy(claim: &SigV4Claim) -> SigV4Claim {
    SigV4Claim {
        access_key_id: claim.access_key_id.clone(),
        session_token: None,
        date: claim.date.clone(),
        region: claim.region.clone(),
        service: claim.service,
        signed_at: claim.signed_at,
        string_to_sign: claim.string_to_sign.clone(),
        signature: claim.signature,
    }
}

#[test]
fn a_listing_is_not_taken_for_whoever_may_not_list() {
    let world = World::new();
    let list =
        || ListUsers { path_prefix: "/".into(), page: Page { max_items: 1, marker: Some("forged".into()) } };
    let denied = block_on(world.core.execute(&world.nobody(), list())).map(|_| ()).unwrap_err();
    assert!(matches!(denied, Error::Denied(_)));
    assert!(matches!(world.run(list()).map(|_| ()).unwrap_err(), Error::InvalidNextToken));
}

#[test]
fn records_tell_who_was_made_and_no_secret() {
    let world = World::new();
    let user =
        || CreateUser { name: name("alice"), path: Default::default(), boundary: None, tags: Vec::new() };
    world.run(user()).unwrap();
    let again = world.run(user()).map(|_| ()).unwrap_err();
    assert!(matches!(again, Error::Iam(IamError::EntityAlreadyExists(_))));
    let key = world.run(coffer_core::ops::iam::CreateAccessKey { user: Some(name("alice")) }).unwrap();
    let secret = String::from_utf8(key.secret.expose_secret().to_vec()).unwrap();
    assert!(block_on(world.core.execute(&world.nobody(), GetUser { name: Some(name("alice")) })).is_err());
    let attach = AttachPolicy::<OfUser> {
        holder: name("alice"),
        policy: "arn:aws:iam::aws:policy/None".parse().unwrap(),
        kind: PhantomData,
    };
    assert!(world.run(attach).is_err());
    let records = world.records().join("\n");
    for told in ["CreateUser", "CreateAccessKey", "EntityAlreadyExistsException", "AccessDenied", &key.key.id]
    {
        assert!(records.contains(told), "{told}");
    }
    assert!(!records.contains(&secret));
}

#[test]
fn a_long_document_is_cut_in_the_record() {
    let world = World::new();
    let padded = |bytes: usize| format!("{READ_ALL}{}", " ".repeat(bytes - READ_ALL.len()));
    let long = padded(100_000);
    assert!(block_on(world.core.execute(&world.nobody(), put(&long))).is_err());
    let malformed = format!("{{{}", "x".repeat(99_999));
    assert!(world.run(put(&malformed)).is_err());
    world.run(put(&padded(10_000))).unwrap();
    world.run(put(&long)).unwrap();
    let records = world.records();
    let of_puts: Vec<_> =
        records.iter().filter(|record| record.contains(r#""eventName":"PutUserPolicy""#)).collect();
    let [denied, failed, whole, cut] = of_puts.as_slice() else { panic!("{of_puts:?}") };
    for (record, document, bytes_max) in [
        (denied, &long, 2500),
        (failed, &malformed, 2500),
        (whole, &padded(10_000), 11_500),
        (cut, &long, 18_000),
    ] {
        assert!(record.len() < bytes_max, "{}", record.len());
        assert!(record.contains(r#""userName":"nobody","policyName":"p","policyDocument":"{"#), "{record}");
        let digest = sha256_hex(document.as_bytes());
        let marker = format!("...(truncated: 100000 bytes, SHA-256 {})", digest.escape_ascii());
        assert_eq!(record.contains(&marker), document.len() == 100_000, "{record}");
    }
}

/// A claim signed with a session's credentials.
fn session_claim(world: &World, credentials: &Credentials) -> Claim {
    let date = world.core.now().to_amz_date()[..8].to_owned();
    let signing = SigningKey::derive(&credentials.secret, &date, "us-east-1", "sts");
    Claim::SigV4(SigV4Claim {
        access_key_id: credentials.access_key_id.as_str().into(),
        session_token: Some(credentials.token.clone()),
        date,
        region: "us-east-1".parse().unwrap(),
        service: "sts",
        signed_at: world.core.now(),
        signature: signing.sign(b"x"),
        string_to_sign: b"x".to_vec(),
    })
}

#[test]
fn a_session_is_believed_until_its_time_is_over() {
    let world = World::new();
    let mut context = world.administrator();
    let Principal::User { id, name: user, .. } = &mut context.principal else { panic!("a user") };
    *id = world.run(GetUser { name: Some(name(user)) }).unwrap().id.into();
    let credentials = block_on(world.core.execute(&context, GetSessionToken { seconds: 900 })).unwrap().0;
    let believe = || {
        let request = world.administrator().request;
        block_on(world.core.authenticate(session_claim(&world, &credentials), request, "sts"))
    };
    let context = believe().unwrap();
    assert_eq!(context.principal.arn(), "arn:aws:iam::123456789012:user/administrator");
    assert!(may_create(&world, &context, "by-a-session"));
    world.clock.advance_millis(900_000 - 1);
    assert!(believe().is_ok());
    world.clock.advance_millis(1);
    assert_eq!(believe().map(|_| ()), Err(AuthenticationError::ExpiredToken));
}

#[test]
fn who_was_deleted_and_made_anew_meanwhile_does_nothing() {
    let world = World::new();
    assert!(may_create(&world, &world.administrator(), "s"));
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}}"#;
    let holder = || name("job");
    let make_role = || {
        let role = CreateRole {
            name: holder(),
            path: Default::default(),
            trust: trust.to_owned(),
            description: None,
            session_seconds_max: 3600,
            boundary: None,
            tags: Vec::new(),
        };
        world.run(role).unwrap();
        let policy = PutPolicy::<OfRole> {
            holder: holder(),
            name: name("p"),
            document: READ_ALL.to_owned(),
            kind: PhantomData,
        };
        world.run(policy).unwrap();
    };
    let session = || {
        let assume = AssumeRole {
            role: "arn:aws:iam::123456789012:role/job".parse().unwrap(),
            session_name: name("app"),
            seconds: None,
            external_id: None,
            source_identity: None,
            policy: None,
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive: Vec::new(),
        };
        let credentials = world.run(assume).unwrap().credentials;
        let request = world.administrator().request;
        block_on(world.core.authenticate(session_claim(&world, &credentials), request, "sts")).unwrap()
    };
    let may_read = |context: &Context| match block_on(world.core.execute(context, read("s"))) {
        Ok(_) => true,
        Err(Error::Denied(_)) => false,
        Err(error) => panic!("{error}"),
    };
    make_role();
    // Each was believed before the role was deleted; the second has asked, and what it may is in the cache.
    let (silent, known) = (session(), session());
    assert!(may_read(&known));
    world.run(DeleteInlinePolicy::<OfRole> { holder: holder(), name: name("p"), kind: PhantomData }).unwrap();
    world.run(DeleteRole { name: holder() }).unwrap();
    assert!(!may_read(&known));
    make_role();
    let new = session();
    assert!(may_read(&new));
    for old in [silent, known] {
        assert!(!may_read(&old) && !may_create(&world, &old, "by-an-old-session"));
    }
    assert!(may_read(&new) && may_create(&world, &new, "by-a-new-session"));

    // Users are told apart in the same way.
    let mut other = world.administrator();
    let Principal::User { id, .. } = &mut other.principal else { panic!("a user") };
    *id = "AIDAANOTHER".into();
    assert!(may_read(&world.administrator()) && !may_read(&other) && may_read(&world.administrator()));
}

#[test]
fn the_key_of_tokens_is_replaced_and_the_one_before_opens_until_no_session_is_left() {
    const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
    let mut world = World::new();
    let rotations = |world: &World| {
        // What a round of maintenance changes, the next one moves into the log.
        world.records();
        world.records().iter().filter(|record| record.contains(r#""eventName":"RotateTokenKey""#)).count()
    };
    let begin = |world: &World| {
        let session = GetSessionToken { seconds: 129_600 };
        block_on(world.core.execute(&world.administrator(), session)).unwrap().0
    };
    let believe = |world: &World, credentials: &Credentials| {
        let request = world.administrator().request;
        block_on(world.core.authenticate(session_claim(world, credentials), request, "sts")).map(drop)
    };
    let first_page = |world: &World, marker| {
        world.run(ListUsers { path_prefix: "/".into(), page: Page { max_items: 1, marker } })
    };
    world.clock.advance_millis(7 * DAY_MILLIS - 1);
    assert_eq!(rotations(&world), 0);
    let under_first = begin(&world);
    let marker = first_page(&world, None).unwrap().marker;
    world.clock.advance_millis(DAY_MILLIS / 24);
    assert_eq!(rotations(&world), 1);
    // Also after a restart the key before opens, and the new one seals.
    for _ in 0..2 {
        assert_eq!(believe(&world, &under_first), Ok(()));
        assert!(first_page(&world, marker.clone()).is_ok());
        let under_second = begin(&world);
        world = world.reopen().unwrap();
        assert_eq!(believe(&world, &under_second), Ok(()));
    }
    world.clock.advance_millis(3 * DAY_MILLIS / 2);
    assert_eq!(believe(&world, &under_first), Err(AuthenticationError::ExpiredToken));
    world.clock.advance_millis(7 * DAY_MILLIS);
    assert_eq!(rotations(&world), 2);
    assert_eq!(believe(&world, &under_first), Err(AuthenticationError::InvalidSessionToken));
    assert!(first_page(&world, marker).is_err());
}

#[test]
fn a_sessions_secret_is_in_no_record_and_in_no_store() {
    let world = World::new();
    let credentials = world.run(GetSessionToken { seconds: 900 }).unwrap().0;
    let secret = String::from_utf8(credentials.secret.expose_secret().to_vec()).unwrap();
    let records = world.records().join("\n");
    assert!(records.contains(&credentials.access_key_id));
    assert!(!records.contains(&secret) && !records.contains(&credentials.token[..40]));
}

//! Whom core believes, and what it writes down of those it doesn't.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coffer_core::{
    AuthenticationError, Claim, Clock, Context, Principal, Refusal, RequestInfo, SigV4Claim, Transport,
};
use coffer_crypto::sigv4::SigningKey;
use coffer_testkit::shorthand::get;
use coffer_testkit::{OWNER, World, secret_access_key};
use coffer_types::{Region, SecretBytes, Timestamp};
use futures_executor::block_on;
use serde_json::Value;

const SOURCE: &str = "secretsmanager.amazonaws.com";

fn request(world: &World, source: Option<IpAddr>) -> RequestInfo {
    RequestInfo {
        request_id: world.core.new_request_id(),
        correlation_id: None,
        source,
        user_agent: "test".into(),
        transport: Transport::Local,
    }
}

fn authenticate(world: &World, claim: Claim) -> Result<Context, AuthenticationError> {
    block_on(world.core.authenticate(claim, request(world, None), SOURCE))
}

/// What a client signs; each part can be spoilt.
struct Signer {
    access_key_id: &'static str,
    secret: SecretBytes,
    signed_at: Timestamp,
    region: &'static str,
}

impl Signer {
    fn administrator(world: &World) -> Self {
        Self {
            access_key_id: "AKIAADMINISTRATOR",
            secret: secret_access_key("administrator"),
            signed_at: world.clock.now(),
            region: "us-east-1",
        }
    }

    fn claim(&self) -> SigV4Claim {
        let amz_date = self.signed_at.to_amz_date();
        let date = amz_date[..8].to_owned();
        let (region, service) = (self.region, "secretsmanager");
        let string_to_sign =
            format!("AWS4-HMAC-SHA256\n{amz_date}\n{date}/{region}/{service}/aws4_request\nhash")
                .into_bytes();
        let key = SigningKey::derive(&self.secret, &date, region, service);
        SigV4Claim {
            access_key_id: self.access_key_id.into(),
            session_token: None,
            date,
            region: region.parse().unwrap(),
            service,
            signed_at: self.signed_at,
            signature: key.sign(&string_to_sign),
            string_to_sign,
        }
    }

    fn check(&self, world: &World) -> Result<Context, AuthenticationError> {
        authenticate(world, Claim::SigV4(self.claim()))
    }
}

#[test]
fn a_right_signature_is_believed_and_says_who_signed() {
    let world = World::new();
    let context = Signer { region: "eu-west-1", ..Signer::administrator(&world) }.check(&world).unwrap();
    let Principal::User { name, arn, id, access_key_id } = &context.principal else { panic!("a user") };
    assert_eq!((&**name, &**access_key_id), ("administrator", "AKIAADMINISTRATOR"));
    assert_eq!(&**arn, "arn:aws:iam::123456789012:user/administrator");
    assert!(id.starts_with("AIDA") && id.len() == 21, "{id}");
    assert_eq!(context.region, "eu-west-1".parse::<Region>().unwrap());
    assert_eq!((context.account, context.now), (world.core.account(), world.core.now()));
    let nobody = Signer {
        access_key_id: "AKIANOBODY",
        secret: secret_access_key("nobody"),
        ..Signer::administrator(&world)
    };
    assert_eq!(nobody.check(&world).unwrap().principal.arn(), "arn:aws:iam::123456789012:user/nobody");
}

#[test]
fn anything_else_is_not() {
    let world = World::new();
    let right = || Signer::administrator(&world).claim();
    // The derived key is known from here on, and not yet in a world of its own.
    for is_key_known in [false, true] {
        let world = if is_key_known { &world } else { &World::new() };
        if is_key_known {
            authenticate(world, Claim::SigV4(right())).unwrap();
        }
        let refused = |claim| authenticate(world, Claim::SigV4(claim)).err();
        let mut flipped = right();
        flipped.signature[31] ^= 1;
        let mut other_text = right();
        other_text.string_to_sign.push(b'x');
        let spoilt = [
            flipped,
            other_text,
            SigV4Claim { region: "us-east-2".parse().unwrap(), ..right() },
            SigV4Claim { service: "sts", ..right() },
            SigV4Claim { date: "20261121".into(), ..right() },
            SigV4Claim { access_key_id: "AKIANOBODY".into(), ..right() },
        ];
        for claim in spoilt {
            assert_eq!(refused(claim), Some(AuthenticationError::WrongSignature));
        }
        let unknown = SigV4Claim { access_key_id: "AKIAUNKNOWN".into(), ..right() };
        assert_eq!(refused(unknown), Some(AuthenticationError::UnknownAccessKey));
        let with_token = SigV4Claim { session_token: Some("token".into()), ..right() };
        assert_eq!(refused(with_token), Some(AuthenticationError::InvalidSessionToken));
    }
    let other_secret = Signer { secret: secret_access_key("nobody"), ..Signer::administrator(&world) };
    assert_eq!(other_secret.check(&world).err(), Some(AuthenticationError::WrongSignature));
}

#[test]
fn refusals_use_the_words_of_aws() {
    let facts = [
        (AuthenticationError::UnknownAccessKey, "The security token included in the request is invalid."),
        (AuthenticationError::InvalidSessionToken, "The security token included in the request is invalid."),
        (
            AuthenticationError::WrongSignature,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
    ];
    for (error, text) in facts {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_signature_is_good_for_five_minutes_both_ways_and_not_a_millisecond_more() {
    const FIVE_MINUTES: i64 = 300_000;
    let world = World::new();
    let now = world.clock.now();
    let signed = |millis: i64| {
        let signer = Signer { signed_at: now.plus_millis(millis), ..Signer::administrator(&world) };
        signer.check(&world).map(drop).map_err(|error| error.to_string())
    };
    for millis in [0, -FIVE_MINUTES, FIVE_MINUTES, -FIVE_MINUTES + 1, FIVE_MINUTES - 1] {
        assert_eq!(signed(millis), Ok(()), "{millis}");
    }
    assert_eq!(
        signed(-FIVE_MINUTES - 1).unwrap_err(),
        "Signature expired: 20261122T102459Z is now earlier than 20261122T102500Z (20261122T103000Z - 5 min.)"
    );
    assert_eq!(
        signed(FIVE_MINUTES + 1).unwrap_err(),
        "Signature not yet current: 20261122T103500Z is still later than 20261122T103500Z (20261122T103000Z + 5 min.)"
    );
    assert!(
        signed(-86_400_000).unwrap_err().starts_with("Signature expired: 20261121T103000Z is now earlier")
    );
    // Whoever holds no key is not told that the clock is off.
    let stranger = Signer {
        access_key_id: "AKIAUNKNOWN",
        signed_at: now.plus_millis(-86_400_000),
        ..Signer::administrator(&world)
    };
    assert_eq!(stranger.check(&world).err(), Some(AuthenticationError::UnknownAccessKey));
}

#[test]
fn a_day_has_its_own_key_and_both_are_good_around_midnight() {
    let world = World::new();
    let midnight: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    world.clock.advance_millis(midnight.millis_since(world.clock.now()) - 1000);
    let before = Signer::administrator(&world);
    before.check(&world).unwrap();
    world.clock.advance_millis(2000);
    let after = Signer::administrator(&world);
    assert_ne!(before.claim().date, after.claim().date);
    for _ in 0..2 {
        after.check(&world).unwrap();
        before.check(&world).unwrap();
    }
    let carried_over = SigV4Claim {
        signature: SigningKey::derive(&after.secret, "20261122", "us-east-1", "secretsmanager")
            .sign(&after.claim().string_to_sign),
        ..after.claim()
    };
    let refused = authenticate(&world, Claim::SigV4(carried_over));
    assert_eq!(refused.err(), Some(AuthenticationError::WrongSignature));
    world.clock.advance_millis(300_000);
    assert!(matches!(before.check(&world), Err(AuthenticationError::Expired { .. })));
    after.check(&world).unwrap();
}

#[test]
fn more_regions_than_keys_are_kept_for_all_work() {
    let world = World::new();
    let regions = [
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "eu-north-1",
        "eu-south-1",
        "ap-south-1",
    ];
    for region in regions.iter().chain(regions.iter().rev()) {
        Signer { region, ..Signer::administrator(&world) }.check(&world).unwrap();
    }
}

#[test]
fn the_owner_is_known_by_uid_and_nobody_else_is() {
    let world = World::new();
    let context = authenticate(&world, Claim::Local { uid: OWNER }).unwrap();
    assert_eq!(context.principal.arn(), "arn:aws:iam::123456789012:root");
    assert!(matches!(context.principal, Principal::Local { uid: OWNER, .. }));
    world.create("s", 1, Some("v")).unwrap();
    block_on(world.core.execute(&context, get("s", None, None))).unwrap();
    assert!(world.records().iter().any(|record| record.contains(&format!("local:{OWNER}"))));
    for uid in [0, OWNER + 1, u32::MAX] {
        let error = authenticate(&world, Claim::Local { uid }).err().unwrap();
        assert_eq!(error.to_string(), format!("uid {uid} does not own this store"));
    }
}

fn refusal(world: &World, context: Option<Context>, source: IpAddr, code: &'static str) -> Refusal {
    Refusal {
        context,
        request: request(world, Some(source)),
        event_source: SOURCE,
        event_name: Some("GetSecretValue".into()),
        region: Some("eu-west-1".parse().unwrap()),
        access_key_id: Some("AKIASTRANGER".into()),
        code,
        message: "The security token included in the request is invalid.".into(),
    }
}

fn refuse(world: &World, source: IpAddr, code: &'static str) {
    block_on(world.core.refuse(refusal(world, None, source, code))).unwrap();
}

fn records(world: &World) -> Vec<Value> {
    world.records().iter().map(|record| serde_json::from_str(record).unwrap()).collect()
}

fn named<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["eventName"] == name).collect()
}

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

#[test]
fn a_stranger_at_a_low_rate_is_recorded_in_full() {
    let world = World::new();
    for _ in 0..100 {
        refuse(&world, STRANGER, "UnrecognizedClientException");
        world.clock.advance_millis(1000);
    }
    let records = records(&world);
    let refused = named(&records, "GetSecretValue");
    assert_eq!(refused.len(), 100);
    for record in refused {
        assert_eq!(record["errorCode"], "UnrecognizedClientException");
        assert_eq!(record["errorMessage"], "The security token included in the request is invalid.");
        assert_eq!(record["sourceIPAddress"], "203.0.113.9");
        assert_eq!(record["awsRegion"], "eu-west-1");
        assert_eq!(record["userIdentity"]["accessKeyId"], "AKIASTRANGER");
        assert!(record["requestID"].is_string() && record["userAgent"] == "test");
    }
    assert!(named(&records, "RefusalFloodBegan").is_empty());
}

/// Bytes of records, how many stand for one refusal each, and how many refusals the summaries count.
fn weigh(world: &World) -> (usize, u64, u64) {
    let bytes = world.records().iter().map(String::len).sum();
    let records = records(world);
    let counted = named(&records, "RefusalsSummarised")
        .iter()
        .map(|record| record["additionalEventData"]["count"].as_u64().unwrap())
        .sum();
    (bytes, named(&records, "GetSecretValue").len() as u64, counted)
}

#[test]
fn a_flood_from_one_source_costs_few_bytes_and_is_counted_to_the_last() {
    const SECONDS: i64 = 60;
    const A_SECOND: i64 = 1000;
    let world = World::new();
    let before: usize = world.records().iter().map(String::len).sum();
    for _ in 0..SECONDS * A_SECOND {
        refuse(&world, STRANGER, "SignatureDoesNotMatch");
        world.clock.advance_millis(1000 / A_SECOND);
    }
    world.clock.advance_millis(60_000);
    let (bytes, in_full, counted) = weigh(&world);
    assert_eq!(in_full + counted, (SECONDS * A_SECOND) as u64);
    assert!((50..=50 + SECONDS as u64 + 1).contains(&in_full), "{in_full} in full");
    assert!(bytes - before < 256 * 1024, "{bytes} bytes");
    assert!(!named(&records(&world), "RefusalFloodBegan").is_empty());
}

#[test]
fn a_flood_from_everywhere_costs_few_bytes_and_is_counted_to_the_last() {
    const REFUSALS: u32 = 30_000;
    let world = World::new();
    for number in 0..REFUSALS {
        let source = IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number % 5000)));
        refuse(&world, source, ["SignatureDoesNotMatch", "MissingAuthenticationToken"][number as usize % 2]);
        world.clock.advance_millis(1);
    }
    world.clock.advance_millis(60_000);
    let (bytes, in_full, counted) = weigh(&world);
    assert_eq!(in_full + counted, u64::from(REFUSALS));
    assert!(bytes < 256 * 1024, "{bytes} bytes");
}

#[test]
fn what_is_only_counted_is_summarised_at_the_end_too() {
    let world = World::new();
    (0..500).for_each(|_| refuse(&world, STRANGER, "SignatureDoesNotMatch"));
    block_on(world.core.close()).unwrap();
    let lines: Vec<Value> = coffer_audit::AuditSink::tail(&*world.log, usize::MAX)
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let counted: u64 = named(&lines, "RefusalsSummarised")
        .iter()
        .map(|record| record["additionalEventData"]["count"].as_u64().unwrap())
        .sum();
    assert_eq!(named(&lines, "GetSecretValue").len() as u64 + counted, 500);
}

#[test]
fn whoever_is_authenticated_is_recorded_in_full_in_any_flood() {
    let world = World::new();
    (0..2000).for_each(|_| refuse(&world, STRANGER, "SignatureDoesNotMatch"));
    for _ in 0..500 {
        let context = world.nobody();
        let refusal = refusal(&world, Some(context), STRANGER, "ValidationException");
        block_on(world.core.refuse(refusal)).unwrap();
    }
    let records = records(&world);
    let theirs: Vec<_> = named(&records, "GetSecretValue")
        .into_iter()
        .filter(|record| record["errorCode"] == "ValidationException")
        .collect();
    assert_eq!(theirs.len(), 500);
    assert!(theirs.iter().all(|record| record["userIdentity"]["userName"] == "nobody"));
}

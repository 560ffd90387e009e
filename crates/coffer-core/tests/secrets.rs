//! The rules of the operations on secrets, over a store in memory with a clock that stands still.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use coffer_core::ops::secrets::*;
use coffer_core::password::PasswordRules;
use coffer_core::{Error, Operation};
use coffer_testkit::shorthand::{delete, describe, tag, untag, update};
use coffer_testkit::{World, version_id};
use coffer_types::{SecretBytes, SecretId, SecretValue, Stage, Tag, VersionId};
use futures_executor::block_on;

fn text(value: &str) -> SecretValue {
    SecretValue::string(SecretBytes::copy_from(value.as_bytes())).unwrap()
}

fn stage(label: &str) -> Stage {
    label.parse().unwrap()
}

fn id(name: &str) -> SecretId {
    name.parse().unwrap()
}

/// A world with shorthands for the operations, as the administrator.
struct Table(World);

impl Table {
    fn new() -> Self {
        Self(World::new())
    }

    fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        block_on(self.0.core.execute(&self.0.administrator(), operation))
    }

    fn create(&self, name: &str, token: u64, value: Option<&str>) -> Result<CreatedSecret, Error> {
        self.run(CreateSecret {
            name: name.parse().unwrap(),
            token: version_id(token),
            description: None,
            kms_key_id: None,
            value: value.map(text),
            tags: None,
        })
    }

    fn put(&self, name: &str, token: u64, value: &str, stages: Option<&[&str]>) -> Result<PutVersion, Error> {
        let stages = stages.map(|labels| labels.iter().map(|label| stage(label)).collect());
        self.run(PutSecretValue { secret_id: id(name), token: version_id(token), value: text(value), stages })
    }

    fn get(&self, name: &str, version: Option<u64>, label: Option<&str>) -> Result<String, Error> {
        let read = self.run(GetSecretValue {
            secret_id: id(name),
            version_id: version.map(version_id),
            version_stage: label.map(stage),
        })?;
        Ok(String::from_utf8(read.value.bytes().expose_secret().to_vec()).unwrap())
    }

    /// `version: labels; …` of all labelled versions.
    fn labels(&self, name: &str) -> String {
        let described = self.run(DescribeSecret { secret_id: id(name) }).map_err(|e| e.to_string()).unwrap();
        let show = |(version, stages): &(VersionId, Vec<Stage>)| {
            let number: u64 = version.as_str()[24..].parse().unwrap();
            format!("{number}: {}", stages.iter().map(Stage::as_str).collect::<Vec<_>>().join(" "))
        };
        described.versions.iter().map(show).collect::<Vec<_>>().join("; ")
    }

    fn move_stage(&self, name: &str, label: &str, from: Option<u64>, to: Option<u64>) -> Result<(), Error> {
        self.run(UpdateSecretVersionStage {
            secret_id: id(name),
            stage: stage(label),
            remove_from: from.map(version_id),
            move_to: to.map(version_id),
        })
        .map(|_| ())
    }
}

fn error<T>(result: Result<T, Error>) -> String {
    result.err().expect("this must be refused").to_string()
}

#[test]
fn what_is_put_is_read_by_every_name_it_has() {
    let table = Table::new();
    let created = table.create("app/db", 1, Some("one")).unwrap();
    let arn = created.arn.to_string();
    assert_eq!(table.get("app/db", None, None).unwrap(), "one");
    assert_eq!(table.get(&arn, None, None).unwrap(), "one");
    assert_eq!(table.get(arn.rsplit_once('-').unwrap().0, None, None).unwrap(), "one");
    assert_eq!(table.get("app/db", Some(1), None).unwrap(), "one");
    assert_eq!(table.get("app/db", Some(1), Some("AWSCURRENT")).unwrap(), "one");
    let elsewhere = arn.replace("us-east-1", "eu-west-1");
    assert!(matches!(table.get(&elsewhere, None, None), Err(Error::SecretNotFound)));
    let other_suffix = format!("{}-000000", arn.rsplit_once('-').unwrap().0);
    assert!(matches!(table.get(&other_suffix, None, None), Err(Error::SecretNotFound)));
}

#[test]
fn a_partial_arn_of_a_name_that_ends_like_a_suffix_finds_nothing() {
    let table = Table::new();
    let arn = table.create("my-a1b2c3", 1, Some("one")).unwrap().arn.to_string();
    assert!(matches!(table.get(arn.rsplit_once('-').unwrap().0, None, None), Err(Error::SecretNotFound)));
    assert_eq!(table.get("my-a1b2c3", None, None).unwrap(), "one");
    assert_eq!(table.get(&arn, None, None).unwrap(), "one");
}

#[test]
fn a_new_version_is_current_and_the_one_before_previous() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    assert_eq!(table.labels("s"), "1: AWSCURRENT");
    table.put("s", 2, "two", None).unwrap();
    assert_eq!(table.labels("s"), "1: AWSPREVIOUS; 2: AWSCURRENT");
    table.put("s", 3, "three", None).unwrap();
    assert_eq!(table.labels("s"), "2: AWSPREVIOUS; 3: AWSCURRENT");
    assert_eq!(table.get("s", None, Some("AWSPREVIOUS")).unwrap(), "two");
    assert_eq!(table.get("s", Some(1), None).unwrap(), "one");
}

#[test]
fn the_first_version_is_current_whatever_was_asked_for() {
    let table = Table::new();
    assert!(table.create("s", 1, None).unwrap().version_id.is_none());
    assert_eq!(
        error(table.get("s", None, None)),
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"
    );
    table.put("s", 2, "two", Some(&["mine"])).unwrap();
    assert_eq!(table.labels("s"), "2: AWSCURRENT mine");
    table.put("s", 3, "three", Some(&["AWSPENDING"])).unwrap();
    assert_eq!(table.labels("s"), "2: AWSCURRENT mine; 3: AWSPENDING");
    table.put("s", 4, "four", Some(&["mine"])).unwrap();
    assert_eq!(table.labels("s"), "2: AWSCURRENT; 3: AWSPENDING; 4: mine");
}

#[test]
fn the_same_token_with_the_same_value_changes_nothing() {
    let table = Table::new();
    let first = table.create("s", 1, Some("one")).unwrap();
    let again = table.create("s", 1, Some("one")).unwrap();
    assert_eq!(first.arn, again.arn);
    let in_use = format!(
        "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
        version_id(1),
        first.arn
    );
    assert_eq!(error(table.create("s", 1, Some("other"))), in_use);
    assert_eq!(
        error(table.create("s", 2, Some("one"))),
        "The operation failed because the secret s already exists."
    );
    table.put("s", 2, "two", None).unwrap();
    table.put("s", 3, "three", None).unwrap();
    assert_eq!(table.put("s", 2, "two", None).unwrap().stages, [stage("AWSPREVIOUS")]);
    assert_eq!(table.labels("s"), "2: AWSPREVIOUS; 3: AWSCURRENT");
    assert_eq!(error(table.put("s", 1, "two", None)), in_use);
}

#[test]
fn a_label_moves_only_from_where_it_is_said_to_be() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    table.put("s", 2, "two", None).unwrap();
    table.put("s", 3, "three", None).unwrap();
    assert_eq!(
        error(table.move_stage("s", "AWSCURRENT", None, Some(1))),
        format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
            version_id(3)
        )
    );
    assert!(matches!(
        table.move_stage("s", "AWSCURRENT", Some(2), Some(1)),
        Err(Error::StageNotThere { .. })
    ));
    assert!(matches!(table.move_stage("s", "AWSCURRENT", Some(3), None), Err(Error::CurrentCannotBeRemoved)));
    assert!(matches!(table.move_stage("s", "x", None, Some(9)), Err(Error::VersionNotFound(_))));
    table.move_stage("s", "AWSCURRENT", Some(3), Some(1)).unwrap();
    assert_eq!(table.labels("s"), "1: AWSCURRENT; 3: AWSPREVIOUS");
    table.move_stage("s", "mine", None, Some(2)).unwrap();
    assert_eq!(table.labels("s"), "1: AWSCURRENT; 2: mine; 3: AWSPREVIOUS");
    table.move_stage("s", "mine", Some(2), None).unwrap();
    assert_eq!(table.labels("s"), "1: AWSCURRENT; 3: AWSPREVIOUS");
    assert_eq!(table.get("s", None, None).unwrap(), "one");
}

#[test]
fn a_label_that_is_not_on_the_version_is_refused() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    table.put("s", 2, "two", None).unwrap();
    assert_eq!(
        error(table.get("s", Some(1), Some("AWSCURRENT"))),
        "You provided a VersionStage that is not associated to the provided VersionId."
    );
    assert_eq!(
        error(table.get("s", Some(9), None)),
        format!("Secrets Manager can't find the specified secret value for VersionId: {}", version_id(9))
    );
}

#[test]
fn twenty_labels_and_no_more() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    for number in 0..19 {
        table.move_stage("s", &format!("label{number}"), None, Some(1)).unwrap();
    }
    assert!(matches!(table.move_stage("s", "one-more", None, Some(1)), Err(Error::LimitExceeded(_))));
}

#[test]
fn a_scheduled_deletion_hides_the_value_and_can_be_taken_back() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    let mode = DeletionMode::Recoverable { days: 7 };
    let deleted = table.run(DeleteSecret { secret_id: id("s"), mode }).unwrap();
    assert_eq!(deleted.deletion_date, table.0.core.now().plus_days(7));
    let marked = "You can't perform this operation on the secret because it was marked for deletion.";
    assert_eq!(error(table.get("s", None, None)), marked);
    assert_eq!(error(table.put("s", 2, "two", None)), marked);
    assert_eq!(
        error(table.create("s", 2, Some("one"))),
        "You can't create this secret because a secret with this name is already scheduled for deletion."
    );
    assert!(matches!(
        table.run(DeleteSecret { secret_id: id("s"), mode }),
        Err(Error::AlreadyScheduledForDeletion)
    ));
    let described = table.run(DescribeSecret { secret_id: id("s") }).unwrap();
    assert_eq!(described.deleted, Some(deleted.deletion_date));
    table.run(RestoreSecret { secret_id: id("s") }).unwrap();
    table.run(RestoreSecret { secret_id: id("s") }).unwrap();
    assert_eq!(table.get("s", None, None).unwrap(), "one");
}

#[test]
fn a_deletion_that_was_not_taken_back_happens_when_its_time_has_come() {
    const DAY_MILLIS: i64 = 86_400_000;
    let table = Table::new();
    let delete = |name: &str, days| {
        let mode = DeletionMode::Recoverable { days };
        table.run(DeleteSecret { secret_id: id(name), mode }).map(|_| ())
    };
    for (token, name) in [(1, "gone"), (2, "restored"), (3, "later"), (4, "forced")] {
        table.create(name, token, Some("v")).unwrap();
        delete(name, if name == "later" { 8 } else { 7 }).unwrap();
    }
    table.run(RestoreSecret { secret_id: id("restored") }).unwrap();
    table.run(DeleteSecret { secret_id: id("forced"), mode: DeletionMode::Immediate }).unwrap();
    table.0.clock.advance_millis(7 * DAY_MILLIS - 1);
    block_on(table.0.core.maintain());
    assert!(table.run(DescribeSecret { secret_id: id("gone") }).is_ok(), "a millisecond is left");
    table.0.clock.advance_millis(1);
    for _ in 0..4 {
        block_on(table.0.core.maintain());
    }
    assert!(matches!(table.run(DescribeSecret { secret_id: id("gone") }), Err(Error::SecretNotFound)));
    assert!(table.run(DescribeSecret { secret_id: id("later") }).is_ok());
    assert_eq!(table.get("restored", None, None).unwrap(), "v");
    table.create("gone", 5, Some("again")).unwrap();
    assert_eq!(table.get("gone", None, None).unwrap(), "again");
    let records = table.0.records();
    let of = |name: &str| records.iter().filter(|record| record.contains(name)).count();
    assert_eq!((of("StartSecretVersionDelete"), of("EndSecretVersionDelete")), (1, 2));
    table.0.clock.advance_millis(DAY_MILLIS);
    block_on(table.0.core.maintain());
    assert!(matches!(table.run(DescribeSecret { secret_id: id("later") }), Err(Error::SecretNotFound)));
    assert_eq!(table.get("gone", None, None).unwrap(), "again");
}

#[test]
fn an_immediate_deletion_frees_the_name_at_once_and_the_versions_follow() {
    let table = Table::new();
    let first = table.create("s", 1, Some("one")).unwrap();
    for number in 2..120 {
        table.put("s", number, "more", None).unwrap();
    }
    table.run(DeleteSecret { secret_id: id("s"), mode: DeletionMode::Immediate }).unwrap();
    assert!(matches!(table.get("s", None, None), Err(Error::SecretNotFound)));
    let missing = table.run(DeleteSecret { secret_id: id("s"), mode: DeletionMode::Immediate }).unwrap();
    assert!(missing.arn.is_none());
    let again = table.create("s", 1, Some("again")).unwrap();
    assert_ne!(first.arn, again.arn);
    for _ in 0..8 {
        block_on(table.0.core.maintain());
    }
    let left = block_on(async {
        let snapshot = table.0.store.snapshot().await.unwrap();
        let range = |letter: u8| coffer_store::KeyRange::prefix(vec![letter, 0]);
        let mut counts = Vec::new();
        for letter in *b"vij" {
            counts.push(
                snapshot.range(range(letter), coffer_store::Order::Ascending, 500).await.unwrap().len(),
            );
        }
        counts
    });
    assert_eq!(left, [1, 1, 0], "one version and its index are the new secret's");
    assert_eq!(table.get("s", None, None).unwrap(), "again");
    assert!(table.0.records().iter().any(|record| record.contains("EndSecretVersionDelete")));
}

#[test]
fn secrets_are_listed_in_order_of_creation_page_by_page() {
    let table = Table::new();
    for number in 0..25_u64 {
        table.create(&format!("s{:02}", 24 - number), number, Some("v")).unwrap();
        table.0.clock.advance_millis(1);
    }
    let mode = DeletionMode::Recoverable { days: 7 };
    table.run(DeleteSecret { secret_id: id("s07"), mode }).unwrap();
    let list = |descending: bool, include_planned_deletion: bool| {
        let (mut names, mut next_token, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = table
                .run(ListSecrets {
                    include_planned_deletion,
                    descending,
                    max_results: 10,
                    next_token,
                    ..Default::default()
                })
                .unwrap();
            names.extend(page.secrets.iter().map(|secret| secret.arn.name.to_string()));
            pages += 1;
            next_token = page.next_token;
            if next_token.is_none() {
                break (names, pages);
            }
        }
    };
    let expected: Vec<String> = (0..25).rev().map(|number| format!("s{number:02}")).collect();
    assert_eq!(list(false, true), (expected.clone(), 3));
    let without: Vec<String> = expected.iter().filter(|name| *name != "s07").cloned().collect();
    assert_eq!(list(false, false).0, without);
    let reversed: Vec<String> = without.iter().rev().cloned().collect();
    assert_eq!(list(true, false).0, reversed);
}

#[test]
fn a_cursor_is_good_for_its_own_listing_only() {
    let table = Table::new();
    for number in 0..3 {
        table.create(&format!("s{number}"), number, Some("v")).unwrap();
        table.put(&format!("s{number}"), 10 + number, "w", None).unwrap();
    }
    let listing = |token: Option<String>| {
        table.run(ListSecrets { max_results: 1, next_token: token, ..Default::default() })
    };
    let versions = |name: &str, token: Option<String>| {
        table.run(ListSecretVersionIds {
            secret_id: id(name),
            include_deprecated: true,
            max_results: 1,
            next_token: token,
        })
    };
    let cursor = listing(None).unwrap().next_token.unwrap();
    assert!(listing(Some(cursor.clone())).is_ok());
    let of_versions = versions("s0", None).unwrap().next_token.unwrap();
    assert!(versions("s0", Some(of_versions.clone())).is_ok());
    for (name, result) in [
        ("made up", listing(Some("AAAA".into())).err()),
        ("not base64", listing(Some("%".into())).err()),
        ("of versions", listing(Some(of_versions.clone())).err()),
        ("of secrets", versions("s0", Some(cursor)).err()),
        ("of another secret", versions("s1", Some(of_versions)).err()),
    ] {
        assert!(matches!(result, Some(Error::InvalidNextToken)), "{name}");
    }
}

#[test]
fn versions_are_listed_oldest_first_with_deprecated_ones_on_request() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    for number in 2..=40 {
        table.put("s", number, "more", None).unwrap();
    }
    let list = |include_deprecated| {
        let (mut found, mut next_token) = (Vec::new(), None);
        loop {
            let page = table
                .run(ListSecretVersionIds {
                    secret_id: id("s"),
                    include_deprecated,
                    max_results: 7,
                    next_token,
                })
                .unwrap();
            assert!(page.versions.len() <= 7);
            found.extend(page.versions.iter().map(|version| version.ordinal));
            next_token = page.next_token;
            if next_token.is_none() {
                break found;
            }
        }
    };
    assert_eq!(list(true), (1..=40).collect::<Vec<_>>());
    assert_eq!(list(false), [39, 40]);
}

#[test]
fn a_user_without_a_policy_may_do_nothing_and_learns_nothing() {
    let table = Table::new();
    let arn = table.create("there", 1, Some("one")).unwrap().arn.to_string();
    let nobody = table.0.nobody();
    let denied = |name: &str| {
        let read = GetSecretValue { secret_id: id(name), version_id: None, version_stage: None };
        error(block_on(table.0.core.execute(&nobody, read)))
    };
    for name in ["there", "missing", &arn] {
        assert_eq!(
            denied(name),
            format!(
                "User: arn:aws:iam::123456789012:user/nobody is not authorized to perform: secretsmanager:GetSecretValue on resource: {name} because no identity-based policy allows the secretsmanager:GetSecretValue action"
            )
        );
    }
    let create = CreateSecret {
        name: "new".parse().unwrap(),
        token: version_id(5),
        description: None,
        kms_key_id: None,
        value: Some(text("v")),
        tags: None,
    };
    assert!(matches!(block_on(table.0.core.execute(&nobody, create)), Err(Error::Denied(_))));
    assert!(matches!(table.get("new", None, None), Err(Error::SecretNotFound)));
}

#[test]
fn every_call_leaves_one_record_and_no_value() {
    let table = Table::new();
    table.create("s", 1, Some("a very secret value")).unwrap();
    table.put("s", 2, "another secret value", None).unwrap();
    table.get("s", None, None).unwrap();
    let _ = table.get("missing", None, None);
    let _ = table.put("s", 1, "a conflicting secret value", None);
    let records = table.0.records();
    let of = |name: &str| {
        records.iter().filter(|record| record.contains(&format!("\"eventName\":\"{name}\""))).count()
    };
    assert_eq!((of("CreateSecret"), of("PutSecretValue"), of("GetSecretValue"), of("Init")), (1, 2, 2, 1));
    assert!(records.iter().all(|record| !record.contains("secret value")), "a value reached the log");
    let failed: Vec<_> = records.iter().filter(|record| record.contains("errorCode")).collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().any(|record| record.contains("ResourceNotFoundException")));
    assert!(failed.iter().any(|record| record.contains("ResourceExistsException")));
}

#[test]
fn an_unknown_key_can_encrypt_nothing() {
    let table = Table::new();
    let create = CreateSecret {
        name: "s".parse().unwrap(),
        token: version_id(1),
        description: None,
        kms_key_id: Some("alias/mine".into()),
        value: Some(text("v")),
        tags: None,
    };
    assert!(matches!(table.run(create), Err(Error::EncryptionFailure)));
}

#[test]
fn tags_are_attached_replaced_and_removed() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    let tags = || {
        let described = table.run(describe("s")).unwrap();
        let shown = |tag: &Tag| format!("{}={}", tag.key(), tag.value());
        described.tags.map(|tags| tags.iter().map(shown).collect::<Vec<_>>().join(" "))
    };
    table.run(untag("s", &["a"])).unwrap();
    assert_eq!(tags(), None, "never tagged");
    table.run(tag("s", &["a=1", "b=2"])).unwrap();
    table.run(tag("s", &["c=3", "a=9"])).unwrap();
    assert_eq!(tags().unwrap(), "a=9 b=2 c=3");
    table.run(untag("s", &["b", "z"])).unwrap();
    assert_eq!(tags().unwrap(), "a=9 c=3");
    table.run(untag("s", &["a", "c"])).unwrap();
    assert_eq!(tags().unwrap(), "", "not one is left, and it had some");
}

#[test]
fn a_change_of_tags_that_changes_nothing_leaves_the_date() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    let last_changed = || table.run(describe("s")).unwrap().last_changed;
    table.0.clock.advance_millis(1000);
    table.run(tag("s", &["a=1"])).unwrap();
    let tagged = last_changed();
    assert_eq!(tagged, table.0.core.now());
    table.0.clock.advance_millis(1000);
    table.run(tag("s", &["a=1"])).unwrap();
    table.run(untag("s", &["b"])).unwrap();
    assert_eq!(last_changed(), tagged);
    table.run(untag("s", &["a"])).unwrap();
    assert_eq!(last_changed(), table.0.core.now());
}

#[test]
fn what_tags_are_refused_with() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    assert!(matches!(table.run(tag("t", &["a=1"])), Err(Error::SecretNotFound)));
    assert!(matches!(table.run(untag("t", &["a"])), Err(Error::SecretNotFound)));
    assert_eq!(error(table.run(tag("s", &["a=1", "a=1"]))), "You can't use the same tag key more than once.");
    let pairs: Vec<String> = (0..50).map(|n| format!("k{n}=")).collect();
    table.run(tag("s", &pairs.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    table.run(tag("s", &["k49=again"])).unwrap();
    assert_eq!(error(table.run(tag("s", &["k50="]))), "You can't attach more than 50 tags to a secret.");
    table.run(delete("s", false)).unwrap();
    assert!(matches!(table.run(tag("s", &["a=1"])), Err(Error::MarkedForDeletion { .. })));
    assert!(matches!(table.run(untag("s", &["k1"])), Err(Error::MarkedForDeletion { .. })));
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let table = Table::new();
    table.create("s", 1, Some("one")).unwrap();
    let described = || table.run(describe("s")).unwrap();
    table.0.clock.advance_millis(1000);
    let updated = table.run(update("s", Some("what it is for"), None)).unwrap();
    assert!(updated.version_id.is_none());
    assert_eq!(described().description.as_deref(), Some("what it is for"));
    assert_eq!(described().last_changed, table.0.core.now());
    assert_eq!(table.labels("s"), "1: AWSCURRENT", "no version was made");
    table.0.clock.advance_millis(1000);
    let updated = table.run(update("s", None, Some((2, "two")))).unwrap();
    assert_eq!(updated.version_id, Some(version_id(2)));
    assert_eq!(described().description.as_deref(), Some("what it is for"));
    assert_eq!(table.labels("s"), "1: AWSPREVIOUS; 2: AWSCURRENT");
    assert_eq!(table.get("s", None, None).unwrap(), "two");
    table.run(update("s", Some(""), Some((3, "three")))).unwrap();
    assert_eq!(described().description, None);
    assert_eq!(table.labels("s"), "2: AWSPREVIOUS; 3: AWSCURRENT");
    let last_changed = described().last_changed;
    table.0.clock.advance_millis(1000);
    table.run(update("s", None, None)).unwrap();
    assert_eq!(described().last_changed, last_changed, "nothing was asked for, and nothing done");
}

#[test]
fn an_update_with_a_token_that_is_there() {
    let table = Table::new();
    let arn = table.create("s", 1, Some("one")).unwrap().arn;
    table.put("s", 2, "two", None).unwrap();
    let again = table.run(update("s", None, Some((1, "one")))).unwrap();
    assert_eq!(again.version_id, Some(version_id(1)));
    assert_eq!(table.labels("s"), "1: AWSPREVIOUS; 2: AWSCURRENT", "a repeated request moves no label");
    let token = version_id(1);
    assert_eq!(
        error(table.run(update("s", Some("changed"), Some((1, "other"))))),
        format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
        )
    );
    assert_eq!(table.run(describe("s")).unwrap().description, None, "nothing of a refused update is done");
}

#[test]
fn what_an_update_is_refused_with() {
    let table = Table::new();
    assert!(matches!(table.run(update("s", Some("d"), None)), Err(Error::SecretNotFound)));
    table.create("s", 1, None).unwrap();
    let key = |id: &str| UpdateSecret { kms_key_id: Some(id.to_owned()), ..update("s", Some("d"), None) };
    assert!(matches!(table.run(key("alias/mine")), Err(Error::EncryptionFailure)));
    assert_eq!(table.run(describe("s")).unwrap().description, None);
    table.run(key("alias/aws/secretsmanager")).unwrap();
    table.run(update("s", None, Some((1, "first")))).unwrap();
    assert_eq!(table.labels("s"), "1: AWSCURRENT", "a secret without a value gets its first");
    table.run(delete("s", false)).unwrap();
    assert!(matches!(table.run(update("s", Some("e"), None)), Err(Error::MarkedForDeletion { .. })));
    assert!(matches!(table.run(update("s", None, Some((2, "v")))), Err(Error::MarkedForDeletion { .. })));
}

#[test]
fn a_password_is_made_and_its_record_does_not_tell_it() {
    let table = Table::new();
    let rules = PasswordRules { exclude_characters: "\"\\".to_owned(), ..PasswordRules::default() };
    let made = table.run(GetRandomPassword { rules }).unwrap().password;
    let password = String::from_utf8(made.expose_secret().to_vec()).unwrap();
    assert_eq!(password.len(), 32);
    let records = table.0.records();
    let record = records.last().unwrap();
    assert!(
        record.contains("\"eventName\":\"GetRandomPassword\"") && record.contains("\"passwordLength\":32")
    );
    assert!(records.iter().all(|record| !record.contains(&password)));
    let none = PasswordRules { length: 3, ..PasswordRules::default() };
    assert_eq!(
        error(table.run(GetRandomPassword { rules: none })),
        "Password length is too short based on the required types."
    );
}

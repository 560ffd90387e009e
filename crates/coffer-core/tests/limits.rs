//! The edges of every limit that core itself keeps, from both sides.

use coffer_core::Error;
use coffer_core::ops::secrets::{CreateSecret, ListSecrets};
use coffer_testkit::shorthand::create;
use coffer_testkit::{World, version_id};
use coffer_types::{SecretBytes, SecretValue, Tag};

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("label-{number}")).collect()
}

fn as_texts(labels: &[String]) -> Vec<&str> {
    labels.iter().map(String::as_str).collect()
}

#[test]
fn a_secret_has_20_labels_on_all_its_versions_together() {
    let world = World::new();
    let nineteen = labels(19);
    world.create("s", 1, None).unwrap();
    // The first version becomes current beside what was asked for.
    world.put("s", 1, "one", Some(&as_texts(&nineteen))).unwrap();
    let before = world.describe("s").unwrap().versions;
    assert_eq!(before.iter().map(|(_, stages)| stages.len()).sum::<usize>(), 20);
    assert!(matches!(world.put("s", 2, "two", Some(&["one-more"])), Err(Error::LimitExceeded(_))));
    assert!(
        matches!(world.put("s", 2, "two", None), Err(Error::LimitExceeded(_))),
        "AWSPREVIOUS is one more"
    );
    assert!(matches!(world.move_stage("s", "one-more", None, Some(1)), Err(Error::LimitExceeded(_))));
    assert_eq!(world.describe("s").unwrap().versions, before);
    world.put("s", 2, "two", Some(&["label-0"])).unwrap();
    world.move_stage("s", "label-1", Some(1), None).unwrap();
    world.put("s", 3, "three", None).unwrap();
    assert_eq!(world.get("s", None, None).unwrap(), "three");
    assert_eq!(world.get("s", None, Some("label-0")).unwrap(), "two");
}

#[test]
fn a_request_names_20_labels_at_most() {
    let world = World::new();
    world.create("s", 1, None).unwrap();
    assert!(matches!(world.put("s", 1, "v", Some(&as_texts(&labels(21)))), Err(Error::LimitExceeded(_))));
    assert!(matches!(world.put("s", 1, "v", Some(&as_texts(&labels(20)))), Err(Error::LimitExceeded(_))));
    let mut twenty = labels(19);
    twenty.push("AWSCURRENT".into());
    assert_eq!(world.put("s", 1, "v", Some(&as_texts(&twenty))).unwrap().stages.len(), 20);
}

#[test]
fn a_secret_has_50_tags() {
    let world = World::new();
    let with_tags = |name: &str, count: usize| {
        let tags = (0..count).map(|number| Tag::new(format!("key-{number}"), "").unwrap()).collect();
        world.run(CreateSecret { tags: Some(tags), ..create(name, 1, Some("v")) })
    };
    with_tags("fifty", 50).unwrap();
    assert_eq!(world.describe("fifty").unwrap().tags.unwrap().len(), 50);
    assert!(matches!(with_tags("one-more", 51), Err(Error::InvalidParameter(_))));
    assert!(matches!(world.describe("one-more"), Err(Error::SecretNotFound)));
}

#[test]
fn a_value_has_1_to_65536_bytes_of_either_kind() {
    let bytes = |count: usize| SecretBytes::new(vec![b'x'; count]);
    for count in [0, 65_537] {
        assert!(SecretValue::string(bytes(count)).is_none() && SecretValue::binary(bytes(count)).is_none());
    }
    let world = World::new();
    for (number, make) in [SecretValue::string, SecretValue::binary].into_iter().enumerate() {
        for count in [1, 65_536] {
            let name = format!("{number}-{count}");
            world.run(CreateSecret { value: make(bytes(count)), ..create(&name, 1, None) }).unwrap();
            assert_eq!(world.get(&name, None, None).unwrap().len(), count);
        }
    }
}

#[test]
fn the_largest_secret_there_can_be_fits_into_one_change() {
    let world = World::new();
    let name = "n".repeat(512);
    // Four bytes a character, which is what the limits count.
    let wide = |count: usize| "𝄞".repeat(count);
    let tag = |number: usize| Tag::new(format!("{number:02}{}", wide(126)), wide(256)).unwrap();
    let largest = || CreateSecret {
        description: Some(wide(2048)),
        tags: Some((0..50).map(tag).collect()),
        value: SecretValue::binary(SecretBytes::new(vec![0xff; 65_536])),
        ..create(&name, 1, None)
    };
    world.run(largest()).unwrap();
    world.run(largest()).unwrap();
    let labels: Vec<String> = (0..18).map(|number| format!("{number:02}{}", wide(254))).collect();
    world.put(&name, 2, &"v".repeat(65_536), Some(&as_texts(&labels))).unwrap();
    world.put(&name, 3, &"w".repeat(65_536), None).unwrap();
    assert_eq!(world.get(&name, None, Some(&labels[17])).unwrap().len(), 65_536);
    assert_eq!(world.describe(&name).unwrap().tags.unwrap().len(), 50);
    let created = world.records().into_iter().filter(|record| record.contains("\"CreateSecret\"")).count();
    assert_eq!(created, 2);
}

#[test]
fn a_page_of_secrets_holds_1_to_100() {
    let world = World::new();
    for number in 0..101 {
        world.create(&format!("s{number:03}"), number, None).unwrap();
        world.clock.advance_millis(1);
    }
    let expected: Vec<String> = (0..101).map(|number| format!("s{number:03}")).collect();
    for max_results in [1, 2, 99, 100] {
        let secrets = world.secrets(max_results).unwrap();
        assert_eq!(secrets.iter().map(|secret| secret.arn.name.to_string()).collect::<Vec<_>>(), expected);
    }
    let page = |next_token| {
        let list = ListSecrets { next_token, ..Default::default() };
        world.run(list).unwrap()
    };
    let first = page(None);
    assert_eq!(first.secrets.len(), 100);
    let last = page(first.next_token);
    assert_eq!((last.secrets.len(), last.next_token), (1, None));
}

#[test]
fn a_page_that_ends_with_the_last_entry_has_no_cursor() {
    let world = World::new();
    (0..4).for_each(|number| drop(world.create(&format!("s{number}"), number, None).unwrap()));
    let list = ListSecrets { descending: true, max_results: 4, ..Default::default() };
    let page = world.run(list).unwrap();
    assert_eq!((page.secrets.len(), page.next_token), (4, None));
}

#[test]
fn a_secret_with_300_versions_lists_all_of_them_in_pages() {
    const VERSIONS: u64 = 300;
    let world = World::new();
    world.create("s", 1, Some("v")).unwrap();
    (2..=VERSIONS).for_each(|number| drop(world.put("s", number, "v", None).unwrap()));
    for max_results in [1, 33, 100] {
        let versions = world.versions("s", max_results).unwrap();
        assert!(versions.iter().map(|version| version.ordinal).eq(1..=VERSIONS));
        assert!(
            versions
                .iter()
                .map(|version| &version.version_id)
                .eq(&(1..=VERSIONS).map(version_id).collect::<Vec<_>>())
        );
    }
    let labelled = world.describe("s").unwrap().versions;
    assert_eq!(labelled.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [299, 300].map(version_id));
}

#[test]
fn a_listing_that_passes_over_many_ends_early_and_goes_on_where_it_ended() {
    const SCHEDULED: u64 = 1200;
    let world = World::new();
    for number in 0..SCHEDULED {
        let name = format!("s{number}");
        world.create(&name, number, None).unwrap();
        world.delete(&name, false).unwrap();
        world.clock.advance_millis(1);
    }
    world.create("live", 1, None).unwrap();
    let page = |descending, next_token| {
        let list = ListSecrets { descending, next_token, ..Default::default() };
        world.run(list).unwrap()
    };
    let first = page(false, None);
    assert!(first.secrets.is_empty());
    let second = page(false, Some(first.next_token.expect("it is not at the end")));
    assert_eq!(second.secrets.iter().map(|secret| secret.arn.name.as_str()).collect::<Vec<_>>(), ["live"]);
    assert_eq!(second.next_token, None);
    let newest = page(true, None);
    assert_eq!(newest.secrets.len(), 1);
    let rest = page(true, newest.next_token);
    assert!(rest.secrets.is_empty());
    assert_eq!(rest.next_token, None);
    assert_eq!(world.secrets(100).unwrap().len() as u64, SCHEDULED + 1);
}

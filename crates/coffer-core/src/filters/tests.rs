//! The facts, each with its source. `moto` is moto's `tests/test_secretsmanager/test_list_secrets.py`, whose tests marked
//! `aws_verified` ran against AWS; `localstack` is its `test_list_secrets_filtering`, validated against AWS; `guide` is the
//! user guide's page "Find secrets"; `model` the service model; `ours` is what no source tells.

use std::collections::BTreeMap;

use coffer_types::Timestamp;

use super::*;
use crate::records::Uid;

struct Described {
    name: &'static str,
    description: &'static str,
    tags: &'static [(&'static str, &'static str)],
}

const NOTHING: Described = Described { name: "x", description: "", tags: &[] };

fn filters(conditions: &[(FilterKey, &[&str])]) -> Filters {
    let filter = |(key, values): &(FilterKey, &[&str])| {
        Filter::new(*key, values.iter().map(|value| value.parse().unwrap()).collect()).unwrap()
    };
    Filters::new(&conditions.iter().map(filter).collect::<Vec<_>>())
}

fn admits(conditions: &[(FilterKey, &[&str])], described: &Described) -> bool {
    let tags: Vec<Tag> = described.tags.iter().map(|(key, value)| Tag::new(*key, *value).unwrap()).collect();
    let secret = Secret {
        uid: Uid([0; 16]),
        suffix: coffer_types::SecretSuffix::from_random(&[1; 32]).unwrap(),
        description: Some(described.description.to_owned()).filter(|text| !text.is_empty()),
        tags: Some(tags).filter(|tags| !tags.is_empty()),
        created: Timestamp::default(),
        last_changed: Timestamp::default(),
        deletion_due: None,
        last_ordinal: 0,
        versions_removed: 0,
        stages: BTreeMap::new(),
        arn: Default::default(),
    };
    filters(conditions).admit(&described.name.parse().unwrap(), &secret)
}

/// Which of `among` a filter lets through.
fn check(
    key: FilterKey,
    values: &[&str],
    make: fn(&'static str) -> Described,
    among: &[&'static str],
    let_through: &[&str],
) {
    let found: Vec<&str> =
        among.iter().copied().filter(|text| admits(&[(key, values)], &make(text))).collect();
    assert_eq!(found, let_through, "{} {values:?}", key.as_str());
}

fn named(name: &'static str) -> Described {
    Described { name, ..NOTHING }
}

fn described(description: &'static str) -> Described {
    Described { description, ..NOTHING }
}

#[test]
fn words_end_where_the_kind_of_character_changes() {
    for (text, words) in [
        // moto, test_word_splitter
        ("test", "test"),
        ("my test", "my test"),
        ("Mytest", "mytest"),
        ("MyTest", "my test"),
        ("MyTestPhrase", "my test phrase"),
        ("myTest", "my test"),
        ("my/test", "my test"),
        // moto, test_with_all_filter_special_characters, aws_verified
        ("uat/COMPANY/", "uat company"),
        ("uat/COMPANYthings/", "uat compan ythings"),
        ("+", ""),
        // guide
        ("credsDatabase#892", "creds database 892"),
        ("prod-AppBeta/x", "prod app beta x"),
        // ours: a letter after a digit begins a word as a digit after a letter does
        ("db1a", "db 1 a"),
        ("ÄPFELÖl", "äpfel öl"),
        ("", ""),
    ] {
        assert_eq!(split_words(text).join(" "), words, "{text}");
    }
}

#[test]
fn a_name_begins_with_the_value() {
    let check = |values: &[&str], among: &[&'static str], found: &[&str]| {
        check(FilterKey::Name, values, named, among, found);
    };
    // guide
    check(&["Data"], &["DatabaseSecret", "databaseSecret", "MyData"], &["DatabaseSecret"]);
    // localstack
    let four = ["testing1/one", "/testing2/two", "testing3/three", "/testing4/four"];
    check(&["/"], &four, &["/testing2/two", "/testing4/four"]);
    check(&["!/"], &four, &["testing1/one", "testing3/three"]);
    check(&["testing1 one"], &four, &[]);
    check(&["secret"], &four, &[]);
    // moto, test_with_filter_with_multiple_values
    check(&["foo", "bar"], &["foo", "bar", "baz"], &["foo", "bar"]);
    // ours: everything begins with nothing
    check(&[""], &["foo"], &["foo"]);
    check(&["!"], &["foo"], &[]);
    check(&["!!foo"], &["foo"], &["foo"]);
}

#[test]
fn a_description_goes_by_words() {
    let check = |values: &[&str], among: &[&'static str], found: &[&str]| {
        check(FilterKey::Description, values, described, among, found);
    };
    // guide
    let mine = ["My Description", "my description", "My basic description", "Description of my secret"];
    check(&["My Description"], &mine, &mine);
    // localstack
    let four = ["a secret", "an secret", "asecret", "thesecret"];
    check(&["a"], &four, &["a secret", "an secret", "asecret"]);
    check(&["!a"], &four, &["thesecret"]);
    check(&["a secret"], &four, &["a secret", "an secret"]);
    check(&["!c"], &four, &four);
    // moto, test_with_filter_with_value_with_multiple_words, aws_verified
    let five = ["one two", "one and two", "one", "two", "unrelated"];
    check(&["one two"], &five, &["one two", "one and two"]);
    check(&["o t"], &five, &["one two", "one and two"]);
    check(&["t"], &five, &["one two", "one and two", "two"]);
    // moto, test_with_filter_with_negation (not verified): values are alternatives, negated ones too
    check(&["one", "!two"], &five, &["one two", "one and two", "one", "unrelated"]);
    check(&["!o"], &five, &["two", "unrelated"]);
    // ours: a secret without a description has none that is like it
    check(&["one"], &[""], &[]);
    check(&["!one"], &[""], &[""]);
}

#[test]
fn tags_begin_with_the_value() {
    // guide
    for (tag, is_found) in [("Production", true), ("Prod1", true), ("prod", false), ("1 Prod", false)] {
        let as_key = Described { tags: Box::leak(Box::new([(tag, "v")])), ..NOTHING };
        assert_eq!(admits(&[(FilterKey::TagKey, &["Prod"])], &as_key), is_found);
        assert!(!admits(&[(FilterKey::TagValue, &["Prod"])], &as_key));
        let as_value = Described { tags: Box::leak(Box::new([("k", tag)])), ..NOTHING };
        assert_eq!(admits(&[(FilterKey::TagValue, &["Prod"])], &as_value), is_found);
    }
    // ours: no tag may begin so, as one may not where there are none
    let both = Described { tags: &[("a", "1"), ("b", "2")], ..NOTHING };
    assert!(!admits(&[(FilterKey::TagKey, &["!a"])], &both));
    assert!(admits(&[(FilterKey::TagKey, &["!c"])], &both));
    assert!(admits(&[(FilterKey::TagKey, &["!a"])], &NOTHING));
}

#[test]
fn all_looks_at_everything_by_words() {
    let check = |values: &[&str], among: &[&'static str], found: &[&str]| {
        check(FilterKey::All, values, named, among, found);
    };
    // moto, test_with_all_filter, aws_verified
    let names = ["SecretOne", "SecretTwo", "Thirdsecret", "SecretFTag", "SecretFValue", "none"];
    check(&["SecretOne"], &names, &["SecretOne"]);
    for value in ["Secret", "secret", "sec"] {
        check(&[value], &names, &["SecretOne", "SecretTwo", "SecretFTag", "SecretFValue"]);
    }
    check(&["ret"], &names, &[]);
    check(&["SomeSecret"], &names, &[]);
    check(&["t"], &names, &["SecretTwo", "Thirdsecret", "SecretFTag"]);
    // moto, test_with_all_filter_special_characters, aws_verified
    let names = [
        "prod/AppBeta/a1b2c3",
        "prod_AppBeta_a1b2c3",
        "prod+AppBeta+a1b2c3",
        "prod=AppBeta=a1b2c3",
        "prod.AppBeta.a1b2c3",
        "prod@AppBeta@a1b2c3",
        "prod-AppBeta-a1b2c3",
    ];
    for value in ["AppBeta", "Beta", "a1b2c3"] {
        check(&[value], &names, &names);
    }
    check(&["AppBeta", "prod"], &names, &names);
    check(&["+"], &names, &[]);
    let names = ["uat/COMPANY/a1", "uat/COMPANYthings/a1"];
    check(&["company"], &names, &["uat/COMPANY/a1"]);
    check(&["things"], &names, &[]);
    check(&["Ythings"], &names, &["uat/COMPANYthings/a1"]);
    check(&["N"], &names, &[]);
    check(&["pany"], &names, &[]);
    // moto, test_with_all_filter, aws_verified: descriptions and tags
    let second = Described { name: "SecretTwo", description: "DescTwo", tags: &[] };
    assert!(admits(&[(FilterKey::All, &["d t"])], &second));
    for tags in [&[("1", "foo")], &[("foo", "v")]] {
        assert!(admits(&[(FilterKey::All, &["foo"])], &Described { tags, ..NOTHING }));
    }
    // "contain the specified search value in either the secret name, description, tag key, or tag value": AWS's security
    // blog on enhanced search, quoted in moto#3173. All words in one of them.
    let split = Described { name: "one", description: "two", tags: &[] };
    assert!(!admits(&[(FilterKey::All, &["one two"])], &split));
    assert!(admits(&[(FilterKey::All, &["!one two"])], &split));
}

#[test]
fn no_secret_is_a_replica_or_anothers() {
    for key in [FilterKey::PrimaryRegion, FilterKey::OwningService] {
        // moto, test_filter_with_owning_service
        assert!(!admits(&[(key, &["n/a"])], &NOTHING));
        // ours
        assert!(admits(&[(key, &["!us-east-1"])], &NOTHING));
    }
}

#[test]
fn all_filters_must_hold() {
    // moto, test_with_duplicate_filter_keys, aws_verified
    let both: [(FilterKey, &[&str]); 2] =
        [(FilterKey::Description, &["one"]), (FilterKey::Description, &["two"])];
    let found: Vec<_> = ["one two", "one", "two", "unrelated"]
        .into_iter()
        .filter(|text| admits(&both, &described(text)))
        .collect();
    assert_eq!(found, ["one two"]);
    // moto, test_with_multiple_filters
    let right: [(FilterKey, &[&str]); 2] =
        [(FilterKey::TagKey, &["right"]), (FilterKey::TagValue, &["right"])];
    assert!(admits(&right, &Described { tags: &[("right", "right")], ..NOTHING }));
    assert!(!admits(&right, &Described { tags: &[("right", "wrong")], ..NOTHING }));
    assert!(!admits(&right, &Described { tags: &[("wrong", "right")], ..NOTHING }));
    // none at all
    assert!(admits(&[], &NOTHING));
}

#[test]
fn words_are_compared_as_each_with_each() {
    // Few letters, so that words are often equal and often begin with each other.
    let mut seed = 1_u64;
    let mut text = |length: u64| -> String {
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        (0..draw() % length).map(|_| ['a', 'b', 'A', '1', ' '][(draw() % 5) as usize]).collect()
    };
    let mut found = [0, 0];
    for _ in 0..100_000 {
        let (value, attribute) = (text(6), text(24));
        let (wanted, words) = (split_words(&value), split_words(&attribute));
        let naive = !wanted.is_empty()
            && wanted.iter().all(|wanted| words.iter().any(|word| word.starts_with(wanted)));
        let fast = WantedWords::of(&value).are_in(&SortedWords::of(&attribute));
        assert_eq!(fast, naive, "{value:?} in {attribute:?}");
        found[usize::from(naive)] += 1;
    }
    assert!(found.iter().all(|&count| count > 10_000), "{found:?}");
}

#[test]
fn a_crafted_value_comes_down_to_few_words() {
    let wanted = |text: &str| WantedWords::of(text).words;
    assert_eq!(wanted(&"a ".repeat(256)), ["a"]);
    assert_eq!(wanted("a aa aaa b aaa ab"), ["aaa", "ab", "b"]);
    let staircase: String = (1..31).map(|length| "a".repeat(length) + " ").collect();
    assert_eq!(wanted(&staircase), ["a".repeat(30)]);
}

//! Every rule holds, and no password is likelier than another.

use coffer_testkit::SeededRandom;
use proptest::prelude::*;

use super::*;

fn made(rules: &PasswordRules, seed: u64) -> Result<String, PasswordError> {
    let password = rules.make(&SeededRandom::new(seed))?;
    Ok(String::from_utf8(password.expose_secret().to_vec()).expect("ASCII"))
}

fn only(exclude: &str, length: usize) -> PasswordRules {
    PasswordRules { length, exclude_characters: exclude.to_owned(), ..PasswordRules::default() }
}

fn rules() -> impl Strategy<Value = PasswordRules> {
    ((1..=80_usize), "[ -~é]{0,60}", any::<[bool; 6]>()).prop_map(|(length, exclude_characters, switches)| {
        let [
            exclude_numbers,
            exclude_punctuation,
            exclude_uppercase,
            exclude_lowercase,
            include_space,
            require_each_included_type,
        ] = switches;
        PasswordRules {
            length,
            exclude_characters,
            exclude_numbers,
            exclude_punctuation,
            exclude_uppercase,
            exclude_lowercase,
            include_space,
            require_each_included_type,
        }
    })
}

/// Whether it is excluded, whether a character is of it, and which are.
type CharacterType = (bool, fn(&char) -> bool, &'static str);

proptest! {
    #[test]
    fn every_rule_holds(rules in rules(), seed: u64) {
        let is = |kind: fn(&char) -> bool| move |password: &str| password.chars().any(|c| kind(&c));
        let types: [CharacterType; 4] = [
            (rules.exclude_lowercase, char::is_ascii_lowercase, "abcdefghijklmnopqrstuvwxyz"),
            (rules.exclude_uppercase, char::is_ascii_uppercase, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            (rules.exclude_numbers, char::is_ascii_digit, "0123456789"),
            (rules.exclude_punctuation, char::is_ascii_punctuation, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        ];
        let is_left = |of: &str| of.chars().any(|c| !rules.exclude_characters.contains(c));
        let included: Vec<_> = types.iter().filter(|(excluded, _, of)| !excluded && is_left(of)).collect();
        let has_space = rules.include_space && !rules.exclude_characters.contains(' ');
        match made(&rules, seed) {
            Ok(password) => {
                prop_assert_eq!(password.chars().count(), rules.length);
                prop_assert!(!password.chars().any(|c| rules.exclude_characters.contains(c)));
                prop_assert!(has_space || !password.contains(' '));
                for (excluded, kind, _) in &types {
                    prop_assert!(!(*excluded && is(*kind)(&password)));
                }
                if rules.require_each_included_type {
                    prop_assert!(included.iter().all(|(_, kind, _)| is(*kind)(&password)));
                }
            }
            Err(PasswordError::NoCharacters) => prop_assert!(included.is_empty() && !has_space),
            Err(PasswordError::TooShort) => {
                prop_assert!(rules.require_each_included_type && rules.length < included.len());
            }
            Err(PasswordError::Length) => prop_assert!(false, "the length was legal"),
        }
    }
}

/// Pearson's statistic of counts that should all be the same.
fn chi_square(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn every_character_is_as_likely() {
    let rules = PasswordRules { require_each_included_type: false, length: 4096, ..PasswordRules::default() };
    let random = SeededRandom::new(7);
    let mut counts = [0_u64; 94];
    for _ in 0..50 {
        for byte in rules.make(&random).expect("a password").expose_secret() {
            counts[usize::from(byte - b'!')] += 1;
        }
    }
    // 93 degrees of freedom: 143 is passed by chance once in a thousand. A remainder without rejection gives 68 of
    // the 94 characters three bytes in 256 and the others two: some 6,500.
    let statistic = chi_square(&counts);
    assert!(statistic < 143.0, "{statistic}");
}

#[test]
fn every_password_is_as_likely_also_where_types_are_required() {
    // Two letters of each case, two characters: 4 × 2 passwords that have both cases.
    let rules = PasswordRules {
        length: 2,
        exclude_characters: "cdefghijklmnopqrstuvwxyzCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(),
        exclude_numbers: true,
        exclude_punctuation: true,
        ..PasswordRules::default()
    };
    let random = SeededRandom::new(11);
    let mut counts = std::collections::BTreeMap::<Vec<u8>, u64>::new();
    for _ in 0..8000 {
        let password = rules.make(&random).expect("a password");
        *counts.entry(password.expose_secret().to_vec()).or_default() += 1;
    }
    let counts: Vec<u64> = counts.into_values().collect();
    assert_eq!(counts.len(), 8, "aA aB bA bB and the other way round");
    // 7 degrees of freedom: 24.3 once in a thousand.
    let statistic = chi_square(&counts);
    assert!(statistic < 24.3, "{statistic}");
}

#[test]
fn the_edges() {
    let length = |rules: &PasswordRules| made(rules, 1).map(|password| password.len());
    assert_eq!(length(&PasswordRules::default()), Ok(32));
    assert_eq!(length(&only("", 4096)), Ok(4096));
    assert_eq!(length(&only("", 4)), Ok(4));
    assert_eq!(length(&only("", 3)), Err(PasswordError::TooShort));
    assert_eq!(length(&PasswordRules { require_each_included_type: false, ..only("", 1) }), Ok(1));
    assert_eq!(length(&PasswordRules { exclude_numbers: true, ..only("", 3) }), Ok(3));
    assert_eq!(length(&only("0123456789", 3)), Ok(3), "a type of which nothing is left is not asked for");
    assert_eq!(length(&only("", 0)), Err(PasswordError::Length));
    assert_eq!(length(&only("", 4097)), Err(PasswordError::Length));
    let all: String = (' '..='~').collect();
    assert_eq!(length(&only(&all, 32)), Err(PasswordError::NoCharacters));
    let space = PasswordRules { include_space: true, ..only(&all[1..], 3) };
    assert_eq!(
        made(&space, 1).as_deref(),
        Ok("   "),
        "a space alone is no type, and a password all the same"
    );
}

fn generated(template: Option<&str>, key: Option<&str>) -> Result<String, TemplateError> {
    let rules =
        PasswordRules { length: 5, exclude_characters: "\"\\".to_owned(), ..PasswordRules::default() };
    let template = template.map(|text| SecretBytes::copy_from(text.as_bytes()));
    let value = generate_secret_string(&rules, template.as_ref(), key, &SeededRandom::new(3))?;
    Ok(String::from_utf8(value.expose_secret().to_vec()).expect("UTF-8"))
}

#[test]
fn a_password_in_a_template() {
    let password = generated(None, None).expect("a password");
    let shown = |template: &str, key: &str| {
        generated(Some(template), Some(key)).map(|value| value.replace(&password, "P"))
    };
    assert_eq!(shown("{}", "p").as_deref(), Ok(r#"{"p":"P"}"#));
    assert_eq!(
        shown(r#" {"user": "app", "n": [1, {}] } "#, "p").as_deref(),
        Ok(r#"{"user":"app","n":[1, {}],"p":"P"}"#)
    );
    assert_eq!(
        shown(r#"{"p":"old","é\u00e9":1}"#, "p").as_deref(),
        Ok(r#"{"éé":1,"p":"P"}"#),
        "in its place"
    );
    assert_eq!(shown("{}", "a\"\n").as_deref(), Ok(r#"{"a\"\n":"P"}"#));
    for template in ["[]", "\"x\"", "1", "null", "", "{", "{}x", "{1:2}"] {
        assert_eq!(shown(template, "p"), Err(TemplateError::NotAnObject), "{template}");
    }
    assert_eq!(generated(Some("{}"), None), Err(TemplateError::HalfGiven));
    assert_eq!(generated(None, Some("p")), Err(TemplateError::HalfGiven));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(65_536));
    assert_eq!(shown(&large, "p"), Err(TemplateError::TooLarge));
}

proptest! {
    #[test]
    fn a_password_is_read_back_from_its_template(seed: u64, key in "\\PC{0,8}", names in proptest::collection::hash_set("\\PC{0,8}", 0..4)) {
        let template: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), name.len().into())).collect();
        let template = SecretBytes::from(serde_json::Value::from(template.clone()).to_string());
        let rules = PasswordRules { length: 200, ..PasswordRules::default() };
        let value = generate_secret_string(&rules, Some(&template), Some(&key), &SeededRandom::new(seed)).unwrap_or_else(|e| panic!("{e}"));
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(value.expose_secret()).expect("an object");
        let password = made(&rules, seed).ok();
        prop_assert_eq!(value.get(&key).and_then(|v| v.as_str()), password.as_deref());
        for name in names.iter().filter(|name| **name != key) {
            prop_assert_eq!(value.get(name), Some(&name.len().into()));
        }
    }
}

//! Texts from strangers: nothing panics, nothing takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_policy::{ContextMap, Document, DocumentKind, Policies, Policy, Principal, Request, evaluate};
use proptest::prelude::*;

const ALICE: Principal<'static> =
    Principal::User { arn: "arn:aws:iam::123456789012:user/alice", account: "123456789012", unique_id: "" };

/// Far above what any of these takes in a debug build, and far below what a blow-up would.
const SOON: Duration = Duration::from_secs(5);

fn ask(text: &str, action: &str, resource: &str, value: &str) {
    for kind in [DocumentKind::Inline, DocumentKind::Resource, DocumentKind::Trust] {
        let Ok(document) = Document::parse(text, kind) else { continue };
        let policy = Arc::new(Policy::compile("p", &document));
        let mut context = ContextMap::new();
        policy.condition_keys().for_each(|key| context.set(key, value));
        let policies = Policies { identity: &[Arc::clone(&policy)], ..Policies::default() };
        let _ = evaluate(&policies, &Request { principal: ALICE, action, resource, context: &context });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "[\\PC\n]{0,64}") {
        ask(&text, "s:Get", "*", "x");
    }

    /// A valid document with something put in place of a piece of it.
    #[test]
    fn no_damage_panics(at in 0_usize..400, length in 0_usize..8, put in "[\\[\\]\\{\\}\",:$*?0a\\\\é']{0,6}") {
        let text = r#"{"Version": "2012-10-17", "Id": "x", "Statement": [{"Sid": "A", "Effect": "Allow", "Principal":
            {"AWS": ["arn:aws:iam::123456789012:user/a", "*"]}, "NotAction": ["s:Get*", "k:?"], "Resource":
            "arn:aws:s:::${aws:username, 'x'}/*", "Condition": {"ForAllValues:StringLikeIfExists": {"aws:TagKeys":
            ["a", 1, true]}, "DateLessThan": {"aws:CurrentTime": "2026-11-22T17:00:00Z"}}}]}"#;
        let characters: Vec<char> = text.chars().collect();
        let at = at.min(characters.len());
        let end = (at + length).min(characters.len());
        let damaged: String = characters[..at].iter().chain(put.chars().collect::<Vec<_>>().iter()).chain(&characters[end..]).collect();
        ask(&damaged, "s:Get", "arn:aws:s:::x/é", &put);
        ask(&damaged, &put, &put, &put);
    }
}

#[test]
fn a_huge_document_is_refused_at_once() {
    let started = Instant::now();
    for text in
        ["[".repeat(1 << 20), " ".repeat(1 << 20), format!("{{\"Version\": \"{}\"}}", "x".repeat(1 << 20))]
    {
        assert!(Document::parse(&text, DocumentKind::Managed).is_err());
    }
    assert!(started.elapsed() < SOON);
}

/// The worst patterns that fit a document, each against a text that almost matches.
#[test]
fn wildcards_do_not_blow_up() {
    let started = Instant::now();
    let long = "a".repeat(2_000);
    for pattern in
        ["*a".repeat(5_000), "a*".repeat(5_000), format!("*{}b*", "a?".repeat(5_000)), "*?".repeat(5_000)]
    {
        for end in ["", "b", "b*"] {
            let of = |resource: &str, value: &str| {
                format!(
                    r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "*", "Resource": "{resource}",
                    "Condition": {{"StringLike": {{"aws:a": "{value}"}}}}}}}}"#
                )
            };
            let pattern = format!("{pattern}{end}");
            for text in [of(&format!("arn:aws:s3:::{pattern}"), "*"), of("*", &pattern)] {
                let document = Document::parse(&text, DocumentKind::Inline);
                assert!(document.is_ok(), "{document:?}");
                ask(&text, "s3:GetObject", &format!("arn:aws:s3:::{long}"), &long);
            }
        }
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn a_policy_of_many_statements_compiles_soon() {
    let statement =
        |n: usize| format!(r#"{{"Effect":"Allow","Action":"s:{n}","Resource":"arn:aws:s:::{n}"}}"#);
    let statements: Vec<String> = (0..400).map(statement).collect();
    let text = format!(r#"{{"Statement":[{}]}}"#, statements.join(","));
    let started = Instant::now();
    let document = Document::parse(
        &text.replace("\"Effect\"", "\"Principal\":\"*\",\"Effect\""),
        DocumentKind::Resource,
    );
    Policy::compile("p", &document.unwrap());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

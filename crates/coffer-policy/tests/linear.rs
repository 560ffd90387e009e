//! How the cost of a hostile pattern grows: with its length, not with its square.
//!
//! Times of the fastest of several tries at one size and at four times that: linear cost takes four times as long, quadratic sixteen times.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_policy::{ContextMap, Document, DocumentKind, Policies, Policy, Principal, Request, evaluate};

const ALICE: Principal<'static> =
    Principal::User { arn: "arn:aws:iam::123456789012:user/alice", account: "123456789012", unique_id: "" };
/// Short ones, so that some are not interrupted.
const TRIES: usize = 60;
/// Between four, which is linear, and sixteen, which is quadratic.
const GROWTH_MAX: u32 = 9;

/// How long the fastest evaluation of this pattern against this text takes, as a resource and as a condition's value.
fn cost(pattern: &str, text: &str) -> Duration {
    let document = format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::{pattern}"}},
            {{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {{"StringLike": {{"aws:a": "{pattern}"}}}}}}]}}"#
    );
    let document = Document::parse(&document, DocumentKind::Managed).unwrap();
    let policy = [Arc::new(Policy::compile("p", &document))];
    let policies = Policies { identity: &policy, ..Policies::default() };
    let mut context = ContextMap::new();
    context.set("aws:a", text);
    let resource = format!("arn:aws:s3:::{text}");
    let request =
        Request { principal: ALICE, action: "s3:GetObject", resource: &resource, context: &context };
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(evaluate(&policies, std::hint::black_box(&request)));
        begun.elapsed()
    };
    (0..TRIES).map(time).min().unwrap()
}

#[test]
fn four_times_the_text_costs_four_times_the_time() {
    for (what, pattern) in [
        ("many stars", "*a".repeat(100) + "b"),
        ("stars that never come true", "*ab".repeat(60)),
        ("stars and question marks", "*?a?".repeat(50) + "b"),
        ("a star before something long", format!("*{}b", "a".repeat(200))),
    ] {
        let (small, large) = ("a".repeat(2_000), "a".repeat(8_000));
        let (once, again) = (cost(&pattern, &small), cost(&pattern, &large));
        assert!(again < once * GROWTH_MAX, "{what}: {once:?}, then {again:?}");
    }
}

#[test]
fn four_times_the_pattern_and_the_text_cost_four_times_the_time() {
    for (what, piece) in
        [("many stars", "*a"), ("stars that never come true", "*ab"), ("stars and question marks", "*?a?")]
    {
        let at = |length: usize| (piece.repeat(length / 8) + "b", "a".repeat(length));
        let ((pattern, text), (longer_pattern, longer_text)) = (at(500), at(2_000));
        let (once, again) = (cost(&pattern, &text), cost(&longer_pattern, &longer_text));
        assert!(again < once * GROWTH_MAX, "{what}: {once:?}, then {again:?}");
    }
}

#[test]
fn four_times_the_statements_cost_four_times_the_time_to_read_and_decide() {
    let time = |count: usize| {
        let statement = r#"{"Effect": "Allow", "Action": "s3:*x", "Resource": "arn:aws:s3:::*a*a*b"}"#;
        let text =
            format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, vec![statement; count].join(","));
        let one = |_| {
            let begun = Instant::now();
            let document = Document::parse(&text, DocumentKind::Managed).unwrap();
            let policy = [Arc::new(Policy::compile("p", &document))];
            let policies = Policies { identity: &policy, ..Policies::default() };
            let context = ContextMap::new();
            let request = Request {
                principal: ALICE,
                action: "s3:GetObjectx",
                resource: "arn:aws:s3:::aaaa",
                context: &context,
            };
            std::hint::black_box(evaluate(&policies, &request));
            begun.elapsed()
        };
        (0..TRIES).map(one).min().unwrap()
    };
    let (once, again) = (time(20), time(80));
    assert!(again < once * GROWTH_MAX, "{once:?}, then {again:?}");
}

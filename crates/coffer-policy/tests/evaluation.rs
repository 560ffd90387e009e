//! Decisions over the policies of all kinds, as a table of facts.

use std::sync::Arc;

use coffer_policy::{
    ContextMap, Decision, Document, DocumentKind, Mismatch, Policies, Policy, PolicyKind, Principal, Request,
    ResourcePolicy, evaluate, explain,
};

const ACCOUNT: &str = "123456789012";
const ALICE: Principal<'static> = Principal::User {
    arn: "arn:aws:iam::123456789012:user/alice",
    account: ACCOUNT,
    unique_id: "AIDAALICE00000000000",
};
const SESSION: Principal<'static> = Principal::RoleSession {
    arn: "arn:aws:sts::123456789012:assumed-role/reader/app",
    role_arn: "arn:aws:iam::123456789012:role/reader",
    account: ACCOUNT,
    unique_id: "AROAREADER0000000000",
};
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf";

fn policy(statements: &str) -> Arc<Policy> {
    let document = Document::parse(
        &format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#),
        if statements.contains("rincipal\"") { DocumentKind::Resource } else { DocumentKind::Inline },
    );
    Arc::new(Policy::compile("p", &document.unwrap_or_else(|error| panic!("{error}: {statements}"))))
}

fn allow(action: &str) -> Arc<Policy> {
    policy(&format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "*"}}"#))
}

fn allow_to(principal: &str) -> Arc<Policy> {
    policy(&format!(r#"{{"Effect": "Allow", "Action": "*", "Principal": {principal}}}"#))
}

fn answer(policies: &Policies<'_>, principal: Principal<'_>) -> String {
    let request =
        Request { principal, action: "secretsmanager:GetSecretValue", resource: SECRET, context: &() };
    match evaluate(policies, &request) {
        Decision::Allowed(by) => format!("allowed by {}", by.kind),
        Decision::AllowedToOwner => "allowed to the owner".into(),
        Decision::ExplicitlyDenied(by) => format!("denied by {}", by.kind),
        Decision::ImplicitlyDenied(kind) => format!("no {kind}"),
    }
}

const NO_IDENTITY: &str = "no identity-based policy";
const NO_RESOURCE: &str = "no resource-based policy";
const NO_BOUNDARY: &str = "no permissions boundary";
const NO_SESSION: &str = "no session policy";
const BY_IDENTITY: &str = "allowed by identity-based policy";
const BY_RESOURCE: &str = "allowed by resource-based policy";

#[test]
fn a_policy_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Policy>();
    check::<Document>();
}

#[test]
fn nothing_is_allowed_by_default_but_to_the_owner() {
    let root = Principal::Root { account: ACCOUNT };
    assert_eq!(answer(&Policies::default(), ALICE), NO_IDENTITY);
    assert_eq!(answer(&Policies::default(), root), "allowed to the owner");
    assert_eq!(answer(&Policies::default(), Principal::Anonymous), NO_RESOURCE);
    assert_eq!(answer(&Policies { is_same_account: false, ..Policies::default() }, root), NO_RESOURCE);
}

#[test]
fn a_denial_wins_wherever_it_stands() {
    let (all, deny) = ([allow("*")], policy(r#"{"Effect": "Deny", "Action": "*:Get*", "Resource": "*"}"#));
    let denying = [Arc::clone(&deny)];
    let base = Policies { identity: &all, ..Policies::default() };
    assert_eq!(answer(&base, ALICE), BY_IDENTITY);
    let both = [allow("*"), Arc::clone(&deny)];
    assert_eq!(answer(&Policies { identity: &both, ..base }, ALICE), "denied by identity-based policy");
    assert_eq!(answer(&Policies { boundary: Some(&deny), ..base }, ALICE), "denied by permissions boundary");
    assert_eq!(answer(&Policies { session: Some(&denying), ..base }, ALICE), "denied by session policy");
    assert_eq!(
        answer(&Policies { service_control: &[&denying], ..base }, ALICE),
        "denied by service control policy"
    );
    let deny_all = policy(r#"{"Effect": "Deny", "Action": "*", "Principal": "*"}"#);
    let resource = ResourcePolicy::Optional(&deny_all);
    assert_eq!(answer(&Policies { resource, ..base }, ALICE), "denied by resource-based policy");
    let root = Principal::Root { account: ACCOUNT };
    assert_eq!(
        answer(&Policies { resource, ..Policies::default() }, root),
        "denied by resource-based policy"
    );
}

#[test]
fn boundary_session_and_organization_narrow_what_identity_policies_allow() {
    let (all, other) = ([allow("*")], [allow("kms:*")]);
    let base = Policies { identity: &all, ..Policies::default() };
    assert_eq!(answer(&Policies { boundary: Some(&all[0]), ..base }, ALICE), BY_IDENTITY);
    assert_eq!(answer(&Policies { boundary: Some(&other[0]), ..base }, ALICE), NO_BOUNDARY);
    assert_eq!(answer(&Policies { identity: &[], boundary: Some(&all[0]), ..base }, ALICE), NO_IDENTITY);
    assert_eq!(answer(&Policies { session: Some(&all), ..base }, SESSION), BY_IDENTITY);
    assert_eq!(answer(&Policies { session: Some(&other), ..base }, SESSION), NO_SESSION);
    assert_eq!(answer(&Policies { session: Some(&[]), ..base }, SESSION), NO_SESSION);
    for (levels, expected) in [
        (&[&all[..]][..], BY_IDENTITY),
        (&[&all[..], &all[..]][..], BY_IDENTITY),
        (&[&all[..], &other[..]][..], "no service control policy"),
        (&[&[][..]][..], "no service control policy"),
    ] {
        assert_eq!(answer(&Policies { service_control: levels, ..base }, ALICE), expected);
    }
}

#[test]
fn a_resource_policy_of_the_same_account_suffices_if_it_names_more_than_the_account() {
    for (principal, user, session) in [
        (r#""*""#, BY_RESOURCE, BY_RESOURCE),
        (r#"{"AWS": "123456789012"}"#, NO_IDENTITY, NO_IDENTITY),
        (r#"{"AWS": "arn:aws:iam::123456789012:user/alice"}"#, BY_RESOURCE, NO_IDENTITY),
        (r#"{"AWS": "AIDAALICE00000000000"}"#, BY_RESOURCE, NO_IDENTITY),
        (r#"{"AWS": "arn:aws:sts::123456789012:assumed-role/reader/app"}"#, NO_IDENTITY, BY_RESOURCE),
        // A role's ARN is narrowed by boundary and session, and nothing else is.
        (r#"{"AWS": "arn:aws:iam::123456789012:role/reader"}"#, NO_IDENTITY, NO_BOUNDARY),
        (r#"{"AWS": "AROAREADER0000000000"}"#, NO_IDENTITY, NO_BOUNDARY),
        (r#"{"Service": "lambda.amazonaws.com"}"#, NO_IDENTITY, NO_IDENTITY),
        (r#"{"CanonicalUser": "79a5"}"#, NO_IDENTITY, NO_IDENTITY),
    ] {
        let (resource, boundary) = (allow_to(principal), allow("kms:*"));
        let policies = Policies {
            resource: ResourcePolicy::Optional(&resource),
            boundary: Some(&boundary),
            ..Policies::default()
        };
        assert_eq!(
            (answer(&policies, ALICE), answer(&policies, SESSION)),
            (user.into(), session.into()),
            "{principal}"
        );
    }
    let (role, all) = (allow_to(r#"{"AWS": "arn:aws:iam::123456789012:role/reader"}"#), [allow("*")]);
    let policies =
        Policies { resource: ResourcePolicy::Optional(&role), session: Some(&all), ..Policies::default() };
    assert_eq!(answer(&policies, SESSION), BY_RESOURCE);
}

#[test]
fn another_account_needs_both() {
    let (all, everybody, account) =
        ([allow("*")], allow_to(r#""*""#), allow_to(r#"{"AWS": "123456789012"}"#));
    let base = Policies { is_same_account: false, ..Policies::default() };
    assert_eq!(answer(&base, ALICE), NO_IDENTITY);
    assert_eq!(answer(&Policies { identity: &all, ..base }, ALICE), NO_RESOURCE);
    for resource in [&everybody, &account] {
        let resource = ResourcePolicy::Optional(resource);
        assert_eq!(answer(&Policies { resource, ..base }, ALICE), NO_IDENTITY);
        assert_eq!(answer(&Policies { resource, identity: &all, ..base }, ALICE), BY_IDENTITY);
        let narrow = allow("kms:*");
        let policies = Policies { resource, identity: &all, boundary: Some(&narrow), ..base };
        assert_eq!(answer(&policies, ALICE), NO_BOUNDARY);
    }
    let service = Principal::Service { name: "lambda.amazonaws.com" };
    let resource = ResourcePolicy::Optional(&everybody);
    assert_eq!(answer(&Policies { resource, ..base }, service), BY_RESOURCE);
}

#[test]
fn a_required_resource_policy_must_allow_and_may_leave_it_to_the_account() {
    let all = [allow("*")];
    let other = allow_to(r#"{"AWS": "210987654321"}"#);
    let account = allow_to(r#"{"AWS": "arn:aws:iam::123456789012:root"}"#);
    let alice = allow_to(r#"{"AWS": "arn:aws:iam::123456789012:user/alice"}"#);
    let base = Policies { identity: &all, ..Policies::default() };
    for (resource, with_identity, without) in [
        (&other, NO_RESOURCE, NO_RESOURCE),
        (&account, BY_IDENTITY, NO_IDENTITY),
        (&alice, BY_RESOURCE, BY_RESOURCE),
    ] {
        let resource = ResourcePolicy::Required(resource);
        assert_eq!(answer(&Policies { resource, ..base }, ALICE), with_identity);
        assert_eq!(answer(&Policies { resource, identity: &[], ..base }, ALICE), without);
    }
}

#[test]
fn not_principal_spares_whom_it_names_and_nobody_with_a_boundary() {
    let deny = policy(
        r#"{"Effect": "Deny", "Action": "*", "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/alice"}}"#,
    );
    let (all, session) = ([allow("*")], SESSION);
    let base = Policies { identity: &all, resource: ResourcePolicy::Optional(&deny), ..Policies::default() };
    assert_eq!(answer(&base, ALICE), BY_IDENTITY);
    assert_eq!(answer(&base, session), "denied by resource-based policy");
    assert_eq!(
        answer(&Policies { boundary: Some(&all[0]), ..base }, ALICE),
        "denied by resource-based policy"
    );
}

#[test]
fn the_decision_names_its_statement() {
    let policy = policy(
        r#"{"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Sid": "Read", "Effect": "Allow", "Action": "SecretsManager:get*", "Resource": "arn:aws:secretsmanager:*:*:secret:app/*"}"#,
    );
    let request =
        Request { principal: ALICE, action: "secretsmanager:GETSecretValue", resource: SECRET, context: &() };
    let identity = [policy];
    let Decision::Allowed(by) = evaluate(&Policies { identity: &identity, ..Policies::default() }, &request)
    else {
        panic!("allowed");
    };
    assert_eq!((by.kind, by.policy, by.statement, by.sid), (PolicyKind::Identity, "p", 1, Some("Read")));
    assert_eq!(by.position.line, 2);
    let reason = Decision::ImplicitlyDenied(PolicyKind::Identity).aws_reason("secretsmanager:GetSecretValue");
    assert_eq!(
        reason.as_deref(),
        Some("because no identity-based policy allows the secretsmanager:GetSecretValue action")
    );
    let reason = Decision::ExplicitlyDenied(by).aws_reason("x");
    assert_eq!(reason.as_deref(), Some("with an explicit deny in an identity-based policy"));
}

#[test]
fn an_explanation_says_of_every_statement_why_it_did_not_matter() {
    let secret = format!(r#""Resource": "{SECRET}""#);
    let get = r#""Action": "secretsmanager:GetSecretValue""#;
    let identity = [policy(&format!(
        r#"{{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}},
        {{"Effect": "Deny", {get}, "Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/*"}},
        {{"Effect": "Allow", {get}, {secret}, "Condition": {{"Bool": {{"aws:SecureTransport": true}}, "StringLike": {{"c:a": "x"}}}}}},
        {{"Effect": "Allow", {get}, {secret}, "Condition": {{"StringLike": {{"C:A": "y"}}}}}}"#
    ))];
    let mut context = ContextMap::new();
    context.set("c:a", "x");
    let request = Request {
        principal: ALICE,
        action: "secretsmanager:GetSecretValue",
        resource: SECRET,
        context: &context,
    };
    let policies = Policies { identity: &identity, ..Policies::default() };
    let explanation = explain(&policies, &request);
    assert_eq!(explanation.decision, Decision::ImplicitlyDenied(PolicyKind::Identity));
    let mismatches: Vec<Option<Mismatch>> =
        explanation.statements.iter().map(|considered| considered.mismatch).collect();
    let expected = [Mismatch::Action, Mismatch::Resource, Mismatch::Condition(0), Mismatch::Condition(0)];
    assert_eq!(mismatches, expected.map(Some));
    let failed: Vec<(&str, bool)> = explanation
        .statements
        .iter()
        .filter_map(|considered| considered.condition.map(|failed| (failed.key, failed.is_absent)))
        .collect();
    assert_eq!(failed, [("aws:securetransport", true), ("c:a", false)]);
}

#[track_caller]
fn holds(condition: &str, context: &ContextMap, expected: bool) {
    let policy = policy(&format!(
        r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{{condition}}}}}"#
    ));
    let request = Request { principal: ALICE, action: "s:Get", resource: "*", context };
    let identity = [policy];
    let decision = evaluate(&Policies { identity: &identity, ..Policies::default() }, &request);
    assert_eq!(decision.is_allowed(), expected, "{condition}");
}

#[test]
fn operators_over_one_value() {
    let mut context = ContextMap::new();
    for (key, value) in [
        ("c:text", "Ünder"),
        ("c:number", "7.5"),
        ("c:time", "2026-11-22T17:00:00Z"),
        ("c:flag", "true"),
        ("c:bytes", "QUJD"),
        ("c:address", "203.0.113.9"),
        ("c:arn", "arn:aws:iam::123456789012:role/app/reader"),
        ("c:junk", "junk"),
    ] {
        context.set(key, value);
    }
    for (condition, expected) in [
        (r#""StringEquals": {"C:Text": "Ünder"}"#, true),
        (r#""StringEquals": {"c:text": "ünder"}"#, false),
        (r#""StringEquals": {"c:text": ["x", "Ünder"]}"#, true),
        (r#""StringEquals": {"c:text": "Ü*"}"#, false),
        (r#""StringNotEquals": {"c:text": ["x", "Ünder"]}"#, false),
        (r#""StringNotEquals": {"c:text": ["x", "y"]}"#, true),
        (r#""StringEqualsIgnoreCase": {"c:text": "üNDER"}"#, true),
        (r#""StringNotEqualsIgnoreCase": {"c:text": "üNDER"}"#, false),
        (r#""StringLike": {"c:text": "?nd*"}"#, true),
        (r#""StringNotLike": {"c:text": "?nd*"}"#, false),
        (r#""NumericEquals": {"c:number": 7.50}"#, true),
        (r#""NumericNotEquals": {"c:number": "7.5"}"#, false),
        (r#""NumericLessThan": {"c:number": 7.5}"#, false),
        (r#""NumericLessThanEquals": {"c:number": 7.5}"#, true),
        (r#""NumericGreaterThan": {"c:number": [10, 7]}"#, true),
        (r#""NumericGreaterThanEquals": {"c:number": 8}"#, false),
        (r#""NumericEquals": {"c:junk": 1}"#, false),
        (r#""NumericNotEquals": {"c:junk": 1}"#, true),
        (r#""DateEquals": {"c:time": "1795366800"}"#, true),
        (r#""DateNotEquals": {"c:time": "2026-11-22"}"#, true),
        (r#""DateLessThan": {"c:time": "2026-11-22T18:00:01+01:00"}"#, true),
        (r#""DateGreaterThan": {"c:time": "2026-11-22T17:00:00Z"}"#, false),
        (r#""DateGreaterThanEquals": {"c:time": "2026-11-22T17:00:00Z"}"#, true),
        (r#""DateLessThanEquals": {"c:time": "2026-11-22T16:59:59Z"}"#, false),
        (r#""Bool": {"c:flag": true}"#, true),
        (r#""Bool": {"c:flag": "FALSE"}"#, false),
        (r#""BinaryEquals": {"c:bytes": "QUJD"}"#, true),
        (r#""BinaryEquals": {"c:bytes": "QUJE"}"#, false),
        (r#""IpAddress": {"c:address": ["10.0.0.0/8", "203.0.113.0/24"]}"#, true),
        (r#""NotIpAddress": {"c:address": "203.0.113.0/24"}"#, false),
        (r#""ArnLike": {"c:arn": "arn:aws:iam::*:role/app/*"}"#, true),
        (r#""ArnEquals": {"c:arn": "arn:aws:iam::*:role/app/*"}"#, true),
        (r#""ArnLike": {"c:arn": "arn:aws:iam::*"}"#, false),
        (r#""ArnNotLike": {"c:arn": "arn:aws:iam::*:role/app/*"}"#, false),
        (r#""ArnNotEquals": {"c:junk": "arn:aws:iam::*:role/app/*"}"#, true),
        (r#""Null": {"c:text": true}"#, false),
        (r#""Null": {"c:text": false}"#, true),
        // Every operator and every key must hold.
        (r#""StringEquals": {"c:text": "Ünder", "c:junk": "x"}"#, false),
        (r#""StringEquals": {"c:text": "Ünder"}, "Bool": {"c:flag": "false"}"#, false),
    ] {
        holds(condition, &context, expected);
    }
}

#[test]
fn operators_over_an_absent_key() {
    for (condition, expected) in [
        (r#""StringEquals": {"c:none": "x"}"#, false),
        (r#""StringNotEquals": {"c:none": "x"}"#, true),
        (r#""StringEqualsIfExists": {"c:none": "x"}"#, true),
        (r#""StringNotEqualsIfExists": {"c:none": "x"}"#, true),
        (r#""NumericLessThan": {"c:none": 1}"#, false),
        (r#""Bool": {"c:none": "false"}"#, false),
        (r#""NotIpAddress": {"c:none": "10.0.0.0/8"}"#, true),
        (r#""ArnNotLike": {"c:none": "arn:aws:iam::*:role/x"}"#, true),
        (r#""Null": {"c:none": true}"#, true),
        (r#""Null": {"c:none": "false"}"#, false),
        (r#""ForAllValues:StringEquals": {"c:none": "x"}"#, true),
        (r#""ForAnyValue:StringEquals": {"c:none": "x"}"#, false),
        (r#""ForAnyValue:StringNotEquals": {"c:none": "x"}"#, false),
        (r#""ForAnyValue:StringEqualsIfExists": {"c:none": "x"}"#, true),
        // A variable without a value is like no text, and not known to differ from any.
        (r#""StringEquals": {"c:empty": "${c:none}"}"#, false),
        (r#""StringNotEquals": {"c:text": "${c:none}"}"#, false),
        (r#""StringEquals": {"c:text": "${c:none, 'text'}"}"#, true),
    ] {
        let mut context = ContextMap::new();
        context.set("c:text", "text");
        context.set("c:empty", "");
        holds(condition, &context, expected);
    }
}

#[test]
fn operators_over_several_values() {
    let mut context = ContextMap::new();
    context.set_list("c:list", ["a", "b"]);
    context.set_list("c:nothing", [] as [&str; 0]);
    context.set("c:one", "a");
    for (condition, expected) in [
        (r#""ForAllValues:StringEquals": {"c:list": ["a", "b", "c"]}"#, true),
        (r#""ForAllValues:StringEquals": {"c:list": "a"}"#, false),
        (r#""ForAllValues:StringNotEquals": {"c:list": ["c", "d"]}"#, true),
        (r#""ForAllValues:StringNotEquals": {"c:list": ["a", "d"]}"#, false),
        (r#""ForAnyValue:StringEquals": {"c:list": ["b", "z"]}"#, true),
        (r#""ForAnyValue:StringEquals": {"c:list": "z"}"#, false),
        (r#""ForAnyValue:StringNotEquals": {"c:list": "a"}"#, true),
        (r#""ForAnyValue:StringNotEquals": {"c:list": ["a", "b"]}"#, false),
        (r#""ForAllValues:StringEquals": {"c:one": "a"}"#, true),
        (r#""ForAnyValue:StringEquals": {"c:one": "b"}"#, false),
        (r#""ForAllValues:StringEquals": {"c:nothing": "a"}"#, true),
        (r#""ForAnyValue:StringEquals": {"c:nothing": "a"}"#, false),
        (r#""Null": {"c:nothing": "true"}"#, true),
        // Without a prefix a list never fits.
        (r#""StringEquals": {"c:list": ["a", "b"]}"#, false),
        (r#""StringNotEquals": {"c:list": "z"}"#, false),
        (r#""StringEqualsIfExists": {"c:list": ["a", "b"]}"#, false),
    ] {
        holds(condition, &context, expected);
    }
}

#[test]
fn not_action_and_not_resource() {
    let policy = policy(
        r#"{"Effect": "Allow", "NotAction": ["kms:*", "sts:*"], "NotResource": "arn:aws:secretsmanager:*:*:secret:prod/*"}"#,
    );
    let identity = [policy];
    let may = |action, resource| {
        let request = Request { principal: ALICE, action, resource, context: &() };
        evaluate(&Policies { identity: &identity, ..Policies::default() }, &request).is_allowed()
    };
    assert!(may("secretsmanager:GetSecretValue", SECRET));
    assert!(!may("kms:Decrypt", SECRET));
    assert!(!may(
        "secretsmanager:GetSecretValue",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf"
    ));
}

#[test]
fn not_resource_with_a_variable_without_value_allows_nothing_and_denies_everything() {
    let of = |effect: &str| {
        policy(&format!(
            r#"{{"Effect": "{effect}", "Action": "*", "NotResource": "arn:aws:s3:::${{aws:username}}"}}"#
        ))
    };
    let (open, closed) = ([of("Allow")], [allow("*"), of("Deny")]);
    assert_eq!(answer(&Policies { identity: &open, ..Policies::default() }, ALICE), NO_IDENTITY);
    let denied = answer(&Policies { identity: &closed, ..Policies::default() }, ALICE);
    assert_eq!(denied, "denied by identity-based policy");
}

#[test]
fn the_older_language_has_no_variables() {
    let of = |version: &str| {
        let text = format!(
            r#"{{{version}"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${{aws:username}}/*"}}}}"#
        );
        Arc::new(Policy::compile("p", &Document::parse(&text, DocumentKind::Inline).unwrap()))
    };
    let mut context = ContextMap::new();
    context.set("aws:username", "alice");
    for (version, resource, expected) in [
        (r#""Version": "2012-10-17", "#, "arn:aws:s3:::alice/x", true),
        (r#""Version": "2012-10-17", "#, "arn:aws:s3:::${aws:username}/x", false),
        (r#""Version": "2008-10-17", "#, "arn:aws:s3:::alice/x", false),
        (r#""Version": "2008-10-17", "#, "arn:aws:s3:::${aws:username}/x", true),
        ("", "arn:aws:s3:::alice/x", false),
    ] {
        let request = Request { principal: ALICE, action: "s3:GetObject", resource, context: &context };
        let identity = [of(version)];
        let decision = evaluate(&Policies { identity: &identity, ..Policies::default() }, &request);
        assert_eq!(decision.is_allowed(), expected, "{version}{resource}");
    }
}

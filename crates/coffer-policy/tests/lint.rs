//! Findings, as a table: what is written, what is found, and at which text.

use coffer_policy::{Document, DocumentKind, lint};

#[track_caller]
fn found(kind: DocumentKind, text: &str, expected: &[(&str, &str)]) {
    let document = Document::parse(text, kind).unwrap_or_else(|error| panic!("{error}: {text}"));
    let findings: Vec<(String, String)> = lint(&document)
        .into_iter()
        .map(|finding| {
            let line = text.lines().nth(finding.position.line as usize - 1).expect("a line");
            let rest: String = line.chars().skip(finding.position.column as usize - 1).collect();
            let shown = rest.trim_start_matches('"').split('"').next().unwrap_or_default().to_owned();
            assert!(!finding.message.is_empty() && !finding.advice.is_empty());
            (finding.lint.name().to_owned(), shown)
        })
        .collect();
    let findings: Vec<(&str, &str)> =
        findings.iter().map(|(lint, at)| (lint.as_str(), at.as_str())).collect();
    assert_eq!(findings, expected, "{text}");
}

#[track_caller]
fn statement(statement: &str, expected: &[(&str, &str)]) {
    found(
        DocumentKind::Managed,
        &format!(r#"{{"Version": "2012-10-17", "Statement": {{{statement}}}}}"#),
        expected,
    );
}

const SECRET: &str = r#""Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????""#;

#[test]
fn a_careful_policy_has_no_findings() {
    statement(
        &format!(
            r#""Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], {SECRET},
            "Condition": {{"StringEquals": {{"secretsmanager:ResourceTag/Project": "x", "aws:RequestedRegion": "us-east-1"}}}}"#
        ),
        &[],
    );
    statement(r#""Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*""#, &[]);
    statement(r#""Effect": "Deny", "NotAction": "iam:*", "Resource": "*""#, &[]);
}

#[test]
fn actions() {
    let of = |action: &str| format!(r#""Effect": "Allow", "Action": {action}, {SECRET}"#);
    for (action, expected) in [
        (r#""secretsmanager:GetSecretValues""#, &[("unknown-action", "secretsmanager:GetSecretValues")][..]),
        (r#""secretsmanager:Fetch*""#, &[("unknown-action", "secretsmanager:Fetch*")]),
        (
            r#""secretmanager:GetSecretValue""#,
            &[
                ("unknown-service", "secretmanager:GetSecretValue"),
                ("never-matches", "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????"),
            ],
        ),
        (r#""secretsmanager:*""#, &[("every-action", "secretsmanager:*")]),
        (r#""*""#, &[("every-action", "*")]),
        (
            r#"["secretsmanager:Get*", "secretsmanager:getsecretvalue"]"#,
            &[("redundant", "secretsmanager:getsecretvalue")],
        ),
        (
            r#"["secretsmanager:GetSecretValue", "secretsmanager:ListSecrets"]"#,
            &[("needs-every-resource", "secretsmanager:ListSecrets")],
        ),
        (
            r#""kms:Decrypt""#,
            &[("never-matches", "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????")],
        ),
    ] {
        statement(&of(action), expected);
    }
    statement(
        r#""Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::b""#,
        &[("allows-all-but", "NotAction"), ("allows-all-but", "NotResource")],
    );
}

#[test]
fn resources() {
    let of = |resource: &str| {
        format!(r#""Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "{resource}""#)
    };
    let secret = |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
    for (resource, lint) in [
        (secret("app/db"), Some("secret-suffix")),
        (secret("app/db-prod"), Some("secret-suffix")),
        (secret("app/db-AbCdEf"), None),
        (secret("app/db-??????"), None),
        (secret("app/db-*"), None),
        (secret("app/*"), None),
        (secret("*"), None),
        (secret("app/db*"), Some("wide-secret-suffix")),
        (secret("${aws:username}/*"), None),
        (secret("${username}/*"), Some("variable-is-text")),
        ("arn:aws:secretsmanager:us-east-1:123456789012:app/db".into(), Some("never-matches")),
        ("arn:aws:secretsmanager::123456789012:secret:app/*".into(), Some("never-matches")),
        ("arn:aws:secretsmanager:us-east-1::secret:app/*".into(), Some("never-matches")),
        ("*".into(), Some("every-resource")),
    ] {
        let expected: Vec<(&str, &str)> = lint.map(|lint| (lint, resource.as_str())).into_iter().collect();
        statement(&of(&resource), &expected);
    }
    statement(
        &format!(
            r#""Effect": "Allow", "Action": "secretsmanager:CreateSecret", "Resource": "{}""#,
            secret("app/db")
        ),
        &[],
    );
    found(
        DocumentKind::Inline,
        &format!(r#"{{"Statement": {{{}}}}}"#, of(&secret("${aws:username}/*"))),
        &[("variable-is-text", secret("${aws:username}/*").as_str())],
    );
    statement(
        r#""Effect": "Allow", "Action": "iam:PutUserPolicy", "Resource": "*""#,
        &[("every-resource", "*")],
    );
}

#[test]
fn conditions() {
    let of = |condition: &str| {
        format!(
            r#""Effect": "Allow", "Action": "secretsmanager:GetSecretValue", {SECRET}, "Condition": {{{condition}}}"#
        )
    };
    for (condition, expected) in [
        (r#""IpAddress": {"aws:SourceIP": "203.0.113.0/24"}"#, &[][..]),
        (
            r#""IpAddress": {"aws:SourceIpAddress": "203.0.113.0/24"}"#,
            &[("unknown-key", "aws:SourceIpAddress")],
        ),
        (r#""StringEquals": {"secretsmanager:Nmae": "x"}"#, &[("unknown-key", "secretsmanager:Nmae")]),
        (
            r#""StringEquals": {"secretsmanager:Name": "x"}"#,
            &[("key-of-other-actions", "secretsmanager:Name")],
        ),
        (r#""StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}"#, &[]),
        (r#""StringEquals": {"accounts.google.com:sub": "x"}"#, &[]),
        (r#""StringEquals": {"aws:TagKeys": "x"}"#, &[("list-without-quantifier", "aws:TagKeys")]),
        (r#""ForAnyValue:StringEquals": {"aws:username": "x"}"#, &[("quantifier-over-one", "aws:username")]),
        (
            r#""ForAllValues:StringEquals": {"aws:TagKeys": "x"}"#,
            &[("for-all-holds-when-absent", "aws:TagKeys")],
        ),
        (r#""ForAllValues:StringEquals": {"aws:TagKeys": "x"}, "Null": {"aws:TagKeys": "false"}"#, &[]),
        (r#""StringEquals": {"aws:username": "app-*"}"#, &[("wildcard-is-text", "app-*")]),
        (r#""StringEquals": {"aws:username": "${*}"}"#, &[]),
        (r#""StringEquals": {"aws:SourceIp": "203.0.113.7"}"#, &[("operator-of-other-type", "aws:SourceIp")]),
        (r#""StringEquals": {"aws:SecureTransport": "true"}"#, &[]),
        (r#""NumericEquals": {"aws:username": 1}"#, &[("operator-of-other-type", "aws:username")]),
        (r#""DateLessThan": {"aws:CurrentTime": "2026-11-22"}"#, &[]),
        (r#""StringLike": {"aws:username": "${aws:userid"}"#, &[("variable-is-text", "${aws:userid")]),
    ] {
        statement(&of(condition), expected);
    }
}

#[test]
fn sessions_are_of_roles_of_iam() {
    let of = |service: &str, action: &str| {
        format!(
            r#""Effect": "Allow", "Action": "{service}:{action}", "Resource": "arn:aws:iam::123456789012:role/app""#
        )
    };
    statement(&of("sts", "AssumeRole"), &[]);
    statement(
        &of("secretsmanager", "GetSecretValue"),
        &[("never-matches", "arn:aws:iam::123456789012:role/app")],
    );
}

#[test]
fn missing_conditions() {
    let pass = r#""Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/rotator""#;
    statement(pass, &[("missing-condition", "iam:PassRole")]);
    statement(
        &format!(
            r#"{pass}, "Condition": {{"StringEquals": {{"iam:PassedToService": "lambda.amazonaws.com"}}}}"#
        ),
        &[],
    );
    let of = |principal: &str, rest: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {principal}, {rest}}}}}"#
        )
    };
    let read = r#""Action": "secretsmanager:GetSecretValue", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}"#;
    found(
        DocumentKind::Resource,
        &of(r#"{"Service": "lambda.amazonaws.com"}"#, read),
        &[("missing-condition", "lambda.amazonaws.com")],
    );
    found(
        DocumentKind::Resource,
        &of(r#""*""#, r#""Action": "secretsmanager:GetSecretValue""#),
        &[("everybody", "*")],
    );
    let assume = r#""Action": "sts:AssumeRole""#;
    found(
        DocumentKind::Trust,
        &of(r#"{"AWS": "123456789012"}"#, assume),
        &[("missing-condition", "123456789012")],
    );
    found(DocumentKind::Trust, &of(r#"{"AWS": "arn:aws:iam::123456789012:user/a"}"#, assume), &[]);
    let github =
        r#"{"Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}"#;
    let web = r#""Action": "sts:AssumeRoleWithWebIdentity""#;
    found(
        DocumentKind::Trust,
        &of(github, web),
        &[(
            "missing-condition",
            "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
        )],
    );
    let condition =
        r#""Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:a/b:*"}}"#;
    found(DocumentKind::Trust, &of(github, &format!("{web}, {condition}")), &[]);
}

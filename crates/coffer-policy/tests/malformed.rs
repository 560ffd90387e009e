//! Documents that are refused: where, and in AWS's words.

use coffer_policy::{Document, DocumentKind};

use DocumentKind::{Inline, Managed, Resource, ServiceControl, Session, Trust};

/// Refused at the place where `at` stands, the first of that name.
#[track_caller]
fn refused(kind: DocumentKind, text: &str, at: &str, aws: &str) {
    let error = Document::parse(text, kind).expect_err(text);
    let position = error.position();
    let line = text.lines().nth(position.line as usize - 1).unwrap_or_default();
    let rest: String = line.chars().skip(position.column as usize - 1).collect();
    assert!(rest.starts_with(at), "{text}: at `{rest}`: {error}");
    assert_eq!(error.aws_message(), aws, "{text}: {error}");
}

/// A managed policy with one statement.
#[track_caller]
fn refused_statement(statement: &str, at: &str, aws: &str) {
    let text = format!("{{\"Version\": \"2012-10-17\", \"Statement\":\n{statement}}}");
    refused(Managed, &text, at, aws);
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

#[test]
fn what_is_no_policy_at_all() {
    refused(Managed, "", "", SYNTAX);
    refused(Managed, "[]", "[]", SYNTAX);
    refused(Managed, "{\n  \"Version\": \"2012-10-17\",\n  \"Statements\": []\n}", "\"Statements\"", SYNTAX);
    refused(Managed, r#"{"Version": "2012-10-17"}"#, "{", SYNTAX);
    refused(Managed, r#"{"Version": "2012-10-17", "Statement": []}"#, "{", SYNTAX);
    refused(Managed, r#"{"Version": "2012-10-18", "Statement": []}"#, "\"2012-10-18", SYNTAX);
    refused(Managed, r#"{"Version": 2012, "Statement": []}"#, "2012", SYNTAX);
    refused(
        Managed,
        r#"{"Version": "2012-10-17", "Version": "2012-10-17"}"#,
        r#""Version": "2012-10-17"}"#,
        SYNTAX,
    );
}

#[test]
fn statements() {
    refused_statement(r#"{"Action": "*", "Resource": "*"}"#, "{", SYNTAX);
    refused_statement(r#"{"Effect": "Permit", "Action": "*", "Resource": "*"}"#, "\"Permit", SYNTAX);
    refused_statement(r#"{"Effect": "allow", "Action": "*", "Resource": "*"}"#, "\"allow", LEGACY);
    refused_statement(r#"{"Effect": "Allow", "Actions": "*", "Resource": "*"}"#, "\"Actions", SYNTAX);
    refused_statement(r#"{"Effect": "Allow", "Action": 1, "Resource": "*"}"#, "1,", SYNTAX);
    refused_statement(
        r#"{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}"#,
        "\"NotAction",
        SYNTAX,
    );
    refused_statement(
        r#"{"Effect": "Allow", "Resource": "*"}"#,
        "{",
        "Policy statement must contain actions.",
    );
    refused_statement(
        r#"{"Effect": "Allow", "Action": "*"}"#,
        "{",
        "Policy statement must contain resources.",
    );
    refused_statement(
        r#"{"Effect": "Allow", "Action": "*", "Resource": []}"#,
        "\"Resource",
        "Policy statement must contain resources.",
    );
    refused_statement(
        r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}"#,
        "\"Principal",
        "Policy document should not specify a principal.",
    );
    refused_statement(
        r#"[{"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "A", "Effect": "Deny", "Action": "*", "Resource": "*"}]"#,
        r#""A", "Effect": "Deny""#,
        "Statement IDs (SID) in a single policy must be unique.",
    );
}

#[test]
fn actions_and_resources() {
    let action = |action: &str| format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "*"}}"#);
    let vendorless = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
    refused_statement(&action("GetSecretValue"), "\"GetSecretValue", vendorless);
    refused_statement(&action("secretsmanager:"), "\"secretsmanager:", vendorless);
    refused_statement(
        &action("secretsmanager:Get:Value"),
        "\"secretsmanager:Get",
        "Actions/Condition can contain only one colon.",
    );
    refused_statement(&action("secrets*:Get"), "\"secrets*", "Vendor secrets* is not valid");
    let resource =
        |resource: &str| format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "{resource}"}}"#);
    refused_statement(&resource("app/db"), "\"app/db", "Resource app/db must be in ARN format or \"*\".");
    refused_statement(&resource("arn:"), "\"arn:", "Resource arn: must be in ARN format or \"*\".");
    refused_statement(
        &resource("arn:awz:s3:::b"),
        "\"arn:awz",
        "Partition \"awz\" is not valid for resource \"arn:awz:s3:::b\".",
    );
    let vendor = "Resource vendor must be fully qualified and cannot contain regexes.";
    refused_statement(&resource("arn:aws:secrets*:::b"), "\"arn:aws:secrets*", vendor);
}

#[test]
fn conditions() {
    let condition = |condition: &str| {
        format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#)
    };
    refused_statement(&condition("[]"), "[]", SYNTAX);
    refused_statement(&condition(r#"{"StringEqual": {"aws:a": "b"}}"#), "\"StringEqual", SYNTAX);
    refused_statement(&condition(r#"{"NullIfExists": {"aws:a": "true"}}"#), "\"NullIfExists", SYNTAX);
    refused_statement(&condition(r#"{"Bool": {"aws:a": {}}}"#), "{}", SYNTAX);
    refused_statement(&condition(r#"{"Bool": {"aws:a": []}}"#), "[]", SYNTAX);
    refused_statement(&condition(r#"{"Bool": {"aws:a": "yes"}}"#), "\"yes", SYNTAX);
    refused_statement(&condition(r#"{"Bool": {"aws:a": true, "AWS:A": true}}"#), "\"AWS:A", SYNTAX);
    refused_statement(
        &condition(r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}"#),
        "\"10.0.0.0/33",
        SYNTAX,
    );
    refused_statement(&condition(r#"{"NumericEquals": {"aws:a": "1e3"}}"#), "\"1e3", SYNTAX);
    refused_statement(
        &condition(r#"{"DateLessThan": {"aws:CurrentTime": "tomorrow"}}"#),
        "\"tomorrow",
        LEGACY,
    );
    refused_statement(
        &condition(r#"{"Bool": {"SecureTransport": true}}"#),
        "\"SecureTransport",
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    );
}

#[test]
fn what_a_kind_of_document_must_say_and_may_not() {
    let of = |statement: &str| format!(r#"{{"Statement": {statement}}}"#);
    let plain = of(r#"{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}"#);
    refused(Managed, &plain, "{\"Effect", "Policy document must be version 2012-10-17 or greater.");
    for kind in [Inline, Session, ServiceControl] {
        assert!(Document::parse(&plain, kind).is_ok(), "{kind:?}");
    }
    refused(Resource, &plain, "{\"Effect", "Missing required field Principal");
    let trust =
        |rest: &str| of(&format!(r#"{{"Effect": "Allow", "Principal": {{"AWS": "123456789012"}}, {rest}}}"#));
    assert!(Document::parse(&trust(r#""Action": "sts:AssumeRole""#), Trust).is_ok());
    assert!(Document::parse(&trust(r#""Action": "secretsmanager:*""#), Resource).is_ok());
    refused(
        Trust,
        &trust(r#""Action": "sts:AssumeRole", "Resource": "*""#),
        "\"Resource",
        "Has prohibited field Resource",
    );
    let actions = "AssumeRole policy may only specify STS AssumeRole actions.";
    refused(Trust, &trust(r#""Action": "secretsmanager:*""#), "\"secretsmanager:*", actions);
    refused(Trust, &trust(r#""Action": "*""#), "\"*", actions);
}

#[test]
fn principals() {
    let of = |principal: &str| {
        format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "*", "Principal": {principal}}}}}"#)
    };
    for principal in [
        r#""*""#,
        r#"{"AWS": "*"}"#,
        r#"{"AWS": ["123456789012", "arn:aws:iam::123456789012:root"]}"#,
        r#"{"AWS": "arn:aws:iam::123456789012:user/division/alice"}"#,
        r#"{"AWS": "arn:aws:sts::123456789012:assumed-role/reader/app"}"#,
        r#"{"AWS": "AIDACKCEVSQ6C2EXAMPLE"}"#,
        r#"{"Service": "lambda.amazonaws.com", "Federated": "accounts.google.com", "CanonicalUser": "79a5"}"#,
    ] {
        assert!(Document::parse(&of(principal), Resource).is_ok(), "{principal}");
    }
    for (principal, at) in [
        (r#""alice""#, "\"alice"),
        ("{}", "{}"),
        (r#"{"AWS": []}"#, "{\"AWS"),
        (r#"{"User": "alice"}"#, "\"User"),
        (r#"{"AWS": "arn:aws:iam::123456789012:user/*"}"#, "\"arn"),
        (r#"{"AWS": "arn:aws:iam::123456789012:group/a"}"#, "\"arn"),
        (r#"{"AWS": "arn:aws:iam::1:user/a"}"#, "\"arn"),
        (r#"{"AWS": "12345678901"}"#, "\"1234"),
        (r#"{"Service": "*"}"#, "\"*"),
    ] {
        refused(Resource, &of(principal), at, "Invalid principal in policy");
    }
}

#[test]
fn size_counts_without_white_space() {
    let long = |count: usize| {
        let resources = vec![r#""arn:aws:s3:::0123456789""#; count].join(", \n\t ");
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "*", "Resource": [{resources}]}}}}"#
        )
    };
    let document = Document::parse(&long(230), Managed).unwrap();
    assert_eq!(document.size, long(230).chars().filter(|c| !" \n\t".contains(*c)).count());
    let error = Document::parse(&long(240), Managed).unwrap_err();
    assert_eq!(error.size_limit(), Some(6_144));
    assert!(Document::parse(&long(240), Inline).is_ok());
    assert_eq!(Document::parse(&" ".repeat(1 << 20), Inline).unwrap_err().size_limit(), Some(10_240));
}

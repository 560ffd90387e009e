//! Who may read a secret, and why somebody may not.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::marker::PhantomData;

use coffer_core::ops::audit::RecordFilter;
use coffer_core::ops::iam::{
    AddUserToGroup, CreateGroup, CreatePolicy, CreateRole, EntityReference, OfGroup, OfRole, OfUser,
    PutPermissionsBoundary, PutPolicy, TagEntity,
};
use coffer_core::ops::review::{ExplainDenial, Explanation, Verdict, WhoCan};
use coffer_core::ops::secrets::{CreateSecret, GetSecretValue, ListSecrets};
use coffer_core::{Error, Operation};
use coffer_testkit::{World, version_id};
use coffer_types::{EntityPath, SecretValue, Tag};
use futures_executor::block_on;

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}}"#;

/// A world with a secret `app/db` of the team `a`.
fn world() -> World {
    let world = World::new();
    let create = CreateSecret {
        name: "app/db".parse().unwrap(),
        token: version_id(1),
        description: None,
        kms_key_id: None,
        value: Some(SecretValue::string("v".to_owned().into()).unwrap()),
        tags: Some(vec![Tag::new("team", "a").unwrap()]),
    };
    world.run(create).unwrap();
    world
}

fn document(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

/// `Effect Action Resource {conditions}` as a statement.
fn statement(effect: &str, action: &str, resource: &str, condition: &str) -> String {
    let condition =
        if condition.is_empty() { String::new() } else { format!(r#", "Condition": {condition}"#) };
    format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"{condition}}}"#)
}

fn give_user(world: &World, statements: &str) {
    let (holder, name) = ("nobody".parse().unwrap(), "own".parse().unwrap());
    world
        .run(PutPolicy::<OfUser> { holder, name, document: document(statements), kind: PhantomData })
        .unwrap();
}

/// Everybody who may read `app/db`: who, through which statement, under which conditions.
fn who_can(world: &World) -> Vec<String> {
    let able = world.run(WhoCan {
        secret_id: "app/db".parse().unwrap(),
        action: "secretsmanager:GetSecretValue".to_owned(),
    });
    let ways = able.unwrap().ways.into_iter().map(|way| {
        let who = way.arn.rsplit(':').next().unwrap().to_owned();
        let by = way.by.map(|by| format!(" {}#{} of {}", by.policy, by.number, by.holder));
        let conditions = if way.conditions.is_empty() {
            String::new()
        } else {
            format!(" if {}", way.conditions.join("; "))
        };
        format!("{who}{}{conditions}", by.unwrap_or_default())
    });
    ways.collect()
}

const OWNER: &str = "root";
const ADMINISTRATOR: &str =
    "user/administrator arn:aws:iam::aws:policy/AdministratorAccess#1 of user administrator";

#[test]
fn who_may_read_a_secret_and_through_what() {
    let read = "secretsmanager:GetSecretValue";
    let own = |condition| statement("Allow", read, "*", condition);
    for (statements, expected) in [
        (own(""), Some("user/nobody own#1 of user nobody")),
        (
            statement("Allow", "secretsmanager:Get*", "arn:aws:secretsmanager:*:*:secret:app/*", ""),
            Some("user/nobody own#1 of user nobody"),
        ),
        (statement("Allow", read, "arn:aws:secretsmanager:*:*:secret:app/db", ""), None),
        (statement("Allow", "secretsmanager:PutSecretValue", "*", ""), None),
        // What is known is decided, the rest is told.
        (own(r#"{"StringEquals": {"aws:ResourceTag/team": "a"}}"#), Some("user/nobody own#1 of user nobody")),
        (own(r#"{"StringEquals": {"secretsmanager:ResourceTag/team": "b"}}"#), None),
        (own(r#"{"StringEquals": {"aws:PrincipalTag/team": "a"}}"#), None),
        (own(r#"{"StringEquals": {"aws:username": "nobody"}}"#), Some("user/nobody own#1 of user nobody")),
        (
            own(
                r#"{"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::1"]}, "Bool": {"aws:SecureTransport": "true"}}"#,
            ),
            Some(
                "user/nobody own#1 of user nobody if aws:SourceIp is in 10.0.0.0/8 or ::1; aws:SecureTransport is true",
            ),
        ),
        // A way without conditions is all there is to tell.
        (
            format!("{},{}", own(r#"{"Bool": {"aws:SecureTransport": "true"}}"#), own("")),
            Some("user/nobody own#2 of user nobody"),
        ),
        (format!("{},{}", own(""), statement("Deny", "*", "*", "")), None),
        (
            format!(
                "{},{}",
                own(""),
                statement("Deny", "*", "*", r#"{"Bool": {"aws:SecureTransport": "false"}}"#)
            ),
            Some("user/nobody own#1 of user nobody if not (aws:SecureTransport is false)"),
        ),
        (
            format!(
                "{},{}",
                own(""),
                statement("Deny", "*", "*", r#"{"StringEquals": {"aws:ResourceTag/team": "b"}}"#)
            ),
            Some("user/nobody own#1 of user nobody"),
        ),
    ] {
        let world = world();
        give_user(&world, &statements);
        let expected: Vec<&str> = [OWNER, ADMINISTRATOR].into_iter().chain(expected).collect();
        assert_eq!(who_can(&world), expected, "{statements}");
        // And it is so: whoever is told of without conditions reads, and whoever is not told of does not.
        let read =
            GetSecretValue { secret_id: "app/db".parse().unwrap(), version_id: None, version_stage: None };
        let reads = block_on(world.core.execute(&world.nobody(), read)).is_ok();
        match expected.get(2) {
            None => assert!(!reads, "{statements}"),
            Some(way) if !way.contains(" if ") => assert!(reads, "{statements}"),
            Some(_) => {}
        }
    }
}

#[test]
fn groups_roles_and_boundaries_count() {
    let world = world();
    let (group, user) = (|| "readers".parse().unwrap(), || "nobody".parse().unwrap());
    world.run(CreateGroup { name: group(), path: EntityPath::default() }).unwrap();
    world.run(AddUserToGroup { group: group(), user: user() }).unwrap();
    let all = document(&statement("Allow", "secretsmanager:*", "*", ""));
    let of_group = PutPolicy::<OfGroup> {
        holder: group(),
        name: "all".parse().unwrap(),
        document: all.clone(),
        kind: PhantomData,
    };
    world.run(of_group).unwrap();
    let role = CreateRole {
        name: "deploy".parse().unwrap(),
        path: EntityPath::default(),
        trust: TRUST.to_owned(),
        description: None,
        session_seconds_max: 3600,
        boundary: None,
        tags: Vec::new(),
    };
    world.run(role).unwrap();
    let (holder, name) = ("deploy".parse().unwrap(), "all".parse().unwrap());
    world.run(PutPolicy::<OfRole> { holder, name, document: all, kind: PhantomData }).unwrap();
    let ways = |user: &[&str]| {
        let ways = [OWNER, ADMINISTRATOR].into_iter().chain(user.iter().copied());
        ways.chain(["role/deploy all#1 of role deploy"]).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(who_can(&world), ways(&["user/nobody all#1 of group readers"]));

    let bounds = |name: &str, document| CreatePolicy {
        name: name.parse().unwrap(),
        path: EntityPath::default(),
        document,
        description: None,
        tags: Vec::new(),
    };
    let bound = |name: &str| PutPermissionsBoundary::<OfUser> {
        holder: user(),
        policy: format!("arn:aws:iam::123456789012:policy/{name}").parse().unwrap(),
        kind: PhantomData,
    };
    let (list, https) = ("secretsmanager:ListSecrets", r#"{"Bool": {"aws:SecureTransport": "true"}}"#);
    world.run(bounds("lists", document(&statement("Allow", list, "*", "")))).unwrap();
    world.run(bounds("https", document(&statement("Allow", "*", "*", https)))).unwrap();
    world.run(bound("lists")).unwrap();
    assert_eq!(who_can(&world), ways(&[]));
    assert!(explained(&world, ListSecrets::default()).is_none());
    let denied = explained(&world, read("app/db")).unwrap();
    assert_eq!((denied.now, denied.considered.len()), (Verdict::OutOfBounds, 2));
    world.run(bound("https")).unwrap();
    assert_eq!(who_can(&world), ways(&["user/nobody all#1 of group readers if aws:SecureTransport is true"]));
}

/// A session may bring other tags than its role has, so nothing that hangs on them is known.
#[test]
fn tags_of_a_users_own_are_known_and_those_of_a_roles_sessions_are_not() {
    let read = "secretsmanager:GetSecretValue";
    let same_team = r#"{"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}"#;
    let of_team = |team: &str| format!(r#"{{"StringEquals": {{"aws:PrincipalTag/team": "{team}"}}}}"#);
    let own = "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/dir}/*";
    for (statements, user, told) in [
        (
            statement("Allow", read, "*", same_team),
            Some(""),
            Some("aws:ResourceTag/team is ${aws:PrincipalTag/team}"),
        ),
        (statement("Allow", read, "*", &of_team("a")), Some(""), Some("aws:PrincipalTag/team is a")),
        (statement("Allow", read, "*", &of_team("b")), None, Some("aws:PrincipalTag/team is b")),
        (statement("Allow", read, own, ""), Some(""), Some(&*format!("the resource is like {own}"))),
        (statement("Allow", "secretsmanager:PutSecretValue", own, ""), None, None),
        (
            format!("{},{}", statement("Allow", read, "*", ""), statement("Deny", read, "*", &of_team("a"))),
            None,
            Some("not (aws:PrincipalTag/team is a)"),
        ),
        (
            format!("{},{}", statement("Allow", read, "*", ""), statement("Deny", read, own, "")),
            None,
            Some(&*format!("not (the resource is like {own})")),
        ),
    ] {
        let world = world();
        give_user(&world, &statements);
        let tags = || vec![Tag::new("team", "a").unwrap(), Tag::new("dir", "app").unwrap()];
        let nobody = EntityReference::Named("nobody".parse().unwrap());
        world.run(TagEntity::<OfUser> { entity: nobody, tags: tags(), kind: PhantomData }).unwrap();
        let role = CreateRole {
            name: "deploy".parse().unwrap(),
            path: EntityPath::default(),
            trust: TRUST.to_owned(),
            description: None,
            session_seconds_max: 3600,
            boundary: None,
            tags: tags(),
        };
        world.run(role).unwrap();
        let (holder, name) = ("deploy".parse().unwrap(), "own".parse().unwrap());
        let policy = PutPolicy::<OfRole> { holder, name, document: document(&statements), kind: PhantomData };
        world.run(policy).unwrap();
        let way = |who: &str, condition: &str| {
            let name = if who == "user" { "nobody" } else { "deploy" };
            let condition = if condition.is_empty() { String::new() } else { format!(" if {condition}") };
            format!("{who}/{name} own#1 of {who} {name}{condition}")
        };
        let expected: Vec<String> = [OWNER.to_owned(), ADMINISTRATOR.to_owned()]
            .into_iter()
            .chain(user.map(|condition| way("user", condition)))
            .chain(told.map(|condition| way("role", condition)))
            .collect();
        assert_eq!(who_can(&world), expected, "{statements}");
    }
}

fn read(secret: &str) -> GetSecretValue {
    GetSecretValue { secret_id: secret.parse().unwrap(), version_id: None, version_stage: None }
}

/// What is explained of a denial of nobody's; `None` if it is allowed.
fn explained<O: Operation>(world: &World, operation: O) -> Option<Explanation> {
    match block_on(world.core.execute(&world.nobody(), operation)) {
        Err(Error::Denied(_)) => {}
        Ok(_) => return None,
        Err(error) => panic!("{error}"),
    }
    world.run(ExplainDenial::default()).unwrap()
}

#[test]
fn what_would_allow_it_does() {
    for statements in [
        statement("Allow", "secretsmanager:PutSecretValue", "*", ""),
        statement("Allow", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:app/db", ""),
        statement("Allow", "*", "*", r#"{"IpAddress": {"aws:SourceIp": "192.0.2.1"}}"#),
        statement("Allow", "*", "*", r#"{"StringEquals": {"aws:ResourceTag/team": "b"}}"#),
    ] {
        let world = world();
        give_user(&world, &statements);
        let denied = explained(&world, read("app/db")).unwrap();
        assert_eq!(denied.now, Verdict::NotAllowed);
        assert_eq!(denied.action, "secretsmanager:GetSecretValue");
        assert!(denied.resource.contains(":secret:app/db-"), "{}", denied.resource);
        let [considered] = denied.considered.as_slice() else { panic!("one statement") };
        assert!(!considered.applies && considered.allows, "{considered:?}");
        let advice = denied.advice.unwrap();
        assert!(advice.contains(r#"secret:app/db-??????"#), "{advice}");
        let (holder, name) = ("nobody".parse().unwrap(), "more".parse().unwrap());
        world.run(PutPolicy::<OfUser> { holder, name, document: advice, kind: PhantomData }).unwrap();
        assert!(explained(&world, read("app/db")).is_none(), "{statements}");
        // By the policies of now, the same denial is no longer one.
        let again = world
            .run(ExplainDenial {
                filter: RecordFilter { request_id: denied.request_id, ..RecordFilter::default() },
            })
            .unwrap()
            .unwrap();
        assert_eq!((again.now, again.advice), (Verdict::Allowed, None));
    }
}

#[test]
fn of_a_statement_those_conditions_are_told_that_failed_and_what_was_there_instead() {
    for (conditions, why) in [
        (
            r#"{"StringEquals": {"aws:username": "nobody", "aws:ResourceTag/team": "b"}}"#,
            "it wants that aws:ResourceTag/team is b (it was `a`, a tag of what it was about)",
        ),
        (
            r#"{"StringEquals": {"aws:username": "alice"}, "StringLike": {"aws:ResourceTag/none": "*"}}"#,
            "it wants that aws:username is alice (it was `nobody`, who asked) and aws:ResourceTag/none is like * (it was absent, as far as is known)",
        ),
    ] {
        let world = world();
        give_user(&world, &statement("Allow", "*", "*", conditions));
        let denied = explained(&world, read("app/db")).unwrap();
        assert_eq!(denied.considered[0].why, why);
    }
}

#[test]
fn a_denial_is_found_by_whom_and_by_what_under_either_name() {
    let world = world();
    let denied = explained(&world, read("app/db")).unwrap();
    explained(&world, read("app/none")).unwrap();
    let arn = |who: &str| format!("arn:aws:iam::123456789012:user/{who}");
    for (who, secret, is_found) in [
        (Some("nobody".to_owned()), Some("app/db"), true),
        (Some(arn("nobody")), Some(denied.resource.as_str()), true),
        (None, Some("app/db"), true),
        (Some("alice".to_owned()), None, false),
        (Some(arn("alice")), Some("app/db"), false),
        (None, Some("app/other"), false),
    ] {
        let secret = secret.map(|secret| secret.parse().unwrap());
        let filter = RecordFilter { who: who.clone(), secret, ..RecordFilter::default() };
        let found = world.run(ExplainDenial { filter }).unwrap();
        assert_eq!(
            found.and_then(|found| found.request_id),
            denied.request_id.clone().filter(|_| is_found),
            "{who:?}"
        );
    }
}

#[test]
fn nothing_is_advised_against_a_statement_that_denies() {
    let world = world();
    give_user(&world, &statement("Deny", "*", "*", ""));
    let denied = explained(&world, read("app/db")).unwrap();
    assert_eq!((denied.now, denied.advice), (Verdict::Denied, None));
    assert_eq!(denied.reason, "with an explicit deny in an identity-based policy");
}

#[test]
fn what_was_not_denied_is_not_explained() {
    let world = world();
    assert!(world.run(ExplainDenial::default()).unwrap().is_none());
    // No policy helps where there is no secret.
    let denied = explained(&world, read("app/none")).unwrap();
    assert_eq!((denied.now, denied.advice), (Verdict::NoSecret, None));
    assert!(
        world
            .run(ExplainDenial {
                filter: RecordFilter { request_id: Some("x".into()), ..RecordFilter::default() }
            })
            .unwrap()
            .is_none()
    );
    // Whoever may not look into the log learns nothing.
    let nobody = world.nobody();
    let asked = block_on(world.core.execute(&nobody, ExplainDenial::default()));
    assert!(matches!(asked, Err(Error::Denied(_))));
    let asked =
        WhoCan { secret_id: "app/db".parse().unwrap(), action: "secretsmanager:GetSecretValue".into() };
    assert!(matches!(block_on(world.core.execute(&nobody, asked)), Err(Error::Denied(_))));
}

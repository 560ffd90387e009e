//! Whom roles trust: by unique id and not by name, so that nobody inherits the trust that was put into another.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod common;

use coffer_core::ops::iam::UpdateAssumeRolePolicy;
use coffer_core::{Error, IamError};
use coffer_testkit::World;
use common::{
    ACCOUNT, Answer, Keys, Service, assume, encoded, new_role, new_user, policy, role_arn, statement,
};
use http::StatusCode;
use percent_encoding::percent_decode_str;

use Service::{Iam, Sts};

/// A quote in XML.
const QUOTE: &str = "&quot;";

fn user_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{name}")
}

fn session_arn(role: &str) -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/app")
}

fn iam(world: &World, operation: &str, body: &str) -> Answer {
    Keys::administrator().call(world, Iam, operation, body)
}

/// Whether a role may be taken on with these keys.
fn may_assume(world: &World, keys: &Keys, role: &str) -> bool {
    let body = format!("RoleArn={}&RoleSessionName=app", encoded(&role_arn(role)));
    let answer = keys.call(world, Sts, "AssumeRole", &body);
    assert!(answer.status == StatusCode::OK || answer.code() == "AccessDenied", "{}", answer.body);
    answer.status == StatusCode::OK
}

/// A role's trust policy, as it is shown.
fn shown(world: &World, role: &str) -> String {
    let answer = iam(world, "GetRole", &format!("RoleName={role}")).done();
    percent_decode_str(answer.element("AssumeRolePolicyDocument")).decode_utf8().unwrap().into_owned()
}

fn delete_user(world: &World, name: &str, keys: &Keys) {
    iam(world, "DeleteAccessKey", &format!("UserName={name}&AccessKeyId={}", keys.id)).done();
    iam(world, "DeleteUser", &format!("UserName={name}")).done();
}

fn delete_role(world: &World, name: &str) {
    iam(world, "DeleteRolePolicy", &format!("RoleName={name}&PolicyName=own")).done();
    iam(world, "DeleteRole", &format!("RoleName={name}")).done();
}

#[test]
fn a_user_made_anew_under_the_same_name_is_not_trusted() {
    let world = World::new();
    let first = new_user(&world, "alice", &[]);
    let id = iam(&world, "GetUser", "UserName=alice").done().element("UserId").to_owned();
    // Where it is a condition's value the ARN is text, and stays.
    let condition =
        format!(r#", "Condition": {{"ArnEquals": {{"aws:PrincipalArn": "{}"}}}}"#, user_arn("alice"));
    new_role(&world, "job", &user_arn("alice"), &condition, &[]);
    assert!(may_assume(&world, &first, "job"));
    let before = shown(&world, "job");

    delete_user(&world, "alice", &first);
    let gone = before.replacen(&user_arn("alice"), &id, 1);
    assert_eq!(shown(&world, "job"), gone);
    let second = new_user(&world, "alice", &[]);
    assert!(!may_assume(&world, &second, "job"));
    assert_eq!(shown(&world, "job"), gone);
    // As it is shown it can't be written, since nobody has the id any more.
    let update = |document: &str| {
        let body = format!("RoleName=job&PolicyDocument={}", encoded(document));
        iam(&world, "UpdateAssumeRolePolicy", &body)
    };
    let refused = update(&gone);
    assert_eq!(refused.code(), "MalformedPolicyDocument");
    assert_eq!(
        refused.element("Message"),
        format!("Invalid principal in policy: {QUOTE}AWS{QUOTE}:{QUOTE}{id}{QUOTE}")
    );
    update(&before).done();
    assert!(may_assume(&world, &second, "job"));
    assert_eq!(shown(&world, "job"), before);
}

#[test]
fn what_others_changed_since_it_was_read_is_not_overruled_unseen() {
    type Meanwhile = fn(&World, &Keys);
    let nothing: Meanwhile = |_, _| {};
    let alone: Meanwhile = |world, _| {
        let trust = policy(&[&trusting("carol")]);
        let body = format!("RoleName=job&PolicyDocument={}", encoded(&trust));
        iam(world, "UpdateAssumeRolePolicy", &body).done();
    };
    let gone: Meanwhile = |world, bob| delete_user(world, "bob", bob);
    let anew: Meanwhile = |world, bob| {
        delete_user(world, "bob", bob);
        new_user(world, "bob", &[]);
    };
    let renamed: Meanwhile =
        |world, _| drop(iam(world, "UpdateUser", "UserName=bob&NewUserName=robert").done());
    for (what, meanwhile, is_read, is_written) in [
        ("nothing", nothing, true, true),
        ("bob is trusted no more", alone, true, false),
        ("bob is deleted", gone, true, false),
        ("bob is deleted and made anew", anew, true, false),
        ("bob is called robert", renamed, true, false),
        ("whoever does not say what was read is told of nothing", alone, false, true),
    ] {
        let world = World::new();
        let [bob, _, _] = ["bob", "carol", "dave"].map(|name| new_user(&world, name, &[]));
        new_role(&world, "job", &user_arn("bob"), "", &[]);
        let before = shown(&world, "job");
        meanwhile(&world, &bob);
        let found = shown(&world, "job");
        let after = policy(&[&trusting("carol"), &trusting("dave")]);
        let update = UpdateAssumeRolePolicy {
            name: "job".parse().unwrap(),
            trust: after.clone(),
            expected: is_read.then_some(before),
        };
        match world.run(update) {
            Ok(_) => assert!(is_written, "{what}"),
            Err(Error::Iam(IamError::ConcurrentModification(_))) => assert!(!is_written, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
        assert_eq!(shown(&world, "job"), if is_written { after } else { found }, "{what}");
    }
    // A name that was read under another counts as the same: what is compared is what is shown.
    let world = World::new();
    let [_, _] = ["bob", "carol"].map(|name| new_user(&world, name, &[]));
    new_role(&world, "job", &user_arn("bob"), "", &[]);
    iam(&world, "UpdateUser", "UserName=bob&NewUserName=robert").done();
    let (name, trust) = ("job".parse().unwrap(), policy(&[&trusting("carol")]));
    let expected = Some(shown(&world, "job"));
    assert!(world.run(UpdateAssumeRolePolicy { name, trust, expected }).is_ok());
}

/// A statement that trusts a user.
fn trusting(user: &str) -> String {
    let arn = user_arn(user);
    format!(r#"{{"Effect": "Allow", "Principal": {{"AWS": "{arn}"}}, "Action": "sts:AssumeRole"}}"#)
}

#[test]
fn a_user_under_another_name_is_trusted_as_before() {
    let world = World::new();
    let keys = new_user(&world, "alice", &[]);
    new_role(&world, "job", &user_arn("alice"), "", &[]);
    let before = shown(&world, "job");
    iam(&world, "UpdateUser", "UserName=alice&NewUserName=bob&NewPath=%2Fteam%2F").done();
    assert!(may_assume(&world, &keys, "job"));
    let bob = before.replace(&user_arn("alice"), &user_arn("team/bob"));
    assert_eq!(shown(&world, "job"), bob);
    // And nobody who takes the old name.
    let other = new_user(&world, "alice", &[]);
    assert!(!may_assume(&world, &other, "job"));
    assert_eq!(shown(&world, "job"), bob);
    let listed = iam(&world, "ListRoles", "").done();
    assert!(listed.body.contains(&encoded(&user_arn("team/bob"))), "{}", listed.body);
}

#[test]
fn a_role_made_anew_and_its_sessions_are_not_trusted() {
    for trusted in [role_arn("outer"), session_arn("outer")] {
        let world = World::new();
        let any = statement("Allow", "sts:AssumeRole", "*", "");
        let outer = || new_role(&world, "outer", ACCOUNT, "", &[&any]);
        outer();
        new_role(&world, "inner", &trusted, "", &[]);
        let session = assume(&world, &Keys::administrator(), "outer", "");
        assert!(may_assume(&world, &session, "inner"), "{trusted}");
        delete_role(&world, "outer");
        let is_gone = shown(&world, "inner").contains("\"AROA");
        assert!(is_gone, "{}", shown(&world, "inner"));
        outer();
        let session = assume(&world, &Keys::administrator(), "outer", "");
        assert!(!may_assume(&world, &session, "inner"), "{trusted}");
    }
}

#[test]
fn what_is_denied_to_a_name_is_denied_to_whom_it_meant() {
    let world = World::new();
    let mallory = new_user(&world, "mallory", &[&statement("Allow", "*", "*", "")]);
    let trust = format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}},
            {{"Effect": "Deny", "Principal": {{"AWS": ["{}"]}}, "Action": "sts:AssumeRole"}}]}}"#,
        user_arn("mallory")
    );
    iam(&world, "CreateRole", &format!("RoleName=job&AssumeRolePolicyDocument={}", encoded(&trust))).done();
    assert_eq!(shown(&world, "job"), trust);
    assert!(!may_assume(&world, &mallory, "job"));
    iam(&world, "UpdateUser", "UserName=mallory&NewUserName=mal").done();
    assert!(!may_assume(&world, &mallory, "job"));
}

#[test]
fn a_denial_does_not_tell_which_roles_there_are() {
    let world = World::new();
    let any = statement("Allow", "sts:AssumeRole", "*", "");
    let denied = statement("Deny", "sts:AssumeRole", "*", "");
    let administrator = user_arn("administrator");
    for (role, trusted) in [("account", ACCOUNT), ("other", &administrator)] {
        new_role(&world, role, trusted, "", &[]);
    }
    for (name, statements) in [("none", vec![]), ("denied", vec![&*any, &*denied]), ("some", vec![&*any])] {
        let keys = new_user(&world, name, &statements);
        for (role, reason) in [
            (
                "account",
                [("none", "because no identity-based policy allows"), ("denied", "with an explicit deny")],
            ),
            (
                "other",
                [("none", "because no resource-based policy allows"), ("denied", "with an explicit deny")],
            ),
            (
                "absent",
                [("none", "because no resource-based policy allows"), ("denied", "with an explicit deny")],
            ),
        ] {
            if (name, role) == ("some", "account") {
                assert!(may_assume(&world, &keys, role));
                continue;
            }
            let arn = role_arn(role);
            let answer = keys.call(
                &world,
                Sts,
                "AssumeRole",
                &format!("RoleArn={}&RoleSessionName=app", encoded(&arn)),
            );
            let user = user_arn(name);
            let expected =
                format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {arn}");
            assert_eq!((answer.code(), answer.element("Message")), ("AccessDenied", &*expected));
            // Whoever reads the log is told.
            let records = world.records();
            let mut of_it = records.iter().rev().filter(|record| record.contains("AssumeRole\""));
            let record = of_it.next().unwrap();
            let (_, reason) = reason.iter().find(|(of, _)| *of == name).unwrap_or(&reason[0]);
            assert!(record.contains(&format!("{expected} {reason}")), "{record}");
        }
    }
}

#[test]
fn who_is_not_there_can_not_be_trusted() {
    let world = World::new();
    new_user(&world, "alice", &[]);
    new_role(&world, "known", ACCOUNT, "", &[]);
    let id_of = |operation: &str, body: &str, element: &str| {
        iam(&world, operation, body).done().element(element).to_owned()
    };
    let user_id = id_of("GetUser", "UserName=alice", "UserId");
    let role_id = id_of("GetRole", "RoleName=known", "RoleId");
    let in_path = format!("arn:aws:iam::{ACCOUNT}:user/team/alice");
    let foreign = "arn:aws:iam::999999999999:user/alice";
    for (principal, is_taken) in [
        (user_arn("alice"), true),
        (user_id, true),
        (role_arn("known"), true),
        (role_id, true),
        (session_arn("known"), true),
        (ACCOUNT.to_owned(), true),
        // An account's number is never given again, and says nothing of who is in it.
        ("arn:aws:iam::999999999999:root".to_owned(), true),
        ("*".to_owned(), true),
        (user_arn("somebody"), false),
        (user_arn("Alice"), false),
        (in_path, false),
        (role_arn("unknown"), false),
        (session_arn("unknown"), false),
        (foreign.to_owned(), false),
        (foreign.replace("user", "role"), false),
        ("AIDAAAAAAAAAAAAAAAAAA".to_owned(), false),
        ("AROAAAAAAAAAAAAAAAAAA".to_owned(), false),
        (user_arn("alice").replace("arn:aws:", "arn:aws-cn:"), false),
    ] {
        let trust = common::policy(&[&format!(
            r#"{{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole"}}"#
        )]);
        for (operation, body) in [
            ("CreateRole", format!("RoleName=new&AssumeRolePolicyDocument={}", encoded(&trust))),
            ("UpdateAssumeRolePolicy", format!("RoleName=known&PolicyDocument={}", encoded(&trust))),
        ] {
            let answer = iam(&world, operation, &body);
            assert_eq!(answer.status == StatusCode::OK, is_taken, "{operation} {principal}: {}", answer.body);
            if !is_taken {
                assert_eq!(answer.code(), "MalformedPolicyDocument");
                let expected =
                    format!("Invalid principal in policy: {QUOTE}AWS{QUOTE}:{QUOTE}{principal}{QUOTE}");
                assert_eq!(answer.element("Message"), expected);
            }
        }
        if is_taken {
            iam(&world, "DeleteRole", "RoleName=new").done();
        }
    }
}

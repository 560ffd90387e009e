//! HashiCorp Vault over the wire: signing in, tokens that end, mounts, versions, and every way an answer goes wrong.

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use coffer_resolver::providers::{self, Credential, VaultAuth, VaultSettings};
use coffer_resolver::{ErrorKind, Provider, Surroundings};
use coffer_testkit::remote::{Certified, Failure, Login, Vault};
use support::told;

/// A Vault with a document of two versions in each kind of place.
fn vault() -> Vault {
    let vault = Vault::start(None);
    vault.put("", "secret/bot", r#"{"A":"old"}"#);
    vault.put("", "secret/bot", r#"{"A":"new","n":1.5}"#);
    vault.put("", "kv1/bot", r#"{"A":"one"}"#);
    vault.put("", "team/kv/a/b c", r#"{"A":"deep"}"#);
    vault.put("team-a", "secret/bot", r#"{"A":"theirs"}"#);
    vault
}

fn client(vault: &Vault, variables: &[(&str, &str)]) -> providers::Vault {
    let address = vault.remote().url();
    let all = [&[("VAULT_ADDR", address.as_str())], variables].concat();
    providers::Vault::new(&Surroundings::of(&all, "/"))
}

fn as_root(vault: &Vault) -> providers::Vault {
    client(vault, &[("VAULT_TOKEN", "root")])
}

#[test]
fn mounts_versions_and_namespaces() {
    let vault = vault();
    let client = as_root(&vault);
    for (reference, expected) in [
        ("vault://secret/bot", Ok(r#"{"A":"new","n":1.5}"#)),
        ("vault://secret/bot?version=1", Ok(r#"{"A":"old"}"#)),
        ("vault://secret/bot?kv=2&version=2", Ok(r#"{"A":"new","n":1.5}"#)),
        ("vault://kv1/bot", Ok(r#"{"A":"one"}"#)),
        ("vault://kv1/bot?kv=1", Ok(r#"{"A":"one"}"#)),
        ("vault://team/kv/a/b c", Ok(r#"{"A":"deep"}"#)),
        ("vault://secret/bot?namespace=team-a", Ok(r#"{"A":"theirs"}"#)),
        ("vault://secret/none", Err(ErrorKind::NotFound)),
        ("vault://secret/bot?version=9", Err(ErrorKind::NotFound)),
        ("vault://secret/bot?version=last", Err(ErrorKind::Misconfigured)),
        ("vault://secret/bot?kv=1", Err(ErrorKind::Misconfigured)),
        ("vault://secret/bot?kv=3", Err(ErrorKind::Misconfigured)),
        ("vault://kv1/bot?version=1", Err(ErrorKind::Misconfigured)),
        ("vault://database/creds/bot", Err(ErrorKind::Misconfigured)),
        ("vault://nowhere/bot", Err(ErrorKind::Denied)),
        // No handler for that route, which does not say that anything is absent.
        ("vault://nowhere/bot?kv=1", Err(ErrorKind::Misconfigured)),
        ("vault://nowhere/bot?kv=2", Err(ErrorKind::Misconfigured)),
        ("vault://kv1/none", Err(ErrorKind::NotFound)),
        ("vault://team/kv", Err(ErrorKind::Misconfigured)),
    ] {
        assert_eq!(told(&client, reference), expected.map(str::to_owned), "{reference}");
    }
}

#[test]
fn what_is_vaults_own_is_not_asked_for() {
    let vault = vault();
    let client = as_root(&vault);
    for reference in [
        "vault://auth/token/lookup-self?kv=1#id",
        "vault://auth/token/lookup-self",
        "vault://sys/auth?kv=1",
        "vault://identity/entity/id/x?kv=1",
        "vault://cubbyhole/x",
        "vault://cubbyhole/x?kv=1",
        "vault://team-a/auth/token/lookup-self?kv=1",
        "vault://secret/../auth/token/lookup-self?kv=1",
        "vault://secret/./bot",
        "vault://secret//bot",
        "vault://secret/bot/",
    ] {
        assert_eq!(told(&client, reference), Err(ErrorKind::Misconfigured), "{reference}");
    }
    assert_eq!(vault.remote().seen(), [""; 0]);
}

#[test]
fn a_version_has_a_number_and_a_time() {
    let vault = vault();
    let fetched = as_root(&vault).fetch(&"vault://secret/bot".parse().unwrap()).ok().unwrap();
    assert_eq!(fetched.facts.version_id.as_deref(), Some("2"));
    assert_eq!(fetched.facts.created_millis, Some(1_767_225_600_000));
}

#[test]
fn a_mount_is_looked_for_once() {
    let vault = vault();
    let client = as_root(&vault);
    for _ in 0..3 {
        told(&client, "vault://secret/bot").unwrap();
    }
    let expected = ["GET /v1/sys/internal/ui/mounts/secret/bot"];
    let seen = vault.remote().seen();
    assert_eq!(seen[..1], expected);
    assert_eq!(seen[1..], ["GET /v1/secret/data/bot"; 3]);
}

#[test]
fn what_is_deleted_is_not_simply_absent() {
    let vault = vault();
    let client = as_root(&vault);
    vault.delete("secret/bot", false);
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::Denied));
    assert_eq!(told(&client, "vault://secret/bot?version=1"), Ok(r#"{"A":"old"}"#.to_owned()));
    vault.delete("secret/bot", true);
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::NotFound));
}

#[test]
fn who_may_not_read_is_told_what_to_ask_for() {
    let vault = vault();
    vault.add_token("narrow", None, &["secret/data/other"]);
    let client = client(&vault, &[("VAULT_TOKEN", "narrow")]);
    let error = client.fetch(&"vault://secret/bot".parse().unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.action(), r#"allow it: path "secret/data/bot" { capabilities = ["read"] }"#);
}

#[test]
fn a_token_that_is_none_is_told_from_one_that_may_not() {
    let vault = vault();
    let client = client(&vault, &[("VAULT_TOKEN", "hunter2")]);
    let error = client.fetch(&"vault://secret/bot".parse().unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("no longer good"), "{error}");
}

#[test]
fn every_way_to_sign_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let vault = vault();
    let hour = Duration::from_secs(3600);
    for login in [
        Login::AppRole("approle", "r", "s"),
        Login::AppRole("apps", "r", "s2"),
        Login::Jwt("jwt", "bot", "j"),
        Login::Jwt("kubernetes", "bot", "pod"),
    ] {
        vault.let_in(login, hour);
    }
    let (secret_id, jwt, token) = (path("s", "s\n"), path("j", "j\n"), path("t", "root\n"));
    path(".vault-token", "root");
    let home = folder.path().display().to_string();
    for (variables, expected) in [
        (&[("VAULT_TOKEN_FILE", token.as_str())][..], Ok(())),
        (&[("HOME", &home)], Ok(())),
        (&[("HOME", "/nowhere")], Err(ErrorKind::Misconfigured)),
        (&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")], Ok(())),
        (&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID_FILE", &secret_id)], Ok(())),
        (&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s2"), ("VAULT_AUTH_MOUNT", "apps")], Ok(())),
        (&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "hunter2")], Err(ErrorKind::Denied)),
        (
            &[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s"), ("VAULT_AUTH_MOUNT", "none")],
            Err(ErrorKind::Misconfigured),
        ),
        (&[("VAULT_ROLE", "bot"), ("VAULT_JWT_FILE", &jwt)], Ok(())),
        (&[("VAULT_ROLE", "bot"), ("VAULT_JWT", "hunter2")], Err(ErrorKind::Denied)),
    ] {
        let told = told(&client(&vault, variables), "vault://secret/bot?version=1").map(|_| ());
        assert_eq!(told, expected, "{variables:?}");
    }
    let pod = providers::Vault::with(VaultSettings {
        address: vault.remote().url(),
        namespace: None,
        authorities: None,
        auth: VaultAuth::Jwt {
            mount: "kubernetes".to_owned(),
            role: "bot".to_owned(),
            jwt: Credential::File(path("pod", "pod").into()),
        },
    });
    assert!(told(&pod, "vault://secret/bot").is_ok());
}

const ROLE: [(&str, &str); 2] = [("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")];

#[test]
fn whoever_is_signed_out_signs_in_again_once_for_all() {
    let vault = vault();
    vault.let_in(Login::AppRole("approle", "r", "s"), Duration::from_secs(3600));
    let client = client(&vault, &ROLE);
    let ask = || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| told(&client, "vault://secret/bot").unwrap());
            }
        });
    };
    ask();
    assert_eq!(vault.logged_in(), 1);
    vault.revoke(None);
    ask();
    assert_eq!(vault.logged_in(), 2);
}

#[test]
fn a_token_is_renewed_before_it_ends_and_replaced_after() {
    let vault = vault();
    vault.let_in(Login::AppRole("approle", "r", "s"), Duration::from_secs(12));
    let asked_often = client(&vault, &ROLE);
    let renewals = || vault.remote().seen().iter().filter(|seen| seen.ends_with("/renew-self")).count();
    let began = Instant::now();
    while renewals() == 0 && began.elapsed() < Duration::from_secs(20) {
        told(&asked_often, "vault://secret/bot").unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((vault.logged_in(), renewals()), (1, 1));
    // So short a time is over before a token is used a second time.
    let other = self::vault();
    other.let_in(Login::AppRole("approle", "r", "s"), Duration::from_secs(2));
    let client = client(&other, &ROLE);
    told(&client, "vault://secret/bot").unwrap();
    told(&client, "vault://secret/bot").unwrap();
    assert_eq!(other.logged_in(), 2);
}

#[test]
fn a_file_with_another_token_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first").unwrap();
    let vault = vault();
    vault.add_token("first", None, &[""]);
    let client = client(&vault, &[("VAULT_TOKEN_FILE", file.to_str().unwrap())]);
    told(&client, "vault://secret/bot").unwrap();
    vault.revoke(Some("first"));
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::Denied));
    fs::write(&file, "root").unwrap();
    assert!(told(&client, "vault://secret/bot").is_ok());
}

#[test]
fn each_failure() {
    let vault = vault();
    let client = as_root(&vault);
    told(&client, "vault://secret/bot").unwrap();
    for (failure, expected) in [
        (Failure::Delay(Duration::from_millis(100)), None),
        (Failure::Throttled(7), Some(ErrorKind::Throttled)),
        (Failure::Status(400), Some(ErrorKind::Misconfigured)),
        (Failure::Status(401), Some(ErrorKind::Denied)),
        (Failure::Status(403), Some(ErrorKind::Denied)),
        (Failure::Status(404), Some(ErrorKind::Malformed)),
        (Failure::Status(405), Some(ErrorKind::Misconfigured)),
        (Failure::Status(412), Some(ErrorKind::Unavailable)),
        (Failure::Status(472), Some(ErrorKind::Unavailable)),
        (Failure::Status(473), Some(ErrorKind::Unavailable)),
        (Failure::Status(500), Some(ErrorKind::Unavailable)),
        (Failure::Status(501), Some(ErrorKind::Unavailable)),
        (Failure::Status(502), Some(ErrorKind::Unavailable)),
        (Failure::Status(503), Some(ErrorKind::Unavailable)),
        (Failure::Truncated, Some(ErrorKind::Unavailable)),
        (Failure::OtherJson, Some(ErrorKind::Malformed)),
        (Failure::NoJson("{\"data\": hunter2"), Some(ErrorKind::Malformed)),
        (Failure::NoJson(r#"{"data":{"data":"hunter2","metadata":7}}"#), Some(ErrorKind::Malformed)),
        (Failure::HangUp, Some(ErrorKind::Unavailable)),
    ] {
        vault.remote().fail_next([failure.clone()]);
        let told = told(&client, "vault://secret/bot?kv=2&version=2");
        assert_eq!(told.err(), expected, "{failure:?}");
        vault.remote().clear();
    }
    vault.remote().fail_next([Failure::Throttled(7)]);
    let throttled = client.fetch(&"vault://secret/bot".parse().unwrap()).err().unwrap();
    assert_eq!(throttled.asked_to_wait(), Some(Duration::from_secs(7)));
    vault.seal(true);
    let sealed = client.fetch(&"vault://secret/bot".parse().unwrap()).err().unwrap();
    assert_eq!(sealed.kind(), ErrorKind::Unavailable);
    assert!(sealed.action().contains("unseal"), "{}", sealed.action());
}

#[test]
fn nobody_there_and_back_again() {
    let vault = vault();
    let client = as_root(&vault);
    told(&client, "vault://secret/bot").unwrap();
    vault.remote().stop();
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::Unavailable));
    vault.remote().start_again();
    assert!(told(&client, "vault://secret/bot").is_ok());
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let vault = vault();
    let client = as_root(&vault);
    vault.remote().fail_always(Some(Failure::Delay(Duration::from_secs(30))));
    let began = Instant::now();
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_certificate_has_to_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let certified = Certified::make();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, certified.authority()).unwrap();
    fs::write(folder.path().join("other.pem"), Certified::make().authority()).unwrap();
    fs::write(folder.path().join("none.pem"), "hunter2").unwrap();
    let vault = Vault::start(Some(certified));
    vault.put("", "secret/bot", "{}");
    let with = |name: &str| {
        let authority = folder.path().join(name).display().to_string();
        client(&vault, &[("VAULT_TOKEN", "root"), ("VAULT_CACERT", &authority)])
    };
    for (name, expected) in [
        ("ca.pem", Ok("{}".to_owned())),
        ("other.pem", Err(ErrorKind::Unavailable)),
        ("none.pem", Err(ErrorKind::Misconfigured)),
        ("gone.pem", Err(ErrorKind::Misconfigured)),
    ] {
        assert_eq!(told(&with(name), "vault://secret/bot"), expected, "{name}");
    }
    let plain = Vault::start(None);
    let address = plain.remote().url_over_tls();
    let variables = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "root")];
    let client = providers::Vault::new(&Surroundings::of(&variables, "/"));
    assert_eq!(told(&client, "vault://secret/bot"), Err(ErrorKind::Unavailable));
}

#[test]
fn a_standby_leads_to_the_active_node_once() {
    let (standby, active) = (Vault::start(None), vault());
    standby.stand_by_for(Some(active.remote().url()));
    let client = client(&standby, &[("VAULT_TOKEN", "root")]);
    assert!(told(&client, "vault://secret/bot").is_ok());
    active.stand_by_for(Some(standby.remote().url()));
    assert_eq!(told(&client, "vault://kv1/bot"), Err(ErrorKind::Misconfigured));
}

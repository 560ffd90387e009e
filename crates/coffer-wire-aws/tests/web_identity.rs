//! Roles taken on with tokens of identity providers, and what is tried with tokens that should not do.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod common;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coffer_core::ops::audit::RecordFilter;
use coffer_core::ops::review::{ExplainDenial, Verdict};
use coffer_core::{FetchError, IssuerSource};
use coffer_crypto::{SignatureAlgorithm, TestKeyPair};
use coffer_testkit::issuer::{Published, TestIssuer, public_key, signed_token, token};
use coffer_testkit::{World, poll_once};
use coffer_types::IssuerUrl;
use coffer_wire_aws::answer;
use common::{
    ACCOUNT, Answer, Keys, SOURCE, Service, encoded, new_secret, policy, role_arn, send, statement,
};
use http::{Request, StatusCode};
use serde_json::{Value, json};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const AUDIENCE: &str = "sts.amazonaws.com";
const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
const MAIN: &str = "repo:octo-org/octo-repo:ref:refs/heads/main";

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Fetched<'a> = BoxFuture<'a, Result<Vec<u8>, FetchError>>;

/// What an issuer publishes, and what happens while it is asked next.
struct Source {
    published: Arc<Published>,
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    /// The keys that the server was given.
    given: Mutex<Option<Result<Vec<u8>, FetchError>>>,
}

impl IssuerSource for Source {
    fn given<'a>(&'a self, _: &'a IssuerUrl, _: usize) -> Option<Fetched<'a>> {
        let given = self.given.lock().unwrap().clone()?;
        Some(Box::pin(std::future::ready(given)))
    }

    fn get<'a>(&'a self, url: &'a str, bytes_max: usize) -> Fetched<'a> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        Box::pin(async move {
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            self.published.get(url, bytes_max).await
        })
    }

    fn note_failure(&self, issuer: &IssuerUrl, error: &FetchError) {
        self.published.note_failure(issuer, error);
    }
}

/// A world with an issuer that its account has a provider for, and a role that trusts one subject.
struct Scene {
    world: World,
    issuer: TestIssuer,
    source: Arc<Source>,
    pair: TestKeyPair,
}

impl Scene {
    fn new(algorithm: &str) -> Self {
        let pair = TestKeyPair::make(SignatureAlgorithm::named(algorithm).unwrap());
        let (world, issuer) = (World::new(), TestIssuer::new(GITHUB, &[("k1", &pair)]));
        let source = Arc::new(Source {
            published: Arc::clone(&issuer.published),
            meanwhile: Mutex::default(),
            given: Mutex::default(),
        });
        world.core.use_issuers(Arc::clone(&source) as Arc<dyn IssuerSource>);
        let scene = Self { world, issuer, source, pair };
        scene.iam(
            "CreateOpenIDConnectProvider",
            &format!("Url={}&ClientIDList.member.1={AUDIENCE}&ClientIDList.member.2=web", encoded(GITHUB)),
        );
        scene.role("deploy", &condition("StringEquals", "sub", MAIN), "sts:AssumeRoleWithWebIdentity");
        scene
    }

    fn iam(&self, operation: &str, body: &str) -> Answer {
        Keys::administrator().call(&self.world, Service::Iam, operation, body).done()
    }

    fn try_role(&self, name: &str, condition: &str, action: &str) -> Answer {
        let trust = trust_policy(condition, action);
        let body = format!("RoleName={name}&AssumeRolePolicyDocument={}", encoded(&trust));
        Keys::administrator().call(&self.world, Service::Iam, "CreateRole", &body)
    }

    fn role(&self, name: &str, condition: &str, action: &str) {
        let action = if action.starts_with('[') { action.to_owned() } else { format!("\"{action}\"") };
        self.try_role(name, condition, &action).done();
    }

    fn claims(&self) -> Value {
        let now = self.world.core.now().as_millis() / 1000;
        json!({"iss": GITHUB, "sub": MAIN, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 300})
    }

    fn claims_with(&self, more: &Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn token(&self, more: &Value) -> String {
        signed_token("RS256", "k1", &self.pair, &self.claims_with(more))
    }

    fn assume(&self, role: &str, token: &str) -> Answer {
        self.assume_with(role, token, "")
    }

    fn assume_with(&self, role: &str, token: &str, more: &str) -> Answer {
        send(&self.world, self.request(role, token, more))
    }

    fn request(&self, role: &str, token: &str, more: &str) -> Request<Bytes> {
        let body = format!(
            "RoleArn={}&RoleSessionName=run-1&WebIdentityToken={}{more}",
            encoded(&role_arn(role)),
            encoded(token)
        );
        Service::Sts.unsigned("AssumeRoleWithWebIdentity", &body)
    }

    /// Lets the administrator do something of IAM's while the issuer is asked next.
    fn do_meanwhile(&self, operation: &str, body: &str) {
        let administrator = Keys::administrator();
        let request = administrator.sign(&self.world, "iam", Service::Iam.unsigned(operation, body));
        let core = self.world.core.clone();
        let meanwhile =
            async move { assert_eq!(answer(&core, request, SOURCE).await.status(), StatusCode::OK) };
        *self.source.meanwhile.lock().unwrap() = Some(Box::pin(meanwhile));
    }

    fn check(&self, what: &str, token: &str, code: &str, words: &str) {
        let answer = self.assume("deploy", token);
        assert_eq!((answer.code(), answer.body.contains(words)), (code, true), "{what}: {}", answer.body);
        assert!(token.len() < 40 || !answer.body.contains(&token[..40]), "{what}: the token is repeated");
    }
}

fn condition(operator: &str, claim: &str, value: &str) -> String {
    format!(
        r#", "Condition": {{"{operator}": {{"token.actions.githubusercontent.com:{claim}": "{value}"}}}}"#
    )
}

fn two_conditions(audience: &str, subject: &str) -> String {
    let issuer = "token.actions.githubusercontent.com";
    format!(
        r#", "Condition": {{"StringEquals": {{"{issuer}:aud": "{audience}", "{issuer}:sub": "{subject}"}}}}"#
    )
}

fn trust_policy(condition: &str, action: &str) -> String {
    policy(&[&format!(
        r#"{{"Effect": "Allow", "Principal": {{"Federated": "{PROVIDER}"}}, "Action": {action}{condition}}}"#
    )])
}

const NO_JWT: &str =
    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";

#[test]
fn a_token_of_each_algorithm_gives_the_roles_credentials() {
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"] {
        let scene = Scene::new(algorithm);
        let token = signed_token(algorithm, "k1", &scene.pair, &scene.claims());
        let answer = scene.assume("deploy", &token);
        assert_eq!(answer.status, StatusCode::OK, "{algorithm}: {}", answer.body);
        assert_eq!(answer.element("SubjectFromWebIdentityToken"), MAIN);
        assert_eq!(answer.element("Audience"), AUDIENCE);
        let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com");
        assert_eq!(answer.element("Provider"), provider);
        assert_eq!(answer.element("Arn"), format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/run-1"));
    }
}

#[test]
fn the_session_may_what_the_role_may_and_policies_see_who_it_is() {
    let scene = Scene::new("RS256");
    let secret = new_secret(&scene.world, "app/db", "[]");
    let answer = scene.assume("deploy", &scene.token(&json!({}))).done();
    let keys = Keys {
        id: answer.element("AccessKeyId").to_owned(),
        secret: answer.element("SecretAccessKey").to_owned(),
        token: Some(answer.element("SessionToken").to_owned()),
    };
    let read =
        || keys.call(&scene.world, Service::SecretsManager, "GetSecretValue", r#"{"SecretId": "app/db"}"#);
    assert_eq!(read().code(), "AccessDeniedException");
    for (condition, may) in [
        (condition("StringEquals", "sub", MAIN), true),
        (condition("StringEquals", "sub", "repo:octo-org/other:ref:refs/heads/main"), false),
        (condition("StringEquals", "aud", AUDIENCE), true),
        (
            format!(
                r#", "Condition": {{"ArnEquals": {{"aws:FederatedProvider": "arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"}}}}"#
            ),
            true,
        ),
    ] {
        let document = policy(&[&statement("Allow", "secretsmanager:GetSecretValue", &secret, &condition)]);
        scene.iam(
            "PutRolePolicy",
            &format!("RoleName=deploy&PolicyName=own&PolicyDocument={}", encoded(&document)),
        );
        assert_eq!(read().status == StatusCode::OK, may, "{condition}");
    }
}

#[test]
fn forged_and_foreign_tokens_are_refused() {
    let scene = Scene::new("RS256");
    let (now, other) =
        (scene.world.core.now().as_millis() / 1000, TestKeyPair::make(SignatureAlgorithm::Rs256));
    let es256 = TestKeyPair::make(SignatureAlgorithm::Es256);
    let (claims, rs256) = (scene.claims(), SignatureAlgorithm::Rs256);
    let text = claims.to_string();
    let good = scene.token(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let header = |more: &str| format!(r#"{{"kid": "k1", {more}}}"#);
    let sign = |message: &[u8]| scene.pair.sign(rs256, message);
    // The public key as a secret, which those who verify HS256 with whatever key they find would take.
    let public = public_key("k1", &scene.pair).to_string();
    for (what, token, code, words) in [
        ("none", token(&header(r#""alg": "none""#), &text, |_| Vec::new()), "InvalidIdentityToken", NO_JWT),
        ("None", token(&header(r#""alg": "None""#), &text, sign), "InvalidIdentityToken", NO_JWT),
        (
            "HMAC with the public key",
            token(&header(r#""alg": "HS256""#), &text, |message| {
                coffer_crypto::hmac_sha256(public.as_bytes(), message).to_vec()
            }),
            "InvalidIdentityToken",
            NO_JWT,
        ),
        (
            "RSA said to be ECDSA",
            token(&header(r#""alg": "ES256""#), &text, sign),
            "InvalidIdentityToken",
            "retrieve verification key",
        ),
        (
            "ECDSA said to be RSA",
            token(&header(r#""alg": "RS256""#), &text, |message| {
                es256.sign(SignatureAlgorithm::Es256, message)
            }),
            "InvalidIdentityToken",
            "Token signature invalid",
        ),
        (
            "another padding",
            token(&header(r#""alg": "PS256""#), &text, sign),
            "InvalidIdentityToken",
            "Token signature invalid",
        ),
        (
            "another's key",
            signed_token("RS256", "k1", &other, &claims),
            "InvalidIdentityToken",
            "Token signature invalid",
        ),
        (
            "a key the issuer has not",
            signed_token("RS256", "k2", &other, &claims),
            "InvalidIdentityToken",
            "retrieve verification key",
        ),
        (
            "a key in the header",
            token(
                &format!(r#"{{"alg": "RS256", "kid": "k2", "jwk": {}}}"#, public_key("k2", &other)),
                &text,
                |message| other.sign(rs256, message),
            ),
            "InvalidIdentityToken",
            "retrieve verification key",
        ),
        (
            "an extension",
            token(&header(r#""alg": "RS256", "crit": ["x"]"#), &text, sign),
            "InvalidIdentityToken",
            NO_JWT,
        ),
        (
            "two algorithms",
            token(&header(r#""alg": "none", "alg": "RS256""#), &text, sign),
            "InvalidIdentityToken",
            NO_JWT,
        ),
        (
            "two subjects",
            token(&header(r#""alg": "RS256""#), &text.replacen('{', r#"{"sub": "x", "#, 1), sign),
            "InvalidIdentityToken",
            NO_JWT,
        ),
        ("no signature", format!("{message}."), "InvalidIdentityToken", "Token signature invalid"),
        ("a part more", format!("{good}.{signature}"), "InvalidIdentityToken", NO_JWT),
        ("padding", format!("{good}=="), "InvalidIdentityToken", NO_JWT),
        ("no token at all", "hello".to_owned(), "InvalidIdentityToken", NO_JWT),
        (
            "an issuer without provider",
            scene.token(&json!({"iss": "https://idp.example"})),
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account",
        ),
        (
            "an issuer that looks alike",
            scene.token(&json!({"iss": format!("{GITHUB}/")})),
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account",
        ),
        (
            "the issuer without TLS",
            scene.token(&json!({"iss": "http://token.actions.githubusercontent.com"})),
            "InvalidIdentityToken",
            "Issuer must be a valid URL",
        ),
        (
            "no issuer",
            scene.token(&json!({"iss": null})),
            "InvalidIdentityToken",
            "Missing a required claim: iss",
        ),
        (
            "for others",
            scene.token(&json!({"aud": "other"})),
            "InvalidIdentityToken",
            "Incorrect token audience",
        ),
        ("for nobody", scene.token(&json!({"aud": []})), "InvalidIdentityToken", "Incorrect token audience"),
        (
            "no audience",
            scene.token(&json!({"aud": null})),
            "InvalidIdentityToken",
            "Missing a required claim: aud",
        ),
        (
            "asked for by others",
            scene.token(&json!({"azp": "other"})),
            "InvalidIdentityToken",
            "Incorrect token audience",
        ),
        (
            "no subject",
            scene.token(&json!({"sub": null})),
            "InvalidIdentityToken",
            "Missing a required claim: sub",
        ),
        (
            "a subject of another type",
            scene.token(&json!({"sub": 7})),
            "InvalidIdentityToken",
            "Missing a required claim: sub",
        ),
        (
            "no end",
            scene.token(&json!({"exp": null})),
            "InvalidIdentityToken",
            "Missing a required claim: exp",
        ),
        (
            "an end in words",
            scene.token(&json!({"exp": "9999999999"})),
            "InvalidIdentityToken",
            "Missing a required claim: exp",
        ),
        (
            "no beginning",
            scene.token(&json!({"iat": null})),
            "InvalidIdentityToken",
            "Missing a required claim: iat",
        ),
        (
            "over",
            scene.token(&json!({"exp": now - 61})),
            "ExpiredTokenException",
            "Token expired: current date/time",
        ),
        ("of tomorrow", scene.token(&json!({"nbf": now + 3600})), "IDPRejectedClaim", "not valid yet"),
        ("made tomorrow", scene.token(&json!({"iat": now + 3600})), "IDPRejectedClaim", "not valid yet"),
        (
            "somebody else",
            scene.token(&json!({"sub": "repo:evil/octo-repo:ref:refs/heads/main"})),
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        ),
    ] {
        scene.check(what, &token, code, words);
    }
    scene.check("as it should be", &good, "", "AssumeRoleWithWebIdentityResult");
    let huge = scene.token(&json!({"x": "x".repeat(20_000)}));
    scene.check("too long", &huge, "ValidationError", "Member must have length less than or equal to 20000");

    let records = scene.world.records().join("\n");
    assert!(!records.contains(signature) && !records.contains(message), "no token is in a record");
    assert!(records.contains(r#""type":"WebIdentityUser""#) && records.contains(r#""identityProvider":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com""#));
    assert!(records.contains(&format!(r#""userName":"{MAIN}""#)));
}

#[test]
fn clocks_may_differ_a_little() {
    let scene = Scene::new("RS256");
    let now = scene.world.core.now().as_millis() / 1000;
    for more in [json!({"exp": now - 30}), json!({"nbf": now + 30, "iat": now + 30}), json!({"nbf": null})] {
        assert_eq!(scene.assume("deploy", &scene.token(&more)).status, StatusCode::OK, "{more}");
    }
}

#[test]
fn a_role_that_is_not_there_is_refused_like_one_that_trusts_others() {
    let scene = Scene::new("RS256");
    scene.role("other", &condition("StringEquals", "sub", "x"), "sts:AssumeRoleWithWebIdentity");
    scene.role("wrong-action", &condition("StringEquals", "sub", MAIN), "sts:AssumeRole");
    let token = scene.token(&json!({}));
    let told = |role: &str| {
        let answer = scene.assume(role, &token);
        let body = answer.body.split_once("<RequestId>").unwrap().0.to_owned();
        (answer.status, body)
    };
    assert_eq!(told("other"), told("nothing"));
    assert_eq!(told("other"), told("wrong-action"));
    assert_eq!(told("other").0, StatusCode::FORBIDDEN);
    // Nor is the account's own owner, or who may do all, let in by a policy of the caller's.
    let answer = scene.assume_with("deploy", "x.y.z", "");
    assert_eq!(answer.code(), "InvalidIdentityToken");
}

#[test]
fn why_a_token_was_refused_the_log_tells_and_the_answer_does_not() {
    let scene = Scene::new("RS256");
    scene.role("other", &condition("StringEquals", "sub", "x"), "sts:AssumeRoleWithWebIdentity");
    scene.role("wrong-action", &condition("StringEquals", "sub", MAIN), "sts:AssumeRole");
    scene.role("two", &two_conditions(AUDIENCE, "x"), "sts:AssumeRoleWithWebIdentity");
    let either = ["x", "y", "x"].map(|subject| {
        let conditions = two_conditions(if subject == "y" { "web" } else { AUDIENCE }, subject);
        format!(
            r#"{{"Effect": "Allow", "Principal": {{"Federated": "{PROVIDER}"}}, "Action": "sts:AssumeRoleWithWebIdentity"{conditions}}}"#
        )
    });
    let either = policy(&[&either[0], &either[1], &either[2]]);
    scene.iam("CreateRole", &format!("RoleName=either&AssumeRolePolicyDocument={}", encoded(&either)));
    let refused = |role: &str| {
        let answer = scene.assume(role, &scene.token(&json!({})));
        assert_eq!(answer.element("Message"), "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        let explained = scene.world.run(ExplainDenial::default()).unwrap().unwrap();
        let role = role_arn(role);
        assert_eq!(explained.principal, format!("{PROVIDER}:{AUDIENCE}:{MAIN}"));
        assert_eq!(
            (explained.action.as_str(), explained.resource.as_str(), explained.is_gone),
            ("sts:AssumeRoleWithWebIdentity", role.as_str(), false)
        );
        assert!(explained.reason.starts_with("because no "), "{}", explained.reason);
        let told = format!(
            "User: {PROVIDER} is not authorized to perform: sts:AssumeRoleWithWebIdentity on resource: {role} because no "
        );
        assert!(scene.world.records().iter().any(|record| record.contains(&told)), "{told}");
        (explained.now, explained.conditions)
    };
    let sub = "token.actions.githubusercontent.com:sub";
    let sub_of_another = format!("{sub} is x (it was `{MAIN}`, as the token claims)");
    assert_eq!(refused("other"), (Verdict::NotTrusted, vec![sub_of_another.clone()]));
    assert_eq!(refused("two"), (Verdict::NotTrusted, vec![sub_of_another.clone()]), "the audience is right");
    let (aud, other) = (
        "token.actions.githubusercontent.com:aud",
        format!("{sub} is y (it was `{MAIN}`, as the token claims)"),
    );
    let other = format!("{aud} is web (it was `{AUDIENCE}`, as the token claims) and {other}");
    let told = (Verdict::NotTrusted, vec![sub_of_another.clone(), other]);
    assert_eq!(refused("either"), told, "what each statement wants is told as one, once");
    assert_eq!(refused("nothing"), (Verdict::NoRole, vec![]));
    assert_eq!(refused("wrong-action"), (Verdict::NotTrusted, vec![]));

    let request_id = scene.assume("other", &scene.token(&json!({}))).element("RequestId").to_owned();
    let now = || {
        let explained = scene.world.run(ExplainDenial {
            filter: RecordFilter { request_id: Some(request_id.clone()), ..RecordFilter::default() },
        });
        explained.unwrap().unwrap().now
    };
    assert_eq!(now(), Verdict::NotTrusted);
    let trust = trust_policy(&two_conditions(AUDIENCE, MAIN), "\"sts:AssumeRoleWithWebIdentity\"");
    let body = format!("RoleName=other&PolicyDocument={}", encoded(&trust));
    scene.iam("UpdateAssumeRolePolicy", &body);
    assert_eq!(now(), Verdict::Allowed, "the subject and the audience are known");
    // Whatever the role says, who vouched for the caller then has to do so now.
    let of_provider = format!("OpenIDConnectProviderArn={}", encoded(PROVIDER));
    scene.iam("RemoveClientIDFromOpenIDConnectProvider", &format!("{of_provider}&ClientID={AUDIENCE}"));
    assert_eq!(now(), Verdict::NoProvider, "it is for another audience");
    scene.iam("AddClientIDToOpenIDConnectProvider", &format!("{of_provider}&ClientID={AUDIENCE}"));
    assert_eq!(now(), Verdict::Allowed);
    scene.iam("DeleteOpenIDConnectProvider", &of_provider);
    assert_eq!(now(), Verdict::NoProvider, "it is not there");
}

#[test]
fn the_policy_of_a_refused_request_is_cut_in_the_record_as_documents_are() {
    let scene = Scene::new("RS256");
    let policy = format!("{{{}}}", " ".repeat(2000));
    let more = format!("&Policy={}", encoded(&policy));
    let answer = scene.assume_with("nothing", &scene.token(&json!({})), &more);
    assert_eq!(answer.code(), "AccessDenied");
    let records = scene.world.records();
    let refused = records.iter().find(|record| record.contains("is not authorized")).unwrap();
    let recorded = serde_json::from_str::<Value>(refused).unwrap()["requestParameters"]["policy"].to_string();
    assert!(recorded.contains("...(truncated: 2002 bytes, SHA-256 "), "{recorded}");
}

#[test]
fn a_session_ends_when_the_role_denies_those_begun_before() {
    let scene = Scene::new("RS256");
    let secret = new_secret(&scene.world, "app/db", "[]");
    let session = || {
        let answer = scene.assume("deploy", &scene.token(&json!({}))).done();
        Keys {
            id: answer.element("AccessKeyId").to_owned(),
            secret: answer.element("SecretAccessKey").to_owned(),
            token: Some(answer.element("SessionToken").to_owned()),
        }
    };
    let put = |name: &str, statement: &str| {
        let document = encoded(&policy(&[statement]));
        scene.iam("PutRolePolicy", &format!("RoleName=deploy&PolicyName={name}&PolicyDocument={document}"));
    };
    let read = |keys: &Keys| {
        let body = r#"{"SecretId": "app/db"}"#;
        keys.call(&scene.world, Service::SecretsManager, "GetSecretValue", body).status
    };
    put("own", &statement("Allow", "secretsmanager:GetSecretValue", &secret, ""));
    let before = session();
    assert_eq!(read(&before), StatusCode::OK);
    scene.world.clock.advance_millis(60_000);
    let moment = scene.world.core.now().to_rfc3339_seconds();
    let older = format!(r#", "Condition": {{"DateLessThan": {{"aws:TokenIssueTime": "{moment}"}}}}"#);
    put("revoked", &statement("Deny", "*", "*", &older));
    assert_eq!(read(&before), StatusCode::BAD_REQUEST);
    assert_eq!(read(&session()), StatusCode::OK);
}

#[test]
fn conditions_see_the_claims() {
    let scene = Scene::new("RS256");
    let trusts = |condition: &str, more: Value| {
        let name = format!("role-{}", scene.world.core.new_request_id());
        scene.role(&name, condition, "sts:AssumeRoleWithWebIdentity");
        scene.assume(&name, &scene.token(&more)).status == StatusCode::OK
    };
    let immutable = "repo:octo-org@123456/octo-repo@456789:ref:refs/heads/main";
    let like = |value: &str| condition("StringLike", "sub", value);
    assert!(trusts(&like("repo:octo-org/octo-repo:*"), json!({})));
    assert!(trusts(&like("repo:octo-org@123456/octo-repo@456789:*"), json!({"sub": immutable})));
    assert!(!trusts(&like("repo:octo-org/octo-repo:*"), json!({"sub": immutable})));
    assert!(!trusts(&like("repo:octo-org/octo-repo:environment:*"), json!({})));
    let with = |claim: &str, value: &str| {
        format!(
            r#", "Condition": {{"StringEquals": {{"token.actions.githubusercontent.com:sub": "{MAIN}", "token.actions.githubusercontent.com:{claim}": "{value}"}}}}"#
        )
    };
    assert!(trusts(&with("repository_id", "456789"), json!({"repository_id": "456789"})));
    assert!(!trusts(&with("repository_id", "456789"), json!({"repository_id": "1"})));
    assert!(!trusts(&with("repository_id", "456789"), json!({})));
    assert!(trusts(&with("aud", AUDIENCE), json!({"aud": ["other", AUDIENCE]})));
    assert!(trusts(&with("aud", "web"), json!({"aud": "other", "azp": "web"})));
    assert!(trusts(&with("oaud", "other"), json!({"aud": "other", "azp": "web"})));
    // Of two claims that differ in case only, neither is told.
    assert!(!trusts(&with("ref", "a"), json!({"ref": "a", "REF": "b"})));
}

#[test]
fn tags_and_source_identity_come_with_the_token_and_need_permission() {
    let scene = Scene::new("RS256");
    let tagged = json!({"https://aws.amazon.com/tags": {"principal_tags": {"team": ["blue"]}, "transitive_tag_keys": ["team"]}});
    let flat = json!({"https://aws.amazon.com/tags/principal_tags/team": "blue"});
    let from = json!({"https://aws.amazon.com/source_identity": "alice"});
    for more in [&tagged, &flat, &from] {
        assert_eq!(scene.assume("deploy", &scene.token(more)).code(), "AccessDenied", "{more}");
    }
    let actions = r#"["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]"#;
    scene.role("tagger", &condition("StringEquals", "sub", MAIN), actions);
    for more in [&tagged, &flat] {
        assert_eq!(scene.assume("tagger", &scene.token(more)).status, StatusCode::OK, "{more}");
    }
    let answer = scene.assume("tagger", &scene.token(&from)).done();
    assert_eq!(answer.element("SourceIdentity"), "alice");
    for wrong in [
        json!({"https://aws.amazon.com/tags": 7}),
        json!({"https://aws.amazon.com/tags": {"principal_tags": {"team": ["a", "b"]}}}),
        json!({"https://aws.amazon.com/tags": {"principal_tags": {"": ["a"]}}}),
        json!({"https://aws.amazon.com/source_identity": "no spaces"}),
    ] {
        assert_eq!(scene.assume("tagger", &scene.token(&wrong)).code(), "InvalidIdentityToken", "{wrong}");
    }
    let twice = json!({"https://aws.amazon.com/tags": {"principal_tags": {"team": ["a"], "TEAM": ["b"]}}});
    assert_eq!(scene.assume("tagger", &scene.token(&twice)).code(), "InvalidInput");
}

#[test]
fn trust_in_everybody_with_a_token_of_github_is_refused() {
    let scene = Scene::new("RS256");
    for (what, condition) in [
        ("nothing", String::new()),
        ("the audience only", condition("StringEquals", "aud", AUDIENCE)),
        ("any subject", condition("StringLike", "sub", "*")),
        ("any repository", condition("StringLike", "sub", "repo:*")),
        ("any two words", condition("StringLike", "sub", "*:?*")),
        ("what all begin with", condition("StringLike", "sub", "repo*")),
        ("less of it", condition("StringLike", "sub", "re?o:*")),
        ("its own word", condition("StringEquals", "sub", "${token.actions.githubusercontent.com:sub}")),
        ("others than", condition("StringNotEquals", "sub", "x")),
        ("if it has one", condition("StringEqualsIfExists", "sub", MAIN)),
        ("all of none", condition("ForAllValues:StringEquals", "sub", MAIN)),
    ] {
        let answer = scene.try_role("loose", &condition, "\"sts:AssumeRoleWithWebIdentity\"");
        assert_eq!(answer.code(), "MalformedPolicyDocument", "{what}: {}", answer.body);
        assert!(answer.body.contains("token.actions.githubusercontent.com:sub"), "{what}");
    }
}

#[test]
fn keys_are_asked_for_seldom_and_follow_the_issuers() {
    let scene = Scene::new("RS256");
    let asked = || scene.issuer.published.asked();
    let status = |token: &str| scene.assume("deploy", token).code().to_owned();
    for _ in 0..3 {
        assert_eq!(status(&scene.token(&json!({}))), "");
    }
    assert_eq!(asked(), 2, "the document and the keys, once");

    // The issuer changes its key: however many tokens name it, it is asked again after half a minute.
    let next = TestKeyPair::make(SignatureAlgorithm::Rs256);
    scene.issuer.publish(&[("k2", &next)]);
    let renewed = || signed_token("RS256", "k2", &next, &scene.claims());
    for _ in 0..3 {
        assert_eq!(status(&renewed()), "InvalidIdentityToken");
    }
    assert_eq!(asked(), 2);
    scene.world.clock.advance_millis(30_000);
    assert_eq!(status(&renewed()), "");
    assert_eq!(status(&scene.token(&json!({}))), "InvalidIdentityToken", "the old key is gone");
    let now = asked();

    // An issuer that is not there for a while: what is known is good, and no longer than a day.
    for part in ["/.well-known/openid-configuration", "/keys"] {
        scene.issuer.published.set(&format!("{GITHUB}{part}"), Err(FetchError::unreachable("away")));
    }
    scene.world.clock.advance_millis(2 * 3_600_000);
    assert_eq!(status(&renewed()), "");
    assert!(asked() > now);
    scene.world.clock.advance_millis(24 * 3_600_000);
    assert_eq!(status(&renewed()), "IDPCommunicationError");
}

#[test]
fn old_keys_are_not_good_once_the_issuer_answers_otherwise() {
    let scene = Scene::new("RS256");
    let code = || scene.assume("deploy", &scene.token(&json!({}))).code().to_owned();
    assert_eq!(code(), "");
    scene.issuer.published.set(&format!("{GITHUB}/keys"), Err(FetchError::useless("404")));
    scene.world.clock.advance_millis(59 * 60_000);
    assert_eq!(code(), "", "within the hour");
    scene.world.clock.advance_millis(60_000);
    assert_eq!(code(), "InvalidIdentityToken");
    assert_eq!(scene.issuer.published.failures(), ["the answer is of no use: 404"]);
    // Nor when it does not answer after that.
    scene.issuer.published.set(&format!("{GITHUB}/keys"), Err(FetchError::unreachable("away")));
    scene.world.clock.advance_millis(60_000);
    assert_eq!(code(), "IDPCommunicationError");
}

#[test]
fn a_provider_made_anew_has_no_keys_of_the_old_one() {
    let scene = Scene::new("RS256");
    let old = scene.token(&json!({}));
    scene.check("the old provider", &old, "", "AssumeRoleWithWebIdentityResult");
    scene.iam("DeleteOpenIDConnectProvider", &format!("OpenIDConnectProviderArn={}", encoded(PROVIDER)));
    let next = TestKeyPair::make(SignatureAlgorithm::Rs256);
    scene.issuer.publish(&[("k1", &next)]);
    scene.world.clock.advance_millis(1000);
    let body = format!("Url={}&ClientIDList.member.1={AUDIENCE}", encoded(GITHUB));
    scene.iam("CreateOpenIDConnectProvider", &body);
    scene.check("the old key", &old, "InvalidIdentityToken", "Token signature invalid");
}

#[test]
fn keys_that_were_given_are_good_as_long_as_they_are_there() {
    let scene = Scene::new("RS256");
    let code = || scene.assume("deploy", &scene.token(&json!({}))).code().to_owned();
    let give = |keys: Result<Value, FetchError>| {
        *scene.source.given.lock().unwrap() = Some(keys.map(|keys| keys.to_string().into()));
        scene.world.clock.advance_millis(1000);
    };
    let keys = json!({"keys": [public_key("k1", &scene.pair)]});
    for (what, given, expected) in [
        ("there", Ok(keys.clone()), ""),
        ("deleted", Err(FetchError::unreachable("away")), "IDPCommunicationError"),
        ("there again", Ok(keys.clone()), ""),
        ("emptied", Ok(json!("")), "InvalidIdentityToken"),
        ("whole again", Ok(keys), ""),
        ("of another name", Ok(json!({"keys": [public_key("k2", &scene.pair)]})), "InvalidIdentityToken"),
    ] {
        give(given);
        assert_eq!(code(), expected, "{what}");
    }
    assert_eq!(scene.issuer.published.asked(), 0);
}

#[test]
fn an_issuer_called_like_a_service_says_nothing_under_its_keys() {
    let pair = TestKeyPair::make(SignatureAlgorithm::Rs256);
    for (host, key) in [("sts", "RoleSessionName"), ("sts", "ExternalId"), ("aws", "SourceVpc")] {
        let url = format!("https://{host}");
        let (world, issuer) = (World::new(), TestIssuer::new(&url, &[("k1", &pair)]));
        world.core.use_issuers(Arc::clone(&issuer.published) as Arc<dyn IssuerSource>);
        let iam = |operation: &str, body: &str| {
            Keys::administrator().call(&world, Service::Iam, operation, body).done();
        };
        let body = format!("Url={}&ClientIDList.member.1={AUDIENCE}", encoded(&url));
        iam("CreateOpenIDConnectProvider", &body);
        let trust = policy(&[&format!(
            r#"{{"Effect": "Allow", "Principal": {{"Federated": "arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"}}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {{"StringEquals": {{"{host}:{key}": "mine"}}}}}}"#
        )]);
        iam("CreateRole", &format!("RoleName=deploy&AssumeRolePolicyDocument={}", encoded(&trust)));
        let now = world.core.now().as_millis() / 1000;
        let claims =
            json!({"iss": url, "sub": "x", "aud": AUDIENCE, "iat": now, "exp": now + 300, key: "mine"});
        let token = signed_token("RS256", "k1", &pair, &claims);
        let body = format!(
            "RoleArn={}&RoleSessionName=run-1&WebIdentityToken={token}",
            encoded(&role_arn("deploy"))
        );
        let answer = send(&world, Service::Sts.unsigned("AssumeRoleWithWebIdentity", &body));
        assert_eq!(answer.code(), "AccessDenied", "{host}:{key}: {}", answer.body);
    }
}

#[test]
fn a_provider_that_goes_while_its_issuer_is_asked_vouches_for_nobody() {
    let provider = encoded(PROVIDER);
    for (operation, more, words) in [
        ("DeleteOpenIDConnectProvider", "", "No OpenIDConnect provider found in your account"),
        (
            "RemoveClientIDFromOpenIDConnectProvider",
            "&ClientID=sts.amazonaws.com",
            "Incorrect token audience",
        ),
    ] {
        let scene = Scene::new("RS256");
        scene.do_meanwhile(operation, &format!("OpenIDConnectProviderArn={provider}{more}"));
        scene.check(operation, &scene.token(&json!({})), "InvalidIdentityToken", words);
        assert!(scene.source.meanwhile.lock().unwrap().is_none());
    }
}

#[test]
fn who_hangs_up_ends_nobody_elses_question_and_is_recorded() {
    let scene = Scene::new("RS256");
    let may_answer = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&may_answer);
    *scene.source.meanwhile.lock().unwrap() = Some(Box::pin(std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        if waits.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })));
    let other = TestKeyPair::make(SignatureAlgorithm::Rs256);
    let forged = signed_token("RS256", "k1", &other, &scene.claims());
    let mut request: BoxFuture<'_, _> =
        Box::pin(answer(&scene.world.core, scene.request("deploy", &forged, ""), SOURCE));
    assert!(poll_once(&mut request).is_none());
    while scene.source.meanwhile.lock().unwrap().is_some() {
        std::thread::yield_now();
    }
    drop(request);
    let before = scene.world.records().len();
    may_answer.store(true, Ordering::Release);
    assert_eq!(scene.assume("deploy", &scene.token(&json!({}))).code(), "");
    assert_eq!(scene.issuer.published.asked(), 2);
    // The one who went is answered on a thread of its own.
    let is_recorded = || {
        let records = scene.world.records();
        records.iter().skip(before).any(|record| record.contains("Token signature invalid"))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_recorded() {
        assert!(Instant::now() < deadline, "no record");
        std::thread::yield_now();
    }
}

#[test]
fn what_an_issuer_answers_is_not_believed_blindly() {
    let scene = Scene::new("RS256");
    let key = public_key("k1", &scene.pair);
    let document = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let keys = format!("{GITHUB}/keys");
    let good = document(GITHUB, &keys);
    for (what, document, keys) in [
        ("another's document", document("https://idp.example", &keys), json!({"keys": [key]}).to_string()),
        ("keys without TLS", document(GITHUB, "http://keys.example"), json!({"keys": [key]}).to_string()),
        (
            "keys of this machine",
            document(GITHUB, "http://127.0.0.1/keys"),
            json!({"keys": [key]}).to_string(),
        ),
        ("garbage", good.clone(), "<html>".to_owned()),
        ("far too much", good.clone(), json!({"keys": [key], "x": "x".repeat(300_000)}).to_string()),
        ("nothing", good, json!({"keys": []}).to_string()),
    ] {
        scene
            .issuer
            .published
            .set(&format!("{GITHUB}/.well-known/openid-configuration"), Ok(document.into()));
        scene.issuer.published.set(&format!("{GITHUB}/keys"), Ok(keys.into()));
        scene.check(what, &scene.token(&json!({})), "InvalidIdentityToken", "retrieve verification key");
        scene.world.clock.advance_millis(60_000);
    }
}

#[test]
fn nobody_is_asked_whom_no_provider_names_and_strangers_have_a_rate() {
    let scene = Scene::new("RS256");
    let foreign = scene.token(&json!({"iss": "https://metadata.example"}));
    let mut codes: Vec<_> = (0..60).map(|_| scene.assume("deploy", &foreign).code().to_owned()).collect();
    assert_eq!(scene.issuer.published.asked(), 0);
    codes.dedup();
    assert_eq!(codes, ["InvalidIdentityToken", "Throttling"]);
    scene.world.clock.advance_millis(1000);
    assert_eq!(scene.assume("deploy", &scene.token(&json!({}))).status, StatusCode::OK);
}

#[test]
fn the_shape_of_a_request_is_looked_at_first() {
    let scene = Scene::new("RS256");
    let token = encoded(&scene.token(&json!({})));
    let role = encoded(&role_arn("deploy"));
    for (body, words) in [
        (format!("RoleArn={role}&RoleSessionName=run-1"), "Value null at 'webIdentityToken'"),
        (format!("RoleArn={role}&WebIdentityToken={token}"), "Value null at 'roleSessionName'"),
        (format!("RoleSessionName=run-1&WebIdentityToken={token}"), "Value null at 'roleArn'"),
        (format!("RoleArn={role}&RoleSessionName=run-1&WebIdentityToken=abc"), "greater than or equal to 4"),
        (
            format!(
                "RoleArn={role}&RoleSessionName=run-1&WebIdentityToken={token}&ProviderId=www.amazon.com"
            ),
            "not served",
        ),
        (format!("RoleArn={role}&RoleSessionName=run-1&WebIdentityToken={token}&DurationSeconds=899"), "900"),
    ] {
        let answer = send(&scene.world, Service::Sts.unsigned("AssumeRoleWithWebIdentity", &body));
        assert_eq!(
            (answer.code(), answer.body.contains(words)),
            ("ValidationError", true),
            "{}",
            answer.body
        );
    }
    let longest = scene.assume_with("deploy", &scene.token(&json!({})), "&DurationSeconds=7200");
    assert_eq!(longest.code(), "ValidationError");
    let narrowed = scene.assume_with("deploy", &scene.token(&json!({})), "&Policy=%7B%7D");
    assert_eq!(narrowed.code(), "MalformedPolicyDocument");
}

//! Tokens of an identity provider at the door of STS: those nobody signed are refused, and those that are signed are read without
//! a fault, whatever they claim.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use coffer_core::IssuerSource;
use coffer_core::ops::iam::{CreateOpenIDConnectProvider, CreateRole};
use coffer_crypto::{SignatureAlgorithm, TestKeyPair};
use coffer_testkit::World;
use coffer_testkit::issuer::{TestIssuer, token};
use coffer_types::EntityPath;
use coffer_wire_aws::answer;
use futures_executor::block_on;
use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;

const ISSUER: &str = "https://idp.example";
const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
/// What a believed token has at least.
const CLAIMS: &str = r#""iss":"https://idp.example","aud":"app","sub":"s","iat":0,"exp":99999999999"#;
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/idp.example"},
    "Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]}}"#;
/// After so many, a new world: the log of one is kept in memory.
const REQUESTS_MAX: u32 = 20_000;

struct Scene {
    world: World,
    pair: TestKeyPair,
    requests: u32,
}

impl Scene {
    fn new() -> Self {
        let pair = TestKeyPair::make(SignatureAlgorithm::Es256);
        let issuer = TestIssuer::new(ISSUER, &[("k1", &pair)]);
        let world = World::new();
        world.core.use_issuers(Arc::clone(&issuer.published) as Arc<dyn IssuerSource>);
        let provider = CreateOpenIDConnectProvider {
            url: ISSUER.parse().expect("a URL"),
            client_ids: vec!["app".to_owned()],
            thumbprints: Vec::new(),
            tags: Vec::new(),
        };
        world.run(provider).expect("a provider");
        let role = CreateRole {
            name: "app".parse().expect("a name"),
            path: EntityPath::default(),
            trust: TRUST.to_owned(),
            description: None,
            session_seconds_max: 3600,
            boundary: None,
            tags: Vec::new(),
        };
        world.run(role).expect("a role");
        Self { world, pair, requests: 0 }
    }

    fn status(&mut self, token: &[u8]) -> StatusCode {
        let mut body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=fuzz&\
                        RoleArn=arn:aws:iam::123456789012:role/app&WebIdentityToken="
            .to_owned();
        for byte in token {
            body.push_str(&format!("%{byte:02X}"));
        }
        let request = Request::post("/")
            .header("host", "127.0.0.1:8200")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .expect("a request");
        self.requests += 1;
        // Of one address only some a second are looked at.
        let source = IpAddr::V4(Ipv4Addr::from(self.requests));
        block_on(answer(&self.world.core, request, source)).status()
    }
}

thread_local! {
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    SCENE.with_borrow_mut(|scene| {
        if scene.as_ref().is_some_and(|scene| scene.requests >= REQUESTS_MAX) {
            *scene = None;
        }
        let scene = scene.get_or_insert_with(Scene::new);
        let text = String::from_utf8_lossy(rest);
        let es256 = SignatureAlgorithm::Es256;
        match kind % 4 {
            0 => assert_ne!(scene.status(rest), StatusCode::OK, "nobody signed it"),
            1 => {
                let forged = token(HEADER, &format!("{{{CLAIMS}}}"), |_| rest.to_vec());
                assert_ne!(scene.status(forged.as_bytes()), StatusCode::OK, "nobody signed it");
            }
            2 => {
                let (header, claims) = text.split_once('\n').unwrap_or((HEADER, &text));
                let signed = token(header, claims, |message| scene.pair.sign(es256, message));
                scene.status(signed.as_bytes());
            }
            _ => {
                let claims = format!("{{{CLAIMS}{}{text}}}", if text.is_empty() { "" } else { "," });
                let signed = token(HEADER, &claims, |message| scene.pair.sign(es256, message));
                let status = scene.status(signed.as_bytes());
                assert!(!text.is_empty() || status == StatusCode::OK, "{status}");
            }
        }
    });
});

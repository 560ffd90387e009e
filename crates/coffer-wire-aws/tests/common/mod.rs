//! Requests signed by the official signer, for anybody and for any of the three services, through the door.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use coffer_testkit::World;
use coffer_wire_aws::answer;
use futures_executor::block_on;
use http::{Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub(crate) const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
pub(crate) const ACCOUNT: &str = "123456789012";

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// A service as its requests are signed and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    SecretsManager,
    Iam,
    Sts,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// A call that nobody has signed. `body` is JSON, or the parameters of a form after its action.
    pub(crate) fn unsigned(self, operation: &str, body: &str) -> Request<Bytes> {
        let request = Request::post("/").header("host", "127.0.0.1:8200");
        let version = match self {
            Self::SecretsManager => {
                return request
                    .header("content-type", "application/x-amz-json-1.1")
                    .header("x-amz-target", format!("secretsmanager.{operation}"))
                    .body(Bytes::from(body.to_owned()))
                    .unwrap();
            }
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        };
        let body = format!("Action={operation}&Version={version}&{body}");
        request.header("content-type", "application/x-www-form-urlencoded").body(Bytes::from(body)).unwrap()
    }
}

impl Keys {
    pub(crate) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }

    pub(crate) fn administrator() -> Self {
        Self::new("AKIAADMINISTRATOR", "secret of administrator")
    }

    pub(crate) fn nobody() -> Self {
        Self::new("AKIANOBODY", "secret of nobody")
    }

    /// Signs a request for a service, at the world's time.
    pub(crate) fn sign(&self, world: &World, service: &str, mut request: Request<Bytes>) -> Request<Bytes> {
        let now = u64::try_from(world.core.now().as_millis()).unwrap();
        let identity = Credentials::new(&self.id, &self.secret, self.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(now))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let uri = format!("http://127.0.0.1:8200{}", request.uri());
        let body = SignableBody::Bytes(request.body());
        let signable =
            SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    pub(crate) fn call(&self, world: &World, service: Service, operation: &str, body: &str) -> Answer {
        send(world, self.sign(world, service.name(), service.unsigned(operation, body)))
    }
}

/// An answer, as far as these tests look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

pub(crate) fn send(world: &World, request: Request<Bytes>) -> Answer {
    let response = block_on(answer(&world.core, request, SOURCE));
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    Answer { status: response.status(), body }
}

impl Answer {
    /// The code of a refusal, in either protocol.
    pub(crate) fn code(&self) -> &str {
        between(&self.body, "<Code>", "</Code>")
            .or_else(|| between(&self.body, "\"__type\":\"", "\""))
            .unwrap_or_default()
    }

    /// What stands in the first element of this name.
    pub(crate) fn element(&self, name: &str) -> &str {
        let found = between(&self.body, &format!("<{name}>"), &format!("</{name}>"));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    /// The answer, which must not be a refusal.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// A value in a form.
pub(crate) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// A policy document of these statements.
pub(crate) fn policy(statements: &[&str]) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(", "))
}

/// A statement; `more` is what follows its resource.
pub(crate) fn statement(effect: &str, action: &str, resource: &str, more: &str) -> String {
    format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"{more}}}"#)
}

/// Makes a user with these statements in a policy of its own.
pub(crate) fn new_user(world: &World, name: &str, statements: &[&str]) -> Keys {
    let iam =
        |operation: &str, body: &str| Keys::administrator().call(world, Service::Iam, operation, body).done();
    iam("CreateUser", &format!("UserName={name}"));
    if !statements.is_empty() {
        put_policy(world, name, &policy(statements));
    }
    let key = iam("CreateAccessKey", &format!("UserName={name}"));
    Keys::new(key.element("AccessKeyId"), key.element("SecretAccessKey"))
}

/// Writes the policy of the user's own that there is.
pub(crate) fn put_policy(world: &World, user: &str, document: &str) {
    let body = format!("UserName={user}&PolicyName=own&PolicyDocument={}", encoded(document));
    Keys::administrator().call(world, Service::Iam, "PutUserPolicy", &body).done();
}

/// Makes a role that this principal may take on, with these statements in a policy of its own.
pub(crate) fn new_role(world: &World, name: &str, trusted: &str, more: &str, statements: &[&str]) {
    let iam =
        |operation: &str, body: &str| Keys::administrator().call(world, Service::Iam, operation, body).done();
    let trust = policy(&[&format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{trusted}"}}, "Action": "sts:AssumeRole"{more}}}"#
    )]);
    iam("CreateRole", &format!("RoleName={name}&AssumeRolePolicyDocument={}", encoded(&trust)));
    if !statements.is_empty() {
        let body = format!("RoleName={name}&PolicyName=own&PolicyDocument={}", encoded(&policy(statements)));
        iam("PutRolePolicy", &body);
    }
}

/// Takes a role on.
pub(crate) fn assume(world: &World, keys: &Keys, role: &str, more: &str) -> Keys {
    let body = format!("RoleArn={}&RoleSessionName=app{more}", encoded(&role_arn(role)));
    session_of(&keys.call(world, Service::Sts, "AssumeRole", &body).done())
}

/// Begins a session of the user whose keys these are.
pub(crate) fn session_token(world: &World, keys: &Keys) -> Keys {
    session_of(&keys.call(world, Service::Sts, "GetSessionToken", "").done())
}

fn session_of(answer: &Answer) -> Keys {
    Keys {
        id: answer.element("AccessKeyId").to_owned(),
        secret: answer.element("SecretAccessKey").to_owned(),
        token: Some(answer.element("SessionToken").to_owned()),
    }
}

pub(crate) fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{role}")
}

/// Makes a secret, with tags as JSON: its ARN.
pub(crate) fn new_secret(world: &World, name: &str, tags: &str) -> String {
    let body = format!(
        r#"{{"Name": "{name}", "SecretString": "v", "ClientRequestToken": "00000000-0000-4000-8000-000000000001", "Tags": {tags}}}"#
    );
    let answer = Keys::administrator().call(world, Service::SecretsManager, "CreateSecret", &body).done();
    between(&answer.body, "\"ARN\":\"", "\"").unwrap().to_owned()
}

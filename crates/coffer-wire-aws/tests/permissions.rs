//! Every operation, asked for by every sort of caller: who is let in, and for want of what others are not.
//!
//! The answers stand in `permissions/matrix.txt`, and a test compares. `COFFER_PERMISSIONS=overwrite cargo test -p
//! coffer-wire-aws --test permissions` writes down what is answered now; read the difference before you keep it. An
//! operation that core has and `CALLS` lacks must stand in `permissions/untested.txt`, which is there to stay empty.

#![expect(clippy::unwrap_used, reason = "in a test, and clippy knows only the test functions themselves")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use coffer_core::ops::audit::{ListReads, RecordFilter, SearchAudit};
use coffer_core::ops::local::{ReadStatus, TailAudit, VerifyAudit};
use coffer_core::ops::review::{ExplainDenial, WhoCan};
use coffer_core::{AuthenticationError, Claim, Context, Error, RequestInfo, Transport};
use coffer_crypto::{SignatureAlgorithm, TestKeyPair};
use coffer_testkit::issuer::{TestIssuer, signed_token};
use coffer_testkit::{OWNER, World};
use coffer_wire_aws::{IAM_OPERATIONS, OPERATIONS, STS_OPERATIONS, sigv4};
use common::{
    ACCOUNT, Answer, Keys, Service, assume, encoded, new_role, new_secret, new_user, policy, put_policy,
    session_token, statement,
};
use futures_executor::block_on;
use http::StatusCode;

const DOCUMENT: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22iam%3AGetUser%22%2C%22Resource%22%3A%22%2A%22%7D%7D";
const TRUST: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22123456789012%22%7D%7D%7D";
const P: &str = "PolicyArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Apolicy%2Fp";
const Q: &str = "PolicyArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Apolicy%2Fq";
const BOUNDARY: &str = "PermissionsBoundary=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FAdministratorAccess";
const TARGET: &str = "=arn%3Aaws%3Aiam%3A%3A123456789012%3Auser%2Ftarget";
const PROVIDER: &str =
    "OpenIDConnectProviderArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Aoidc-provider%2Fidp.example";
const ISSUER: &str = "https%3A%2F%2Fidp.example";
const TAGS: &str = "Tags.member.1.Key=k&Tags.member.1.Value=v";

use Service::{Iam, SecretsManager, Sts};

/// A call of each operation, which the administrator is to get done. `P`, `Q`, `DOCUMENT` … stand for themselves; `KEY` for an
/// access key's id, and after a semicolon stands what is done before.
const CALLS: &[(Service, &str, &str)] = &[
    (SecretsManager, "BatchGetSecretValue", r#"{"SecretIdList": ["app/db"]}"#),
    (
        SecretsManager,
        "CreateSecret",
        r#"{"Name": "app/new", "SecretString": "v", "ClientRequestToken": "TOKEN"}"#,
    ),
    (SecretsManager, "DeleteSecret", r#"{"SecretId": "app/db"}"#),
    (SecretsManager, "DescribeSecret", r#"{"SecretId": "app/db"}"#),
    (SecretsManager, "GetRandomPassword", "{}"),
    (SecretsManager, "GetSecretValue", r#"{"SecretId": "app/db"}"#),
    (SecretsManager, "ListSecretVersionIds", r#"{"SecretId": "app/db"}"#),
    (SecretsManager, "ListSecrets", "{}"),
    (
        SecretsManager,
        "PutSecretValue",
        r#"{"SecretId": "app/db", "SecretString": "w", "ClientRequestToken": "TOKEN"}"#,
    ),
    (SecretsManager, "RestoreSecret", r#"{"SecretId": "app/db"}"#),
    (SecretsManager, "TagResource", r#"{"SecretId": "app/db", "Tags": [{"Key": "k", "Value": "v"}]}"#),
    (SecretsManager, "UntagResource", r#"{"SecretId": "app/db", "TagKeys": ["k"]}"#),
    (SecretsManager, "UpdateSecret", r#"{"SecretId": "app/db", "Description": "d"}"#),
    (
        SecretsManager,
        "UpdateSecretVersionStage",
        r#"{"SecretId": "app/db", "VersionStage": "BLUE", "MoveToVersionId": "VERSION"}"#,
    ),
    (Iam, "AddClientIDToOpenIDConnectProvider", "PROVIDER&ClientID=c"),
    (Iam, "AddUserToGroup", "GroupName=empty&UserName=target"),
    (Iam, "AttachGroupPolicy", "GroupName=team&Q"),
    (Iam, "AttachRolePolicy", "RoleName=job&Q"),
    (Iam, "AttachUserPolicy", "UserName=target&Q"),
    (Iam, "CreateAccessKey", "UserName=target"),
    (Iam, "CreateAccountAlias", "AccountAlias=alias"),
    (Iam, "CreateGroup", "GroupName=new"),
    (Iam, "CreateOpenIDConnectProvider", "Url=https%3A%2F%2Fnew.example"),
    (Iam, "CreatePolicy", "PolicyName=new&PolicyDocument=DOCUMENT"),
    (Iam, "CreatePolicyVersion", "Q&PolicyDocument=DOCUMENT"),
    (Iam, "CreateRole", "RoleName=new&AssumeRolePolicyDocument=TRUST"),
    (Iam, "CreateUser", "UserName=new"),
    (Iam, "DeleteAccessKey", "UserName=target&AccessKeyId=KEY"),
    (Iam, "DeleteAccountAlias", "AccountAlias=alias; CreateAccountAlias AccountAlias=alias"),
    (Iam, "DeleteGroup", "GroupName=empty"),
    (Iam, "DeleteGroupPolicy", "GroupName=team&PolicyName=own"),
    (Iam, "DeleteOpenIDConnectProvider", "PROVIDER"),
    (Iam, "DeletePolicy", "Q"),
    (Iam, "DeletePolicyVersion", "Q&VersionId=v2; CreatePolicyVersion Q&PolicyDocument=DOCUMENT"),
    (Iam, "DeleteRole", "RoleName=empty"),
    (Iam, "DeleteRolePermissionsBoundary", "RoleName=job"),
    (Iam, "DeleteRolePolicy", "RoleName=job&PolicyName=own"),
    (Iam, "DeleteUser", "UserName=empty"),
    (Iam, "DeleteUserPermissionsBoundary", "UserName=target"),
    (Iam, "DeleteUserPolicy", "UserName=target&PolicyName=own"),
    (Iam, "DetachGroupPolicy", "GroupName=team&P"),
    (Iam, "DetachRolePolicy", "RoleName=job&P"),
    (Iam, "DetachUserPolicy", "UserName=target&P"),
    (Iam, "GetAccessKeyLastUsed", "AccessKeyId=KEY"),
    (Iam, "GetAccountSummary", ""),
    (Iam, "GetContextKeysForCustomPolicy", "PolicyInputList.member.1=DOCUMENT"),
    (Iam, "GetContextKeysForPrincipalPolicy", "PolicySourceArn=TARGET"),
    (Iam, "GetGroup", "GroupName=team"),
    (Iam, "GetGroupPolicy", "GroupName=team&PolicyName=own"),
    (Iam, "GetOpenIDConnectProvider", "PROVIDER"),
    (Iam, "GetPolicy", "P"),
    (Iam, "GetPolicyVersion", "P&VersionId=v1"),
    (Iam, "GetRole", "RoleName=job"),
    (Iam, "GetRolePolicy", "RoleName=job&PolicyName=own"),
    (Iam, "GetUser", "UserName=target"),
    (Iam, "GetUserPolicy", "UserName=target&PolicyName=own"),
    (Iam, "ListAccessKeys", "UserName=target"),
    (Iam, "ListAccountAliases", ""),
    (Iam, "ListAttachedGroupPolicies", "GroupName=team"),
    (Iam, "ListAttachedRolePolicies", "RoleName=job"),
    (Iam, "ListAttachedUserPolicies", "UserName=target"),
    (Iam, "ListEntitiesForPolicy", "P"),
    (Iam, "ListGroupPolicies", "GroupName=team"),
    (Iam, "ListGroups", ""),
    (Iam, "ListGroupsForUser", "UserName=target"),
    (Iam, "ListOpenIDConnectProviderTags", "PROVIDER"),
    (Iam, "ListOpenIDConnectProviders", ""),
    (Iam, "ListPolicies", ""),
    (Iam, "ListPoliciesGrantingServiceAccess", "Arn=TARGET&ServiceNamespaces.member.1=iam"),
    (Iam, "ListPolicyTags", "P"),
    (Iam, "ListPolicyVersions", "P"),
    (Iam, "ListRolePolicies", "RoleName=job"),
    (Iam, "ListRoleTags", "RoleName=job"),
    (Iam, "ListRoles", ""),
    (Iam, "ListUserPolicies", "UserName=target"),
    (Iam, "ListUserTags", "UserName=target"),
    (Iam, "ListUsers", ""),
    (Iam, "PutGroupPolicy", "GroupName=team&PolicyName=other&PolicyDocument=DOCUMENT"),
    (Iam, "PutRolePermissionsBoundary", "RoleName=job&BOUNDARY"),
    (Iam, "PutRolePolicy", "RoleName=job&PolicyName=other&PolicyDocument=DOCUMENT"),
    (Iam, "PutUserPermissionsBoundary", "UserName=target&BOUNDARY"),
    (Iam, "PutUserPolicy", "UserName=target&PolicyName=other&PolicyDocument=DOCUMENT"),
    (Iam, "RemoveClientIDFromOpenIDConnectProvider", "PROVIDER&ClientID=c"),
    (Iam, "RemoveUserFromGroup", "GroupName=team&UserName=target"),
    (Iam, "SetDefaultPolicyVersion", "Q&VersionId=v2; CreatePolicyVersion Q&PolicyDocument=DOCUMENT"),
    (Iam, "SimulateCustomPolicy", "PolicyInputList.member.1=DOCUMENT&ActionNames.member.1=iam%3AGetUser"),
    (Iam, "SimulatePrincipalPolicy", "PolicySourceArn=TARGET&ActionNames.member.1=iam%3AGetUser"),
    (Iam, "TagOpenIDConnectProvider", "PROVIDER&TAGS"),
    (Iam, "TagPolicy", "P&TAGS"),
    (Iam, "TagRole", "RoleName=job&TAGS"),
    (Iam, "TagUser", "UserName=target&TAGS"),
    (Iam, "UntagOpenIDConnectProvider", "PROVIDER&TagKeys.member.1=k"),
    (Iam, "UntagPolicy", "P&TagKeys.member.1=k"),
    (Iam, "UntagRole", "RoleName=job&TagKeys.member.1=k"),
    (Iam, "UntagUser", "UserName=target&TagKeys.member.1=k"),
    (Iam, "UpdateAccessKey", "UserName=target&AccessKeyId=KEY&Status=Inactive"),
    (Iam, "UpdateAssumeRolePolicy", "RoleName=job&PolicyDocument=TRUST"),
    (Iam, "UpdateGroup", "GroupName=empty&NewGroupName=renamed"),
    (Iam, "UpdateOpenIDConnectProviderThumbprint", "PROVIDER&ThumbprintList="),
    (Iam, "UpdateRole", "RoleName=job&Description=d"),
    (Iam, "UpdateRoleDescription", "RoleName=job&Description=d"),
    (Iam, "UpdateUser", "UserName=empty&NewUserName=renamed"),
    (Sts, "AssumeRole", "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fjob&RoleSessionName=app"),
    (
        Sts,
        "AssumeRoleWithWebIdentity",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Ffederated&RoleSessionName=app&WebIdentityToken=JWT",
    ),
    (Sts, "DecodeAuthorizationMessage", "EncodedMessage=none"),
    (Sts, "GetCallerIdentity", ""),
    (Sts, "GetSessionToken", ""),
];

/// coffer's own operations, which come over the Unix socket.
const LOCAL: &[&str] = &[
    "Backup",
    "ExplainDenial",
    "ListReads",
    "ReadStatus",
    "SearchAudit",
    "TailAudit",
    "VerifyAudit",
    "WhoCan",
];

/// Who asks, and what the column is called. The first gets everything done.
struct Caller {
    column: &'static str,
    keys: Keys,
}

/// What the matrix is asked of: a world with something of each kind in it, and all callers.
struct Scene {
    world: World,
    callers: Vec<Caller>,
    key: String,
    /// Of somebody the identity provider vouches for.
    token: String,
}

impl Scene {
    /// `action` is the one that this scene is for: a caller may do just that, and another all but that.
    fn new(action: &str) -> Self {
        let world = World::new();
        let administrator = Keys::administrator();
        let iam = |operation: &str, body: &str| administrator.call(&world, Iam, operation, body).done();
        let db = new_secret(&world, "app/db", r#"[{"Key": "team", "Value": "blue"}]"#);
        for name in ["p", "q"] {
            iam("CreatePolicy", &format!("PolicyName={name}&PolicyDocument={DOCUMENT}"));
        }
        let own = format!("PolicyName=own&PolicyDocument={DOCUMENT}");
        for (kind, holder) in [("User", "target"), ("Group", "team"), ("Role", "job")] {
            let made_of =
                if kind == "Role" { format!("&AssumeRolePolicyDocument={TRUST}") } else { String::new() };
            for name in [holder, "empty"] {
                iam(&format!("Create{kind}"), &format!("{kind}Name={name}{made_of}"));
            }
            iam(&format!("Put{kind}Policy"), &format!("{kind}Name={holder}&{own}"));
            iam(&format!("Attach{kind}Policy"), &format!("{kind}Name={holder}&{P}"));
        }
        iam("CreateOpenIDConnectProvider", &format!("Url={ISSUER}&ClientIDList.member.1=app"));
        let federated = policy(&[&format!(
            r#"{{"Effect": "Allow", "Principal": {{"Federated": "arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example"}}, "Action": "sts:AssumeRoleWithWebIdentity"}}"#
        )]);
        iam("CreateRole", &format!("RoleName=federated&AssumeRolePolicyDocument={}", encoded(&federated)));
        let pair = TestKeyPair::make(SignatureAlgorithm::Es256);
        let issuer = TestIssuer::new("https://idp.example", &[("k", &pair)]);
        world.core.use_issuers(issuer.published);
        iam("PutUserPermissionsBoundary", &format!("UserName=target&{BOUNDARY}"));
        iam("PutRolePermissionsBoundary", &format!("RoleName=job&{BOUNDARY}"));
        iam("AddUserToGroup", "GroupName=team&UserName=target");
        let key = iam("CreateAccessKey", "UserName=target").element("AccessKeyId").to_owned();

        let all = statement("Allow", "*", "*", "");
        let read = statement("Allow", "secretsmanager:GetSecretValue", &db, "");
        let elsewhere = |part: &str| statement("Allow", "*", &format!("arn:aws:*:{part}:*"), "");
        let blue = r#", "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}"#;
        let red = r#", "Condition": {"StringEquals": {"aws:ResourceTag/team": "red"}}"#;
        let user = |name: &str, statements: &[&str]| new_user(&world, name, statements);

        let bounded = user("bounded", &[&all]);
        let boundary = policy(&[&statement("Allow", "secretsmanager:Describe*", "*", "")]);
        iam("CreatePolicy", &format!("PolicyName=bounds&PolicyDocument={}", encoded(&boundary)));
        let bounds = encoded(&format!("arn:aws:iam::{ACCOUNT}:policy/bounds"));
        iam("PutUserPermissionsBoundary", &format!("UserName=bounded&PermissionsBoundary={bounds}"));

        let inactive = user("inactive", &[&all]);
        iam("UpdateAccessKey", &format!("UserName=inactive&AccessKeyId={}&Status=Inactive", inactive.id));
        let deleted = user("deleted", &[&all]);
        iam("DeleteAccessKey", &format!("UserName=deleted&AccessKeyId={}", deleted.id));
        iam("DeleteUserPolicy", "UserName=deleted&PolicyName=own");
        iam("DeleteUser", "UserName=deleted");

        // Sessions: one whose hour is over, one that is revoked, one that is narrowed and one as it should be.
        for role in ["worker", "revoked"] {
            new_role(&world, role, ACCOUNT, "", &[&all]);
        }
        let expired = assume(&world, &administrator, "worker", "");
        world.clock.advance_millis(3_600_000);
        let session = assume(&world, &administrator, "worker", "");
        let of_user = session_token(&world, &user("lender", &[&all]));
        let narrowing = encoded(&policy(&[&read]));
        let narrowed = assume(&world, &administrator, "worker", &format!("&Policy={narrowing}"));
        let revoked = assume(&world, &administrator, "revoked", "");
        world.clock.advance_millis(1000);
        let older = format!(
            r#", "Condition": {{"DateLessThan": {{"aws:TokenIssueTime": "{}"}}}}"#,
            world.core.now().to_rfc3339_seconds()
        );
        let older = encoded(&policy(&[&statement("Deny", "*", "*", &older)]));
        iam(
            "PutRolePolicy",
            &format!("RoleName=revoked&PolicyName=AWSRevokeOlderSessions&PolicyDocument={older}"),
        );

        let named = |column, keys| Caller { column, keys };
        let callers = vec![
            named("admin", administrator.clone()),
            named("only", user("only", &[&statement("Allow", action, "*", "")])),
            named("all-but", user("all-but", &[&all, &statement("Deny", action, "*", "")])),
            named("reader", user("reader", &[&read])),
            named(
                "writer",
                user(
                    "writer",
                    &[
                        &statement(
                            "Allow",
                            "secretsmanager:PutSecretValue",
                            "arn:aws:secretsmanager:*:*:secret:app/*",
                            "",
                        ),
                        &statement(
                            "Allow",
                            "secretsmanager:CreateSecret",
                            "arn:aws:secretsmanager:*:*:secret:app/*",
                            "",
                        ),
                    ],
                ),
            ),
            named("blue", user("blue", &[&statement("Allow", "secretsmanager:*", "*", blue)])),
            named("red", user("red", &[&statement("Allow", "secretsmanager:*", "*", red)])),
            named("abroad", user("abroad", &[&elsewhere("*:999999999999"), &elsewhere("eu-west-1:*")])),
            named("bounded", bounded),
            named("session", session),
            named("of-user", of_user),
            named("narrowed", narrowed),
            named("expired", expired),
            named("revoked", revoked),
            named("inactive", inactive),
            named("deleted", deleted),
            named("nobody", Keys::nobody()),
        ];
        let now = world.core.now().as_millis() / 1000;
        let claims = serde_json::json!({"iss": "https://idp.example", "sub": "app", "aud": "app", "iat": now, "exp": now + 300});
        let token = signed_token("ES256", "k", &pair, &claims);
        Self { world, callers, key, token }
    }

    /// The body of a call, of which the last words may be what is done before.
    fn body(&self, call: &str) -> String {
        let body = call.replace("DOCUMENT", DOCUMENT).replace("TRUST", TRUST).replace("TAGS", TAGS);
        let words: Vec<_> = body
            .split('&')
            .map(|word| match word {
                "P" => P,
                "Q" => Q,
                "BOUNDARY" => BOUNDARY,
                "PROVIDER" => PROVIDER,
                other => other,
            })
            .collect();
        let body = words
            .join("&")
            .replace("=TARGET", TARGET)
            .replace("=KEY", &format!("={}", self.key))
            .replace("=JWT", &format!("={}", self.token));
        body.replace("TOKEN", "00000000-0000-4000-8000-000000000002")
            .replace("VERSION", "00000000-0000-4000-8000-000000000001")
    }

    fn ask(&self, (service, operation, call): (Service, &str, &str)) -> Vec<String> {
        let mut parts = call.split("; ");
        let body = self.body(parts.next().unwrap());
        for before in parts {
            let (operation, body) = before.split_once(' ').unwrap();
            Keys::administrator().call(&self.world, service, operation, &self.body(body)).done();
        }
        let ask = |caller: &Caller| {
            let answer = caller.keys.call(&self.world, service, operation, &body);
            // Nobody gets that one done: there is nothing to decode.
            if caller.column == "admin" && operation != "DecodeAuthorizationMessage" {
                assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body);
            }
            cell(operation, &answer, &self.world)
        };
        self.callers.iter().map(ask).collect()
    }

    /// Whom core takes a caller for.
    fn context(&self, keys: &Keys) -> Result<Context, AuthenticationError> {
        let request = SecretsManager.unsigned("ListSecrets", "{}");
        let (head, body) = keys.sign(&self.world, "secretsmanager", request).into_parts();
        let claim = sigv4::parse(&head, &body, "secretsmanager").unwrap();
        self.authenticate(Claim::SigV4(claim))
    }

    fn authenticate(&self, claim: Claim) -> Result<Context, AuthenticationError> {
        let core = &self.world.core;
        let request = RequestInfo {
            request_id: core.new_request_id(),
            correlation_id: None,
            source: None,
            user_agent: "test".into(),
            transport: Transport::Local,
        };
        block_on(core.authenticate(claim, request, "coffer.local"))
    }

    fn ask_locally(&self, operation: &str) -> Vec<String> {
        let mut contexts: Vec<_> = self.callers.iter().map(|caller| self.context(&caller.keys)).collect();
        contexts.push(self.authenticate(Claim::Local { uid: OWNER }));
        contexts.push(self.authenticate(Claim::Local { uid: OWNER + 1 }));
        let ask = |context: Result<Context, AuthenticationError>| {
            let context = match context {
                Ok(context) => context,
                Err(AuthenticationError::ExpiredToken) => return "expired".to_owned(),
                Err(_) => return "unknown".to_owned(),
            };
            let core = &self.world.core;
            let outcome: Result<(), Error> = block_on(async {
                match operation {
                    "Backup" => core.execute(&context, self.world.backup_operation()).await.map(drop),
                    "ExplainDenial" => core.execute(&context, ExplainDenial::default()).await.map(drop),
                    "ReadStatus" => core.execute(&context, ReadStatus).await.map(drop),
                    "ListReads" => {
                        let filter = RecordFilter::default();
                        core.execute(&context, ListReads { filter }).await.map(drop)
                    }
                    "SearchAudit" => {
                        let filter = RecordFilter::default();
                        core.execute(&context, SearchAudit { filter, count: 1 }).await.map(drop)
                    }
                    "TailAudit" => core.execute(&context, TailAudit { count: 1 }).await.map(drop),
                    "VerifyAudit" => core.execute(&context, VerifyAudit).await.map(drop),
                    "WhoCan" => {
                        let action = "secretsmanager:GetSecretValue".to_owned();
                        let secret_id = "app/db".parse().unwrap();
                        core.execute(&context, WhoCan { secret_id, action }).await.map(drop)
                    }
                    other => panic!("{other} has no call"),
                }
            });
            match outcome {
                Ok(()) => "yes".to_owned(),
                Err(Error::Denied(denial)) => denied(&Error::Denied(denial).to_string()).to_owned(),
                Err(error) => panic!("{operation}: {error}"),
            }
        };
        contexts.into_iter().map(ask).collect()
    }
}

/// For want of what somebody is denied, in a word.
fn denied(message: &str) -> &'static str {
    let reasons = [
        ("with an explicit deny in", "deny"),
        ("because no identity-based policy allows", "no"),
        ("because no permissions boundary allows", "boundary"),
        ("because no session policy allows", "narrow"),
        ("because no resource-based policy allows", "trust"),
    ];
    let reason = reasons.into_iter().find(|(words, _)| message.contains(words));
    reason.unwrap_or_else(|| panic!("a denial without a reason: {message}")).1
}

fn cell(operation: &str, answer: &Answer, world: &World) -> String {
    if answer.status == StatusCode::OK {
        // Of a batch: what of it failed has a decision of its own, that of GetSecretValue.
        return "yes".to_owned();
    }
    if answer.body.contains("is not authorized to perform") {
        assert!(answer.code().starts_with("AccessDenied"));
        if operation == "AssumeRole" {
            // Its caller is not told why, and the log is.
            assert!(!answer.body.contains("because") && !answer.body.contains("explicit"), "{}", answer.body);
            let records = world.records();
            let mut of_it =
                records.iter().rev().filter(|record| record.contains(r#""eventName":"AssumeRole""#));
            return denied(of_it.next().unwrap()).to_owned();
        }
        return denied(&answer.body).to_owned();
    }
    let cell = match answer.code() {
        "UnrecognizedClientException" | "InvalidClientTokenId" => "unknown",
        "ExpiredTokenException" | "ExpiredToken" => "expired",
        // Let in, and past what the administrator did.
        "InvalidRequestException"
        | "ResourceExistsException"
        | "NoSuchEntity"
        | "EntityAlreadyExists"
        | "LimitExceeded"
        | "DeleteConflict"
        | "InvalidAuthorizationMessageException" => "yes",
        "AccessDenied" => "refused",
        code => panic!("{operation}: {code}: {}", answer.body),
    };
    cell.to_owned()
}

const COLUMN: usize = 9;

fn row(first: &str, cells: &[String]) -> String {
    // A longer name moves its own row only.
    let mut row = format!("{first:<34} ");
    for cell in cells {
        write!(row, "{cell:<COLUMN$}").unwrap();
    }
    row.trim_end().to_owned()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/permissions").join(name)
}

#[test]
fn who_may_do_what() {
    let mut lines = vec![
        "# Who may do what: each operation, and what each caller is answered. Made by tests/permissions.rs.".to_owned(),
        "#".to_owned(),
        "# admin     AdministratorAccess".to_owned(),
        "# only      may do this operation and nothing else".to_owned(),
        "# all-but   may do everything, and this operation is denied".to_owned(),
        "# reader    may read app/db; writer may create and put app/*; blue and red may do anything to".to_owned(),
        "#           secrets whose tag `team` is so, as app/db's is blue".to_owned(),
        "# abroad    may do everything in another account, and in another region".to_owned(),
        "# bounded   may do everything, within a boundary of secretsmanager:Describe*".to_owned(),
        "# session   of a role that may do everything; of-user: of a user who may; narrowed: begun to read app/db;".to_owned(),
        "#           expired: an hour old; revoked: older sessions of its role are denied everything".to_owned(),
        "# inactive  the administrator's rights under a key that is switched off; deleted: under one of a deleted user".to_owned(),
        "# nobody    a user without a policy".to_owned(),
        "# owner     the uid that owns the store, and another uid: on the Unix socket only".to_owned(),
        "#".to_owned(),
        "# no: no identity-based policy allows it. deny: one denies it. boundary, narrow, trust: the boundary, the".to_owned(),
        "# session's policy or the role's trust policy does not allow it. refused: not for sessions".to_owned(),
    ];
    let mut service = None;
    let rows = |calls: &[(Service, &str, &str)]| -> Vec<String> {
        let ask = |call: &(Service, &str, &str)| {
            row(call.1, &Scene::new(&format!("{}:{}", call.0.name(), call.1)).ask(*call))
        };
        calls.iter().map(ask).collect()
    };
    let rows: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> =
            CALLS.chunks(CALLS.len().div_ceil(4)).map(|part| scope.spawn(move || rows(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let mut columns: Vec<_> =
        Scene::new("s:x").callers.iter().map(|caller| caller.column.to_owned()).collect();
    for ((of, ..), row_of_it) in CALLS.iter().zip(rows) {
        if service.replace(*of) != Some(*of) {
            lines.push(String::new());
            lines.push(row(of.name(), &columns));
        }
        lines.push(row_of_it);
    }
    columns.extend(["owner".to_owned(), "other".to_owned()]);
    lines.push(String::new());
    lines.push(row("coffer", &columns));
    for operation in LOCAL {
        let scene = Scene::new(&format!("coffer:{operation}"));
        lines.push(row(operation, &scene.ask_locally(operation)));
    }
    let matrix = lines.join("\n") + "\n";
    check(&matrix);
    if std::env::var_os("COFFER_PERMISSIONS").is_some_and(|value| value == "overwrite") {
        std::fs::write(file("matrix.txt"), &matrix).unwrap();
    }
    let known = std::fs::read_to_string(file("matrix.txt")).unwrap_or_default();
    for (known, now) in known.lines().zip(matrix.lines()) {
        assert_eq!(now, known);
    }
    assert_eq!(matrix.lines().count(), known.lines().count());
}

/// What every operation must have in the matrix, whatever stands in the file: nobody gets by without the permission for just
/// that operation.
fn check(matrix: &str) {
    const FOR_EVERYBODY: [&str; 2] = ["GetCallerIdentity", "GetSessionToken"];
    let mut columns = Vec::new();
    let mut is_iam = false;
    let mut rows = 0;
    for line in matrix.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (operation, cells) = line.split_once(' ').unwrap();
        let cells: Vec<_> = cells.split_whitespace().collect();
        if cells.contains(&"all-but") {
            columns = cells;
            is_iam = operation == "iam";
            continue;
        }
        rows += 1;
        let of = |column: &str| cells[columns.iter().position(|known| *known == column).unwrap()];
        if operation == "AssumeRoleWithWebIdentity" {
            // Whom its token is of is asked, and not who signs.
            assert!(cells.iter().all(|cell| *cell == "yes"), "{operation}");
            continue;
        }
        assert_eq!(of("admin"), "yes", "{operation}");
        for (column, answer) in [("expired", "expired"), ("inactive", "unknown"), ("deleted", "unknown")] {
            assert_eq!(of(column), answer, "{operation}");
        }
        // What a session of a user could make would outlive it.
        let of_user = if is_iam || operation == "GetSessionToken" { "refused" } else { "yes" };
        assert_eq!(of("of-user"), of_user, "{operation}");
        if FOR_EVERYBODY.contains(&operation) {
            continue;
        }
        assert_eq!((of("only"), of("all-but"), of("revoked")), ("yes", "deny", "deny"), "{operation}");
        for column in ["abroad", "nobody", "red"] {
            assert_eq!(of(column), "no", "{operation}");
        }
    }
    assert_eq!(rows, CALLS.len() + LOCAL.len());
}

#[test]
fn the_list_of_operations_without_such_a_test_is_exact() {
    let mut operations: BTreeSet<String> = [OPERATIONS, IAM_OPERATIONS, STS_OPERATIONS]
        .into_iter()
        .flatten()
        .map(|operation| operation.name.to_owned())
        .collect();
    operations_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../coffer-core/src"), &mut operations);
    assert!(operations.len() > 80, "the sources of core were found");
    let tested = CALLS.iter().map(|(_, operation, _)| *operation).chain(LOCAL.iter().copied());
    let tested: BTreeSet<String> = tested.map(str::to_owned).collect();
    let untested: Vec<_> = operations.difference(&tested).cloned().collect();
    let listed = std::fs::read_to_string(file("untested.txt")).unwrap();
    let listed: Vec<_> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(untested, listed, "give it a call in CALLS, and overwrite the matrix");
    assert_eq!(tested.difference(&operations).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Operations of core that stand in its sources, also those that no table of a door has.
fn operations_of(folder: &Path, operations: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            operations_of(&path, operations);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text.split("const NAME: OperationName = OperationName { name: \"").skip(1);
            operations.extend(named.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn a_policy_that_is_changed_counts_with_the_next_request() {
    let world = World::new();
    let arn = new_secret(&world, "app/db", "[]");
    let keys = new_user(&world, "reader", &[]);
    let read = || keys.call(&world, SecretsManager, "GetSecretValue", r#"{"SecretId": "app/db"}"#).status;
    for _ in 0..3 {
        put_policy(
            &world,
            "reader",
            &policy(&[&statement("Allow", "secretsmanager:GetSecretValue", &arn, "")]),
        );
        assert_eq!(read(), StatusCode::OK);
        put_policy(
            &world,
            "reader",
            &policy(&[&statement("Deny", "secretsmanager:GetSecretValue", &arn, "")]),
        );
        assert_eq!(read(), StatusCode::BAD_REQUEST);
    }
}

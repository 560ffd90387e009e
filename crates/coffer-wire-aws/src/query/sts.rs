//! STS's operations: parameters in, elements out.

use coffer_core::Credentials;
use coffer_core::ops::sts::{
    AssumeRole, AssumeRoleWithWebIdentity, AssumedRole, AssumedRoleWithWebIdentity, CallerIdentity,
    DecodeAuthorizationMessage, DecodedMessage, GetCallerIdentity, GetSessionToken, SessionToken,
};
use coffer_types::iam_limits::{
    SESSION_SECONDS_MAX, SESSION_SECONDS_SHORTEST, USER_SESSION_SECONDS_MAX, WEB_IDENTITY_TOKEN_CHARS_MAX,
};
use coffer_types::limits::{TAG_KEY_CHARS_MAX, TAGS_PER_SECRET_MAX};
use coffer_types::{EntityName, PolicyArn, RoleArn, SecretBytes};

use super::parameters::{Malformed, Parameters};
use super::xml::Xml;
use super::{FromQuery, ToXml};

const SESSION_NAME_RULE: &str = "Member must satisfy regular expression pattern: [\\w+=,.@-]*";
const ROLE_ARN_RULE: &str = "Member must be the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME";
const POLICY_ARN_RULE: &str = "Member must be the ARN of a policy: arn:aws:iam::ACCOUNT:policy/NAME";
/// Most managed policies that narrow a session.
const SESSION_POLICIES_MAX: usize = 10;
/// Most characters of an encoded denial.
const ENCODED_MESSAGE_CHARS_MAX: usize = 10_240;

impl FromQuery for GetCallerIdentity {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.finish(Some(Self))
    }
}

impl ToXml for CallerIdentity {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.text("UserId", &self.user_id);
        xml.text("Account", self.account.to_string());
        xml.text("Arn", &self.arn);
        Some(xml)
    }
}

impl Parameters {
    /// `PolicyArns.member.1.arn` …: managed policies that narrow a session.
    fn policy_arns(&self) -> Vec<PolicyArn> {
        let mut policy_arns: Vec<PolicyArn> = Vec::new();
        let mut is_ended = false;
        for number in 1..=SESSION_POLICIES_MAX + 1 {
            let name = format!("PolicyArns.member.{number}.arn");
            if self.raw(&name).is_none() {
                is_ended = true;
            } else if is_ended {
                // A session must not be wider than was asked for.
                self.violate(&name, "", "Member must follow the one before it".to_owned());
            } else {
                policy_arns.extend(self.parsed::<PolicyArn>(&name, POLICY_ARN_RULE));
            }
        }
        if policy_arns.len() > SESSION_POLICIES_MAX {
            let rule = format!("Member must have length less than or equal to {SESSION_POLICIES_MAX}");
            self.violate("PolicyArns", "", rule);
        }
        policy_arns
    }

    /// Refuses parameters that coffer knows and does not serve.
    pub(super) fn refuse_unserved(&self, names: &[&str]) {
        for name in names {
            if self.raw(name).is_some() {
                self.violate(name, "", "Member is not served".to_owned());
            }
        }
    }
}

impl FromQuery for AssumeRole {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.refuse_unserved(&["SerialNumber", "TokenCode", "ProvidedContexts.member.1.ProviderArn"]);
        let role = form.required::<RoleArn>("RoleArn", ROLE_ARN_RULE);
        form.text("RoleSessionName", 2..=64);
        let session_name = form.required::<EntityName>("RoleSessionName", SESSION_NAME_RULE);
        let seconds = form.number("DurationSeconds", SESSION_SECONDS_SHORTEST..=SESSION_SECONDS_MAX);
        let external_id = form.text("ExternalId", 2..=1224);
        form.text("SourceIdentity", 2..=64);
        let source_identity = form.parsed::<EntityName>("SourceIdentity", SESSION_NAME_RULE);
        let policy = form.text("Policy", 1..=2048);
        let policy_arns = form.policy_arns();
        let tags = form.tags("Tags", TAGS_PER_SECRET_MAX).unwrap_or_default();
        let transitive = form.texts("TransitiveTagKeys", TAGS_PER_SECRET_MAX, 1..=TAG_KEY_CHARS_MAX);
        form.finish(role.zip(session_name).map(|(role, session_name)| Self {
            role,
            session_name,
            seconds,
            external_id,
            source_identity: source_identity.map(|name| name.to_string()),
            policy,
            policy_arns,
            tags,
            transitive: transitive.unwrap_or_default(),
        }))
    }
}

/// What `AssumeRoleWithWebIdentity` asks for, and the token that is to be believed first. The token is taken out of the parameters:
/// no refusal repeats it.
pub(super) fn with_token(
    mut form: Parameters,
) -> Result<(AssumeRoleWithWebIdentity, SecretBytes), Malformed> {
    let token = form.take("WebIdentityToken").map(SecretBytes::from);
    match token.as_ref().map(|token| token.expose_secret().len()) {
        None => {
            form.missing("WebIdentityToken");
        }
        Some(0..4) => {
            form.violate(
                "WebIdentityToken",
                "",
                "Member must have length greater than or equal to 4".to_owned(),
            );
        }
        Some(length) if length > WEB_IDENTITY_TOKEN_CHARS_MAX => {
            let rule =
                format!("Member must have length less than or equal to {WEB_IDENTITY_TOKEN_CHARS_MAX}");
            form.violate("WebIdentityToken", "", rule);
        }
        Some(_) => {}
    }
    let operation = AssumeRoleWithWebIdentity::from_query(form)?;
    // Without a token that was noted.
    let token = token.ok_or(Malformed::QueryString("The request has no token."))?;
    Ok((operation, token))
}

impl FromQuery for AssumeRoleWithWebIdentity {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.refuse_unserved(&["ProviderId"]);
        let role = form.required::<RoleArn>("RoleArn", ROLE_ARN_RULE);
        form.text("RoleSessionName", 2..=64);
        let session_name = form.required::<EntityName>("RoleSessionName", SESSION_NAME_RULE);
        let seconds = form.number("DurationSeconds", SESSION_SECONDS_SHORTEST..=SESSION_SECONDS_MAX);
        let policy = form.text("Policy", 1..=2048);
        let policy_arns = form.policy_arns();
        form.finish(role.zip(session_name).map(|(role, session_name)| Self {
            role,
            session_name,
            seconds,
            policy,
            policy_arns,
        }))
    }
}

impl ToXml for AssumedRoleWithWebIdentity {
    fn to_xml(&self, operation: &str) -> Option<Xml> {
        let mut xml = self.role.to_xml(operation)?;
        xml.text("SubjectFromWebIdentityToken", &self.subject);
        xml.text("Audience", &self.audience);
        xml.text("Provider", &self.provider);
        Some(xml)
    }
}

impl FromQuery for DecodeAuthorizationMessage {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let message = form.required_text("EncodedMessage", 1..=ENCODED_MESSAGE_CHARS_MAX);
        form.finish(Some(Self { message }))
    }
}

impl ToXml for DecodedMessage {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        match *self {}
    }
}

impl FromQuery for GetSessionToken {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        form.refuse_unserved(&["SerialNumber", "TokenCode"]);
        let seconds = form.number("DurationSeconds", SESSION_SECONDS_SHORTEST..=USER_SESSION_SECONDS_MAX);
        form.finish(Some(Self { seconds: seconds.unwrap_or(SESSION_SECONDS_MAX) }))
    }
}

fn write_credentials(xml: &mut Xml, credentials: &Credentials) {
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", &credentials.access_key_id);
        xml.secret("SecretAccessKey", &credentials.secret);
        xml.text("SessionToken", &credentials.token);
        xml.time("Expiration", credentials.expires);
    });
}

impl ToXml for AssumedRole {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        write_credentials(&mut xml, &self.credentials);
        xml.element("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", &self.id);
            xml.text("Arn", &self.arn);
        });
        xml.optional_text("SourceIdentity", self.source_identity.as_ref());
        Some(xml)
    }
}

impl ToXml for SessionToken {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        write_credentials(&mut xml, &self.0);
        Some(xml)
    }
}

//! Somebody an identity provider vouches for: from a token to who it is, or to why it is not believed.
//!
//! No I/O of its own. Invariants: a token is believed only if a key of the provider's own issuer signed it, for an audience
//! that the provider has, and its time has come and is not over; what it says is neither kept nor recorded before that, and
//! the token itself never.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use coffer_policy::Values;
use coffer_types::{AccountId, IssuerUrl, SecretBytes, Tag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::{Core, Inner};
use crate::records::OidcProvider;
use crate::records::access::Entity;
use crate::records::view::View;
use crate::{AuthenticationError, Context, Principal, RequestInfo, keys as storage_keys};

mod issuers;
mod json;
mod keys;
mod token;

pub(crate) use issuers::IssuerKeys;
pub use issuers::{FetchError, ISSUER_KEYS_BYTES_MAX, IssuerKeysError, IssuerSource, check_issuer_keys};

use json::{Json, Object};
use token::Token;

/// How far the issuer's clock may be from ours.
const SKEW_MILLIS_MAX: i64 = 60 * 1000;
/// Longest subject, audience and so on that is taken.
const CLAIM_CHARS_MAX: usize = 2048;
/// Requests a second of one source that nobody has signed.
pub(crate) const STRANGERS_A_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("more than none");
/// What follows it in a claim's name is about tags and the source identity.
const AWS_CLAIMS: &str = "https://aws.amazon.com/";

/// What a token claims, and is believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum ClaimValue {
    One(String),
    Many(Vec<String>),
}

/// Somebody an identity provider vouches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebIdentity {
    /// The provider's ARN.
    pub(crate) provider: Arc<str>,
    /// The issuer's URL without its scheme.
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The audience that is one of the provider's.
    pub(crate) audience: String,
    /// What conditions can look at, by the claim's name: texts, numbers, truths, and lists of texts.
    pub(crate) claims: BTreeMap<String, ClaimValue>,
    /// The tags that the session is to have.
    pub(crate) tags: Vec<Tag>,
    pub(crate) transitive: Vec<String>,
    pub(crate) source_identity: Option<String>,
}

/// Why a token was not believed; the texts are AWS's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebIdentityError {
    /// It is no token, or one that nobody can verify.
    #[error("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")]
    NoToken,
    /// Its issuer is no URL.
    #[error("Issuer must be a valid URL")]
    Issuer,
    /// The account has no provider for its issuer.
    #[error("No OpenIDConnect provider found in your account for the issuer of the token")]
    NoProvider,
    /// The issuer has no such key.
    #[error(
        "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
    )]
    NoVerificationKey,
    /// The issuer does not answer.
    #[error(
        "The request could not be fulfilled because the identity provider (IDP) that was asked to verify the incoming identity token could not be reached."
    )]
    IssuerUnreachable,
    /// It is not signed with the issuer's key.
    #[error("Token signature invalid")]
    Signature,
    /// A claim that must be there is not, or is not what it must be.
    #[error("Missing a required claim: {0}")]
    Claim(&'static str),
    /// It is for somebody else.
    #[error("Incorrect token audience")]
    Audience,
    /// Its time is over.
    #[error("Token expired: current date/time {now} must be before the expiration date/time {expires}")]
    Expired {
        /// The server's time, in seconds since 1970.
        now: i64,
        /// When it ended.
        expires: i64,
    },
    /// Its time has not come.
    #[error("The identity provider's claim is not valid yet")]
    NotYet,
}

impl Core {
    /// Where the keys of identity providers come from; until then tokens that need one are refused.
    pub fn use_issuers(&self, source: Arc<dyn IssuerSource>) {
        self.0.issuers.use_source(source);
    }
}

impl Inner {
    /// The context of a request by whom a token is of.
    pub(crate) async fn authenticate_token(
        self: &Arc<Self>,
        account: AccountId,
        token: &SecretBytes,
        request: RequestInfo,
        event_source: &'static str,
        now: Timestamp,
    ) -> Result<Context, AuthenticationError> {
        // Verifying costs more than asking, so who asks is counted first.
        let source = request.source.map_or_else(String::new, |source| match source.to_canonical() {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("{:x?}", &address.segments()[..4]),
        });
        if !self.strangers.take(&source, now) {
            return Err(AuthenticationError::RateExceeded);
        }
        let text = std::str::from_utf8(token.expose_secret()).map_err(|_| WebIdentityError::NoToken)?;
        let token = Token::parse(text).ok_or(WebIdentityError::NoToken)?;
        let issuer = token.claims.get("iss").and_then(Json::text).ok_or(WebIdentityError::Claim("iss"))?;
        let issuer: IssuerUrl = issuer.parse().map_err(|_| WebIdentityError::Issuer)?;
        let provider = self.provider_of(account, &issuer).await?;
        let key =
            self.issuers.find(&provider, token.key_id.as_deref(), token.algorithm, &*self.clock).await?;
        if !key.verify(token.algorithm, token.message, &token.signature) {
            return Err(WebIdentityError::Signature.into());
        }
        // Asking the issuer may have taken its time: what counts is the provider as it is now, and the time.
        let provider = self.provider_of(account, &issuer).await?;
        let identity = believe(account, &provider, token.claims, self.clock.now())?;
        Ok(Context {
            principal: Principal::WebIdentity(Arc::new(identity)),
            account,
            region: self.meta.region.clone(),
            request,
            now,
            event_source,
        })
    }

    /// The provider that the account has for an issuer now.
    async fn provider_of(
        self: &Arc<Self>,
        account: AccountId,
        issuer: &IssuerUrl,
    ) -> Result<Arc<OidcProvider>, AuthenticationError> {
        let mut view = View::new(Arc::clone(self));
        let provider = view.get::<OidcProvider>(&storage_keys::oidc_provider(account, issuer.name())).await;
        let provider = provider.map_err(|_| AuthenticationError::Unavailable)?.map(|loaded| loaded.record);
        let provider = provider.filter(|provider| provider.url == *issuer);
        Ok(provider.ok_or(WebIdentityError::NoProvider)?)
    }
}

/// Whether the claims of a verified token are such as the provider's, and are so now.
fn believe(
    account: AccountId,
    provider: &OidcProvider,
    mut claims: Object,
    now: Timestamp,
) -> Result<WebIdentity, WebIdentityError> {
    let moment = |name: &'static str| match claims.get(name) {
        Some(claim) => claim.moment_millis().map(Some).ok_or(WebIdentityError::Claim(name)),
        None => Ok(None),
    };
    let now = now.as_millis();
    let expires = moment("exp")?.ok_or(WebIdentityError::Claim("exp"))?;
    if now >= expires + SKEW_MILLIS_MAX {
        return Err(WebIdentityError::Expired {
            now: now.div_euclid(1000),
            expires: expires.div_euclid(1000),
        });
    }
    let issued = moment("iat")?.ok_or(WebIdentityError::Claim("iat"))?;
    let begins = moment("nbf")?.unwrap_or(issued);
    if issued.max(begins) > now + SKEW_MILLIS_MAX {
        return Err(WebIdentityError::NotYet);
    }
    let text = |name: &'static str| match claims.get(name) {
        Some(claim) => {
            let text = claim.text().filter(|text| (1..=CLAIM_CHARS_MAX).contains(&text.len()));
            text.map(|text| Some(text.to_owned())).ok_or(WebIdentityError::Claim(name))
        }
        None => Ok(None),
    };
    let subject = text("sub")?.ok_or(WebIdentityError::Claim("sub"))?;
    let audiences = claims.get("aud").and_then(Json::texts).ok_or(WebIdentityError::Claim("aud"))?;
    // Who asked for a token is who may use it, if the token says so.
    let authorized = text("azp")?;
    let is_known = |audience: &&String| provider.client_ids.contains(*audience);
    let audience = match &authorized {
        Some(authorized) => Some(authorized).filter(is_known),
        None => audiences.iter().find(is_known),
    };
    let audience = audience.cloned().ok_or(WebIdentityError::Audience)?;

    let (tags, transitive) = session_tags(&claims)?;
    let source_identity = text("https://aws.amazon.com/source_identity")?;
    if source_identity.as_deref().is_some_and(|name| !is_source_identity(name)) {
        return Err(WebIdentityError::Claim("https://aws.amazon.com/source_identity"));
    }
    // As AWS has it: under `aud` whoever is authorized, and whom it is for under `oaud`.
    claims.remove("aud");
    let mut told: BTreeMap<String, ClaimValue> =
        claims.into_iter().filter_map(|(name, claim)| Some((name, told(claim)?))).collect();
    told.insert("aud".to_owned(), ClaimValue::One(audience.clone()));
    if authorized.is_some() {
        let audiences = match <[String; 1]>::try_from(audiences) {
            Ok([audience]) => ClaimValue::One(audience),
            Err(audiences) => ClaimValue::Many(audiences),
        };
        told.insert("oaud".to_owned(), audiences);
    }
    Ok(WebIdentity {
        provider: provider.arn(account).into(),
        issuer: provider.facts.name.clone(),
        subject,
        audience,
        claims: told,
        tags,
        transitive,
        source_identity,
    })
}

/// A claim as conditions see it.
fn told(claim: Json) -> Option<ClaimValue> {
    Some(match claim {
        Json::Text(text) => ClaimValue::One(text),
        Json::Truth(truth) => ClaimValue::One(truth.to_string()),
        Json::Whole(number) => ClaimValue::One(number.to_string()),
        Json::List(_) => ClaimValue::Many(claim.texts()?),
        Json::Null | Json::Number(_) | Json::Object(_) => return None,
    })
}

fn is_source_identity(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (2..=64).contains(&name.len()) && name.bytes().all(is_legal)
}

/// The tags that a token brings, in either of AWS's two forms, and which of them go on.
fn session_tags(claims: &Object) -> Result<(Vec<Tag>, Vec<String>), WebIdentityError> {
    const NESTED: &str = "https://aws.amazon.com/tags";
    let wrong = || WebIdentityError::Claim(NESTED);
    let mut tags = Vec::new();
    let mut transitive = Vec::new();
    let mut add = |key: &str, value: &Json| {
        // A list of one, or a text.
        let values = value.texts().ok_or_else(wrong)?;
        let [value] = values.as_slice() else { return Err(wrong()) };
        tags.push(Tag::new(key, value.as_str()).map_err(|_| wrong())?);
        Ok(())
    };
    match claims.get(NESTED) {
        None => {}
        Some(Json::Object(nested)) => {
            match nested.get("principal_tags") {
                None => {}
                Some(Json::Object(principal)) => {
                    for (key, value) in principal {
                        add(key, value)?;
                    }
                }
                Some(_) => return Err(wrong()),
            }
            if let Some(keys) = nested.get("transitive_tag_keys") {
                transitive.extend(keys.texts().ok_or_else(wrong)?);
            }
        }
        Some(_) => return Err(wrong()),
    }
    for (name, value) in claims {
        let Some(name) = name.strip_prefix(AWS_CLAIMS).and_then(|name| name.strip_prefix("tags/")) else {
            continue;
        };
        match name.strip_prefix("principal_tags/") {
            Some(key) => add(key, value)?,
            None if name == "transitive_tag_keys" => transitive.extend(value.texts().ok_or_else(wrong)?),
            None => {}
        }
    }
    Ok((tags, transitive))
}

/// What a key such as `token.actions.githubusercontent.com:sub` is told, of these claims of this issuer. The case of letters does not
/// count, and of two claims that differ in nothing else neither is told.
pub(crate) fn claim<'a>(issuer: &str, claims: &'a BTreeMap<String, ClaimValue>, key: &str) -> Values<'a> {
    let name = key.get(..issuer.len()).filter(|name| name.eq_ignore_ascii_case(issuer));
    let name = name.and_then(|_| key.get(issuer.len()..)?.strip_prefix(':'));
    // What coffer knows itself stands under these, and what it does not, nobody else may say.
    let is_of_a_service = ["aws", "coffer", "iam", "kms", "secretsmanager", "sts"]
        .iter()
        .any(|prefix| issuer.eq_ignore_ascii_case(prefix));
    let Some(name) = name.filter(|_| !is_of_a_service) else { return Values::Absent };
    let mut found = claims.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (Some((_, ClaimValue::One(value))), None) => Values::One(value.as_str().into()),
        (Some((_, ClaimValue::Many(values))), None) => {
            Values::Many(values.iter().map(|value| value.as_str().into()).collect())
        }
        (Some(_), Some(_)) | (None, _) => Values::Absent,
    }
}

/// What a session remembers of whom it is of, for the policies it meets: the claims that AWS has there too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Federated {
    pub(crate) provider: String,
    pub(crate) issuer: String,
    pub(crate) claims: BTreeMap<String, ClaimValue>,
}

impl WebIdentity {
    /// `PROVIDER:AUDIENCE:SUBJECT`, as CloudTrail has it.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}:{}", self.provider, self.audience, self.subject)
    }

    pub(crate) fn federated(&self) -> Federated {
        let is_kept = |name: &&String| ["aud", "sub", "amr", "oaud"].contains(&name.as_str());
        let claims = self.claims.iter().filter(|(name, _)| is_kept(name));
        Federated {
            provider: self.provider.to_string(),
            issuer: self.issuer.clone(),
            claims: claims.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

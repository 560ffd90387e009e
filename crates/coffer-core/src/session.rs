//! Sessions: credentials that end, of a role or of a user.
//!
//! Nothing of a session is stored. Its secret and what was agreed when it began are inside its token, sealed under the token key;
//! the role or user is looked up at every use, with its policies. So a session ends with its time, with its role, or with
//! what a policy says of sessions that began before a moment. Invariant: what a token says is believed only once it opens under the
//! token key, names the access key that signed, and has not ended.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coffer_crypto::sigv4::SigningKey;
use coffer_types::{AccountId, SecretBytes, Tag, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::core::Inner;
use crate::error::IamError;
use crate::records::access::{Entity, IdOf, unique_id};
use crate::records::view::View;
use crate::records::{Role, User};
use crate::web_identity::Federated;
use crate::{AuthenticationError, Error, SigV4Claim, keys};

/// What a token is sealed for.
const PURPOSE: &str = "session";
/// Longest token that is given out: it goes with every request as a header, and by default a server takes 8 KiB of those.
const TOKEN_CHARS_ISSUED_MAX: usize = 6 * 1024;
/// Longest token that is looked at.
const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// Whose credentials a session's are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Holder {
    Role,
    User,
}

/// What was agreed when a session began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) account: AccountId,
    pub(crate) holder: Holder,
    /// The role's or user's name.
    pub(crate) name: String,
    /// The role's or user's unique id: another of the same name is not meant.
    pub(crate) id: String,
    /// What the caller called it; of roles.
    pub(crate) session_name: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) tags: Vec<Tag>,
    /// Which of the tags go on to a session that begins from this one.
    pub(crate) transitive: Vec<String>,
    pub(crate) source_identity: Option<String>,
    /// What narrows it: a document as written, and managed policies.
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    /// Whom it is of, if an identity provider vouched for it.
    #[serde(default)]
    pub(crate) federated: Option<Federated>,
}

/// What a token holds.
#[derive(Serialize, Deserialize)]
struct Sealed {
    access_key_id: String,
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
    terms: Terms,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// A session, found to be one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub(crate) terms: Terms,
    /// Whose policies count: the role's or the user's ARN.
    pub(crate) policies_arn: Arc<str>,
    /// Its own ARN; a user's session has the user's.
    pub(crate) arn: Arc<str>,
    /// `AROA…:name`, or the user's.
    pub(crate) id: Arc<str>,
    pub(crate) access_key_id: Arc<str>,
}

/// New credentials, which are told this once.
pub struct Credentials {
    /// The access key id: `ASIA…`.
    pub access_key_id: String,
    /// The secret.
    pub secret: SecretBytes,
    /// What goes with every request.
    pub token: String,
    /// When they end.
    pub expires: Timestamp,
}

impl Session {
    /// Under what its permissions are kept: with others of the same role, unless it is narrowed.
    pub(crate) fn permissions_key(&self) -> &str {
        let is_narrowed = self.terms.policy.is_some() || !self.terms.policy_arns.is_empty();
        if is_narrowed { &self.access_key_id } else { &self.terms.id }
    }

    /// The name of the user whose it is.
    pub(crate) fn user_name(&self) -> Option<&str> {
        (self.terms.holder == Holder::User).then_some(self.terms.name.as_str())
    }
}

impl Inner {
    /// Makes credentials on these terms.
    pub(crate) fn issue(&self, secret: SecretBytes, terms: Terms) -> Result<Credentials, Error> {
        let mut random = [0; 32];
        self.random.fill(&mut random);
        let access_key_id = unique_id(IdOf::Session, &random);
        let expires = terms.expires;
        let sealed =
            Sealed { access_key_id: access_key_id.clone(), secret: secret.expose_secret().to_vec(), terms };
        let plain = rmp_serde::to_vec_named(&sealed).map(Zeroizing::new).map_err(Error::unavailable)?;
        let token = STANDARD.encode(self.token_keys.seal(&*self.random, PURPOSE, &plain));
        if token.len() > TOKEN_CHARS_ISSUED_MAX {
            let percent = (token.len() * 100).div_ceil(TOKEN_CHARS_ISSUED_MAX);
            let text =
                format!("Packed size of session policies and tags consumes {percent}% of allotted space.");
            return Err(IamError::PackedPolicyTooLarge(text).into());
        }
        Ok(Credentials { access_key_id, secret, token, expires })
    }

    /// The session that a claim with a token is of, once its signature and its time were found to be right.
    pub(crate) async fn session(
        &self,
        view: &mut View,
        claim: &SigV4Claim,
        token: &str,
        now: Timestamp,
    ) -> Result<Session, AuthenticationError> {
        let invalid = || AuthenticationError::InvalidSessionToken;
        if token.len() > TOKEN_CHARS_MAX {
            return Err(invalid());
        }
        let opened = STANDARD.decode(token).map_err(|_| invalid())?;
        let plain = self.token_keys.open(PURPOSE, &opened).map_err(|_| invalid())?;
        let mut sealed: Sealed = rmp_serde::from_slice(&plain).map_err(|_| invalid())?;
        if sealed.access_key_id != *claim.access_key_id {
            return Err(invalid());
        }
        let secret = SecretBytes::new(std::mem::take(&mut sealed.secret));
        let terms = sealed.terms.clone();
        let key = SigningKey::derive(&secret, &claim.date, claim.region.as_str(), claim.service);
        if !key.verify(&claim.string_to_sign, &claim.signature) {
            return Err(AuthenticationError::WrongSignature);
        }
        if now >= terms.expires {
            return Err(AuthenticationError::ExpiredToken);
        }
        let (account, name) = (terms.account, terms.name.as_str());
        let unavailable = |_| AuthenticationError::Unavailable;
        let (policies_arn, id) = match terms.holder {
            Holder::Role => {
                let role = view.get::<Role>(&keys::role(account, name)).await.map_err(unavailable)?;
                let role = role.ok_or_else(invalid)?.record;
                (role.arn(account), role.facts.id.clone())
            }
            Holder::User => {
                let user = view.get::<User>(&keys::user(account, name)).await.map_err(unavailable)?;
                let user = user.ok_or_else(invalid)?.record;
                (user.arn(account), user.facts.id.clone())
            }
        };
        if id != terms.id {
            return Err(invalid());
        }
        let (arn, id) = match terms.holder {
            Holder::Role => (assumed_role_arn(account, name, &terms.session_name), role_session_id(&terms)),
            Holder::User => (policies_arn.clone(), id),
        };
        Ok(Session {
            terms,
            policies_arn: policies_arn.into(),
            arn: arn.into(),
            id: id.into(),
            access_key_id: Arc::clone(&claim.access_key_id),
        })
    }
}

pub(crate) fn assumed_role_arn(account: AccountId, role: &str, session: &str) -> String {
    format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
}

pub(crate) fn role_session_id(terms: &Terms) -> String {
    format!("{}:{}", terms.id, terms.session_name)
}

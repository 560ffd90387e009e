//! From a claim to a context, or to why not.

use std::sync::{Arc, PoisonError};

use coffer_crypto::sigv4::SigningKey;
use coffer_types::Timestamp;

use crate::core::{Core, Inner};
use crate::records::access::{DerivedKey, Entity};
use crate::records::view::View;
use crate::records::{AccessKey, User};
use crate::{AuthenticationError, Claim, Context, Principal, RequestInfo, SigV4Claim, keys};

/// How far a signature's time may lie from ours (AWS documents five minutes).
const SKEW_MILLIS_MAX: i64 = 5 * 60 * 1000;

/// Most signing keys kept of one access key: a few regions and services, and two days around midnight.
const DERIVED_KEYS_MAX: usize = 8;

impl Core {
    /// Believes a claim or refuses it. Nothing is recorded yet: what follows from it is, by
    /// [`Core::execute`] or [`Core::refuse`].
    pub async fn authenticate(
        &self,
        claim: Claim,
        request: RequestInfo,
        event_source: &'static str,
    ) -> Result<Context, AuthenticationError> {
        let inner = self.inner();
        let now = inner.clock.now();
        let believed = match claim {
            Claim::Local { uid } if uid == inner.meta.owner_uid => Ok(Context {
                principal: Principal::Local {
                    uid,
                    arn: format!("arn:aws:iam::{}:root", inner.meta.account).into(),
                },
                account: inner.meta.account,
                region: inner.meta.region.clone(),
                request,
                now,
                event_source,
            }),
            Claim::Local { uid } => Err(AuthenticationError::NotOwner { uid }),
            Claim::WebIdentity { account, token } => {
                inner.authenticate_token(account, &token, request, event_source, now).await
            }
            Claim::SigV4(claim) => inner.authenticate_signature(claim, request, event_source, now).await,
        };
        believed.inspect_err(|error| inner.metrics.disbelieve(error))
    }
}

impl Inner {
    async fn authenticate_signature(
        self: &Arc<Self>,
        claim: SigV4Claim,
        request: RequestInfo,
        event_source: &'static str,
        now: Timestamp,
    ) -> Result<Context, AuthenticationError> {
        let mut view = View::new(Arc::clone(self));
        if let Some(token) = claim.session_token.as_deref() {
            check_time(claim.signed_at, now)?;
            let session = self.session(&mut view, &claim, token, now).await?;
            let (account, region) = (session.terms.account, claim.region);
            let principal = Principal::Session(Arc::new(session));
            self.take_turn(&principal, now)?;
            return Ok(Context { principal, account, region, request, now, event_source });
        }
        let found = view.get::<AccessKey>(&keys::access_key(&claim.access_key_id)).await;
        let access_key = match found {
            Ok(Some(access_key)) if !access_key.record.is_inactive => access_key.record,
            Ok(_) => return Err(AuthenticationError::UnknownAccessKey),
            Err(_) => return Err(AuthenticationError::Unavailable),
        };
        check_time(claim.signed_at, now)?;
        self.check_signature(&access_key, &claim)?;
        let principal = match access_key.principal.get() {
            Some(principal) => principal.clone(),
            None => {
                let user = view.get::<User>(&keys::user(access_key.account, &access_key.user)).await;
                match user {
                    Ok(Some(user)) => access_key.principal(&claim.access_key_id, &user.record),
                    // The key of nobody.
                    Ok(None) => return Err(AuthenticationError::UnknownAccessKey),
                    Err(_) => return Err(AuthenticationError::Unavailable),
                }
            }
        };
        self.take_turn(&principal, now)?;
        self.key_uses.note(&access_key, &claim, now);
        Ok(Context {
            principal,
            account: access_key.account,
            region: claim.region,
            request,
            now,
            event_source,
        })
    }

    /// Whether a principal may ask again already. All sessions of a role are one: their names are the callers' choice.
    fn take_turn(&self, principal: &Principal, now: Timestamp) -> Result<(), AuthenticationError> {
        match &self.rate {
            Some(rate) if !rate.take(principal.policies_arn(), now) => Err(AuthenticationError::RateExceeded),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks the signature with the key derived for the claim's day, region and service. A derived key is kept
    /// only once something was rightly signed with it, so that a stranger can't push others out.
    fn check_signature(&self, access_key: &AccessKey, claim: &SigV4Claim) -> Result<(), AuthenticationError> {
        let known = access_key.derived_key(claim);
        let key = match &known {
            Some(key) => Arc::clone(key),
            None => {
                let context: [&[u8]; 1] = [claim.access_key_id.as_bytes()];
                let secret = self
                    .wrapping_key
                    .open_secret("access-key-secret", &context, &access_key.sealed_secret)
                    .map_err(|_| AuthenticationError::Unavailable)?;
                Arc::new(SigningKey::derive(&secret, &claim.date, claim.region.as_str(), claim.service))
            }
        };
        if !key.verify(&claim.string_to_sign, &claim.signature) {
            return Err(AuthenticationError::WrongSignature);
        }
        if known.is_none() {
            access_key.keep_derived_key(claim, key);
        }
        Ok(())
    }
}

impl AccessKey {
    /// Whom it stands for.
    fn principal(&self, access_key_id: &str, user: &User) -> Principal {
        let make = || Principal::User {
            arn: user.arn(self.account).into(),
            id: user.facts.id.as_str().into(),
            name: self.user.as_str().into(),
            access_key_id: access_key_id.into(),
        };
        self.principal.get_or_init(make).clone()
    }

    fn derived_key(&self, claim: &SigV4Claim) -> Option<Arc<SigningKey>> {
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &&DerivedKey| {
            known.date == claim.date && known.region == claim.region && known.service == claim.service
        };
        derived.iter().find(is_same).map(|known| Arc::clone(&known.key))
    }

    fn keep_derived_key(&self, claim: &SigV4Claim, key: Arc<SigningKey>) {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if derived.len() >= DERIVED_KEYS_MAX {
            derived.remove(0);
        }
        let (date, region, service) = (claim.date.clone(), claim.region.clone(), claim.service);
        derived.push(DerivedKey { date, region, service, key });
    }
}

fn check_time(signed_at: Timestamp, now: Timestamp) -> Result<(), AuthenticationError> {
    let age = now.millis_since(signed_at);
    if age > SKEW_MILLIS_MAX {
        return Err(AuthenticationError::Expired {
            signed_at: signed_at.to_amz_date(),
            earliest: now.plus_millis(-SKEW_MILLIS_MAX).to_amz_date(),
            now: now.to_amz_date(),
        });
    }
    if age < -SKEW_MILLIS_MAX {
        return Err(AuthenticationError::NotYetCurrent {
            signed_at: signed_at.to_amz_date(),
            latest: now.plus_millis(SKEW_MILLIS_MAX).to_amz_date(),
            now: now.to_amz_date(),
        });
    }
    Ok(())
}

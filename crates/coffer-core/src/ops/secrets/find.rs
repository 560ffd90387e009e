//! What the operations on secrets have in common: finding the secret a caller names.

use std::sync::Arc;

use bytes::Bytes;
use coffer_policy::Values;
use coffer_types::{AccountId, Action, Region, SecretArn, SecretId, SecretName};

use crate::authorize::{one, tag_value};
use crate::gate::{Requirement, Requirements};
use crate::records::Secret;
use crate::records::cache::Loaded;
use crate::records::view::View;
use crate::{Context, Error, keys};

/// A secret a caller named, if it is there.
pub(crate) struct FoundSecret {
    /// Where it lies, or would.
    pub(crate) key: Bytes,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: SecretName,
    pub(crate) secret: Option<Loaded<Secret>>,
}

/// Whether the record cache may answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The newest acknowledged state: right for everything that reads single records.
    Newest,
    /// The state of the snapshot: for listings, whose ranges must agree with it.
    Snapshot,
}

/// Finds the secret that `id` names. An ARN of another account or region than the request's finds nothing.
pub(crate) async fn find_secret(
    context: &Context,
    view: &mut View,
    id: &SecretId,
    freshness: Freshness,
) -> Result<FoundSecret, Error> {
    let (account, region, name) = (context.account, context.region.clone(), id.name().clone());
    let key = keys::secret(account, &region, &name);
    let is_elsewhere =
        matches!(id, SecretId::Arn { region: r, account: a, .. } if *r != region || *a != account);
    let found = match freshness {
        _ if is_elsewhere => None,
        Freshness::Newest => view.get::<Secret>(&key).await?,
        Freshness::Snapshot => view.get_from_snapshot::<Secret>(&key).await?,
    };
    let has_suffix = |secret: &Secret| match id {
        SecretId::Arn { suffix: Some(suffix), .. } => secret.suffix == *suffix,
        SecretId::Arn { suffix: None, .. } | SecretId::Name(_) => true,
    };
    let secret = found.filter(|loaded| has_suffix(&loaded.record));
    Ok(FoundSecret { key, account, region, name, secret })
}

impl FoundSecret {
    /// The secret; it must be there.
    pub(crate) fn existing(&self) -> Result<&Loaded<Secret>, Error> {
        self.secret.as_ref().ok_or(Error::SecretNotFound)
    }

    /// The secret; it must be there and not wait for its deletion.
    pub(crate) fn usable(&self) -> Result<&Loaded<Secret>, Error> {
        let secret = self.existing()?;
        match secret.record.deletion_due {
            Some(due) => Err(Error::MarkedForDeletion { due }),
            None => Ok(secret),
        }
    }

    /// The ARN of a secret that is there.
    pub(crate) fn arn_of(&self, secret: &Secret) -> SecretArn {
        secret.arn(self.account, &self.region, &self.name)
    }

    /// The permission to do something with it: on its stored ARN, with the suffix; on the ARN the caller wrote, or that of the
    /// name alone, if it is not there. A denial is the same in both cases.
    pub(crate) fn requires(&self, action: Action, id: &SecretId) -> Requirements {
        let as_supplied = id.to_shared_text();
        let resource = match (&self.secret, id) {
            (Some(secret), _) => self.arn_of(&secret.record).to_shared_text(),
            (None, SecretId::Arn { .. }) => as_supplied.clone(),
            (None, SecretId::Name(_)) => self.bare_arn(),
        };
        Requirements(vec![Requirement { action, resource, as_supplied, trust: None }])
    }

    /// The ARN that its name alone would give it: what policies see of a secret that has no suffix yet.
    pub(crate) fn bare_arn(&self) -> Arc<str> {
        let Self { account, region, name, .. } = self;
        format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}").into()
    }

    /// What a request about it says of it: which it is, and its tags.
    pub(crate) fn condition<'a>(&'a self, id: &'a SecretId, key: &str) -> Values<'a> {
        let secret = self.secret.as_ref().map(|secret| &secret.record);
        let tag =
            key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("secretsmanager:resourcetag/"));
        if let Some(tag) = tag {
            return tag_value(secret.and_then(|secret| secret.tags.as_deref()), tag);
        }
        match key {
            "secretsmanager:secretid" => match secret {
                Some(secret) => one(self.arn_of(secret).as_str().to_owned()),
                None => one(id.to_shared_text().to_string()),
            },
            _ => Values::Absent,
        }
    }
}

/// An action of Secrets Manager.
pub(crate) const fn action(name: &'static str) -> Action {
    Action::new("secretsmanager", name)
}

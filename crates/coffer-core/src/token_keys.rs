//! The keys that seal what callers keep for coffer: sessions and page cursors.
//!
//! A key that is a week old gets a successor, by maintenance; it goes on opening what it sealed until that one is replaced too, a
//! week later, when every session under it has long ended. Restoring a backup makes a new key and keeps none. Invariant: what seals is
//! in the store before anything is sealed with it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use coffer_crypto::{Key, OpenError, Random, TokenKey, WrappingKey};
use coffer_store::{Change, Guard, Write};
use coffer_types::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use crate::commit::Committed;
use crate::core::Inner;
use crate::records::TreeKey;
use crate::records::view::View;
use crate::start::TOKEN_KEY;
use crate::{Error, keys};

/// How long a key seals. The longest session is one of a day and a half.
const SEALS_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How often its age is looked at.
const LOOK_MILLIS: i64 = 60 * 60 * 1000;

/// The key that seals, and the one before, which opens.
pub(crate) struct TokenKeys(RwLock<Pair>);

struct Pair {
    present: TokenKey,
    before: Option<TokenKey>,
}

impl TokenKeys {
    pub(crate) fn new(present: Key, before: Option<Key>) -> Self {
        Self(RwLock::new(Pair { present: TokenKey::new(present), before: before.map(TokenKey::new) }))
    }

    /// The keys of a record.
    pub(crate) fn unwrap(
        wrapping_key: &WrappingKey,
        stored: &TreeKey,
    ) -> Result<(Key, Option<Key>), OpenError> {
        let unwrap = |wrapped: &Vec<u8>| wrapping_key.unwrap(TOKEN_KEY, &[], wrapped);
        Ok((unwrap(&stored.wrapped)?, stored.before.as_ref().map(unwrap).transpose()?))
    }

    pub(crate) fn seal(&self, random: &dyn Random, purpose: &str, plaintext: &[u8]) -> Vec<u8> {
        self.pair().present.seal(random, purpose, plaintext)
    }

    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let pair = self.pair();
        let opened = pair.present.open(purpose, sealed);
        match (opened, &pair.before) {
            (Err(_), Some(before)) => before.open(purpose, sealed),
            (opened, _) => opened,
        }
    }

    fn succeed(&self, key: Key) {
        let mut pair = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut pair.present, TokenKey::new(key));
        pair.before = Some(before);
    }

    fn pair(&self) -> RwLockReadGuard<'_, Pair> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes the token key's successor if it is old enough.
    pub(crate) async fn rotate_token_key_if_due(
        self: &Arc<Self>,
        looked_at: &mut Option<Timestamp>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        if looked_at.is_some_and(|before| (0..LOOK_MILLIS).contains(&now.millis_since(before))) {
            return Ok(());
        }
        let at = keys::tree_key(TOKEN_KEY);
        let stored = View::new(Arc::clone(self)).get_past_cache::<TreeKey>(&at).await?;
        let stored = stored.ok_or_else(|| Error::unavailable("the store has no token key"))?;
        if now.millis_since(stored.record.created) < SEALS_MILLIS {
            *looked_at = Some(now);
            return Ok(());
        }
        let key = Key::make(&*self.random);
        let successor = TreeKey {
            wrapped: self.wrapping_key.wrap(&*self.random, TOKEN_KEY, &[], &key),
            created: now,
            before: Some(stored.record.wrapped.clone()),
        };
        let guards = vec![Guard::At(at.clone(), stored.revision)];
        let writes = vec![Write::Put(at.clone(), self.seal_record(&at, &successor))];
        let data = json!({"made": stored.record.created.to_string()});
        let record = self.service_record("RotateTokenKey", &data).into_body();
        match self.commit_recorded(Change { guards, writes }, record).await {
            Committed::Landed => {
                self.token_keys.succeed(key);
                *looked_at = Some(now);
                Ok(())
            }
            Committed::Conflict => Ok(()),
            Committed::Failed(cause) | Committed::Unknown(cause) => Err(Error::unavailable(cause)),
        }
    }
}

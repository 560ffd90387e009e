//! Going through the secrets of an account and region, a page at a time: what ListSecrets does, and every other
//! operation that takes filters.
//!
//! How each order is had:
//!
//! - by creation: the creation index, and by name: the secrets' own keys. A page reads what it shows and one more, so it
//!   costs the same however many secrets there are. With filters it reads on until it is full, but looks at no more than
//!   `LOOKED_AT_MAX` secrets and does no more comparing than `COST_MAX`; then it ends early with a cursor, which AWS
//!   allows even for an empty page.
//! - by last change and by last read: a page goes through all secrets, and keeps the best after the cursor, one page of
//!   them. An index would have to be moved by every write of every operation, and once a day by reads, and would cost each
//!   write two more keys for the sake of a rare listing. So a page costs time in proportion to the number of secrets, and
//!   memory of one page; it lets others run every so often, and no more than `WALKS_MAX` such pages are made at once.
//!
//! A cursor is good for the listing that made it only: for the same filters, order and choice of secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use coffer_store::{KeyRange, Order};
use coffer_types::{Filter, SecretName, Timestamp};

use super::SortBy;
use crate::access::{WHOLE_SECRET, last_access};
use crate::filters::Filters;
use crate::records::view::{View, let_others_run, successor};
use crate::records::{CreationIndex, Secret};
use crate::{Context, Error, keys};

/// How many secrets one page with filters looks at, in an order that has an index.
const LOOKED_AT_MAX: usize = 1000;
/// How much comparing one page does, in the unit of [`Filters::cost`]: some tens of milliseconds.
const COST_MAX: usize = 16 * 1024 * 1024;
/// How many pages that go through all secrets, or through all of a kind of something else, are made at once. More wait: they
/// would make each other slower, and everybody else.
pub(crate) const WALKS_MAX: usize = 2;
/// After so much comparing others run: about a millisecond.
const TURN_COST: usize = 512 * 1024;
/// How many secrets are read at a time where it is not known how many will be shown.
const BATCH: usize = 128;

/// What to go through, and in which order.
pub(super) struct Listing<'a> {
    /// The operation's name: another's cursor is none of ours.
    pub(super) operation: &'static str,
    pub(super) filters: &'a [Filter],
    pub(super) include_planned_deletion: bool,
    pub(super) sort_by: SortBy,
    pub(super) descending: bool,
    pub(super) max_results: u32,
    pub(super) next_token: Option<&'a str>,
}

/// A page, and where the next begins.
pub(super) struct Page {
    pub(super) secrets: Vec<Listed>,
    pub(super) next_token: Option<String>,
}

/// A secret of a page.
pub(super) struct Listed {
    pub(super) name: SecretName,
    pub(super) secret: Arc<Secret>,
}

/// An entry of a range, and the key that a cursor after it holds.
struct Entry {
    key: Bytes,
    listed: Option<Listed>,
}

impl Listing<'_> {
    /// The page after the cursor.
    pub(super) async fn page(&self, context: &Context, view: &mut View) -> Result<Page, Error> {
        match self.sort_by {
            SortBy::CreatedDate => {
                self.in_key_order(context, view, keys::creations(context.account, &context.region)).await
            }
            SortBy::Name => {
                self.in_key_order(context, view, keys::secrets(context.account, &context.region)).await
            }
            SortBy::LastChangedDate | SortBy::LastAccessedDate => self.by_date(context, view).await,
        }
    }

    async fn in_key_order(&self, context: &Context, view: &mut View, all: KeyRange) -> Result<Page, Error> {
        let filters = Filters::new(self.filters);
        let (wanted, order, cursor_of) = (self.max_results as usize, self.order(), self.cursor_of());
        let mut range = view.inner().range_after(context, &cursor_of, all, order, self.next_token)?;
        let mut secrets: Vec<Listed> = Vec::new();
        let mut last: Option<Bytes> = None;
        let (mut looked_at, mut cost, mut turn) = (0, 0, Turn::default());
        let is_at_end = 'pages: loop {
            let limit = if filters.is_empty() { (wanted - secrets.len()).max(1) } else { BATCH };
            let entries = self.entries(context, view, range.clone(), limit).await?;
            let is_last_batch = entries.len() < limit;
            for Entry { key, listed } in entries {
                if secrets.len() >= wanted || looked_at >= LOOKED_AT_MAX || cost >= COST_MAX {
                    break 'pages false;
                }
                match order {
                    Order::Ascending => range.start = successor(&key),
                    Order::Descending => range.end = Some(key.clone()),
                }
                last = Some(key);
                looked_at += 1;
                let Some(listed) = listed else { continue };
                let cost_here = filters.cost(&listed.name, &listed.secret);
                cost += cost_here;
                turn.spend(cost_here).await;
                if self.shows(&listed, &filters) {
                    secrets.push(listed);
                }
            }
            if is_last_batch {
                break true;
            }
            if secrets.len() >= wanted || looked_at >= LOOKED_AT_MAX || cost >= COST_MAX {
                break self.entries(context, view, range.clone(), 1).await?.is_empty();
            }
            let_others_run().await;
        };
        let cursor_key = last.filter(|_| !is_at_end);
        let next_token = cursor_key.map(|key| view.inner().make_cursor(context, &cursor_of, &key));
        Ok(Page { secrets, next_token })
    }

    /// At most `limit` entries of a range of secrets, or of the index that leads to them.
    async fn entries(
        &self,
        context: &Context,
        view: &mut View,
        range: KeyRange,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let (account, region) = (context.account, &context.region);
        if self.sort_by != SortBy::CreatedDate {
            let secrets = view.range::<Secret>(range, self.order(), limit).await?;
            let entry = |(key, loaded): (Bytes, crate::records::cache::Loaded<Secret>)| {
                let listed = keys::name_of_secret(account, region, &key)
                    .map(|name| Listed { name, secret: loaded.record });
                Entry { key, listed }
            };
            return Ok(secrets.into_iter().map(entry).collect());
        }
        let index = view.range::<CreationIndex>(range, self.order(), limit).await?;
        let mut entries = Vec::with_capacity(index.len());
        for (key, indexed) in index {
            let name = indexed.record.name.clone();
            let secret = view.get_past_cache::<Secret>(&keys::secret(account, region, &name)).await?;
            let listed = secret.map(|loaded| Listed { name, secret: loaded.record });
            entries.push(Entry { key, listed });
        }
        Ok(entries)
    }

    /// Goes through all secrets, and keeps the first page after the cursor.
    async fn by_date(&self, context: &Context, view: &mut View) -> Result<Page, Error> {
        let inner = Arc::clone(view.inner());
        let _permit = inner.walk_permits.acquire().await;
        let filters = Filters::new(self.filters);
        let (wanted, cursor_of) = (self.max_results as usize, self.cursor_of());
        let after = self.next_token.map(|cursor| view.inner().open_cursor(context, &cursor_of, cursor));
        let after = after.transpose()?.map(|opened| Rank::from_bytes(&opened)).transpose()?;
        let is_before = |one: &Rank, other: &Rank| if self.descending { one > other } else { one < other };
        let mut best: BTreeMap<Rank, Listed> = BTreeMap::new();
        let (mut is_at_end, mut turn) = (true, Turn::default());
        let mut range = keys::secrets(context.account, &context.region);
        loop {
            let entries = self.entries(context, view, range.clone(), BATCH).await?;
            let is_last_batch = entries.len() < BATCH;
            for Entry { key, listed } in entries {
                match self.order() {
                    Order::Ascending => range.start = successor(&key),
                    Order::Descending => range.end = Some(key),
                }
                let Some(listed) = listed else { continue };
                turn.spend(filters.cost(&listed.name, &listed.secret)).await;
                if !self.shows(&listed, &filters) {
                    continue;
                }
                let rank =
                    Rank { date: self.date_of(view, &listed.secret).await?, name: listed.name.clone() };
                if after.as_ref().is_some_and(|after| !is_before(after, &rank)) {
                    continue;
                }
                best.insert(rank, listed);
                if best.len() > wanted {
                    is_at_end = false;
                    if self.descending {
                        best.pop_first()
                    } else {
                        best.pop_last()
                    };
                }
            }
            if is_last_batch {
                break;
            }
            let_others_run().await;
        }
        let last = if self.descending { best.keys().next() } else { best.keys().next_back() };
        let last = last.filter(|_| !is_at_end).map(Rank::to_bytes);
        let next_token = last.map(|last| view.inner().make_cursor(context, &cursor_of, &last));
        let mut secrets: Vec<Listed> = best.into_values().collect();
        if self.descending {
            secrets.reverse();
        }
        Ok(Page { secrets, next_token })
    }

    /// The date a secret is sorted by, in one of the orders that have no index.
    async fn date_of(&self, view: &mut View, secret: &Secret) -> Result<Option<Timestamp>, Error> {
        match self.sort_by {
            SortBy::LastAccessedDate => last_access(view, secret.uid, WHOLE_SECRET).await,
            SortBy::CreatedDate | SortBy::LastChangedDate | SortBy::Name => Ok(Some(secret.last_changed)),
        }
    }

    fn order(&self) -> Order {
        if self.descending { Order::Descending } else { Order::Ascending }
    }

    fn shows(&self, listed: &Listed, filters: &Filters) -> bool {
        (self.include_planned_deletion || listed.secret.deletion_due.is_none())
            && filters.admit(&listed.name, &listed.secret)
    }

    /// What a cursor is bound to: everything that decides which secrets come, and in which order.
    fn cursor_of(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        let deleted = if self.include_planned_deletion { "with deleted" } else { "without deleted" };
        let mut text = format!("{} {} {direction} {deleted}", self.operation, self.sort_by.as_str());
        for filter in self.filters {
            // No value holds a quote or a line break, so two lists of filters never read the same.
            text.push('\n');
            text.push_str(filter.key().as_str());
            for value in filter.values() {
                text.push_str(&format!(" \"{value}\""));
            }
        }
        text
    }
}

/// Where a secret stands in an order by date: secrets of the same date stand by name, those without one come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    date: Option<Timestamp>,
    name: SecretName,
}

impl Rank {
    /// A byte that tells whether there is a date, the date's milliseconds, and the name.
    fn to_bytes(&self) -> Bytes {
        let mut bytes = vec![u8::from(self.date.is_some())];
        bytes.extend_from_slice(&self.date.unwrap_or_default().as_millis().to_be_bytes());
        bytes.extend_from_slice(self.name.as_str().as_bytes());
        bytes.into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (has_date, rest) = bytes.split_first().ok_or(Error::InvalidNextToken)?;
        let (millis, name) = rest.split_first_chunk::<8>().ok_or(Error::InvalidNextToken)?;
        let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        let date = Timestamp::from_millis(i64::from_be_bytes(*millis));
        Ok(Self { date: (*has_date == 1).then_some(date), name: name.ok_or(Error::InvalidNextToken)? })
    }
}

/// How much was compared since others ran.
#[derive(Default)]
struct Turn {
    spent: usize,
}

impl Turn {
    /// Lets others run before what costs this much, if it is time to.
    async fn spend(&mut self, cost: usize) {
        self.spent = self.spent.saturating_add(cost);
        if self.spent >= TURN_COST {
            self.spent = 0;
            let_others_run().await;
        }
    }
}

//! Page cursors: where a listing goes on, sealed so that a caller can neither read nor make one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use coffer_store::{KeyRange, Order};
use coffer_types::limits::NEXT_TOKEN_CHARS_MAX;

use crate::core::Inner;
use crate::records::view::successor;
use crate::{Context, Error};

impl Inner {
    /// A cursor after `last`, good for the same listing of the same caller's account and region only.
    pub(crate) fn make_cursor(&self, context: &Context, listing: &str, last: &Bytes) -> String {
        URL_SAFE_NO_PAD.encode(self.token_keys.seal(&*self.random, &purpose(context, listing), last))
    }

    /// The part of a listing's range that lies after a cursor.
    pub(crate) fn range_after(
        &self,
        context: &Context,
        listing: &str,
        mut range: KeyRange,
        order: Order,
        cursor: Option<&str>,
    ) -> Result<KeyRange, Error> {
        let Some(cursor) = cursor else { return Ok(range) };
        let last = self.open_cursor(context, listing, cursor)?;
        match order {
            Order::Ascending => range.start = successor(&last),
            Order::Descending => range.end = Some(last),
        }
        Ok(range)
    }

    /// What a cursor was made after.
    pub(crate) fn open_cursor(&self, context: &Context, listing: &str, cursor: &str) -> Result<Bytes, Error> {
        if cursor.len() > NEXT_TOKEN_CHARS_MAX {
            return Err(Error::InvalidNextToken);
        }
        let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::InvalidNextToken)?;
        let opened = self.token_keys.open(&purpose(context, listing), &sealed);
        opened.map(|opened| Bytes::copy_from_slice(&opened)).map_err(|_| Error::InvalidNextToken)
    }
}

fn purpose(context: &Context, listing: &str) -> String {
    format!("cursor {} {} {listing}", context.account, context.region)
}

//! The operations on credentials. Their parameters and answers stand here, together; each operation's rules stand in a file
//! of its own below.

use std::sync::Arc;

use coffer_types::AccountId;

mod get_caller_identity;

/// Tells the caller who it is.
pub struct GetCallerIdentity;

/// Who the caller is.
pub struct CallerIdentity {
    /// Its unique id: a user's own, or the account's for its owner.
    pub user_id: String,
    /// Its account.
    pub account: AccountId,
    /// Its ARN.
    pub arn: Arc<str>,
}

//! Telling the caller who it is. It needs no permission, and no policy can deny it, as in AWS.

use coffer_audit::Members;

use super::{CallerIdentity, GetCallerIdentity};
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error, Principal};

impl Operation for GetCallerIdentity {
    type Found = ();
    type Output = CallerIdentity;
    const NAME: OperationName = OperationName { name: "GetCallerIdentity", read_only: true };
    const IS_FOR_EVERYBODY: bool = true;

    fn parameters(&self, _: &mut Members<'_>) {}

    async fn find(&self, _: &Context, _: &mut View) -> Result<(), Error> {
        Ok(())
    }

    fn requires(&self, _: &Context, (): &()) -> Requirements {
        Requirements(Vec::new())
    }

    fn run(&self, context: &Context, _: Grant<()>, _: &mut Transaction<'_>) -> Result<CallerIdentity, Error> {
        let user_id = match &context.principal {
            Principal::User { id, .. } => id.to_string(),
            Principal::Session(session) => session.id.to_string(),
            Principal::WebIdentity(identity) => identity.id(),
            Principal::Local { .. } => context.account.to_string(),
        };
        Ok(CallerIdentity { user_id, account: context.account, arn: context.principal.shared_arn() })
    }
}

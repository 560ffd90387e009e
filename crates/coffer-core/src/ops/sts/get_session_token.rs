//! Credentials of a user's that end. It needs no permission, as in AWS: they can do no more than the user.

use coffer_audit::Members;

use super::{GetSessionToken, SessionToken};
use crate::error::IamError;
use crate::gate::{Grant, Operation, OperationName, Requirements};
use crate::records::view::View;
use crate::session::{Holder, Terms};
use crate::transaction::Transaction;
use crate::{Context, Error, Principal};

impl Operation for GetSessionToken {
    type Found = ();
    type Output = SessionToken;
    const NAME: OperationName = OperationName { name: "GetSessionToken", read_only: true };
    const IS_FOR_EVERYBODY: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        members.json("durationSeconds", self.seconds);
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<(), Error> {
        Ok(())
    }

    fn requires(&self, _: &Context, (): &()) -> Requirements {
        Requirements(Vec::new())
    }

    fn run(
        &self,
        context: &Context,
        _: Grant<()>,
        transaction: &mut Transaction<'_>,
    ) -> Result<SessionToken, Error> {
        let Principal::User { name, id, .. } = &context.principal else {
            let text = "Cannot call GetSessionToken with session credentials";
            return Err(IamError::NotForSessions(text.to_owned()).into());
        };
        let now = transaction.now();
        let terms = Terms {
            account: context.account,
            holder: Holder::User,
            name: name.to_string(),
            id: id.to_string(),
            session_name: String::new(),
            issued: now,
            expires: now.plus_millis(i64::from(self.seconds) * 1000),
            tags: Vec::new(),
            transitive: Vec::new(),
            source_identity: None,
            policy: None,
            policy_arns: Vec::new(),
            federated: None,
        };
        Ok(SessionToken(transaction.issue(terms)?))
    }

    fn response(output: &SessionToken, members: &mut Members<'_>) {
        members.object("credentials", |members| {
            members.text("accessKeyId", &output.0.access_key_id);
            members.text("expiration", output.0.expires.to_rfc3339_seconds());
        });
    }
}

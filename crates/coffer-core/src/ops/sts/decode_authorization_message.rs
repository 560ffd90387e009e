//! What an encoded denial says. Services of AWS's encode why they deny; coffer says it in words and in the audit log, and encodes
//! nothing. So whoever may ask is told that what they have is no message, as AWS tells it of those that it did not make.

use coffer_audit::Members;
use coffer_types::Action;

use super::{DecodeAuthorizationMessage, DecodedMessage};
use crate::error::IamError;
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

impl Operation for DecodeAuthorizationMessage {
    type Found = ();
    type Output = DecodedMessage;
    const NAME: OperationName = OperationName { name: "DecodeAuthorizationMessage", read_only: true };

    fn parameters(&self, _: &mut Members<'_>) {}

    async fn find(&self, _: &Context, _: &mut View) -> Result<(), Error> {
        Ok(())
    }

    fn requires(&self, _: &Context, (): &()) -> Requirements {
        let action = Action::new("sts", Self::NAME.name);
        Requirements(vec![Requirement { action, resource: "*".into(), as_supplied: "*".into(), trust: None }])
    }

    fn run(&self, _: &Context, _: Grant<()>, _: &mut Transaction<'_>) -> Result<DecodedMessage, Error> {
        Err(IamError::InvalidAuthorizationMessage.into())
    }
}

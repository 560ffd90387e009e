//! Making a random password.

use coffer_audit::Members;

use super::find::action;
use super::{GetRandomPassword, RandomPassword};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

impl Operation for GetRandomPassword {
    type Found = ();
    type Output = RandomPassword;
    const NAME: OperationName = OperationName { name: "GetRandomPassword", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        let rules = &self.rules;
        members.json("passwordLength", rules.length);
        let excluded = Some(&rules.exclude_characters).filter(|excluded| !excluded.is_empty());
        members.optional_text("excludeCharacters", excluded);
        members.json("excludeNumbers", rules.exclude_numbers);
        members.json("excludePunctuation", rules.exclude_punctuation);
        members.json("excludeUppercase", rules.exclude_uppercase);
        members.json("excludeLowercase", rules.exclude_lowercase);
        members.json("includeSpace", rules.include_space);
        members.json("requireEachIncludedType", rules.require_each_included_type);
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<(), Error> {
        Ok(())
    }

    fn requires(&self, _: &Context, (): &()) -> Requirements {
        Requirements(vec![Requirement {
            action: action("GetRandomPassword"),
            resource: "*".into(),
            as_supplied: "*".into(),
            trust: None,
        }])
    }

    fn run(
        &self,
        _: &Context,
        _: Grant<()>,
        transaction: &mut Transaction<'_>,
    ) -> Result<RandomPassword, Error> {
        let password = self.rules.make(transaction.random());
        let password = password.map_err(|error| Error::InvalidParameter(error.to_string()))?;
        Ok(RandomPassword { password })
    }
}

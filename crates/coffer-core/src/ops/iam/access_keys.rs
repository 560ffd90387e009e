//! Access keys.

use coffer_audit::Members;
use coffer_types::iam_limits::ACCESS_KEYS_PER_USER_MAX;

use super::directory::{
    About, Directory, DirectoryOperation, Through, check_quota, paginate, user_or_caller,
};
use super::{
    CreateAccessKey, CreatedAccessKey, DeleteAccessKey, DescribedKey, Done, ListAccessKeys, Paged,
    UpdateAccessKey,
};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::AccessKey;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

impl Directory {
    fn access_keys_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = (&'a String, &'a AccessKey)> {
        self.access_keys.iter().filter(move |(_, key)| key.user == user).map(|(id, key)| (id, key.as_ref()))
    }

    fn access_key(&self, user: &str, id: &str) -> Result<&AccessKey, Error> {
        self.user(user)?;
        let found = self.access_keys.get(id).filter(|key| key.user == user).map(AsRef::as_ref);
        found.ok_or_else(|| {
            IamError::NoSuchEntity(format!("The Access Key with id {id} cannot be found.")).into()
        })
    }
}

fn describe(id: &str, key: &AccessKey) -> DescribedKey {
    DescribedKey {
        id: id.to_owned(),
        user: key.user.clone(),
        is_active: !key.is_inactive,
        created: key.created,
    }
}

impl DirectoryOperation for CreateAccessKey {
    type Output = CreatedAccessKey;
    const NAME: OperationName = OperationName { name: "CreateAccessKey", read_only: false };
    const THROUGH: &'static [Through] = &[Through::AccessKeys];

    fn about(&self, context: &Context) -> About {
        About::user_or_caller(context, self.user.as_ref())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("userName", self.user.as_ref());
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<CreatedAccessKey, Error> {
        let name = user_or_caller(context, self.user.as_ref())?;
        let user = directory.user(&name)?;
        let count = directory.access_keys_of(&name).count();
        check_quota(count + 1, "AccessKeysPerUser", ACCESS_KEYS_PER_USER_MAX)?;
        let (id, secret, sealed_secret) = transaction.make_access_key();
        let key = AccessKey {
            account: directory.account,
            user: user.facts.name.clone(),
            sealed_secret,
            created: transaction.now(),
            is_inactive: false,
            derived: Default::default(),
            noted_at: Default::default(),
            principal: Default::default(),
        };
        transaction.replace(keys::access_key(&id), None, &key);
        Ok(CreatedAccessKey { key: describe(&id, &key), secret })
    }

    fn response(output: &CreatedAccessKey, members: &mut Members<'_>) {
        members.object("accessKey", |members| {
            members.text("accessKeyId", &output.key.id);
            members.text("status", "Active");
            members.text("userName", &output.key.user);
        });
    }
}

impl DirectoryOperation for UpdateAccessKey {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "UpdateAccessKey", read_only: false };
    const THROUGH: &'static [Through] = &[Through::AccessKeys];

    fn about(&self, context: &Context) -> About {
        About::user_or_caller(context, self.user.as_ref())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("userName", self.user.as_ref());
        members.text("accessKeyId", &self.id);
        members.text("status", if self.is_active { "Active" } else { "Inactive" });
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let user = user_or_caller(context, self.user.as_ref())?;
        let mut key = directory.access_key(&user, &self.id)?.anew();
        key.is_inactive = !self.is_active;
        transaction.put(keys::access_key(&self.id), &key);
        Ok(Done)
    }
}

impl DirectoryOperation for DeleteAccessKey {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteAccessKey", read_only: false };
    const THROUGH: &'static [Through] = &[Through::AccessKeys];

    fn about(&self, context: &Context) -> About {
        About::user_or_caller(context, self.user.as_ref())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("userName", self.user.as_ref());
        members.text("accessKeyId", &self.id);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.access_key(&user_or_caller(context, self.user.as_ref())?, &self.id)?;
        transaction.remove_with_its_owner(keys::access_key(&self.id));
        transaction.remove_with_its_owner(keys::last_use(&self.id));
        Ok(Done)
    }
}

impl DirectoryOperation for ListAccessKeys {
    type Output = Paged<DescribedKey>;
    const NAME: OperationName = OperationName { name: "ListAccessKeys", read_only: true };
    const THROUGH: &'static [Through] = &[Through::AccessKeys];

    fn about(&self, context: &Context) -> About {
        About::user_or_caller(context, self.user.as_ref())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.optional_text("userName", self.user.as_ref());
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let name = user_or_caller(context, self.user.as_ref())?;
        let user = directory.user(&name)?;
        let found =
            directory.access_keys_of(&user.facts.name).map(|(id, key)| (id.clone(), describe(id, key)));
        paginate(context, transaction, "ListAccessKeys", &self.page, found)
    }
}

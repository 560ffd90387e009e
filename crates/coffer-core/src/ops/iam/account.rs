//! The account's other name, and what is in it.

use coffer_audit::Members;
use coffer_types::iam_limits::{
    ACCESS_KEYS_PER_USER_MAX, ATTACHED_POLICIES_MAX, GROUP_POLICIES_CHARS_MAX, GROUPS_MAX,
    GROUPS_PER_USER_MAX, POLICIES_MAX, POLICY_CHARS_MAX, ROLE_POLICIES_CHARS_MAX, ROLES_MAX,
    TRUST_POLICY_CHARS_MAX, USER_POLICIES_CHARS_MAX, USERS_MAX, VERSIONS_PER_POLICY_MAX,
};

use super::directory::{About, Directory, DirectoryOperation, Through};
use super::{
    AccountAliases, AccountSummary, CreateAccountAlias, DeleteAccountAlias, Done, GetAccountSummary,
    ListAccountAliases,
};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::AccountAlias;
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

impl DirectoryOperation for CreateAccountAlias {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "CreateAccountAlias", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("accountAlias", &self.alias);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let alias = AccountAlias { alias: self.alias.clone() };
        transaction.put(keys::account_alias(directory.account), &alias);
        Ok(Done)
    }
}

impl DirectoryOperation for DeleteAccountAlias {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteAccountAlias", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("accountAlias", &self.alias);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        if directory.alias.as_ref().is_none_or(|alias| alias.alias != self.alias) {
            let text = format!("The account alias {} cannot be found.", self.alias);
            return Err(IamError::NoSuchEntity(text).into());
        }
        transaction.remove_with_its_owner(keys::account_alias(directory.account));
        Ok(Done)
    }
}

impl DirectoryOperation for ListAccountAliases {
    type Output = AccountAliases;
    const NAME: OperationName = OperationName { name: "ListAccountAliases", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, _: &mut Members<'_>) {}

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<AccountAliases, Error> {
        Ok(AccountAliases(directory.alias.as_ref().map(|alias| alias.alias.clone())))
    }
}

impl DirectoryOperation for GetAccountSummary {
    type Output = AccountSummary;
    const NAME: OperationName = OperationName { name: "GetAccountSummary", read_only: true };
    const THROUGH: &'static [Through] =
        &[Through::Users, Through::Groups, Through::Roles, Through::Policies, Through::Providers];

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, _: &mut Members<'_>) {}

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<AccountSummary, Error> {
        let versions: usize = directory.policies.values().map(|policy| policy.versions.len()).sum();
        Ok(AccountSummary(vec![
            ("AccessKeysPerUserQuota", ACCESS_KEYS_PER_USER_MAX),
            ("AssumeRolePolicySizeQuota", TRUST_POLICY_CHARS_MAX),
            ("AttachedPoliciesPerGroupQuota", ATTACHED_POLICIES_MAX),
            ("AttachedPoliciesPerRoleQuota", ATTACHED_POLICIES_MAX),
            ("AttachedPoliciesPerUserQuota", ATTACHED_POLICIES_MAX),
            ("GroupPolicySizeQuota", GROUP_POLICIES_CHARS_MAX),
            ("Groups", directory.groups.len()),
            ("GroupsPerUserQuota", GROUPS_PER_USER_MAX),
            ("GroupsQuota", GROUPS_MAX),
            ("Policies", directory.policies.len()),
            ("PoliciesQuota", POLICIES_MAX),
            ("PolicySizeQuota", POLICY_CHARS_MAX),
            ("PolicyVersionsInUse", versions),
            ("Providers", directory.providers.len()),
            ("RolePolicySizeQuota", ROLE_POLICIES_CHARS_MAX),
            ("Roles", directory.roles.len()),
            ("RolesQuota", ROLES_MAX),
            ("UserPolicySizeQuota", USER_POLICIES_CHARS_MAX),
            ("Users", directory.users.len()),
            ("UsersQuota", USERS_MAX),
            ("VersionsPerPolicyQuota", VERSIONS_PER_POLICY_MAX),
        ]))
    }
}

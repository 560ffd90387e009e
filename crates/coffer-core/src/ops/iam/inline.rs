//! Policies of a user's, group's or role's own.

use std::marker::PhantomData;

use coffer_audit::Members;
use coffer_policy::DocumentKind;
use coffer_types::iam_limits::{GROUP_POLICIES_CHARS_MAX, ROLE_POLICIES_CHARS_MAX, USER_POLICIES_CHARS_MAX};

use super::directory::{About, Directory, DirectoryOperation, Kind, OfKind, paginate};
use super::documents;
use super::{
    DeleteInlinePolicy, Done, GetInlinePolicy, InlinePolicy, ListInlinePolicies, PolicyNames, PutPolicy,
};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// A name for each kind of holder; managed policies hold none.
macro_rules! name {
    ($user:literal, $group:literal, $role:literal, $read_only:literal) => {
        OperationName {
            name: match K::KIND {
                Kind::User | Kind::Policy | Kind::OidcProvider => $user,
                Kind::Group => $group,
                Kind::Role => $role,
            },
            read_only: $read_only,
        }
    };
}

fn no_such_policy(kind: Kind, name: &str) -> Error {
    let noun = kind.noun();
    IamError::NoSuchEntity(format!("The {noun} policy with name {name} cannot be found.")).into()
}

impl<K: OfKind> DirectoryOperation for PutPolicy<K> {
    type Output = Done;
    const NAME: OperationName = name!("PutUserPolicy", "PutGroupPolicy", "PutRolePolicy", false);
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("policyName", &self.name);
        members.document("policyDocument", &self.document);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let holder = self.holder.as_str();
        let mut policies = directory.policies_of(K::KIND, holder)?;
        documents::check(&self.document, DocumentKind::Inline)?;
        policies.inline.insert(self.name.to_string(), self.document.clone());
        let max = match K::KIND {
            Kind::User | Kind::Policy | Kind::OidcProvider => USER_POLICIES_CHARS_MAX,
            Kind::Group => GROUP_POLICIES_CHARS_MAX,
            Kind::Role => ROLE_POLICIES_CHARS_MAX,
        };
        let length: usize = policies.inline.values().map(|document| documents::length(document)).sum();
        if length > max {
            let noun = K::KIND.noun();
            let text = format!("Maximum policy size of {max} bytes exceeded for {noun} {holder}");
            return Err(IamError::LimitExceeded(text).into());
        }
        directory.set_policies(transaction, K::KIND, holder, policies)?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for GetInlinePolicy<K> {
    type Output = InlinePolicy<K>;
    const NAME: OperationName = name!("GetUserPolicy", "GetGroupPolicy", "GetRolePolicy", true);

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("policyName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let policies = directory.policies_of(K::KIND, self.holder.as_str())?;
        let document = policies.inline.get(self.name.as_str());
        Ok(InlinePolicy {
            holder: self.holder.to_string(),
            name: self.name.to_string(),
            document: document.ok_or_else(|| no_such_policy(K::KIND, self.name.as_str()))?.clone(),
            kind: PhantomData,
        })
    }
}

impl<K: OfKind> DirectoryOperation for DeleteInlinePolicy<K> {
    type Output = Done;
    const NAME: OperationName = name!("DeleteUserPolicy", "DeleteGroupPolicy", "DeleteRolePolicy", false);
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("policyName", &self.name);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let holder = self.holder.as_str();
        let mut policies = directory.policies_of(K::KIND, holder)?;
        let removed = policies.inline.remove(self.name.as_str());
        removed.ok_or_else(|| no_such_policy(K::KIND, self.name.as_str()))?;
        directory.set_policies(transaction, K::KIND, holder, policies)?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for ListInlinePolicies<K> {
    type Output = PolicyNames;
    const NAME: OperationName = name!("ListUserPolicies", "ListGroupPolicies", "ListRolePolicies", true);

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<PolicyNames, Error> {
        let policies = directory.policies_of(K::KIND, self.holder.as_str())?;
        let names = policies.inline.keys().map(|name| (name.clone(), name.clone()));
        let name = <Self as DirectoryOperation>::NAME.name;
        paginate(context, transaction, name, &self.page, names).map(PolicyNames)
    }
}

//! Managed policies of users, groups and roles.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::PolicyArn;
use coffer_types::iam_limits::ATTACHED_POLICIES_MAX;

use super::directory::{About, Directory, DirectoryOperation, Kind, OfKind, check_quota, paginate};
use super::{AttachPolicy, AttachedPolicies, DetachPolicy, Done, ListAttachedPolicies};
use crate::authorize::one;
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

impl<K: OfKind> DirectoryOperation for AttachPolicy<K> {
    type Output = Done;
    const NAME: OperationName = name!("AttachUserPolicy", "AttachGroupPolicy", "AttachRolePolicy", false);
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        vec![(Kind::Policy, self.policy.name.to_string())]
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("policyArn", &self.policy);
    }

    fn condition<'a>(&'a self, key: &str) -> Values<'a> {
        match key {
            "iam:policyarn" => one(self.policy.as_str()),
            _ => Values::Absent,
        }
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let holder = self.holder.as_str();
        let mut policies = directory.policies_of(K::KIND, holder)?;
        let arn = &self.policy;
        if super::find_aws_policy(arn.as_str()).is_none() && directory.policy(arn).is_err() {
            let text = format!("Policy {arn} does not exist or is not attachable.");
            return Err(IamError::NoSuchEntity(text).into());
        }
        if policies.attached.insert(arn.to_string()) {
            let quota = match K::KIND {
                Kind::User | Kind::Policy | Kind::OidcProvider => "PoliciesPerUser",
                Kind::Group => "PoliciesPerGroup",
                Kind::Role => "PoliciesPerRole",
            };
            check_quota(policies.attached.len(), quota, ATTACHED_POLICIES_MAX)?;
            directory.set_policies(transaction, K::KIND, holder, policies)?;
        }
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for DetachPolicy<K> {
    type Output = Done;
    const NAME: OperationName = name!("DetachUserPolicy", "DetachGroupPolicy", "DetachRolePolicy", false);
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("policyArn", &self.policy);
    }

    fn condition<'a>(&'a self, key: &str) -> Values<'a> {
        match key {
            "iam:policyarn" => one(self.policy.as_str()),
            _ => Values::Absent,
        }
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let holder = self.holder.as_str();
        let mut policies = directory.policies_of(K::KIND, holder)?;
        if !policies.attached.remove(self.policy.as_str()) {
            let text = format!("Policy {} was not found.", self.policy);
            return Err(IamError::NoSuchEntity(text).into());
        }
        directory.set_policies(transaction, K::KIND, holder, policies)?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for ListAttachedPolicies<K> {
    type Output = AttachedPolicies;
    const NAME: OperationName =
        name!("ListAttachedUserPolicies", "ListAttachedGroupPolicies", "ListAttachedRolePolicies", true);

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
    ) -> Result<AttachedPolicies, Error> {
        let policies = directory.policies_of(K::KIND, self.holder.as_str())?;
        let attached = policies.attached.iter().filter_map(|text| {
            let arn: PolicyArn = text.parse().ok()?;
            let (_, path) = text.split_once(":policy")?;
            path.starts_with(&self.path_prefix).then(|| (text.clone(), (arn.name.to_string(), text.clone())))
        });
        let name = <Self as DirectoryOperation>::NAME.name;
        paginate(context, transaction, name, &self.page, attached).map(AttachedPolicies)
    }
}

//! Managed policies and their versions.

use std::collections::BTreeMap;

use coffer_audit::Members;
use coffer_policy::DocumentKind;
use coffer_types::iam_limits::{POLICIES_MAX, VERSIONS_PER_POLICY_MAX};
use coffer_types::{PolicyArn, Tag, Timestamp};

use super::aws_policies::{self, AwsPolicy};
use super::directory::{About, Directory, DirectoryOperation, Kind, Through, check_free, paginate};
use super::documents;
use super::users::{facts, write_described, write_tags};
use super::{
    CreatePolicy, CreatePolicyVersion, DeletePolicy, DeletePolicyVersion, Described, DescribedPolicy,
    DescribedVersion, Done, GetPolicy, GetPolicyVersion, ListEntitiesForPolicy, ListPolicies,
    ListPolicyVersions, Paged, PolicyEntities, PolicyScope, SetDefaultPolicyVersion,
};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::ManagedPolicy;
use crate::records::access::{Facts, IdOf, Policies, PolicyVersion};
use crate::transaction::Transaction;
use crate::{Context, Error};

/// All that can have a policy.
const HOLDERS: &[Through] = &[Through::Users, Through::Groups, Through::Roles];

/// Somebody who can have a policy.
struct Holder<'a> {
    kind: Kind,
    facts: &'a Facts,
    policies: &'a Policies,
    boundary: Option<&'a str>,
}

impl Directory {
    fn holders(&self) -> impl Iterator<Item = Holder<'_>> {
        let users = self.users.values().map(|user| Holder {
            kind: Kind::User,
            facts: &user.facts,
            policies: &user.policies,
            boundary: user.boundary.as_deref(),
        });
        let groups = self.groups.values().map(|group| Holder {
            kind: Kind::Group,
            facts: &group.facts,
            policies: &group.policies,
            boundary: None,
        });
        let roles = self.roles.values().map(|role| Holder {
            kind: Kind::Role,
            facts: &role.facts,
            policies: &role.policies,
            boundary: role.boundary.as_deref(),
        });
        users.chain(groups).chain(roles)
    }

    /// How many have each policy, and how many it bounds.
    fn uses(&self) -> BTreeMap<&str, (u32, u32)> {
        let mut uses: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for holder in self.holders() {
            for arn in &holder.policies.attached {
                uses.entry(arn).or_default().0 += 1;
            }
            if let Some(arn) = holder.boundary {
                uses.entry(arn).or_default().1 += 1;
            }
        }
        uses
    }

    fn describe_policy(&self, policy: &ManagedPolicy, uses: &BTreeMap<&str, (u32, u32)>) -> DescribedPolicy {
        let entity = self.describe(policy, None);
        let (attachments, boundary_uses) = uses.get(entity.arn.as_str()).copied().unwrap_or_default();
        DescribedPolicy {
            entity,
            description: policy.description.clone(),
            updated: policy.updated,
            default_version: policy.default_version,
            attachments,
            boundary_uses,
        }
    }
}

fn describe_aws_policy(policy: &AwsPolicy, uses: &BTreeMap<&str, (u32, u32)>) -> DescribedPolicy {
    let arn = policy.arn();
    let (attachments, boundary_uses) = uses.get(arn.as_str()).copied().unwrap_or_default();
    DescribedPolicy {
        entity: Described {
            name: policy.name.to_owned(),
            path: "/".to_owned(),
            id: policy.id.to_owned(),
            arn,
            created: policy.updated(),
            tags: Vec::new(),
            boundary: None,
        },
        description: None,
        updated: policy.updated(),
        default_version: policy.version,
        attachments,
        boundary_uses,
    }
}

fn version_not_found(arn: &PolicyArn, number: u32) -> Error {
    IamError::NoSuchEntity(format!("Policy {arn} version v{number} does not exist or is not attachable."))
        .into()
}

/// AWS's own can't be changed.
fn check_own(arn: &PolicyArn) -> Result<(), Error> {
    match arn.account {
        Some(_) => Ok(()),
        None => {
            Err(IamError::InvalidInput(format!("Policy {arn} is AWS's own and cannot be changed.")).into())
        }
    }
}

impl DirectoryOperation for CreatePolicy {
    type Output = DescribedPolicy;
    const NAME: OperationName = OperationName { name: "CreatePolicy", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Policies];

    fn about(&self, _: &Context) -> About {
        About::New(Kind::Policy, self.path.clone(), self.name.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyName", &self.name);
        members.text("path", &self.path);
        members.document("policyDocument", &self.document);
        members.optional_text("description", self.description.as_ref());
        write_tags(members, &self.tags);
    }

    fn request_tags(&self) -> Option<&[Tag]> {
        Some(&self.tags)
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<DescribedPolicy, Error> {
        check_free(&directory.policies, self.name.as_str(), "PoliciesPerAccount", POLICIES_MAX)?;
        documents::check(&self.document, DocumentKind::Managed)?;
        let now = transaction.now();
        let first = PolicyVersion { document: self.document.clone(), created: now };
        let policy = ManagedPolicy {
            facts: facts(transaction, IdOf::Policy, &self.name, &self.path, &self.tags)?,
            description: self.description.clone(),
            updated: now,
            default_version: 1,
            last_version: 1,
            versions: BTreeMap::from([(1, first)]),
        };
        directory.put(transaction, &policy);
        Ok(directory.describe_policy(&policy, &BTreeMap::new()))
    }

    fn response(output: &DescribedPolicy, members: &mut Members<'_>) {
        members.object("policy", |members| write_described(members, "policyName", &output.entity));
    }
}

impl DirectoryOperation for GetPolicy {
    type Output = DescribedPolicy;
    const NAME: OperationName = OperationName { name: "GetPolicy", read_only: true };
    const THROUGH: &'static [Through] = HOLDERS;

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<DescribedPolicy, Error> {
        match aws_policies::find(self.arn.as_str()) {
            Some(policy) => Ok(describe_aws_policy(policy, &directory.uses())),
            None => Ok(directory.describe_policy(directory.policy(&self.arn)?, &directory.uses())),
        }
    }
}

impl DirectoryOperation for ListPolicies {
    type Output = Paged<DescribedPolicy>;
    const NAME: OperationName = OperationName { name: "ListPolicies", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Users, Through::Groups, Through::Roles, Through::Policies];

    fn about(&self, _: &Context) -> About {
        About::All(Kind::Policy)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("pathPrefix", &self.path_prefix);
        members.json("maxItems", self.page.max_items);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let uses = directory.uses();
        let mut found: Vec<DescribedPolicy> = Vec::new();
        if self.scope != PolicyScope::Aws {
            found.extend(directory.policies.values().map(|policy| directory.describe_policy(policy, &uses)));
        }
        if self.scope != PolicyScope::Local {
            found.extend(aws_policies::ALL.iter().map(|policy| describe_aws_policy(policy, &uses)));
        }
        found.retain(|policy| {
            policy.entity.path.starts_with(&self.path_prefix)
                && (!self.only_attached || policy.attachments > 0)
        });
        // By name; AWS's own come after one of the account's that has the same.
        let mut found: Vec<_> = found
            .into_iter()
            .map(|policy| (format!("{} {}", policy.entity.name, policy.entity.arn), policy))
            .collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        paginate(context, transaction, "ListPolicies", &self.page, found)
    }
}

impl DirectoryOperation for DeletePolicy {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeletePolicy", read_only: false };
    const THROUGH: &'static [Through] = HOLDERS;

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        check_own(&self.arn)?;
        let policy = directory.policy(&self.arn)?;
        let conflict = |text: &str| Err(IamError::DeleteConflict(text.to_owned()).into());
        match directory.uses().get(self.arn.as_str()) {
            Some((1.., _)) => return conflict("Cannot delete a policy attached to entities."),
            Some((0, 1..)) => return conflict("Cannot delete a policy used as a permissions boundary."),
            Some((0, 0)) | None => {}
        }
        if policy.versions.len() > 1 {
            return conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
            );
        }
        directory.delete(transaction, policy.as_ref());
        Ok(Done)
    }
}

impl DirectoryOperation for CreatePolicyVersion {
    type Output = DescribedVersion;
    const NAME: OperationName = OperationName { name: "CreatePolicyVersion", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
        members.document("policyDocument", &self.document);
        members.json("setAsDefault", self.set_as_default);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<DescribedVersion, Error> {
        check_own(&self.arn)?;
        let mut policy = directory.policy(&self.arn)?.as_ref().clone();
        documents::check(&self.document, DocumentKind::Managed)?;
        if policy.versions.len() >= VERSIONS_PER_POLICY_MAX {
            let text = format!(
                "A managed policy can have up to {VERSIONS_PER_POLICY_MAX} versions. Before you create a new version, you must delete an existing version."
            );
            return Err(IamError::LimitExceeded(text).into());
        }
        let (now, number) = (transaction.now(), policy.last_version + 1);
        policy.last_version = number;
        policy.updated = now;
        policy.versions.insert(number, PolicyVersion { document: self.document.clone(), created: now });
        if self.set_as_default {
            policy.default_version = number;
        }
        directory.put(transaction, &policy);
        Ok(DescribedVersion { number, is_default: self.set_as_default, created: now, document: None })
    }
}

/// A version of a policy: number, time and document.
type Version<'a> = (u32, Timestamp, &'a str);

/// The number of the version that counts, and all versions.
fn versions_of<'a>(directory: &'a Directory, arn: &PolicyArn) -> Result<(u32, Vec<Version<'a>>), Error> {
    if let Some(policy) = aws_policies::find(arn.as_str()) {
        return Ok((policy.version, vec![(policy.version, policy.updated(), policy.document)]));
    }
    let policy = directory.policy(arn)?;
    let versions = policy.versions.iter();
    let versions = versions.map(|(number, version)| (*number, version.created, version.document.as_str()));
    Ok((policy.default_version, versions.collect()))
}

impl DirectoryOperation for GetPolicyVersion {
    type Output = DescribedVersion;
    const NAME: OperationName = OperationName { name: "GetPolicyVersion", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
        members.text("versionId", format_args!("v{}", self.number));
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<DescribedVersion, Error> {
        let (default, versions) = versions_of(directory, &self.arn)?;
        let found = versions.into_iter().find(|(number, ..)| *number == self.number);
        let (number, created, document) = found.ok_or_else(|| version_not_found(&self.arn, self.number))?;
        let document = Some(document.to_owned());
        Ok(DescribedVersion { number, is_default: number == default, created, document })
    }
}

impl DirectoryOperation for ListPolicyVersions {
    type Output = Paged<DescribedVersion>;
    const NAME: OperationName = OperationName { name: "ListPolicyVersions", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error> {
        let (default, versions) = versions_of(directory, &self.arn)?;
        // Newest first, and the cursor goes by what follows.
        let versions = versions.into_iter().rev().map(|(number, created, _)| {
            let described =
                DescribedVersion { number, is_default: number == default, created, document: None };
            (format!("{:010}", u32::MAX - number), described)
        });
        paginate(context, transaction, "ListPolicyVersions", &self.page, versions)
    }
}

impl DirectoryOperation for DeletePolicyVersion {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeletePolicyVersion", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
        members.text("versionId", format_args!("v{}", self.number));
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        check_own(&self.arn)?;
        let mut policy = directory.policy(&self.arn)?.as_ref().clone();
        if policy.default_version == self.number {
            let text = "Cannot delete the default version of a policy.".to_owned();
            return Err(IamError::DeleteConflict(text).into());
        }
        let removed = policy.versions.remove(&self.number);
        removed.ok_or_else(|| version_not_found(&self.arn, self.number))?;
        policy.updated = transaction.now();
        directory.put(transaction, &policy);
        Ok(Done)
    }
}

impl DirectoryOperation for SetDefaultPolicyVersion {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "SetDefaultPolicyVersion", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
        members.text("versionId", format_args!("v{}", self.number));
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        check_own(&self.arn)?;
        let mut policy = directory.policy(&self.arn)?.as_ref().clone();
        if !policy.versions.contains_key(&self.number) {
            return Err(version_not_found(&self.arn, self.number));
        }
        policy.default_version = self.number;
        policy.updated = transaction.now();
        directory.put(transaction, &policy);
        Ok(Done)
    }
}

impl DirectoryOperation for ListEntitiesForPolicy {
    type Output = PolicyEntities;
    const NAME: OperationName = OperationName { name: "ListEntitiesForPolicy", read_only: true };
    const THROUGH: &'static [Through] = HOLDERS;

    fn about(&self, _: &Context) -> About {
        About::Policy(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policyArn", &self.arn);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<PolicyEntities, Error> {
        if aws_policies::find(self.arn.as_str()).is_none() {
            directory.policy(&self.arn)?;
        }
        let mut found: Vec<_> = directory
            .holders()
            .filter(|holder| {
                holder.policies.attached.contains(self.arn.as_str())
                    && self.kind.is_none_or(|kind| kind == holder.kind)
                    && holder.facts.path.starts_with(&self.path_prefix)
            })
            .map(|holder| {
                let key = format!("{} {}", holder.kind.noun(), holder.facts.name);
                (key, (holder.kind, holder.facts.name.clone(), holder.facts.id.clone()))
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        paginate(context, transaction, "ListEntitiesForPolicy", &self.page, found).map(PolicyEntities)
    }
}

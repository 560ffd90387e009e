//! Permissions boundaries: the policies that bound what users and roles may do.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::PolicyArn;

use super::directory::{About, Directory, DirectoryOperation, Kind, OfKind};
use super::{DeletePermissionsBoundary, Done, PutPermissionsBoundary};
use crate::authorize::one;
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::{Role, User};
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The ARN of a policy that is to bound somebody, which must be there.
pub(super) fn check(directory: &Directory, policy: Option<&PolicyArn>) -> Result<Option<String>, Error> {
    let Some(arn) = policy else { return Ok(None) };
    let is_there = super::find_aws_policy(arn.as_str()).is_some() || directory.policy(arn).is_ok();
    if !is_there {
        let text = format!("Scope ARN: {arn} does not exist or is not attachable.");
        return Err(IamError::NoSuchEntity(text).into());
    }
    Ok(Some(arn.to_string()))
}

impl Directory {
    fn set_boundary(
        &self,
        transaction: &mut Transaction<'_>,
        kind: Kind,
        name: &str,
        boundary: Option<String>,
    ) -> Result<(), Error> {
        match kind {
            Kind::User => self.put(transaction, &User { boundary, ..self.user(name)?.as_ref().clone() }),
            Kind::Role => self.put(transaction, &Role { boundary, ..self.role(name)?.as_ref().clone() }),
            Kind::Group | Kind::Policy | Kind::OidcProvider => {}
        }
        Ok(())
    }
}

impl<K: OfKind> DirectoryOperation for PutPermissionsBoundary<K> {
    type Output = Done;
    const NAME: OperationName = OperationName {
        name: match K::KIND {
            Kind::Role => "PutRolePermissionsBoundary",
            Kind::User | Kind::Group | Kind::Policy | Kind::OidcProvider => "PutUserPermissionsBoundary",
        },
        read_only: false,
    };

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn also(&self, _: &Context) -> Vec<(Kind, String)> {
        vec![(Kind::Policy, self.policy.name.to_string())]
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
        members.text("permissionsBoundary", &self.policy);
    }

    fn condition<'a>(&'a self, key: &str) -> Values<'a> {
        match key {
            "iam:permissionsboundary" => one(self.policy.as_str()),
            _ => Values::Absent,
        }
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let boundary = check(directory, Some(&self.policy))?;
        directory.set_boundary(transaction, K::KIND, self.holder.as_str(), boundary)?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for DeletePermissionsBoundary<K> {
    type Output = Done;
    const NAME: OperationName = OperationName {
        name: match K::KIND {
            Kind::Role => "DeleteRolePermissionsBoundary",
            Kind::User | Kind::Group | Kind::Policy | Kind::OidcProvider => "DeleteUserPermissionsBoundary",
        },
        read_only: false,
    };
    const TELLS_BOUNDARY: bool = true;

    fn about(&self, _: &Context) -> About {
        About::Named(K::KIND, self.holder.to_string())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text(K::KIND.parameter(), &self.holder);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.set_boundary(transaction, K::KIND, self.holder.as_str(), None)?;
        Ok(Done)
    }
}

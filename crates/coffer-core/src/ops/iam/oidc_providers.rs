//! OpenID Connect identity providers: whose tokens roles may trust.

use coffer_audit::Members;
use coffer_types::iam_limits::{
    CLIENT_IDS_PER_PROVIDER_MAX, OIDC_PROVIDERS_MAX, THUMBPRINTS_PER_PROVIDER_MAX,
};
use coffer_types::{OidcProviderArn, Tag};

use super::directory::{About, Directory, DirectoryOperation, Kind, Through, check_quota};
use super::users::{check_tag_keys, write_tags};
use super::{
    AddClientIDToOpenIDConnectProvider, CreateOpenIDConnectProvider, CreatedOpenIDConnectProvider,
    DeleteOpenIDConnectProvider, DescribedOpenIDConnectProvider, Done, GetOpenIDConnectProvider,
    ListOpenIDConnectProviders, OpenIDConnectProviders, RemoveClientIDFromOpenIDConnectProvider,
    UpdateOpenIDConnectProviderThumbprint,
};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::OidcProvider;
use crate::records::access::{Entity, Facts};
use crate::transaction::Transaction;
use crate::{Context, Error};

fn write_arn(members: &mut Members<'_>, arn: &OidcProviderArn) {
    members.text("openIDConnectProviderArn", arn);
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), Error> {
    if thumbprints.len() > THUMBPRINTS_PER_PROVIDER_MAX {
        let text = format!("Thumbprint list must contain fewer than {THUMBPRINTS_PER_PROVIDER_MAX} entries.");
        return Err(IamError::InvalidInput(text).into());
    }
    Ok(())
}

fn check_client_ids(client_ids: &[String]) -> Result<(), Error> {
    check_quota(client_ids.len(), "ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_PER_PROVIDER_MAX)
}

impl DirectoryOperation for CreateOpenIDConnectProvider {
    type Output = CreatedOpenIDConnectProvider;
    const NAME: OperationName = OperationName { name: "CreateOpenIDConnectProvider", read_only: false };
    const THROUGH: &'static [Through] = &[Through::Providers];

    fn about(&self, _: &Context) -> About {
        About::NewProvider(self.url.name().to_owned())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("url", &self.url);
        members.texts("clientIDList", &self.client_ids);
        members.texts("thumbprintList", &self.thumbprints);
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
    ) -> Result<CreatedOpenIDConnectProvider, Error> {
        let name = self.url.name();
        if directory.providers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
            let text = format!("Provider with url {} already exists.", self.url);
            return Err(IamError::EntityAlreadyExists(text).into());
        }
        check_quota(directory.providers.len() + 1, "OpenIdConnectProvidersPerAccount", OIDC_PROVIDERS_MAX)?;
        check_thumbprints(&self.thumbprints)?;
        let mut client_ids = self.client_ids.clone();
        client_ids.sort();
        client_ids.dedup();
        check_client_ids(&client_ids)?;
        check_tag_keys(&self.tags)?;
        let provider = OidcProvider {
            facts: Facts {
                name: name.to_owned(),
                path: "/".to_owned(),
                id: String::new(),
                created: transaction.now(),
                tags: self.tags.clone(),
            },
            url: self.url.clone(),
            client_ids,
            thumbprints: self.thumbprints.clone(),
        };
        directory.put(transaction, &provider);
        Ok(CreatedOpenIDConnectProvider { arn: provider.arn(directory.account), tags: provider.facts.tags })
    }

    fn response(output: &CreatedOpenIDConnectProvider, members: &mut Members<'_>) {
        members.text("openIDConnectProviderArn", &output.arn);
    }
}

impl DirectoryOperation for GetOpenIDConnectProvider {
    type Output = DescribedOpenIDConnectProvider;
    const NAME: OperationName = OperationName { name: "GetOpenIDConnectProvider", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Provider(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        write_arn(members, &self.arn);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<DescribedOpenIDConnectProvider, Error> {
        let provider = directory.provider(&self.arn)?;
        Ok(DescribedOpenIDConnectProvider {
            arn: provider.arn(directory.account),
            url: provider.url.clone(),
            name: provider.facts.name.clone(),
            client_ids: provider.client_ids.clone(),
            thumbprints: provider.thumbprints.clone(),
            created: provider.facts.created,
            tags: provider.facts.tags.clone(),
        })
    }
}

impl DirectoryOperation for ListOpenIDConnectProviders {
    type Output = OpenIDConnectProviders;
    const NAME: OperationName = OperationName { name: "ListOpenIDConnectProviders", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Providers];

    fn about(&self, _: &Context) -> About {
        About::All(Kind::OidcProvider)
    }

    fn parameters(&self, _: &mut Members<'_>) {}

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        _: &mut Transaction<'_>,
    ) -> Result<OpenIDConnectProviders, Error> {
        let arns = directory.providers.values().map(|provider| provider.arn(directory.account));
        Ok(OpenIDConnectProviders(arns.collect()))
    }
}

impl DirectoryOperation for DeleteOpenIDConnectProvider {
    type Output = Done;
    const NAME: OperationName = OperationName { name: "DeleteOpenIDConnectProvider", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Provider(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        write_arn(members, &self.arn);
    }

    /// As AWS documents it, one that is not there is no error.
    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        if let Ok(provider) = directory.provider(&self.arn) {
            directory.delete(transaction, provider.as_ref());
        }
        Ok(Done)
    }
}

impl DirectoryOperation for UpdateOpenIDConnectProviderThumbprint {
    type Output = Done;
    const NAME: OperationName =
        OperationName { name: "UpdateOpenIDConnectProviderThumbprint", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Provider(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        write_arn(members, &self.arn);
        members.texts("thumbprintList", &self.thumbprints);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let provider = directory.provider(&self.arn)?;
        check_thumbprints(&self.thumbprints)?;
        let thumbprints = self.thumbprints.clone();
        directory.put(transaction, &OidcProvider { thumbprints, ..provider.as_ref().clone() });
        Ok(Done)
    }
}

impl DirectoryOperation for AddClientIDToOpenIDConnectProvider {
    type Output = Done;
    const NAME: OperationName =
        OperationName { name: "AddClientIDToOpenIDConnectProvider", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Provider(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        write_arn(members, &self.arn);
        members.text("clientID", &self.client_id);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let mut provider = directory.provider(&self.arn)?.as_ref().clone();
        if !provider.client_ids.contains(&self.client_id) {
            provider.client_ids.push(self.client_id.clone());
            check_client_ids(&provider.client_ids)?;
            directory.put(transaction, &provider);
        }
        Ok(Done)
    }
}

impl DirectoryOperation for RemoveClientIDFromOpenIDConnectProvider {
    type Output = Done;
    const NAME: OperationName =
        OperationName { name: "RemoveClientIDFromOpenIDConnectProvider", read_only: false };

    fn about(&self, _: &Context) -> About {
        About::Provider(self.arn.clone())
    }

    fn parameters(&self, members: &mut Members<'_>) {
        write_arn(members, &self.arn);
        members.text("clientID", &self.client_id);
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        let mut provider = directory.provider(&self.arn)?.as_ref().clone();
        let before = provider.client_ids.len();
        provider.client_ids.retain(|known| *known != self.client_id);
        if provider.client_ids.len() < before {
            directory.put(transaction, &provider);
        }
        Ok(Done)
    }
}

//! Requests about identity providers: what they mean to core.
//!
//! No I/O of its own.

use coffer_core::ops::iam::{
    AddClientIDToOpenIDConnectProvider, CreateOpenIDConnectProvider, DeleteOpenIDConnectProvider,
    DescribedOpenIDConnectProvider, GetOpenIDConnectProvider, ListOpenIDConnectProviders,
};
use coffer_core::{Context, Core, Error, IamError};
use coffer_types::iam_limits::CLIENT_ID_CHARS_MAX;
use coffer_types::{IssuerUrl, OidcProviderArn};
use coffer_wire_local::{AccessResponse, Failure, FailureKind, Provider};

use super::access::{OPERATION, legal};
use super::{Failed, refused};

pub(super) async fn trust_issuer(
    core: &Core,
    context: &Context,
    url: &str,
    audience: String,
) -> Result<AccessResponse, Failed> {
    let url: IssuerUrl = legal(url, "no URL of an issuer")?;
    let is_audience = (1..=CLIENT_ID_CHARS_MAX).contains(&audience.chars().count());
    if !is_audience {
        return Err(refused(OPERATION, "an audience has 1 to 255 characters".into()));
    }
    let arn = format!("arn:aws:iam::{}:oidc-provider/{}", context.account, url.name());
    let parsed: OidcProviderArn = legal(&arn, "no ARN of an identity provider")?;
    match core.execute(context, GetOpenIDConnectProvider { arn: parsed.clone() }).await {
        Ok(known) => {
            check_url(&known, url.as_str())?;
            if known.client_ids.contains(&audience) {
                return Ok(AccessResponse::IdentityProvider { arn });
            }
            let operation = AddClientIDToOpenIDConnectProvider { arn: parsed, client_id: audience };
            core.execute(context, operation).await?;
        }
        Err(Error::Iam(IamError::NoSuchEntity(_))) => {
            let (client_ids, thumbprints, tags) = (vec![audience], Vec::new(), Vec::new());
            core.execute(context, CreateOpenIDConnectProvider { url, client_ids, thumbprints, tags }).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(AccessResponse::IdentityProvider { arn })
}

/// All of them, by name.
pub(super) async fn list(core: &Core, context: &Context) -> Result<AccessResponse, Failed> {
    let listed = core.execute(context, ListOpenIDConnectProviders).await?;
    let mut providers = Vec::with_capacity(listed.0.len());
    for arn in listed.0 {
        let arn: OidcProviderArn = legal(&arn, "no ARN of an identity provider")?;
        match core.execute(context, GetOpenIDConnectProvider { arn }).await {
            Ok(known) => providers.push(told(known)),
            // Deleted meanwhile.
            Err(Error::Iam(IamError::NoSuchEntity(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(AccessResponse::Providers { providers })
}

/// One, by its issuer's URL, with or without the scheme, or by its ARN.
pub(super) async fn get(core: &Core, context: &Context, issuer: &str) -> Result<Provider, Failed> {
    let arn = arn_of(context, issuer)?;
    let known = core.execute(context, GetOpenIDConnectProvider { arn }).await?;
    if issuer.contains("://") {
        check_url(&known, issuer)?;
    }
    Ok(told(known))
}

/// Whether a provider is the one that is meant. An ARN has no scheme, so `http://` and `https://` of a host share theirs, and
/// tokens of the one are none of the other's.
fn check_url(known: &DescribedOpenIDConnectProvider, url: &str) -> Result<(), Failed> {
    let known = &known.url;
    if known.as_str() == url {
        return Ok(());
    }
    let message = format!("the identity provider that is there is of `{known}`, which is another issuer");
    let failure = Failure::new(FailureKind::Conflict, message)
        .with_hint(format!("name it as it is, or delete it first: `coffer provider delete {known}`"));
    let recorded = "the identity provider that is there is of another scheme".to_owned();
    Err(Failed::Input { operation: OPERATION, failure, recorded })
}

/// Deletes one. That it is not there is no error to AWS, and is one to people.
pub(super) async fn delete(core: &Core, context: &Context, issuer: &str) -> Result<(), Failed> {
    get(core, context, issuer).await?;
    let arn = arn_of(context, issuer)?;
    core.execute(context, DeleteOpenIDConnectProvider { arn }).await?;
    Ok(())
}

fn arn_of(context: &Context, issuer: &str) -> Result<OidcProviderArn, Failed> {
    const OTHERWISE: &str = "no URL of an issuer";
    if issuer.starts_with("arn:") {
        return legal(issuer, "no ARN of an identity provider");
    }
    let url: IssuerUrl = match issuer.contains("://") {
        true => legal(issuer, OTHERWISE)?,
        false => legal(&format!("https://{issuer}"), OTHERWISE)?,
    };
    legal(&format!("arn:aws:iam::{}:oidc-provider/{}", context.account, url.name()), OTHERWISE)
}

fn told(provider: DescribedOpenIDConnectProvider) -> Provider {
    let DescribedOpenIDConnectProvider { arn, url: _, name, client_ids, thumbprints, created, tags } =
        provider;
    Provider { arn, issuer: name, audiences: client_ids, thumbprints, created, tags }
}

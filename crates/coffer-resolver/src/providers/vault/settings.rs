//! How Vault is reached and who asks: `VAULT_ADDR` and what belongs to it, or OpenBao's names for the same.
//!
//! Pure, but that [`Credential::read`] reads a file. No `Debug`: tokens are among it.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::{ErrorKind, FetchError};
use crate::reference::Scheme;
use crate::surroundings::Surroundings;

/// Where Kubernetes puts the token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How Vault is reached, and who asks.
pub struct VaultSettings {
    /// Such as `https://vault.example.com:8200`.
    pub address: String,
    /// The namespace where a reference says none.
    pub namespace: Option<String>,
    /// A file of certificates in PEM, the only ones that count then.
    pub authorities: Option<PathBuf>,
    /// Who asks.
    pub auth: VaultAuth,
}

/// Who asks.
pub enum VaultAuth {
    /// Who holds this token.
    Token(Credential),
    /// A program with a role of AppRole.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// And its secret.
        secret_id: Credential,
    },
    /// Whoever a signed token names: a pod of Kubernetes, a job, any workload with an identity.
    Jwt {
        /// Where the method is mounted: `kubernetes`, `jwt`.
        mount: String,
        /// The role to sign in as.
        role: String,
        /// The token.
        jwt: Credential,
    },
}

/// Something secret that proves who asks.
pub enum Credential {
    /// This.
    Given(Zeroizing<String>),
    /// What a file says each time it is needed: others renew it.
    File(PathBuf),
}

impl Credential {
    /// What it is now.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, FetchError> {
        match self {
            Self::Given(text) => Ok(text.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Zeroizing::new(Zeroizing::new(text).trim().to_owned())),
                Err(error) => {
                    let what = format!("`{}`, which says who asks, can't be read", path.display());
                    let action = "sign in: `vault login`; or set VAULT_TOKEN";
                    Err(FetchError::new(ErrorKind::Misconfigured, Scheme::Vault, what, action)
                        .caused_by(error))
                }
            },
        }
    }
}

impl VaultSettings {
    /// What the environment says.
    pub(super) fn of(surroundings: &Surroundings) -> Result<Self, FetchError> {
        let misconfigured =
            |what: &str, action: &str| FetchError::new(ErrorKind::Misconfigured, Scheme::Vault, what, action);
        let variable = |name: &str| {
            ["VAULT", "BAO"]
                .iter()
                .filter_map(|prefix| surroundings.variable(&format!("{prefix}_{name}")))
                .find(|text| !text.is_empty())
        };
        let path = |text: &str| surroundings.folder().join(text);
        let address = variable("ADDR").ok_or_else(|| {
            misconfigured("VAULT_ADDR is not set", "set it, such as to https://vault.example.com:8200")
        })?;
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return Err(misconfigured(
                "VAULT_ADDR begins with neither https:// nor http://",
                "set it, such as to https://vault.example.com:8200",
            ));
        }
        if variable("SKIP_VERIFY").is_some_and(|text| !matches!(text, "0" | "false" | "f" | "F" | "FALSE")) {
            return Err(misconfigured(
                "VAULT_SKIP_VERIFY is set, and whoever answered would be given the token",
                "name its authority's certificate in VAULT_CACERT, and unset VAULT_SKIP_VERIFY",
            ));
        }
        let credential = |name: &str| {
            let given = variable(name).map(|text| Credential::Given(Zeroizing::new(text.to_owned())));
            given.or_else(|| variable(&format!("{name}_FILE")).map(|text| Credential::File(path(text))))
        };
        let mount = |usual: &str| variable("AUTH_MOUNT").unwrap_or(usual).trim_matches('/').to_owned();
        let auth = if let Some(token) = credential("TOKEN") {
            VaultAuth::Token(token)
        } else if let Some(role_id) = variable("ROLE_ID") {
            let secret_id = credential("SECRET_ID").ok_or_else(|| {
                misconfigured("VAULT_ROLE_ID is set alone", "set VAULT_SECRET_ID or VAULT_SECRET_ID_FILE too")
            })?;
            VaultAuth::AppRole { mount: mount("approle"), role_id: role_id.to_owned(), secret_id }
        } else if let Some(role) = variable("ROLE") {
            let role = role.to_owned();
            match credential("JWT") {
                Some(jwt) => VaultAuth::Jwt { mount: mount("jwt"), role, jwt },
                None => {
                    let jwt = Credential::File(POD_TOKEN.into());
                    VaultAuth::Jwt { mount: mount("kubernetes"), role, jwt }
                }
            }
        } else {
            let home = surroundings.variable("HOME").ok_or_else(|| {
                misconfigured("nobody is signed in", "set VAULT_TOKEN, VAULT_ROLE_ID or VAULT_ROLE")
            })?;
            VaultAuth::Token(Credential::File(path(home).join(".vault-token")))
        };
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            namespace: variable("NAMESPACE").map(|text| text.trim_matches('/').to_owned()),
            authorities: variable("CACERT").map(path),
            auth,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: (&str, &str) = ("VAULT_ADDR", "https://v:8200/");

    fn told(variables: &[(&str, &str)]) -> String {
        let told = |credential: &Credential| match credential {
            Credential::Given(text) => text.to_string(),
            Credential::File(path) => format!("<{}", path.display()),
        };
        match VaultSettings::of(&Surroundings::of(variables, "/here")) {
            Err(error) => error.to_string(),
            Ok(settings) => match &settings.auth {
                VaultAuth::Token(token) => format!("token {}", told(token)),
                VaultAuth::AppRole { mount, role_id, secret_id } => {
                    format!("{mount} {role_id} {}", told(secret_id))
                }
                VaultAuth::Jwt { mount, role, jwt } => format!("{mount} {role} {}", told(jwt)),
            },
        }
    }

    #[test]
    fn who_asks() {
        for (variables, expected) in [
            (&[("VAULT_TOKEN", "t"), ("VAULT_ROLE_ID", "r")][..], "token t"),
            (&[("BAO_TOKEN", "b")], "token b"),
            (&[("BAO_TOKEN", "b"), ("VAULT_TOKEN", "t")], "token t"),
            (&[("VAULT_TOKEN_FILE", "t")], "token </here/t"),
            (&[("HOME", "/home/me")], "token </home/me/.vault-token"),
            (&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")], "approle r s"),
            (
                &[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID_FILE", "/s"), ("VAULT_AUTH_MOUNT", "apps/")],
                "apps r </s",
            ),
            (&[("VAULT_ROLE_ID", "r")], "vault: misconfigured: VAULT_ROLE_ID is set alone"),
            (&[("VAULT_ROLE", "bot")], "kubernetes bot </var/run/secrets/kubernetes.io/serviceaccount/token"),
            (&[("VAULT_ROLE", "bot"), ("VAULT_JWT", "j")], "jwt bot j"),
            (&[], "vault: misconfigured: nobody is signed in"),
        ] {
            assert_eq!(told(&[&[ADDRESS], variables].concat()), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (variables, expected) in [
            (&[][..], "VAULT_ADDR is not set"),
            (&[("VAULT_ADDR", "unix:///run/vault")], "neither https:// nor http://"),
            (&[ADDRESS, ("VAULT_SKIP_VERIFY", "1")], "VAULT_SKIP_VERIFY is set"),
            (&[ADDRESS, ("BAO_SKIP_VERIFY", "true")], "VAULT_SKIP_VERIFY is set"),
        ] {
            assert!(told(variables).contains(expected), "{variables:?}");
        }
        assert_eq!(told(&[ADDRESS, ("VAULT_SKIP_VERIFY", "false"), ("VAULT_TOKEN", "t")]), "token t");
    }
}

//! The layers a name is looked for in, in their order.
//!
//! Pure, but that [`by_switches`] looks whether a folder is there. A layer is written `env`, `dotenv:.env`, `files:/run/secrets`, `default`, or as a reference to a store, where
//! `{name}` stands for the name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::reference::{Reference, ReferenceError, Scheme};
use crate::surroundings::Surroundings;
use crate::value_type::truth_of;

/// Where a name is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The environment variable of the same name, or the file that `NAME_FILE` names.
    Environment,
    /// A key of a `.env` file.
    Dotenv(PathBuf),
    /// A file of the same name in a folder, as Docker and Kubernetes mount secrets.
    Files(PathBuf),
    /// A store, or any other reference.
    Reference(Reference),
    /// What the manifest says.
    Default,
}

/// Why a text is no layer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LayerError {
    /// No layer is called so.
    #[error(
        "no such layer; there are env, dotenv:FILE, files:FOLDER, coffer:NAME, aws:NAME, gcp:PROJECT/{{name}}, vault:MOUNT/PATH, exec:PROGRAM, default"
    )]
    Unknown,
    /// `files:` without a folder.
    #[error("write files:FOLDER, such as files:/run/secrets")]
    Folder,
    /// A reference that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl FromStr for Layer {
    type Err = LayerError;

    fn from_str(text: &str) -> Result<Self, LayerError> {
        match text {
            "env" => return Ok(Self::Environment),
            "dotenv" => return Ok(Self::Dotenv(".env".into())),
            "default" => return Ok(Self::Default),
            "files" | "files:" => return Err(LayerError::Folder),
            _ => {}
        }
        if let Some(folder) = text.strip_prefix("files:") {
            return Ok(Self::Files(folder.strip_prefix("//").unwrap_or(folder).into()));
        }
        let reference: Reference = text.parse().map_err(|error| match error {
            ReferenceError::Scheme => LayerError::Unknown,
            error => LayerError::Reference(error),
        })?;
        Ok(match reference.scheme() {
            Scheme::Dotenv if reference.field().is_none() => Self::Dotenv(reference.path().into()),
            _ => Self::Reference(reference),
        })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("env"),
            Self::Dotenv(path) => write!(f, "dotenv:{}", path.display()),
            Self::Files(folder) => write!(f, "files:{}", folder.display()),
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The chain where nobody wrote one: the environment, `.env` while developing, what the switches of the environment ask
/// for, mounted files, the default.
pub(crate) fn by_switches(surroundings: &Surroundings, developing: bool) -> Vec<Layer> {
    const MOUNTED: &str = "/run/secrets";
    let variable = |name: &str| surroundings.variable(name).filter(|value| !value.is_empty());
    let is_on = |name: &str| variable(name).is_some_and(|value| truth_of(value) == Some(true));
    // What one document holds all names, if one does; else each name is a document.
    let document = |name: &str| variable(name).unwrap_or("{name}").to_owned();
    let mut layers = vec![Layer::Environment];
    if developing {
        layers.push(Layer::Dotenv(".env".into()));
    }
    if is_on("USE_AWS_SECRETS") {
        let reference = Reference::new(Scheme::Aws, document("AWS_SECRET_NAME"), None);
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        layers.push(Layer::Reference(match region {
            Some(region) => reference.or_parameter("region", region),
            None => reference,
        }));
    }
    if is_on("USE_GCP_SECRETS") {
        let project = variable("GCP_PROJECT_ID").or_else(|| variable("GOOGLE_CLOUD_PROJECT"));
        let path = format!("{}/{{name}}", project.unwrap_or("-"));
        layers.push(Layer::Reference(Reference::new(Scheme::Gcp, path, None)));
    }
    if is_on("USE_VAULT") {
        let path = variable("VAULT_SECRET_PATH").unwrap_or("secret/{name}").to_owned();
        let field = path.contains("{name}").then(|| "value".to_owned());
        layers.push(Layer::Reference(Reference::new(Scheme::Vault, path, field)));
    }
    if Path::new(MOUNTED).is_dir() {
        layers.push(Layer::Files(MOUNTED.into()));
    }
    layers.push(Layer::Default);
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_layer() {
        for (text, expected) in [
            ("env", Ok("env")),
            ("dotenv", Ok("dotenv:.env")),
            ("dotenv:.env.test", Ok("dotenv:.env.test")),
            ("files:/run/secrets", Ok("files:/run/secrets")),
            ("files:///run/secrets", Ok("files:/run/secrets")),
            ("default", Ok("default")),
            ("aws:a/b?region=us-east-1", Ok("aws://a/b?region=us-east-1")),
            ("env:OTHER", Ok("env:OTHER")),
            ("files:", Err(LayerError::Folder)),
            ("environment", Err(LayerError::Unknown)),
            ("", Err(LayerError::Unknown)),
            ("aws:a?x=1", Err(LayerError::Reference(ReferenceError::Parameter(Scheme::Aws)))),
        ] {
            let layer = text.parse::<Layer>().map(|layer| layer.to_string());
            assert_eq!(layer, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn the_switches_choose_the_chain() {
        for (variables, developing, expected) in [
            (&[][..], true, "env dotenv:.env default"),
            (&[], false, "env default"),
            (
                &[("USE_AWS_SECRETS", "true"), ("AWS_REGION", "eu-west-1")],
                false,
                "env aws://{name}?region=eu-west-1 default",
            ),
            (&[("USE_AWS_SECRETS", "1"), ("AWS_SECRET_NAME", "bot")], false, "env aws://bot default"),
            (&[("USE_AWS_SECRETS", "false")], false, "env default"),
            (&[("USE_GCP_SECRETS", "true"), ("GCP_PROJECT_ID", "p")], false, "env gcp://p/{name} default"),
            (&[("USE_VAULT", "true")], false, "env vault://secret/{name}#value default"),
            (
                &[("USE_VAULT", "true"), ("VAULT_SECRET_PATH", "secret/bot")],
                false,
                "env vault://secret/bot default",
            ),
        ] {
            let surroundings = Surroundings::of(variables, "/");
            let chain = by_switches(&surroundings, developing);
            let shown: Vec<String> =
                chain.iter().filter(|l| !matches!(l, Layer::Files(_))).map(Layer::to_string).collect();
            assert_eq!(shown.join(" "), expected, "{variables:?}");
        }
    }
}

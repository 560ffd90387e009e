//! What a request asks for: routes, parameters, and which secret a name means.
//!
//! Pure. Invariant: nothing that a client says makes the agent run a program, read a file or look into its environment; only
//! what the manifest itself names does.

use std::borrow::Cow;

use coffer_resolver::{Manifest, Reference, Scheme};
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

/// The route of the Lambda extension.
const EXTENSION_PATH: &str = "/secretsmanager/get";
/// Longest name: an ARN of AWS has at most 2,048 bytes.
const NAME_BYTES_MAX: usize = 2048;
/// What a reference of a client may say of a document. The rest says as whom and where the store is asked, or what answers
/// there, and is the manifest's and `--store`'s to say.
const CLIENT_PARAMETERS: [&str; 2] = ["version", "stage"];
/// Where Vault tells of itself, of its tokens and of who has them.
const VAULT_OWN: [&str; 4] = ["auth", "sys", "identity", "cubbyhole"];

/// What clients may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// What the manifest names.
    Manifest,
    /// What the agent's own store has, too.
    Store,
    /// What a reference of theirs leads to, too.
    References,
}

/// What is asked for.
#[derive(PartialEq, Debug)]
pub(crate) enum Asked {
    /// Whether the agent is there.
    Ping,
    /// Its counts.
    Metrics,
    /// A value.
    Get(Question),
    /// That what is kept of a value be forgotten.
    Forget(Question),
}

/// Which value.
#[derive(PartialEq, Debug)]
pub(crate) struct Question {
    /// As the client calls it.
    pub(crate) secret_id: String,
    pub(crate) version_id: Option<String>,
    pub(crate) version_stage: Option<String>,
    /// Read now, whatever is kept.
    pub(crate) refresh_now: bool,
    /// One field of a JSON object rather than all of it.
    pub(crate) json_key: Option<String>,
}

/// A request that is refused, as the AWS agent words it.
#[derive(PartialEq, Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

/// What a request with this method, path and query asks for. `is_trusted` says whether it showed that it may ask for secrets.
pub(crate) fn read(
    method: &Method,
    path: &str,
    query: Option<&str>,
    prefix: &str,
    is_trusted: bool,
) -> Result<Asked, Refused> {
    if path == "/ping" && *method == Method::GET {
        return Ok(Asked::Ping);
    }
    if path == "/metrics" && *method == Method::GET {
        return Ok(Asked::Metrics);
    }
    if !is_trusted {
        return Err(Refused::new(StatusCode::FORBIDDEN, "Bad Token"));
    }
    if *method != Method::GET && *method != Method::DELETE {
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "Not allowed"));
    }
    let mut question = Question {
        secret_id: String::new(),
        version_id: None,
        version_stage: None,
        refresh_now: false,
        json_key: None,
    };
    let is_of_query = path == EXTENSION_PATH;
    if !is_of_query {
        let name =
            path.strip_prefix(prefix).ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "Not found"))?;
        question.secret_id = decoded(name, false)?;
        if question.secret_id.is_empty() {
            return Err(Refused::bad("missing secret ID"));
        }
    }
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key, true)?, decoded(value, true)?);
        match key.as_str() {
            "secretId" if is_of_query => question.secret_id = value,
            "versionId" => question.version_id = Some(value),
            "versionStage" => question.version_stage = Some(value),
            "jsonKey" => question.json_key = Some(value),
            "refreshNow" => {
                question.refresh_now = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(Refused::bad("invalid refreshNow value")),
                }
            }
            "roleArn" => {
                return Err(Refused::bad("roleArn is not served: run an agent with that role's credentials"));
            }
            // What it is called is the client's own word.
            _ => return Err(Refused::bad(format!("unknown parameter: {}", key.escape_debug()))),
        }
    }
    if question.secret_id.is_empty() {
        return Err(Refused::bad("missing parameter secretId"));
    }
    Ok(if *method == Method::DELETE { Asked::Forget(question) } else { Asked::Get(question) })
}

/// Percent-decoded; a plus is a space in a query, as browsers write it.
fn decoded(text: &str, is_query: bool) -> Result<String, Refused> {
    let spaced =
        if is_query && text.contains('+') { text.replace('+', " ").into() } else { Cow::Borrowed(text) };
    let decoded = percent_decode_str(&spaced).decode_utf8();
    Ok(decoded.map_err(|_| Refused::bad("not UTF-8"))?.into_owned())
}

/// What a question leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A name of the manifest, looked for in its layers.
    Name(String),
    /// A document of a store, or a field of one.
    Document(Reference),
}

impl Target {
    /// What it is kept by.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Name(name) => format!("name:{name}"),
            Self::Document(reference) => reference.to_string(),
        }
    }
}

/// Which secret is meant: a name of the manifest, a reference to a store, or what the agent's own store calls so.
pub(crate) fn target(
    question: &Question,
    manifest: &Manifest,
    store: &Reference,
    reach: Reach,
) -> Result<Target, Refused> {
    let id = question.secret_id.as_str();
    let stage = question.version_stage.as_deref();
    if manifest.need(id).is_some() {
        // What a name has is what counts now.
        return if question.version_id.is_none() && stage.is_none_or(|stage| stage == "AWSCURRENT") {
            Ok(Target::Name(id.to_owned()))
        } else {
            Err(Refused::bad("a name of coffer.toml has no versions: ask for the document it is in"))
        };
    }
    if reach == Reach::Manifest {
        return Err(Refused::new(StatusCode::FORBIDDEN, "coffer.toml names no such secret"));
    }
    let reference = if id.contains("://") {
        if reach != Reach::References {
            return Err(Refused::bad("secretId: no references are taken"));
        }
        of_client(id)?
    } else {
        let is_name = id.len() <= NAME_BYTES_MAX
            && id
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/_+=.@!-:".contains(character))
            && !has_dots(id);
        if !is_name {
            return Err(Refused::bad("secretId: letters, digits and /_+=.@!-: only"));
        }
        store.of_name(id)
    };
    let with = |reference: Reference, name, value: Option<&str>| match value {
        Some(value) => reference.with_parameter(name, value).map_err(|error| Refused::bad(error.to_string())),
        None => Ok(reference),
    };
    let reference = with(reference, "version", question.version_id.as_deref())?;
    // The usual one is what every store gives unasked.
    let stage = stage.filter(|stage| *stage != "AWSCURRENT" || question.version_id.is_some());
    Ok(Target::Document(with(reference, "stage", stage)?))
}

/// A reference in a client's own words: to a document of a store, asked as the agent asks for all others.
fn of_client(text: &str) -> Result<Reference, Refused> {
    let reference: Reference = text.parse().map_err(|error| Refused::bad(format!("secretId: {error}")))?;
    if !reference.is_of_store() {
        return Err(Refused::bad("secretId: only stores are asked"));
    }
    if !reference.parameters().all(|name| CLIENT_PARAMETERS.contains(&name)) {
        return Err(Refused::bad("secretId: of parameters, only version and stage are taken"));
    }
    let path = reference.path();
    let is_own = reference.scheme() == Scheme::Vault
        && path.split('/').next().is_some_and(|first| VAULT_OWN.contains(&first));
    if is_own || has_dots(path) || path.split('/').any(str::is_empty) {
        return Err(Refused::bad("secretId: that path is not asked for"));
    }
    Ok(reference)
}

fn has_dots(path: &str) -> bool {
    path.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn asked(line: &str, is_trusted: bool) -> Result<Asked, (u16, String)> {
        let (method, rest) = line.split_once(' ').unwrap();
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        read(&method.parse().unwrap(), path, query, "/v1/", is_trusted)
            .map_err(|refused| (refused.status.as_u16(), refused.text))
    }

    fn question(secret_id: &str) -> Question {
        Question {
            secret_id: secret_id.to_owned(),
            version_id: None,
            version_stage: None,
            refresh_now: false,
            json_key: None,
        }
    }

    #[test]
    fn requests_as_the_aws_agent_documents_them() {
        let arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:MyTest-AbCdEf";
        for (line, expected) in [
            ("GET /secretsmanager/get?secretId=MyTest", question("MyTest")),
            ("GET /secretsmanager/get?secretId=a%2Fb+c", question("a/b c")),
            ("GET /v1/MyTest", question("MyTest")),
            ("GET /v1/a/b%2Bc+d", question("a/b+c+d")),
            (&format!("GET /secretsmanager/get?secretId={arn}"), question(arn)),
            (
                "GET /v1/MyTest?versionId=v&versionStage=dev&refreshNow=TRUE",
                Question {
                    version_id: Some("v".into()),
                    version_stage: Some("dev".into()),
                    refresh_now: true,
                    ..question("MyTest")
                },
            ),
            (
                "GET /secretsmanager/get?secretId=x&refreshNow=0&jsonKey=api_key",
                Question { json_key: Some("api_key".into()), ..question("x") },
            ),
        ] {
            assert_eq!(asked(line, true), Ok(Asked::Get(expected)), "{line}");
        }
        assert_eq!(asked("GET /ping", false), Ok(Asked::Ping));
        assert_eq!(asked("GET /metrics", false), Ok(Asked::Metrics));
        assert_eq!(asked("DELETE /v1/x", true), Ok(Asked::Forget(question("x"))));
        for (line, is_trusted, status, text) in [
            ("GET /v1/x", false, 403, "Bad Token"),
            ("POST /v1/x", false, 403, "Bad Token"),
            ("POST /v1/x", true, 405, "Not allowed"),
            ("POST /ping", true, 405, "Not allowed"),
            ("GET /other", true, 404, "Not found"),
            ("GET /v1/", true, 400, "missing secret ID"),
            ("GET /secretsmanager/get?versionId=v", true, 400, "missing parameter secretId"),
            ("GET /secretsmanager/get?secretId=", true, 400, "missing parameter secretId"),
            ("GET /secretsmanager/get?secretId=x&abc=123", true, 400, "unknown parameter: abc"),
            ("GET /v1/x?secretId=y", true, 400, "unknown parameter: secretId"),
            ("GET /v1/x?refreshNow=123", true, 400, "invalid refreshNow value"),
            ("GET /v1/x%ff", true, 400, "not UTF-8"),
        ] {
            assert_eq!(asked(line, is_trusted), Err((status, text.to_owned())), "{line}");
        }
    }

    #[test]
    fn which_secret_is_meant() {
        let manifest = Manifest::parse(Path::new("x"), "[secrets.X_API_KEY]").unwrap();
        let store: Reference = "aws:{name}?region=eu-west-1".parse().unwrap();
        let arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:a-AbCdEf";
        let meant = |id: &str, version: Option<&str>, stage: Option<&str>, reach| {
            let question = Question {
                version_id: version.map(str::to_owned),
                version_stage: stage.map(str::to_owned),
                ..question(id)
            };
            target(&question, &manifest, &store, reach)
                .map(|target| target.key())
                .map_err(|refused| refused.status.as_u16())
        };
        for (id, version, stage, expected) in [
            ("X_API_KEY", None, None, Ok("name:X_API_KEY")),
            ("X_API_KEY", None, Some("AWSCURRENT"), Ok("name:X_API_KEY")),
            ("X_API_KEY", None, Some("AWSPREVIOUS"), Err(400)),
            ("bot/keys", None, None, Ok("aws://bot/keys?region=eu-west-1")),
            ("bot/keys", None, Some("AWSCURRENT"), Ok("aws://bot/keys?region=eu-west-1")),
            ("bot", None, Some("AWSPREVIOUS"), Ok("aws://bot?region=eu-west-1&stage=AWSPREVIOUS")),
            (
                arn,
                None,
                None,
                Ok("aws://arn:aws:secretsmanager:us-east-1:111122223333:secret:a-AbCdEf?region=eu-west-1"),
            ),
            ("vault://secret/bot#KEY", None, None, Ok("vault://secret/bot#KEY")),
            ("vault://secret/bot", Some("3"), None, Ok("vault://secret/bot?version=3")),
            ("vault://secret/bot", None, Some("AWSPREVIOUS"), Err(400)),
            ("bot", Some("a&stage=b"), None, Err(400)),
            // Nothing of the machine itself is within reach of a client.
            ("exec://cat /etc/passwd", None, None, Err(400)),
            ("file:///etc/passwd", None, None, Err(400)),
            ("env://HOME", None, None, Err(400)),
            ("file:/etc/passwd", None, None, Ok("aws://file:/etc/passwd?region=eu-west-1")),
            // Nor is who the agent is, and what it may do: no token of Vault's, no key of AWS's, no other role.
            ("vault://auth/token/lookup-self#id", None, None, Err(400)),
            ("vault://auth/token/lookup-self?kv=1#id", None, None, Err(400)),
            ("vault://sys/auth", None, None, Err(400)),
            ("vault://identity/oidc/token/x", None, None, Err(400)),
            ("vault://cubbyhole/x", None, None, Err(400)),
            ("vault://aws/creds/role?kv=1", None, None, Err(400)),
            ("vault://secret/bot?kv=2", None, None, Err(400)),
            ("vault://secret/bot?namespace=other", None, None, Err(400)),
            ("vault://secret/../auth/token/lookup-self", None, None, Err(400)),
            ("vault://secret/./bot", None, None, Err(400)),
            ("vault://secret//bot", None, None, Err(400)),
            ("vault:///auth/token/lookup-self", None, None, Err(400)),
            ("aws://bot?role_arn=arn:aws:iam::111122223333:role/admin", None, None, Err(400)),
            ("aws://bot?region=us-east-1", None, None, Err(400)),
            ("coffer://bot?region=us-east-1", None, None, Err(400)),
            ("aws://bot?stage=AWSPREVIOUS", None, None, Ok("aws://bot?stage=AWSPREVIOUS")),
            ("a/../b", None, None, Err(400)),
            ("a?stage=AWSPREVIOUS", None, None, Err(400)),
            ("a b", None, None, Err(400)),
        ] {
            assert_eq!(meant(id, version, stage, Reach::References), expected.map(str::to_owned), "{id}");
            // Unless it is said, no reference leads anywhere.
            let expected = if id.contains("://") { Err(400) } else { expected.map(str::to_owned) };
            assert_eq!(meant(id, version, stage, Reach::Store), expected, "{id}");
        }
        assert_eq!(meant("X_API_KEY", None, None, Reach::Manifest), Ok("name:X_API_KEY".to_owned()));
        assert_eq!(meant("bot", None, None, Reach::Manifest), Err(403));
        assert_eq!(meant("vault://secret/bot", None, None, Reach::Manifest), Err(403));
    }
}

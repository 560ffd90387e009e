//! Policies made for a kind of workload: what it needs for its secrets, and nothing else.
//!
//! Pure. Invariants: what is made is a valid managed policy; it allows no action that the kind does not name, and on no other secret.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What a program does with its secrets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Workload {
    /// Reads values: an application.
    Reader,
    /// Writes new versions and reads none.
    Writer,
    /// Makes a new value, tries it, and makes it current: a rotation function.
    Rotator,
    /// Makes, changes and tags secrets, and reads none: a pipeline.
    Deployer,
    /// Looks at everything but values.
    Auditor,
}

/// What a policy is to be made for.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// Of which kind the workload is.
    pub workload: Workload,
    /// Its secrets: names (`app/db`), beginnings of names (`app/*`), or ARNs.
    pub secrets: &'a [&'a str],
    /// The partition of names: `aws`, unless elsewhere.
    pub partition: &'a str,
    /// The region of names, `*` for any.
    pub region: &'a str,
    /// The account of names, `*` for any.
    pub account: &'a str,
    /// The ARN of the key that the secrets are sealed under, if it is not the service's own.
    pub key: Option<&'a str>,
}

struct Grants {
    /// What the statement about the secrets is called.
    sid: &'static str,
    /// On the secrets as they are named before they are there, without the six characters.
    creation: &'static [&'static str],
    /// On the secrets.
    secrets: &'static [&'static str],
    /// On every resource, since these actions are about none.
    everything: &'static [&'static str],
    /// On the key.
    key: &'static [&'static str],
}

impl Workload {
    fn grants(self) -> Grants {
        match self {
            Self::Reader => Grants {
                sid: "Read",
                creation: &[],
                secrets: &["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
                everything: &[],
                key: &["kms:Decrypt"],
            },
            Self::Writer => Grants {
                sid: "Write",
                creation: &[],
                secrets: &["secretsmanager:PutSecretValue", "secretsmanager:DescribeSecret"],
                everything: &[],
                key: &["kms:GenerateDataKey", "kms:Decrypt"],
            },
            Self::Rotator => Grants {
                sid: "Rotate",
                creation: &[],
                secrets: &[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                everything: &["secretsmanager:GetRandomPassword"],
                key: &["kms:GenerateDataKey", "kms:Decrypt"],
            },
            Self::Deployer => Grants {
                sid: "Change",
                creation: &["secretsmanager:CreateSecret", "secretsmanager:TagResource"],
                secrets: &[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:TagResource",
                    "secretsmanager:UntagResource",
                    "secretsmanager:UpdateSecret",
                ],
                everything: &[],
                key: &["kms:GenerateDataKey", "kms:Decrypt"],
            },
            Self::Auditor => Grants {
                sid: "Look",
                creation: &[],
                secrets: &[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetResourcePolicy",
                    "secretsmanager:ListSecretVersionIds",
                ],
                everything: &["secretsmanager:ListSecrets"],
                key: &[],
            },
        }
    }
}

/// The policy of least privilege for a workload, as text with indentation.
pub fn least_privilege(needs: &Needs<'_>) -> String {
    least_privilege_for_all(std::slice::from_ref(needs))
}

/// The policy of least privilege for one who does several things, each with secrets of its own. What needs none adds nothing; no needs
/// at all make no policy, since one has statements.
pub fn least_privilege_for_all(needs: &[Needs<'_>]) -> String {
    let mut statements = Vec::new();
    let mut sids: Vec<String> = Vec::new();
    // A statement's id is one of its document's.
    let mut sid_of = |sid: &str| {
        let numbered = (2..).map(|number| format!("{sid}{number}"));
        let sid = std::iter::once(sid.to_owned()).chain(numbered).find(|sid| !sids.contains(sid));
        let sid = sid.unwrap_or_default();
        sids.push(sid.clone());
        sid
    };
    for needs in needs.iter().filter(|needs| !needs.secrets.is_empty()) {
        let grants = needs.workload.grants();
        let mut resources: Vec<String> =
            needs.secrets.iter().map(|secret| secret_arn(secret, needs)).collect();
        let mut seen = BTreeSet::new();
        resources.retain(|resource| seen.insert(resource.clone()));
        if !grants.creation.is_empty() {
            let bare = |arn: &String| arn.strip_suffix("-??????").unwrap_or(arn).to_owned();
            let bare: Vec<String> = resources.iter().map(bare).collect();
            statements.push(statement(&sid_of("Create"), grants.creation, &bare, None));
        }
        statements.push(statement(&sid_of(grants.sid), grants.secrets, &resources, None));
        if !grants.everything.is_empty() {
            statements.push(statement(&sid_of("Everything"), grants.everything, &["*".to_owned()], None));
        }
        if let Some(key) = needs.key.filter(|_| !grants.key.is_empty()) {
            let region = arn_part(key, 3).filter(|region| !region.is_empty()).unwrap_or(needs.region);
            statements.push(statement(&sid_of("Key"), grants.key, &[key.to_owned()], Some(region)));
        }
    }
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}\n", statements.join(",\n"))
}

/// The smallest statement that would allow an action on a resource. The six characters at the end of a secret's ARN are any, so that it
/// outlives the secret.
pub fn smallest_statement(action: &str, resource: &str) -> String {
    let resource = match resource.rsplit_once('-') {
        Some((name, suffix)) if is_suffix(suffix) && arn_part(resource, 2) == Some("secretsmanager") => {
            format!("{name}-??????")
        }
        Some(_) | None => resource.to_owned(),
    };
    format!(
        "{{ \"Effect\": \"Allow\", \"Action\": {}, \"Resource\": {} }}",
        quoted(action),
        quoted(&literal(&resource))
    )
}

fn is_suffix(suffix: &str) -> bool {
    suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn secret_arn(secret: &str, needs: &Needs<'_>) -> String {
    if secret.starts_with("arn:") {
        let ends_openly = secret.ends_with('*') || secret.ends_with("-??????");
        let has_suffix = secret.rsplit_once('-').is_some_and(|(_, suffix)| is_suffix(suffix));
        return if ends_openly || has_suffix { secret.to_owned() } else { format!("{secret}-??????") };
    }
    let suffix = if secret.ends_with('*') { "" } else { "-??????" };
    let Needs { partition, region, account, .. } = needs;
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{secret}{suffix}")
}

fn arn_part(arn: &str, part: usize) -> Option<&str> {
    arn.starts_with("arn:").then(|| arn.splitn(6, ':').nth(part)).flatten()
}

/// A text whose `$` begins no variable.
fn literal(text: &str) -> String {
    text.replace("${", "${$}{")
}

fn statement(sid: &str, actions: &[&str], resources: &[String], via_region: Option<&str>) -> String {
    let mut text = String::new();
    let list = |texts: &mut dyn Iterator<Item = String>| {
        let texts: Vec<String> = texts.collect();
        match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[\n        {}\n      ]", many.join(",\n        ")),
        }
    };
    let actions = list(&mut actions.iter().map(|action| quoted(action)));
    let resources = list(&mut resources.iter().map(|resource| quoted(resource)));
    // Writing to a String can't fail.
    let _ = write!(
        text,
        "    {{\n      \"Sid\": {},\n      \"Effect\": \"Allow\",\n      \"Action\": {actions},\n      \"Resource\": {resources}",
        quoted(sid)
    );
    if let Some(region) = via_region {
        let operator = if region.contains(['*', '?']) { "StringLike" } else { "StringEquals" };
        let service = quoted(&format!("secretsmanager.{region}.amazonaws.com"));
        let _ = write!(
            text,
            ",\n      \"Condition\": {{\n        \"{operator}\": {{ \"kms:ViaService\": {service} }}\n      }}"
        );
    }
    text.push_str("\n    }");
    text
}

/// A text of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, DocumentKind, lint};

    const ALL: [Workload; 5] =
        [Workload::Reader, Workload::Writer, Workload::Rotator, Workload::Deployer, Workload::Auditor];

    fn needs<'a>(workload: Workload, secrets: &'a [&'a str], key: Option<&'a str>) -> Needs<'a> {
        Needs { workload, secrets, partition: "aws", region: "us-east-1", account: "123456789012", key }
    }

    fn resources(text: &str) -> Vec<String> {
        let document = Document::parse(text, DocumentKind::Managed).unwrap();
        let listed = document.statements.first().unwrap().resources.clone().unwrap();
        listed.entries.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn every_workload_gets_a_policy_without_findings() {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1";
        for workload in ALL {
            for key in [None, Some(key)] {
                let text = least_privilege(&needs(workload, &["app/db", "app/api/*"], key));
                let document =
                    Document::parse(&text, DocumentKind::Managed).unwrap_or_else(|e| panic!("{e}: {text}"));
                let findings = lint(&document);
                assert!(findings.is_empty(), "{findings:?}: {text}");
            }
        }
    }

    #[test]
    fn who_does_several_things_gets_one_policy() {
        let needs = [
            needs(Workload::Reader, &["app/db", "jobs/*", "app/db"], None),
            needs(Workload::Writer, &["app/db"], None),
            needs(Workload::Rotator, &["app/a"], None),
            needs(Workload::Auditor, &["app/b"], None),
            needs(Workload::Deployer, &[], None),
        ];
        let text = least_privilege_for_all(&needs);
        let document = Document::parse(&text, DocumentKind::Managed).unwrap();
        assert!(lint(&document).is_empty(), "{text}");
        let sids = document.statements.iter().map(|statement| statement.sid.as_ref().unwrap().text.as_str());
        let sids: Vec<&str> = sids.collect();
        assert_eq!(sids, ["Read", "Write", "Rotate", "Everything", "Look", "Everything2"]);
        assert_eq!(resources(&text).len(), 2, "each secret once: {text}");
    }

    #[test]
    fn secrets_are_named_as_policies_name_them() {
        let arn = |rest: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{rest}");
        for (secret, expected) in [
            ("app/db", "app/db-??????"),
            ("app/*", "app/*"),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db", "app/db-??????"),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf", "app/db-AbCdEf"),
        ] {
            assert_eq!(
                resources(&least_privilege(&needs(Workload::Reader, &[secret], None))),
                [arn(expected)]
            );
        }
        let deployer = least_privilege(&needs(Workload::Deployer, &["app/db"], None));
        assert_eq!(resources(&deployer), [arn("app/db")]);
    }

    #[test]
    fn only_who_reads_values_may_read_values() {
        for workload in ALL {
            let text = least_privilege(&needs(workload, &["app/db"], None));
            let reads = matches!(workload, Workload::Reader | Workload::Rotator);
            assert_eq!(text.contains("GetSecretValue"), reads, "{workload:?}");
        }
    }

    #[test]
    fn the_smallest_statement_outlives_the_secret() {
        let of = |resource| smallest_statement("secretsmanager:GetSecretValue", resource);
        assert!(
            of("arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf")
                .contains(":secret:a-??????\"")
        );
        assert!(of("*").contains("\"Resource\": \"*\""));
        assert!(of("a\"${aws:username}").contains(r#""a\"${$}{aws:username}""#));
    }
}

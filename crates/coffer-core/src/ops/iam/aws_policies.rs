//! AWS's own managed policies, as far as coffer knows what they are about.
//!
//! As AWS published them in its managed policy reference
//! (https://docs.aws.amazon.com/aws-managed-policy/latest/reference/), read on 2026-11-22: the documents word for word, with
//! their versions and dates. `ReadOnlyAccess` is an extract of version 87: of its thousands of actions those of Secrets Manager, KMS,
//! IAM and STS, since nearly all are of services that coffer has nothing of.

use coffer_types::Timestamp;

/// A managed policy of AWS's.
pub(crate) struct AwsPolicy {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) version: u32,
    /// When this version was made, in seconds since 1970.
    updated_seconds: i64,
    pub(crate) document: &'static str,
}

impl AwsPolicy {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy/{}", self.name)
    }

    pub(crate) fn updated(&self) -> Timestamp {
        Timestamp::from_millis(self.updated_seconds * 1000)
    }
}

/// All of them, by name.
pub(crate) const ALL: [AwsPolicy; 6] = [
    AwsPolicy {
        name: "AWSKeyManagementServicePowerUser",
        id: "ANPACOFFERKMSPOWERUSR",
        version: 2,
        updated_seconds: 1_488_848_111,
        document: include_str!("managed/AWSKeyManagementServicePowerUser.json"),
    },
    AwsPolicy {
        name: "AdministratorAccess",
        id: "ANPACOFFERADMINISTRAT",
        version: 1,
        updated_seconds: 1_423_161_586,
        document: include_str!("managed/AdministratorAccess.json"),
    },
    AwsPolicy {
        name: "IAMFullAccess",
        id: "ANPACOFFERIAMFULLACCE",
        version: 2,
        updated_seconds: 1_561_146_000,
        document: include_str!("managed/IAMFullAccess.json"),
    },
    AwsPolicy {
        name: "IAMReadOnlyAccess",
        id: "ANPACOFFERIAMREADONLY",
        version: 4,
        updated_seconds: 1_516_907_487,
        document: include_str!("managed/IAMReadOnlyAccess.json"),
    },
    AwsPolicy {
        name: "ReadOnlyAccess",
        id: "ANPACOFFERREADONLYACC",
        version: 87,
        updated_seconds: 1_653_336_978,
        document: include_str!("managed/ReadOnlyAccess.json"),
    },
    AwsPolicy {
        name: "SecretsManagerReadWrite",
        id: "ANPACOFFERSECRETSREWR",
        version: 6,
        updated_seconds: 1_787_701_030,
        document: include_str!("managed/SecretsManagerReadWrite.json"),
    },
];

/// The one with this ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsPolicy> {
    let name = arn.strip_prefix("arn:aws:iam::aws:policy/")?;
    ALL.iter().find(|policy| policy.name == name)
}

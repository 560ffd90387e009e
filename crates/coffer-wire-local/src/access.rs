//! What may be asked about users, groups, roles and policies, and what is answered.
//!
//! Pure. Names and documents are read by the server, so that its error names what the caller wrote.

use coffer_types::{Region, Tag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::WireValue;

/// What has policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HolderKind {
    /// A user.
    User,
    /// A group of users.
    Group,
    /// A role.
    Role,
}

impl HolderKind {
    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }
}

/// Somebody who has policies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Of which kind.
    pub kind: HolderKind,
    /// By name.
    pub name: String,
}

/// A request about access: `{"CreateUser":{"name":"app"}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AccessRequest {
    /// Makes a user, group or role; a role needs `trust`.
    Create {
        /// Which.
        holder: Holder,
        /// A role's trust policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust: Option<String>,
        /// What a role is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The longest a role's session can be; an hour if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_seconds_max: Option<u32>,
    },
    /// Makes an identity provider for an issuer of tokens, if there is none, and adds the audience to those it has.
    TrustIssuer {
        /// The issuer's URL.
        url: String,
        /// For whom the tokens are.
        audience: String,
    },
    /// Lists the identity providers, by name.
    ListProviders {},
    /// Tells of an identity provider.
    GetProvider {
        /// The issuer's URL, with or without its scheme, or the provider's ARN.
        issuer: String,
    },
    /// Deletes an identity provider.
    DeleteProvider {
        /// The issuer's URL, with or without its scheme, or the provider's ARN.
        issuer: String,
    },
    /// Tells of one.
    Get {
        /// Which.
        holder: Holder,
    },
    /// Lists those of a kind, by name.
    List {
        /// Of which.
        kind: HolderKind,
        /// Where the last page ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        marker: Option<String>,
    },
    /// Deletes one that has nothing any more.
    Delete {
        /// Which.
        holder: Holder,
    },
    /// Makes an access key.
    CreateAccessKey {
        /// Whose.
        user: String,
    },
    /// Lists a user's access keys.
    ListAccessKeys {
        /// Whose.
        user: String,
    },
    /// Switches an access key on or off.
    UpdateAccessKey {
        /// Whose.
        user: String,
        /// Which.
        id: String,
        /// Whether who signs with it is to be believed.
        is_active: bool,
    },
    /// Deletes an access key.
    DeleteAccessKey {
        /// Whose.
        user: String,
        /// Which.
        id: String,
    },
    /// Tells whose an access key is and when it was last used.
    FindAccessKey {
        /// Which.
        id: String,
    },
    /// Gives a role another trust policy.
    UpdateTrust {
        /// Which role, by name.
        role: String,
        /// The document.
        trust: String,
        /// What it has to be until then, as it was shown. Anything, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<String>,
    },
    /// Puts a user into a group.
    AddUserToGroup {
        /// Which group.
        group: String,
        /// Which user.
        user: String,
    },
    /// Takes a user out of a group.
    RemoveUserFromGroup {
        /// Which group.
        group: String,
        /// Which user.
        user: String,
    },
    /// Lists the groups a user is in.
    ListGroupsForUser {
        /// Which user.
        user: String,
    },
    /// Lists the members of a group.
    ListUsersOfGroup {
        /// Which group.
        group: String,
    },
    /// Writes a policy of somebody's own.
    PutPolicy {
        /// Whose.
        holder: Holder,
        /// The policy's name.
        name: String,
        /// The document.
        document: String,
    },
    /// Reads a policy of somebody's own.
    GetInlinePolicy {
        /// Whose.
        holder: Holder,
        /// The policy's name.
        name: String,
    },
    /// Deletes a policy of somebody's own.
    DeleteInlinePolicy {
        /// Whose.
        holder: Holder,
        /// The policy's name.
        name: String,
    },
    /// Lists somebody's policies: their own, and the managed ones they have.
    ListPoliciesOf {
        /// Whose.
        holder: Holder,
    },
    /// Gives somebody a managed policy.
    AttachPolicy {
        /// Whom.
        holder: Holder,
        /// Which.
        arn: String,
    },
    /// Takes a managed policy from somebody.
    DetachPolicy {
        /// From whom.
        holder: Holder,
        /// Which.
        arn: String,
    },
    /// Lists managed policies by name.
    ListPolicies {
        /// Also AWS's own.
        with_aws: bool,
        /// Where the last page ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        marker: Option<String>,
    },
    /// Makes a managed policy.
    CreatePolicy {
        /// Its name.
        name: String,
        /// The document.
        document: String,
    },
    /// Gives a managed policy another document, which counts from then on.
    CreatePolicyVersion {
        /// Which.
        arn: String,
        /// The document.
        document: String,
    },
    /// Reads a managed policy, as its default version has it.
    GetPolicy {
        /// Which.
        arn: String,
    },
    /// Lists the versions of a managed policy, newest first.
    ListPolicyVersions {
        /// Which.
        arn: String,
    },
    /// Deletes a version of a managed policy that does not count.
    DeletePolicyVersion {
        /// Which policy.
        arn: String,
        /// The version's number.
        number: u32,
    },
    /// Deletes a managed policy that nobody has any more.
    DeletePolicy {
        /// Which.
        arn: String,
    },
    /// Tells who may do something to a secret.
    WhoCan {
        /// The name or ARN.
        secret_id: String,
        /// Which action, such as `secretsmanager:GetSecretValue`.
        action: String,
    },
    /// Explains a denial that the audit log tells of: the last that fits.
    ExplainDenial {
        /// Of which request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// About which secret, by name or ARN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_id: Option<String>,
        /// To whom, as records are filtered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
}

/// An answer about access.
#[derive(Serialize, Deserialize)]
pub enum AccessResponse {
    /// It is done, and there is nothing to tell.
    Done {},
    /// An identity provider.
    IdentityProvider {
        /// Its ARN.
        arn: String,
    },
    /// An identity provider, whole.
    Provider(Provider),
    /// Identity providers.
    Providers {
        /// By name.
        providers: Vec<Provider>,
    },
    /// A user, group or role.
    Entity(Entity),
    /// Users, groups or roles.
    Entities(EntityPage),
    /// A new access key.
    NewAccessKey(NewAccessKey),
    /// A user's access keys.
    AccessKeys {
        /// Oldest first.
        keys: Vec<AccessKey>,
    },
    /// Whose an access key is.
    KeyOwner {
        /// The user.
        user: String,
        /// When it was last used, if ever.
        last_used: Option<LastUse>,
    },
    /// Names.
    Names {
        /// Sorted.
        names: Vec<String>,
    },
    /// A policy.
    Policy(Policy),
    /// Managed policies.
    Policies(PolicyPage),
    /// Somebody's policies.
    PoliciesOf {
        /// The names of their own.
        inline: Vec<String>,
        /// Name and ARN of managed ones.
        attached: Vec<(String, String)>,
    },
    /// Who may do something to a secret.
    WhoCan(Able),
    /// Why something was denied; `None` if nothing was.
    Explanation(Option<Box<Explanation>>),
    /// The versions of a policy, newest first: their numbers, and whether it is the one that counts.
    Versions {
        /// The versions.
        versions: Vec<(u32, bool)>,
    },
}

/// A user, group or role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its unique id.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The ARN of the policy that bounds its permissions.
    pub boundary: Option<String>,
    /// What only roles have.
    pub role: Option<RoleFacts>,
}

/// An identity provider, whose tokens roles may trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provider {
    /// Its ARN.
    pub arn: String,
    /// The issuer's URL without its scheme, as conditions have it.
    pub issuer: String,
    /// For whom tokens are.
    pub audiences: Vec<String>,
    /// As they were given; they mean nothing.
    pub thumbprints: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What only roles have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleFacts {
    /// Who may take it on: the document as written.
    pub trust: String,
    /// What it is for.
    pub description: Option<String>,
    /// The longest a session of it can be.
    pub session_seconds_max: u32,
}

/// A page of users, groups or roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityPage {
    /// By name.
    pub entities: Vec<Entity>,
    /// Where the next page begins; `None` at the end.
    pub marker: Option<String>,
}

/// A new access key, with its secret, which is told this once.
#[derive(Serialize, Deserialize)]
pub struct NewAccessKey {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The secret, always a text.
    pub secret: WireValue,
}

/// An access key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Whether who signs with it is believed.
    pub is_active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used; `None` if never.
    pub last_used: Option<LastUse>,
}

/// The last use of an access key, to a quarter of an hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// For which service.
    pub service: String,
    /// In which region.
    pub region: Region,
}

/// A policy and its document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its ARN, if it is a managed one.
    pub arn: Option<String>,
    /// The number of the version that counts, if it is a managed one.
    pub version: Option<u32>,
    /// The document as written.
    pub document: String,
}

/// A managed policy without its document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicySummary {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The number of the version that counts.
    pub version: u32,
    /// How many users, groups and roles have it.
    pub attachments: u32,
    /// When its versions last changed.
    pub updated: Timestamp,
}

/// A page of managed policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyPage {
    /// By name.
    pub policies: Vec<PolicySummary>,
    /// Where the next page begins; `None` at the end.
    pub marker: Option<String>,
}

/// Who may do something to a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Able {
    /// The secret's ARN.
    pub arn: String,
    /// Each way in which somebody may; the owner of the store comes first.
    pub ways: Vec<Way>,
}

/// One way in which somebody may.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Way {
    /// Who.
    pub arn: String,
    /// Through which statement; the owner of the store needs none.
    pub through: Option<StatementPlace>,
    /// What must hold as well, in words. All of it.
    pub conditions: Vec<String>,
    /// Of a role: whom its trust policy names, without those who are gone.
    pub trusted: Vec<String>,
    /// Of a role: whether its trust policy names anybody who is there.
    #[serde(default)]
    pub taken_on: Option<bool>,
}

/// Where a statement stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatementPlace {
    /// The policy's name, or its ARN if it is a managed one.
    pub policy: String,
    /// Whose it is, such as `user app`.
    pub holder: String,
    /// Which statement, counted from 1.
    pub statement: usize,
    /// Its id.
    pub sid: Option<String>,
    /// The line it begins in.
    pub line: u32,
    /// The character in it.
    pub column: u32,
}

/// A denial and how it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// When, as the record has it.
    pub time: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// What was asked for.
    pub event_name: String,
    /// Who asked: the ARN.
    pub principal: String,
    /// Whether there is no such user or role any more.
    pub is_gone: bool,
    /// The permission that was missing.
    pub action: String,
    /// What it was missing on.
    pub resource: String,
    /// Why, in AWS's words.
    pub reason: String,
    /// The statements that could have had a say, as they are now.
    pub considered: Vec<Considered>,
    /// What the policies say to the same request now.
    pub now: Verdict,
    /// The smallest document that would allow it, if one would.
    pub document: Option<String>,
    /// What did not hold of a role's trust policy, in words; one of them would have been enough.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// Of a refusal of credentials: the access key.
    #[serde(default)]
    pub access_key: Option<RefusedKey>,
}

/// What policies say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// No policy of the principal's allows it.
    NotAllowed,
    /// The permissions boundary does not allow it.
    OutOfBounds,
    /// A statement denies it.
    Denied,
    /// There is no such secret.
    NoSecret,
    /// There is no such role.
    NoRole,
    /// The role's trust policy does not let the caller take it on.
    NotTrusted,
    /// The identity provider that vouched for the caller is not there any more, or not for this audience.
    NoProvider,
    /// The policies allow it, and what the session was begun with does not.
    OutOfSession,
    /// IAM is not for sessions of users.
    NotForSessions,
    /// Nobody was believed: the credentials are at fault.
    NotAuthenticated,
}

/// An access key that was not believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefusedKey {
    /// Its id.
    pub id: String,
    /// What has become of it.
    pub state: KeyState,
    /// Whose it is, if it is there.
    pub user: Option<String>,
}

/// What has become of an access key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It is disabled.
    Disabled,
    /// It is there and good.
    Active,
    /// It is one of a session that was over.
    SessionOver,
    /// It is one of a session.
    Session,
    /// There is none such, or no more.
    Unknown,
}

/// A statement, and what it says to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Considered {
    /// Which.
    #[serde(flatten)]
    pub place: StatementPlace,
    /// Whether it allows; it denies otherwise.
    pub allows: bool,
    /// Whether it is of the permissions boundary, which gives nothing by itself.
    pub is_boundary: bool,
    /// Whether it applies.
    pub applies: bool,
    /// Why, in words.
    pub why: String,
}

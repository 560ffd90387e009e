//! The operations on users, groups, roles and policies. Their parameters and answers stand here, together, since doors are
//! written against them; the rules stand in the files below, by what they are about.

use std::marker::PhantomData;

use coffer_types::iam_limits::PAGE_ITEMS_DEFAULT;
use coffer_types::{
    EntityName, EntityPath, IssuerUrl, OidcProviderArn, PolicyArn, Region, SecretBytes, Tag, Timestamp,
};

mod access_keys;
mod account;
mod attached;
mod aws_policies;
mod boundaries;
mod directory;
mod documents;
mod get_access_key_last_used;
mod groups;
mod inline;
mod oidc_providers;
mod policies;
mod roles;
mod simulation;
mod tags;
pub(crate) mod trust;
mod users;

pub(crate) use aws_policies::find as find_aws_policy;
pub use coffer_policy::{PolicyKind, Position};
pub use directory::{
    About, Directory, DirectoryOperation, Kind, OfGroup, OfKind, OfOidcProvider, OfPolicy, OfRole, OfUser,
    Through,
};
pub use simulation::{
    ContextEntry, ContextKeys, GetContextKeysForCustomPolicy, GetContextKeysForPrincipalPolicy,
    GrantingPolicies, GrantingPolicy, ListPoliciesGrantingServiceAccess, MatchedStatement,
    SimulateCustomPolicy, SimulatePrincipalPolicy, Simulated, SimulatedDecision, SimulationResult,
    SimulationResults,
};
pub(crate) use users::check_tag_keys;

/// A page of a listing: how many entries at most, and after which.
#[derive(Clone, Debug)]
pub struct Page {
    /// 1 to 1000.
    pub max_items: u32,
    /// What the page before ended with.
    pub marker: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { max_items: PAGE_ITEMS_DEFAULT, marker: None }
    }
}

/// Entries, and what asks for the next page if there is one.
pub struct Paged<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Asks for the rest.
    pub marker: Option<String>,
}

/// It is done, and there is nothing to tell.
pub struct Done;

/// What is known of a user, group, role or managed policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its unique id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The ARN of the policy that bounds its permissions: of users and roles.
    pub boundary: Option<String>,
}

/// What is known of a role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedRole {
    /// What every entity has.
    pub entity: Described,
    /// Who may take it on: the document as written.
    pub trust: String,
    /// What it is for.
    pub description: Option<String>,
    /// The longest a session of it can be.
    pub session_seconds_max: u32,
}

/// What is known of a managed policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedPolicy {
    /// What every entity has.
    pub entity: Described,
    /// What it is for.
    pub description: Option<String>,
    /// When its versions last changed.
    pub updated: Timestamp,
    /// The version that counts.
    pub default_version: u32,
    /// How many users, groups and roles have it.
    pub attachments: u32,
    /// How many users and roles it bounds.
    pub boundary_uses: u32,
}

/// A version of a managed policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedVersion {
    /// Its number.
    pub number: u32,
    /// Whether it is the one that counts.
    pub is_default: bool,
    /// When it was made.
    pub created: Timestamp,
    /// The document as written; listings leave it out.
    pub document: Option<String>,
}

/// What is known of an access key but its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedKey {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// Whether who signs with it is believed.
    pub is_active: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Makes a user.
pub struct CreateUser {
    /// Its name.
    pub name: EntityName,
    /// Its path.
    pub path: EntityPath,
    /// The policy that bounds its permissions.
    pub boundary: Option<PolicyArn>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Tells of a user.
pub struct GetUser {
    /// Which; the caller if `None`.
    pub name: Option<EntityName>,
}

/// Lists users by name.
pub struct ListUsers {
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
}

/// Gives a user another name or path.
pub struct UpdateUser {
    /// Which.
    pub name: EntityName,
    /// Its new name.
    pub new_name: Option<EntityName>,
    /// Its new path.
    pub new_path: Option<EntityPath>,
}

/// Deletes a user that has nothing any more.
pub struct DeleteUser {
    /// Which.
    pub name: EntityName,
}

/// Makes an access key.
pub struct CreateAccessKey {
    /// For which user; the caller if `None`.
    pub user: Option<EntityName>,
}

/// A new access key, with its secret, which is told this once.
pub struct CreatedAccessKey {
    /// All but the secret.
    pub key: DescribedKey,
    /// The secret.
    pub secret: SecretBytes,
}

/// Switches an access key on or off.
pub struct UpdateAccessKey {
    /// Of which user; the caller if `None`.
    pub user: Option<EntityName>,
    /// Which.
    pub id: String,
    /// Whether who signs with it is to be believed.
    pub is_active: bool,
}

/// Deletes an access key.
pub struct DeleteAccessKey {
    /// Of which user; the caller if `None`.
    pub user: Option<EntityName>,
    /// Which.
    pub id: String,
}

/// Lists a user's access keys.
pub struct ListAccessKeys {
    /// Which user; the caller if `None`.
    pub user: Option<EntityName>,
    /// Which of them.
    pub page: Page,
}

/// Tells when an access key was last used.
pub struct GetAccessKeyLastUsed {
    /// Which.
    pub id: String,
}

/// When an access key was last used, and for what.
pub struct AccessKeyLastUsed {
    /// Whose it is.
    pub user: String,
    /// When, in which region, and for which service; `None` if never.
    pub last: Option<(Timestamp, Region, String)>,
}

/// Makes a group.
pub struct CreateGroup {
    /// Its name.
    pub name: EntityName,
    /// Its path.
    pub path: EntityPath,
}

/// Tells of a group and its members.
pub struct GetGroup {
    /// Which.
    pub name: EntityName,
    /// Which of its members.
    pub page: Page,
}

/// A group and some of its members.
pub struct GroupWithUsers {
    /// The group.
    pub group: Described,
    /// Its members.
    pub users: Paged<Described>,
}

/// Lists groups by name.
pub struct ListGroups {
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
}

/// Lists the groups a user is in.
pub struct ListGroupsForUser {
    /// Which user.
    pub user: EntityName,
    /// Which of them.
    pub page: Page,
}

/// Gives a group another name or path.
pub struct UpdateGroup {
    /// Which.
    pub name: EntityName,
    /// Its new name.
    pub new_name: Option<EntityName>,
    /// Its new path.
    pub new_path: Option<EntityPath>,
}

/// Deletes a group that has nothing and nobody any more.
pub struct DeleteGroup {
    /// Which.
    pub name: EntityName,
}

/// Puts a user into a group.
pub struct AddUserToGroup {
    /// Which group.
    pub group: EntityName,
    /// Which user.
    pub user: EntityName,
}

/// Takes a user out of a group.
pub struct RemoveUserFromGroup {
    /// Which group.
    pub group: EntityName,
    /// Which user.
    pub user: EntityName,
}

/// Makes a role.
pub struct CreateRole {
    /// Its name.
    pub name: EntityName,
    /// Its path.
    pub path: EntityPath,
    /// Who may take it on.
    pub trust: String,
    /// What it is for.
    pub description: Option<String>,
    /// The longest a session of it can be.
    pub session_seconds_max: u32,
    /// The policy that bounds its permissions.
    pub boundary: Option<PolicyArn>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Tells of a role.
pub struct GetRole {
    /// Which.
    pub name: EntityName,
}

/// Lists roles by name.
pub struct ListRoles {
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
}

/// Changes what a role is for, or how long its sessions may be.
pub struct UpdateRole {
    /// Which.
    pub name: EntityName,
    /// What it is for, if that changes.
    pub description: Option<String>,
    /// The longest a session can be, if that changes.
    pub session_seconds_max: Option<u32>,
}

/// Changes what a role is for.
pub struct UpdateRoleDescription {
    /// Which.
    pub name: EntityName,
    /// What it is for.
    pub description: String,
}

/// Changes who may take a role on.
pub struct UpdateAssumeRolePolicy {
    /// Which role.
    pub name: EntityName,
    /// Who may.
    pub trust: String,
    /// Whom it has to trust until then, as `GetRole` shows it, for nothing that others change meanwhile to be undone unseen.
    pub expected: Option<String>,
}

/// Deletes a role that has nothing any more.
pub struct DeleteRole {
    /// Which.
    pub name: EntityName,
}

/// Writes a policy of a user's, group's or role's own.
pub struct PutPolicy<K> {
    /// Whose.
    pub holder: EntityName,
    /// The policy's name.
    pub name: EntityName,
    /// The document.
    pub document: String,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Reads a policy of a user's, group's or role's own.
pub struct GetInlinePolicy<K> {
    /// Whose.
    pub holder: EntityName,
    /// The policy's name.
    pub name: EntityName,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// A policy of a user's, group's or role's own.
pub struct InlinePolicy<K> {
    /// Whose.
    pub holder: String,
    /// Its name.
    pub name: String,
    /// The document as written.
    pub document: String,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Deletes a policy of a user's, group's or role's own.
pub struct DeleteInlinePolicy<K> {
    /// Whose.
    pub holder: EntityName,
    /// The policy's name.
    pub name: EntityName,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Lists the names of the policies of a user's, group's or role's own.
pub struct ListInlinePolicies<K> {
    /// Whose.
    pub holder: EntityName,
    /// Which of them.
    pub page: Page,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// The names of policies.
pub struct PolicyNames(pub Paged<String>);

/// Gives a user, group or role a managed policy.
pub struct AttachPolicy<K> {
    /// Whom.
    pub holder: EntityName,
    /// Which policy.
    pub policy: PolicyArn,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Takes a managed policy from a user, group or role.
pub struct DetachPolicy<K> {
    /// From whom.
    pub holder: EntityName,
    /// Which policy.
    pub policy: PolicyArn,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Lists the managed policies of a user, group or role.
pub struct ListAttachedPolicies<K> {
    /// Whose.
    pub holder: EntityName,
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Managed policies, by name and ARN.
pub struct AttachedPolicies(pub Paged<(String, String)>);

/// Bounds the permissions of a user or role.
pub struct PutPermissionsBoundary<K> {
    /// Whose.
    pub holder: EntityName,
    /// By which policy.
    pub policy: PolicyArn,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Takes the bounds off the permissions of a user or role.
pub struct DeletePermissionsBoundary<K> {
    /// Whose.
    pub holder: EntityName,
    /// Of which kind the holder is.
    pub kind: PhantomData<fn() -> K>,
}

/// Tags a user, role or policy.
pub struct TagEntity<K> {
    /// Which.
    pub entity: EntityReference,
    /// The tags to set.
    pub tags: Vec<Tag>,
    /// Of which kind it is.
    pub kind: PhantomData<fn() -> K>,
}

/// Takes tags from a user, role or policy.
pub struct UntagEntity<K> {
    /// Which.
    pub entity: EntityReference,
    /// The keys of the tags.
    pub keys: Vec<String>,
    /// Of which kind it is.
    pub kind: PhantomData<fn() -> K>,
}

/// Lists the tags of a user, role or policy.
pub struct ListEntityTags<K> {
    /// Which.
    pub entity: EntityReference,
    /// Which of them.
    pub page: Page,
    /// Of which kind it is.
    pub kind: PhantomData<fn() -> K>,
}

/// Tags.
pub struct Tags(pub Paged<Tag>);

/// How an entity is named: policies and identity providers by ARN, all else by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntityReference {
    /// By name.
    Named(EntityName),
    /// A policy.
    Policy(PolicyArn),
    /// An identity provider.
    Provider(OidcProviderArn),
}

/// Makes a managed policy.
pub struct CreatePolicy {
    /// Its name.
    pub name: EntityName,
    /// Its path.
    pub path: EntityPath,
    /// The document of its first version.
    pub document: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Tells of a managed policy.
pub struct GetPolicy {
    /// Which.
    pub arn: PolicyArn,
}

/// Whose managed policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyScope {
    /// Everybody's.
    All,
    /// AWS's own.
    Aws,
    /// The account's own.
    Local,
}

/// Lists managed policies by name.
pub struct ListPolicies {
    /// Whose.
    pub scope: PolicyScope,
    /// Only those that somebody has.
    pub only_attached: bool,
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
}

/// Deletes a managed policy that nobody has any more.
pub struct DeletePolicy {
    /// Which.
    pub arn: PolicyArn,
}

/// Makes a version of a managed policy.
pub struct CreatePolicyVersion {
    /// Of which policy.
    pub arn: PolicyArn,
    /// The document.
    pub document: String,
    /// Whether it is to count.
    pub set_as_default: bool,
}

/// Reads a version of a managed policy.
pub struct GetPolicyVersion {
    /// Of which policy.
    pub arn: PolicyArn,
    /// Its number.
    pub number: u32,
}

/// Lists the versions of a managed policy, newest first.
pub struct ListPolicyVersions {
    /// Of which policy.
    pub arn: PolicyArn,
    /// Which of them.
    pub page: Page,
}

/// Deletes a version of a managed policy that does not count.
pub struct DeletePolicyVersion {
    /// Of which policy.
    pub arn: PolicyArn,
    /// Its number.
    pub number: u32,
}

/// Makes a version of a managed policy count.
pub struct SetDefaultPolicyVersion {
    /// Of which policy.
    pub arn: PolicyArn,
    /// Its number.
    pub number: u32,
}

/// Lists who has a managed policy.
pub struct ListEntitiesForPolicy {
    /// Which policy.
    pub arn: PolicyArn,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only those whose path begins so.
    pub path_prefix: String,
    /// Which of them.
    pub page: Page,
}

/// Users, groups and roles, by kind, name and id.
pub struct PolicyEntities(pub Paged<(Kind, String, String)>);

/// Gives the account another name.
pub struct CreateAccountAlias {
    /// The name.
    pub alias: String,
}

/// Takes the account's other name.
pub struct DeleteAccountAlias {
    /// The name.
    pub alias: String,
}

/// Tells the account's other name.
pub struct ListAccountAliases;

/// The account's other name, if it has one.
pub struct AccountAliases(pub Option<String>);

/// Counts what is in the account.
pub struct GetAccountSummary;

/// What there is and how much of it there may be, by AWS's names.
pub struct AccountSummary(pub Vec<(&'static str, usize)>);

/// Makes an identity provider, whose tokens roles may then trust.
pub struct CreateOpenIDConnectProvider {
    /// Who issues the tokens.
    pub url: IssuerUrl,
    /// For whom they are issued.
    pub client_ids: Vec<String>,
    /// SHA-1 of certificates in hex: kept and told, and not looked at.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An identity provider that was made.
pub struct CreatedOpenIDConnectProvider {
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Tells of an identity provider.
pub struct GetOpenIDConnectProvider {
    /// Which.
    pub arn: OidcProviderArn,
}

/// What is known of an identity provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedOpenIDConnectProvider {
    /// Its ARN.
    pub arn: String,
    /// Its URL. Two that differ in the scheme alone have the same ARN.
    pub url: IssuerUrl,
    /// Its URL without the scheme, as AWS tells it.
    pub name: String,
    /// For whom its tokens are issued.
    pub client_ids: Vec<String>,
    /// As they were sent.
    pub thumbprints: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Lists all identity providers.
pub struct ListOpenIDConnectProviders;

/// The ARNs of identity providers.
pub struct OpenIDConnectProviders(pub Vec<String>);

/// Deletes an identity provider, if it is there.
pub struct DeleteOpenIDConnectProvider {
    /// Which.
    pub arn: OidcProviderArn,
}

/// Puts other thumbprints in the place of those a provider has.
pub struct UpdateOpenIDConnectProviderThumbprint {
    /// Of which.
    pub arn: OidcProviderArn,
    /// SHA-1 of certificates in hex.
    pub thumbprints: Vec<String>,
}

/// Adds an audience to those a provider's tokens may have.
pub struct AddClientIDToOpenIDConnectProvider {
    /// Which provider.
    pub arn: OidcProviderArn,
    /// The audience.
    pub client_id: String,
}

/// Takes away an audience.
pub struct RemoveClientIDFromOpenIDConnectProvider {
    /// Which provider.
    pub arn: OidcProviderArn,
    /// The audience.
    pub client_id: String,
}

//! Limits of the IAM and STS APIs.
//!
//! Source: the service models `iam/2010-05-08` and `sts/2011-06-15`, and the quotas page of IAM's user guide.

/// Longest name of a user, group, role or policy.
pub const ENTITY_NAME_CHARS_MAX: usize = 128;
/// Longest path of a user, group, role or policy.
pub const ENTITY_PATH_CHARS_MAX: usize = 512;
/// Most users of an account.
pub const USERS_MAX: usize = 5000;
/// Most groups of an account.
pub const GROUPS_MAX: usize = 300;
/// Most roles of an account.
pub const ROLES_MAX: usize = 1000;
/// Most managed policies of an account's own.
pub const POLICIES_MAX: usize = 1500;
/// Most groups a user may be in.
pub const GROUPS_PER_USER_MAX: usize = 10;
/// Most access keys of a user.
pub const ACCESS_KEYS_PER_USER_MAX: usize = 2;
/// Most managed policies of a user, group or role.
pub const ATTACHED_POLICIES_MAX: usize = 10;
/// Most versions of a managed policy.
pub const VERSIONS_PER_POLICY_MAX: usize = 5;
/// Longest managed policy, white space left out.
pub const POLICY_CHARS_MAX: usize = 6144;
/// Longest inline policies of a user together, white space left out.
pub const USER_POLICIES_CHARS_MAX: usize = 2048;
/// Longest inline policies of a group together, white space left out.
pub const GROUP_POLICIES_CHARS_MAX: usize = 5120;
/// Longest inline policies of a role together, white space left out.
pub const ROLE_POLICIES_CHARS_MAX: usize = 10_240;
/// Longest trust policy of a role, white space left out.
pub const TRUST_POLICY_CHARS_MAX: usize = 4096;
/// Longest policy document that is taken at all, in characters.
pub const DOCUMENT_CHARS_MAX: usize = 131_072;
/// Longest description of a role or a policy.
pub const ENTITY_DESCRIPTION_CHARS_MAX: usize = 1000;
/// Shortest session of a role that can be the longest, in seconds.
pub const SESSION_SECONDS_MIN: u32 = 3600;
/// Longest session of a role, in seconds.
pub const SESSION_SECONDS_MAX: u32 = 43_200;
/// Shortest session there is, in seconds.
pub const SESSION_SECONDS_SHORTEST: u32 = 900;
/// Longest session of a user, in seconds.
pub const USER_SESSION_SECONDS_MAX: u32 = 129_600;
/// Entries of a page for which no number is asked.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// Most entries a page of IAM's may hold.
pub const PAGE_ITEMS_MAX: u32 = 1000;
/// Most identity providers of an account.
pub const OIDC_PROVIDERS_MAX: usize = 100;
/// Longest URL of an identity provider.
pub const OIDC_URL_CHARS_MAX: usize = 255;
/// Most audiences of an identity provider.
pub const CLIENT_IDS_PER_PROVIDER_MAX: usize = 100;
/// Longest audience.
pub const CLIENT_ID_CHARS_MAX: usize = 255;
/// Most thumbprints of an identity provider.
pub const THUMBPRINTS_PER_PROVIDER_MAX: usize = 5;
/// Characters of a thumbprint.
pub const THUMBPRINT_CHARS: usize = 40;
/// Longest token of an identity provider.
pub const WEB_IDENTITY_TOKEN_CHARS_MAX: usize = 20_000;

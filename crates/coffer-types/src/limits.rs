//! Limits of the Secrets Manager and IAM APIs, by the names their documentation uses.
//!
//! Source: the service models `secretsmanager/2017-10-17` and `iam/2010-05-08` and the quotas pages of their user guides.

/// Longest `SecretId`: a name or an ARN.
pub const SECRET_ID_CHARS_MAX: usize = 2048;
/// Longest name at creation.
pub const SECRET_NAME_CHARS_MAX: usize = 512;
/// Longest description.
pub const DESCRIPTION_CHARS_MAX: usize = 2048;
/// Largest value, string or binary, in bytes.
pub const SECRET_VALUE_BYTES_MAX: usize = 65_536;
/// Shortest client request token, which becomes the version id.
pub const VERSION_ID_CHARS_MIN: usize = 32;
/// Longest client request token, which becomes the version id.
pub const VERSION_ID_CHARS_MAX: usize = 64;
/// Longest staging label.
pub const STAGE_CHARS_MAX: usize = 256;
/// Most staging labels on the versions of one secret.
pub const STAGES_PER_SECRET_MAX: usize = 20;
/// Most labels one `PutSecretValue` may name.
pub const STAGES_PER_REQUEST_MAX: usize = 20;
/// Most tags on one secret.
pub const TAGS_PER_SECRET_MAX: usize = 50;
/// Longest tag key.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest tag value.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Longest password that is made, in characters.
pub const PASSWORD_CHARS_MAX: usize = 4096;
/// Length of a password for which none is asked, in characters.
pub const PASSWORD_CHARS_DEFAULT: usize = 32;
/// Longest list of characters a password must not have.
pub const EXCLUDE_CHARACTERS_MAX: usize = 4096;
/// Versions a secret may have before the oldest without labels are taken away.
pub const VERSIONS_PER_SECRET_MAX: u64 = 100;
/// How long a version is kept in any case.
pub const VERSION_KEPT_MILLIS_MIN: i64 = 24 * 60 * 60 * 1000;
/// Longest page cursor.
pub const NEXT_TOKEN_CHARS_MAX: usize = 4096;
/// Most entries a page may hold.
pub const PAGE_ENTRIES_MAX: u32 = 100;
/// Most filters on one listing.
pub const FILTERS_MAX: usize = 10;
/// Most values of one filter.
pub const FILTER_VALUES_MAX: usize = 10;
/// Longest value of a filter.
pub const FILTER_VALUE_CHARS_MAX: usize = 512;
/// Shortest recovery window of a deletion, in days.
pub const RECOVERY_WINDOW_DAYS_MIN: u32 = 7;
/// Longest recovery window of a deletion, and the default, in days.
pub const RECOVERY_WINDOW_DAYS_MAX: u32 = 30;

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

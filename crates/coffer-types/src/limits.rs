//! Limits of the Secrets Manager API, by the names its documentation uses.
//!
//! Source: the service model `secretsmanager/2017-10-17` and the quotas page of its user guide.

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

//! Random passwords, and values made from a template and one of them.
//!
//! Pure but for the randomness it is given. Invariants: every password that meets the rules is as likely as every
//! other; characters are drawn by rejection, never by a remainder that favours some; what is drawn is wiped.
//! AWS's rules (GetRandomPassword, and CloudFormation's `GenerateSecretString`).

use coffer_crypto::Random;
use coffer_types::raw_json::RawMembers;
use coffer_types::{SecretBytes, limits};
use zeroize::Zeroizing;

const LOWERCASE: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &[u8] = b"0123456789";
/// The service model names these.
const PUNCTUATION: &[u8] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const SPACE: u8 = b' ';

/// What a password is made of. The default is AWS's: 32 characters, at least one of each type, no space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PasswordRules {
    /// How many characters, 1 to 4096.
    pub length: usize,
    /// Characters it must not have.
    pub exclude_characters: String,
    /// No digits.
    pub exclude_numbers: bool,
    /// None of ``!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~``.
    pub exclude_punctuation: bool,
    /// None of `A` to `Z`.
    pub exclude_uppercase: bool,
    /// None of `a` to `z`.
    pub exclude_lowercase: bool,
    /// A space is a character like others.
    pub include_space: bool,
    /// At least one lowercase and one uppercase letter, one digit and one punctuation mark, of those that are not
    /// excluded.
    pub require_each_included_type: bool,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            length: limits::PASSWORD_CHARS_DEFAULT,
            exclude_characters: String::new(),
            exclude_numbers: false,
            exclude_punctuation: false,
            exclude_uppercase: false,
            exclude_lowercase: false,
            include_space: false,
            require_each_included_type: true,
        }
    }
}

/// Why there is no password like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It has not 1 to 4096 characters.
    #[error("Password length must be between 1 and {} characters.", limits::PASSWORD_CHARS_MAX)]
    Length,
    /// It has fewer characters than types that must be in it. AWS's text, as moto quotes it.
    #[error("Password length is too short based on the required types.")]
    TooShort,
    /// No character is left.
    #[error("A password can't be generated because all of its characters are excluded.")]
    NoCharacters,
}

/// Why a template and a key make no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No password like that.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// One of the two was given without the other.
    #[error("You must specify both SecretStringTemplate and GenerateStringKey, or neither.")]
    HalfGiven,
    /// The template is no JSON object.
    #[error("SecretStringTemplate must be a JSON object.")]
    NotAnObject,
    /// With the password in it, it is larger than a secret may be.
    #[error("The generated secret has more than {} bytes.", limits::SECRET_VALUE_BYTES_MAX)]
    TooLarge,
}

impl PasswordRules {
    /// A password.
    pub fn make(&self, random: &dyn Random) -> Result<SecretBytes, PasswordError> {
        if !(1..=limits::PASSWORD_CHARS_MAX).contains(&self.length) {
            return Err(PasswordError::Length);
        }
        let types = self.types();
        let mut alphabet = types.concat();
        if self.include_space && !self.exclude_characters.contains(char::from(SPACE)) {
            alphabet.push(SPACE);
        }
        if alphabet.is_empty() {
            return Err(PasswordError::NoCharacters);
        }
        let required: &[Vec<u8>] = if self.require_each_included_type { &types } else { &[] };
        if self.length < required.len() {
            return Err(PasswordError::TooShort);
        }
        let mut draw = Draw::new(random, &alphabet);
        let mut password = Zeroizing::new(vec![0; self.length]);
        // One that lacks a type is thrown away whole: patching a character in would make some passwords likelier.
        // The least likely case, four characters with three types of one character each, takes 2,000 tries.
        loop {
            password.fill_with(|| draw.next());
            let has = |of: &Vec<u8>| password.iter().any(|character| of.contains(character));
            if required.iter().all(has) {
                return Ok(SecretBytes::from(password));
            }
        }
    }

    /// The characters of each type that is not excluded, without those that are.
    fn types(&self) -> Vec<Vec<u8>> {
        let is_allowed = |character: &u8| !self.exclude_characters.contains(char::from(*character));
        [
            (LOWERCASE, self.exclude_lowercase),
            (UPPERCASE, self.exclude_uppercase),
            (NUMBERS, self.exclude_numbers),
            (PUNCTUATION, self.exclude_punctuation),
        ]
        .into_iter()
        .filter(|(_, is_excluded)| !is_excluded)
        .map(|(characters, _)| characters.iter().copied().filter(is_allowed).collect::<Vec<_>>())
        .filter(|characters| !characters.is_empty())
        .collect()
    }
}

/// Draws characters, each as likely as every other.
struct Draw<'a> {
    random: &'a dyn Random,
    alphabet: &'a [u8],
    bytes: Zeroizing<[u8; 256]>,
    used: usize,
}

impl<'a> Draw<'a> {
    fn new(random: &'a dyn Random, alphabet: &'a [u8]) -> Self {
        let bytes = Zeroizing::new([0; 256]);
        Self { random, alphabet, used: bytes.len(), bytes }
    }

    fn next(&mut self) -> u8 {
        // The largest multiple of the alphabet's size that a byte can tell apart; bytes from there on are drawn again.
        let fair = 256 - 256 % self.alphabet.len();
        loop {
            let Some(byte) = self.bytes.get(self.used).copied().map(usize::from) else {
                self.random.fill(&mut *self.bytes);
                self.used = 0;
                continue;
            };
            self.used += 1;
            if byte < fair {
                return self.alphabet[byte % self.alphabet.len()];
            }
        }
    }
}

/// CloudFormation's `GenerateSecretString`: a password, alone or as a member of a JSON object.
///
/// With a template and a key the value is the template's members, as they are, and behind them the password under
/// the key; a member of that name gives way to it.
pub fn generate_secret_string(
    rules: &PasswordRules,
    template: Option<&SecretBytes>,
    key: Option<&str>,
    random: &dyn Random,
) -> Result<SecretBytes, TemplateError> {
    let (template, key) = match (template, key) {
        (None, None) => return Ok(rules.make(random)?),
        (Some(template), Some(key)) => (template, key),
        _ => return Err(TemplateError::HalfGiven),
    };
    let RawMembers(members) =
        serde_json::from_slice(template.expose_secret()).map_err(|_| TemplateError::NotAnObject)?;
    let password = rules.make(random)?;
    let name = serde_json::Value::from(key).to_string();
    // Large enough from the start, so that the text never moves: a character of a password takes two at most.
    let bytes_max = template.len() + name.len() + 2 * password.len() + 8;
    let mut value = Zeroizing::new(Vec::with_capacity(bytes_max));
    value.push(b'{');
    for (member, json) in members.iter().filter(|(member, _)| member != key) {
        // Never longer than it stood in the template: only what must be is escaped.
        value.extend_from_slice(serde_json::Value::from(member.as_ref()).to_string().as_bytes());
        value.push(b':');
        value.extend_from_slice(json.get().as_bytes());
        value.push(b',');
    }
    value.extend_from_slice(name.as_bytes());
    value.extend_from_slice(b":\"");
    for character in password.expose_secret() {
        if matches!(character, b'"' | b'\\') {
            value.push(b'\\');
        }
        value.push(*character);
    }
    value.extend_from_slice(b"\"}");
    debug_assert!(value.len() <= bytes_max, "a password was moved, and its old place not wiped");
    if value.len() > limits::SECRET_VALUE_BYTES_MAX {
        return Err(TemplateError::TooLarge);
    }
    Ok(SecretBytes::from(value))
}

#[cfg(test)]
mod tests;

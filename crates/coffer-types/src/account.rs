//! Where a secret lives: the account and the region.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An account: exactly twelve digits, as AWS writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(u64);

/// Why a text is no account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an account id is exactly 12 digits")]
pub struct AccountIdError;

impl AccountId {
    /// The account of the throw-away server, which every AWS emulator uses in its examples.
    pub const EXAMPLE: Self = Self(123_456_789_012);

    /// The account whose digits are `number`; refuses more than twelve digits.
    pub fn from_number(number: u64) -> Result<Self, AccountIdError> {
        if number < 1_000_000_000_000 { Ok(Self(number)) } else { Err(AccountIdError) }
    }

    /// Its twelve digits.
    pub fn digits(self) -> [u8; 12] {
        let mut digits = [b'0'; 12];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        digits
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl FromStr for AccountId {
    type Err = AccountIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AccountIdError);
        }
        text.parse().map(Self).map_err(|_| AccountIdError)
    }
}

impl TryFrom<String> for AccountId {
    type Error = AccountIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.to_string()
    }
}

/// A region's code, such as `us-east-1`: lowercase words and a number, joined by dashes.
///
/// Any such code is served; coffer keeps no list of AWS's regions. The rule is the service model's
/// `RegionType`, `^([a-z]+-)+\d+$`, with at most 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

/// Why a text is no region code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a region is lowercase words and a number joined by dashes, such as us-east-1")]
pub struct RegionError;

impl Region {
    /// `us-east-1`, the region a new store serves unless told otherwise.
    pub fn us_east_1() -> Self {
        Self("us-east-1".into())
    }

    /// The code itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_dash = |byte: &u8| *byte == b'-';
        let mut parts = text.as_bytes().rsplit(is_dash);
        let number = parts.next().unwrap_or_default();
        let legal_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
        let legal_words = number.len() < text.len()
            && parts.all(|word| !word.is_empty() && word.iter().all(u8::is_ascii_lowercase));
        if text.len() <= 128 && legal_words && legal_number {
            Ok(Self(text.into()))
        } else {
            Err(RegionError)
        }
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_twelve_digits() {
        assert_eq!("000000000001".parse::<AccountId>().unwrap().to_string(), "000000000001");
        for bad in ["", "1", "1234567890123", "12345678901a", "+12345678901", " 12345678901"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_is_words_and_a_number() {
        for good in ["us-east-1", "ap-southeast-12", "us-gov-west-1", "local-1"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in
            ["", "1", "us", "us-east", "us--1", "US-EAST-1", "us-east-1a", "-1", "us-east-1/x", "us-é-1"]
        {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }
}

//! What a sealed thing is bound to, as bytes.
//!
//! Pure. Invariant: two different lists of fields never make the same bytes, because each field is preceded by
//! its length; and two uses never share bytes, because the first field names the use and its version.

/// One of the purposes this crate seals or derives for. The text is part of the format and never changes.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Record,
    KeyWrap,
    SealedSecret,
    DataKey,
    Value,
    Token,
    RootKey,
}

impl Use {
    fn label(self) -> &'static str {
        match self {
            Self::Record => "coffer record v1",
            Self::KeyWrap => "coffer key wrap v1",
            Self::SealedSecret => "coffer sealed secret v1",
            Self::DataKey => "coffer data key v1",
            Self::Value => "coffer value v1",
            Self::Token => "coffer token v1",
            Self::RootKey => "coffer root key v1",
        }
    }
}

/// Each field, the label first, as its length in eight bytes, big-endian, and then itself.
pub(crate) fn encode<'a>(label: Use, fields: impl IntoIterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let all = || std::iter::once(label.label().as_bytes()).chain(fields.clone());
    let mut bytes = Vec::with_capacity(all().map(|field| 8 + field.len()).sum());
    for field in all() {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn of(label: Use, fields: &[&str]) -> Vec<u8> {
        encode(label, fields.iter().map(|field| field.as_bytes()))
    }

    #[test]
    fn each_field_follows_its_length() {
        assert_eq!(
            of(Use::Record, &["ab", ""]),
            b"\0\0\0\0\0\0\0\x10coffer record v1\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn where_one_field_ends_and_the_next_begins_matters() {
        let contexts = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["abc", ""], &["", "abc"], &[]];
        let different: HashSet<_> = contexts.iter().map(|fields| of(Use::Record, fields)).collect();
        assert_eq!(different.len(), contexts.len());
    }

    proptest! {
        #[test]
        fn different_fields_make_different_bytes(
            a in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..10), 0..4),
            b in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..10), 0..4),
        ) {
            let [first, second] = [&a, &b].map(|fields| encode(Use::Value, fields.iter().map(Vec::as_slice)));
            prop_assert_eq!(a == b, first == second);
        }
    }
}

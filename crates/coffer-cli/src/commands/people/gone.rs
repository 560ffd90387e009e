//! A trust policy without those who are no more, whom it names by ids that are never given again.
//!
//! Pure. Invariants: what is left stands as it was written; nobody who is there is taken out; and where it says whom a statement is
//! *not* about, nothing is taken out.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::trust::Written;

/// The ids in a trust policy that are of nobody who is there. Also of a document that is none of ours, since the ids of sessions that
/// are gone make it one.
pub(super) fn gone(document: &str, there: &BTreeSet<String>) -> BTreeSet<String> {
    let Ok(written) = serde_json::from_str::<Written>(document) else { return BTreeSet::new() };
    let statements = written.statements().unwrap_or_default();
    let named = statements.into_iter().filter_map(|statement| {
        let principal = member(statement, "Principal")?;
        texts(&member(&principal, "AWS")?)
    });
    let is_gone = |name: &String| {
        // Of a session it is the role's that counts.
        let id = name.split(':').next().unwrap_or(name);
        let is_id = (id.starts_with("AIDA") || id.starts_with("AROA"))
            && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        is_id && !there.contains(id)
    };
    named.flatten().filter(is_gone).collect()
}

fn member(object: &RawValue, name: &str) -> Option<Box<RawValue>> {
    let members: Members = serde_json::from_str(object.get()).ok()?;
    members.0.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A list of texts, or one.
fn texts(value: &RawValue) -> Option<Vec<String>> {
    let text = value.get();
    serde_json::from_str(text).or_else(|_| serde_json::from_str(text).map(|name| vec![name])).ok()
}

/// The document without them, and without statements that are about nobody else; `None` if it holds nothing more, or is none.
pub(super) fn without(document: &str, gone: &BTreeSet<String>) -> Option<String> {
    let written: Written = serde_json::from_str(document).ok()?;
    let statements = written.statements()?;
    let statements: Vec<Box<RawValue>> =
        statements.into_iter().filter_map(|statement| statement_without(statement, gone)).collect();
    if statements.is_empty() {
        return None;
    }
    serde_json::to_string(&Written { statement: to_raw_value(&statements).ok()?, ..written }).ok()
}

fn statement_without(statement: &RawValue, gone: &BTreeSet<String>) -> Option<Box<RawValue>> {
    let whole = || Some(statement.to_owned());
    let Ok(mut members) = serde_json::from_str::<Members>(statement.get()) else { return whole() };
    let Some((_, principal)) = members.0.iter_mut().find(|(name, _)| name == "Principal") else {
        return whole();
    };
    let Ok(mut kinds) = serde_json::from_str::<Members>(principal.get()) else { return whole() };
    let Some(at) = kinds.0.iter().position(|(name, _)| name == "AWS") else { return whole() };
    let Some(names) = texts(&kinds.0[at].1) else { return whole() };
    let kept: Vec<&String> = names.iter().filter(|name| !gone.contains(*name)).collect();
    if kept.len() == names.len() {
        return whole();
    }
    if kept.is_empty() {
        kinds.0.remove(at);
        if kinds.0.is_empty() {
            return None;
        }
    } else {
        kinds.0[at].1 = to_raw_value(&kept).ok()?;
    }
    *principal = to_raw_value(&kinds).ok()?;
    to_raw_value(&members).ok()
}

/// An object with its members in the order they were written.
struct Members(Vec<(String, Box<RawValue>)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_no_more_is_taken_out_and_nothing_else() {
        let there = BTreeSet::from(["AIDATHERETHERETHERE11".to_owned()]);
        let document = |statements: &str| format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        let statement = |principal: &str| {
            format!(r#"{{"Sid":"a","Principal":{principal},"Effect":"Allow","Action":"sts:AssumeRole"}}"#)
        };
        for (principal, expected) in [
            (r#"{"AWS":"AIDAGONEGONEGONEGONE1"}"#, None),
            (r#"{"AWS":["AIDAGONEGONEGONEGONE1","AROAGONEGONEGONEGONE1:session"]}"#, None),
            (
                r#"{"AWS":["AIDAGONEGONEGONEGONE1","AIDATHERETHERETHERE11","111122223333"]}"#,
                Some(r#"{"AWS":["AIDATHERETHERETHERE11","111122223333"]}"#),
            ),
            (
                r#"{"Service":"s.example.com","AWS":"AIDAGONEGONEGONEGONE1"}"#,
                Some(r#"{"Service":"s.example.com"}"#),
            ),
            (r#"{"AWS":"111122223333"}"#, Some(r#"{"AWS":"111122223333"}"#)),
            (r#""*""#, Some(r#""*""#)),
        ] {
            let before = document(&format!("[{}]", statement(principal)));
            let after = without(&before, &gone(&before, &there));
            let expected = expected.map(|principal| document(&format!("[{}]", statement(principal))));
            assert_eq!(after, expected, "{principal}");
        }
        let all_but =
            document(r#"{"Effect":"Deny","NotPrincipal":{"AWS":"AIDAGONEGONEGONEGONE1"},"Action":"sts:*"}"#);
        let after = without(&all_but, &gone(&all_but, &there)).unwrap();
        assert!(after.contains(r#""NotPrincipal":{"AWS":"AIDAGONEGONEGONEGONE1"}"#), "{after}");
    }
}

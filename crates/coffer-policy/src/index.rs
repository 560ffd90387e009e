//! Which statements may be about an action and a resource, found without looking at those that can't be.
//!
//! Pure. A set of statements is a row of bits. Actions are found by their whole name or their service, resources by the longest
//! literal beginning that they share with a pattern; the statements in both sets are candidates. Invariant: every statement that
//! matches is a candidate; a candidate need not match.

use std::collections::BTreeMap;

/// A set of statements: bit `i % 64` of word `i / 64` is statement `i`.
type Set = Box<[u64]>;

#[derive(Debug)]
pub(crate) struct Index {
    /// By an action's whole name, sorted; each with what its service and every action has.
    actions: Box<[(Box<str>, Set)]>,
    /// By service, sorted; each with what every action has.
    services: Box<[(Box<str>, Set)]>,
    /// The statements about actions of every service.
    every_action: Set,
    /// By a literal beginning, sorted; each with what its own beginnings have.
    beginnings: Box<[Beginning]>,
    every_resource: Set,
}

#[derive(Debug)]
struct Beginning {
    text: Box<str>,
    /// The longest other beginning that this one begins with.
    parent: Option<usize>,
    set: Set,
}

/// Where a statement is looked for.
pub(crate) enum ActionPlace<'a> {
    Action(&'a str),
    Service(&'a str),
    Everywhere,
}

/// The places of one statement.
pub(crate) struct Places<'a> {
    pub(crate) actions: Vec<ActionPlace<'a>>,
    /// Empty texts stand for every resource.
    pub(crate) beginnings: Vec<&'a str>,
}

impl Index {
    pub(crate) fn new(statements: &[Places<'_>]) -> Self {
        let words = statements.len().div_ceil(64);
        let empty = || vec![0_u64; words].into_boxed_slice();
        let (mut actions, mut services) = (BTreeMap::<&str, Set>::new(), BTreeMap::<&str, Set>::new());
        let (mut every_action, mut every_resource) = (empty(), empty());
        let mut beginnings = BTreeMap::<&str, Set>::new();
        for (statement, places) in statements.iter().enumerate() {
            for place in &places.actions {
                let set = match place {
                    ActionPlace::Action(name) => actions.entry(name).or_insert_with(empty),
                    ActionPlace::Service(name) => services.entry(name).or_insert_with(empty),
                    ActionPlace::Everywhere => &mut every_action,
                };
                insert(set, statement);
            }
            for beginning in &places.beginnings {
                let set = if beginning.is_empty() {
                    &mut every_resource
                } else {
                    beginnings.entry(beginning).or_insert_with(empty)
                };
                insert(set, statement);
            }
        }
        let services: Box<[(Box<str>, Set)]> =
            services.into_iter().map(|(name, set)| (name.into(), union(set, &every_action))).collect();
        let with_service = |(name, set): (&str, Set)| {
            let service = name.split_once(':').map_or(name, |(service, _)| service);
            let more = find(&services, service).unwrap_or(&every_action);
            (name.into(), union(set, more))
        };
        let actions = actions.into_iter().map(with_service).collect();
        let beginnings = with_parents(beginnings, &every_resource);
        Self { actions, services, every_action, beginnings, every_resource }
    }

    /// The statements that may be about an action, in lower case, and a resource; in order.
    pub(crate) fn candidates<'a>(&'a self, action: &str, resource: &str) -> impl Iterator<Item = usize> + 'a {
        let service = action.split_once(':').map_or(action, |(service, _)| service);
        let by_action = find(&self.actions, action)
            .or_else(|| find(&self.services, service))
            .unwrap_or(&self.every_action);
        let by_resource = self.by_resource(resource);
        by_action.iter().zip(by_resource).enumerate().flat_map(|(word, (actions, resources))| {
            let mut bits = actions & resources;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then(|| word * 64 + bit as usize)
            })
        })
    }

    fn by_resource(&self, resource: &str) -> &[u64] {
        // Whatever is a beginning of the resource is one of the last text that is not above it, or that text itself.
        let mut at =
            self.beginnings.partition_point(|beginning| beginning.text.as_ref() <= resource).checked_sub(1);
        while let Some(beginning) = at.and_then(|at| self.beginnings.get(at)) {
            if resource.starts_with(beginning.text.as_ref()) {
                return &beginning.set;
            }
            at = beginning.parent;
        }
        &self.every_resource
    }
}

fn with_parents(beginnings: BTreeMap<&str, Set>, every_resource: &Set) -> Box<[Beginning]> {
    let mut sorted: Vec<Beginning> = Vec::with_capacity(beginnings.len());
    for (text, set) in beginnings {
        let mut parent = sorted.len().checked_sub(1);
        while let Some(above) = parent.and_then(|parent| sorted.get(parent)) {
            if text.starts_with(above.text.as_ref()) {
                break;
            }
            parent = above.parent;
        }
        let inherited =
            parent.and_then(|parent| sorted.get(parent)).map_or(every_resource, |parent| &parent.set);
        let set = union(set, inherited);
        sorted.push(Beginning { text: text.into(), parent, set });
    }
    sorted.into()
}

fn insert(set: &mut Set, statement: usize) {
    if let Some(word) = set.get_mut(statement / 64) {
        *word |= 1 << (statement % 64);
    }
}

fn union(mut set: Set, other: &[u64]) -> Set {
    set.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
    set
}

fn find<'a>(sorted: &'a [(Box<str>, Set)], name: &str) -> Option<&'a Set> {
    let at = sorted.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
    sorted.get(at).map(|(_, set)| set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(index: &Index, action: &str, resource: &str, expected: &[usize]) {
        assert_eq!(
            index.candidates(action, resource).collect::<Vec<_>>(),
            expected,
            "{action} on {resource}"
        );
    }

    #[test]
    fn only_statements_in_both_sets_are_candidates() {
        let places = |actions, beginnings| Places { actions, beginnings };
        let index = Index::new(&[
            places(vec![ActionPlace::Action("s:get")], vec!["app/"]),
            places(vec![ActionPlace::Service("s")], vec!["app/db", "app/"]),
            places(vec![ActionPlace::Everywhere], vec![""]),
            places(vec![ActionPlace::Action("s:get"), ActionPlace::Action("k:get")], vec!["app/db-"]),
        ]);
        check(&index, "s:get", "app/db-1", &[0, 1, 2, 3]);
        check(&index, "s:get", "app/dc", &[0, 1, 2]);
        check(&index, "s:put", "app/db-1", &[1, 2]);
        check(&index, "k:get", "app/db-1", &[2, 3]);
        check(&index, "k:get", "other", &[2]);
        check(&index, "", "", &[2]);
    }

    #[test]
    fn more_statements_than_a_word_has_bits() {
        let names: Vec<String> = (0..200).map(|n| format!("app/{n:03}")).collect();
        let places: Vec<Places<'_>> = names
            .iter()
            .map(|name| Places { actions: vec![ActionPlace::Action("s:get")], beginnings: vec![name] })
            .collect();
        let index = Index::new(&places);
        check(&index, "s:get", "app/150-x", &[150]);
        check(&index, "s:get", "app/", &[]);
    }
}

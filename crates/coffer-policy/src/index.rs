//! Which statements may be about an action and a resource, found without looking at those that can't be.
//!
//! Pure. A set of statements is a row of bits. Actions are found by their whole name or their service. Resources are found by the
//! longest literal text that a pattern and the resource begin with, or, where a pattern has wildcards before, by the literal text after
//! its fifth colon, which then follows the fifth or a later colon of the resource. The statements in both sets are candidates.
//! Invariant: every statement that matches is a candidate; a candidate need not match.

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
    /// By what resources begin with.
    heads: Beginnings,
    /// By what follows the fifth or a later colon.
    tails: Beginnings,
    /// All that `tails` has.
    every_tail: Set,
}

/// Texts that others begin with, sorted, each with what its own beginnings have.
#[derive(Debug)]
struct Beginnings {
    sorted: Box<[Beginning]>,
    /// What has the empty text.
    every: Set,
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
    pub(crate) resources: Vec<ResourcePlace<'a>>,
}

/// Where a statement is looked for by its resources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResourcePlace<'a> {
    /// By what the resource begins with; an empty text for every resource.
    Head(&'a str),
    /// By what follows the fifth or a later colon of the resource.
    Tail(&'a str),
}

/// Most colons after which `tails` is looked up. A resource with more of them has all that is there as candidates.
const TAILS_MAX: usize = 4;

impl Index {
    pub(crate) fn new(statements: &[Places<'_>]) -> Self {
        let words = statements.len().div_ceil(64);
        let empty = || vec![0_u64; words].into_boxed_slice();
        let (mut actions, mut services) = (BTreeMap::<&str, Set>::new(), BTreeMap::<&str, Set>::new());
        let (mut every_action, mut every_tail) = (empty(), empty());
        let (mut heads, mut tails) = (BTreeMap::<&str, Set>::new(), BTreeMap::<&str, Set>::new());
        for (statement, places) in statements.iter().enumerate() {
            for place in &places.actions {
                let set = match place {
                    ActionPlace::Action(name) => actions.entry(name).or_insert_with(empty),
                    ActionPlace::Service(name) => services.entry(name).or_insert_with(empty),
                    ActionPlace::Everywhere => &mut every_action,
                };
                insert(set, statement);
            }
            for place in &places.resources {
                match place {
                    ResourcePlace::Head(text) => insert(heads.entry(text).or_insert_with(empty), statement),
                    ResourcePlace::Tail(text) => {
                        insert(tails.entry(text).or_insert_with(empty), statement);
                        insert(&mut every_tail, statement);
                    }
                }
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
        let heads = Beginnings::new(heads, empty());
        let tails = Beginnings::new(tails, empty());
        Self { actions, services, every_action, heads, tails, every_tail }
    }

    /// The statements that may be about an action, in lower case, and a resource; in order.
    pub(crate) fn candidates<'a>(&'a self, action: &str, resource: &str) -> impl Iterator<Item = usize> + 'a {
        let service = action.split_once(':').map_or(action, |(service, _)| service);
        let by_action = find(&self.actions, action)
            .or_else(|| find(&self.services, service))
            .unwrap_or(&self.every_action);
        let heads = self.heads.find(resource);
        let tails = self.tails_of(resource);
        by_action.iter().zip(heads).enumerate().flat_map(move |(word, (actions, heads))| {
            let of_word = |set: &&[u64]| set.get(word).copied().unwrap_or_default();
            let resources = tails.iter().map(of_word).fold(*heads, |all, set| all | set);
            let mut bits = actions & resources;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then(|| word * 64 + bit as usize)
            })
        })
    }

    fn tails_of(&self, resource: &str) -> [&[u64]; TAILS_MAX] {
        let mut found: [&[u64]; TAILS_MAX] = [&[]; TAILS_MAX];
        if self.tails.sorted.is_empty() {
            return found;
        }
        let colons = resource.match_indices(':').skip(4);
        let mut places = found.iter_mut();
        for (colon, _) in colons {
            let Some(place) = places.next() else {
                found = [&[]; TAILS_MAX];
                found.iter_mut().take(1).for_each(|place| *place = &self.every_tail);
                return found;
            };
            *place = self.tails.find(resource.get(colon + 1..).unwrap_or_default());
        }
        found
    }
}

impl Beginnings {
    fn new(mut texts: BTreeMap<&str, Set>, empty: Set) -> Self {
        let every = texts.remove("").unwrap_or(empty);
        let mut sorted: Vec<Beginning> = Vec::with_capacity(texts.len());
        for (text, set) in texts {
            let mut parent = sorted.len().checked_sub(1);
            while let Some(above) = parent.and_then(|parent| sorted.get(parent)) {
                if text.starts_with(above.text.as_ref()) {
                    break;
                }
                parent = above.parent;
            }
            let inherited = parent.and_then(|parent| sorted.get(parent)).map_or(&every, |parent| &parent.set);
            let set = union(set, inherited);
            sorted.push(Beginning { text: text.into(), parent, set });
        }
        Self { sorted: sorted.into(), every }
    }

    /// What has any text that this one begins with.
    fn find(&self, text: &str) -> &[u64] {
        // Whatever it begins with is the last text that is not above it, or one that that one begins with.
        let mut at = self.sorted.partition_point(|beginning| beginning.text.as_ref() <= text).checked_sub(1);
        while let Some(beginning) = at.and_then(|at| self.sorted.get(at)) {
            if text.starts_with(beginning.text.as_ref()) {
                return &beginning.set;
            }
            at = beginning.parent;
        }
        &self.every
    }
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
        let places = |actions, heads: Vec<&'static str>| Places {
            actions,
            resources: heads.into_iter().map(ResourcePlace::Head).collect(),
        };
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
            .map(|name| Places {
                actions: vec![ActionPlace::Action("s:get")],
                resources: vec![ResourcePlace::Head(name)],
            })
            .collect();
        let index = Index::new(&places);
        check(&index, "s:get", "app/150-x", &[150]);
        check(&index, "s:get", "app/", &[]);
    }

    #[test]
    fn what_follows_the_fifth_colon_is_found_after_any_later_one() {
        let place = |text| Places {
            actions: vec![ActionPlace::Everywhere],
            resources: vec![ResourcePlace::Tail(text)],
        };
        let index = Index::new(&[place("secret:app/"), place("x"), place("secret:")]);
        check(&index, "s:get", "arn:aws:s:r:1:secret:app/db", &[0, 2]);
        check(&index, "s:get", "arn:aws:s:r:1:secret:xy", &[1, 2]);
        check(&index, "s:get", "arn:aws:s:x:1:b", &[]);
        check(&index, "s:get", "a:b:c:d:e:f:g:secret:app/", &[0, 2]);
        check(&index, "s:get", "a:b:c:d:e:f:g:h:i:j:k", &[0, 1, 2]);
    }
}

//! Which statements may be about an action and a resource, found without looking at those that can't be.
//!
//! Pure. A set of statements is a row of bits. Actions are found by their whole name or their service. Resources are found by the
//! longest literal text that a pattern and the resource begin with, or, where a pattern has wildcards before, by the literal text after
//! its fifth colon, which then follows the fifth or a later colon of the resource. Patterns of which many have that text in common are
//! found by eight bytes of theirs that few others have (`grams.rs`). The statements in both sets are candidates.
//! Invariant: every statement that matches is a candidate; a candidate need not match.

use std::collections::BTreeMap;

use crate::grams::{self, Grams};

/// A set of statements: bit `i % 64` of word `i / 64` is statement `i`.
pub(crate) type Set = Box<[u64]>;

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
    /// By eight bytes that stand anywhere in the resource.
    grams: Grams,
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
    pub(crate) resources: Vec<ResourcePlaces<'a>>,
}

/// Where a statement may be looked for by one of its resources.
pub(crate) struct ResourcePlaces<'a> {
    pub(crate) place: ResourcePlace<'a>,
    /// Texts that stand somewhere in every resource it matches.
    pub(crate) literals: Vec<&'a str>,
}

impl ResourcePlaces<'_> {
    /// For a statement that may be about every resource.
    pub(crate) fn everywhere() -> Self {
        Self { place: ResourcePlace::Head(""), literals: Vec::new() }
    }
}

/// Where a statement is looked for by its resources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum ResourcePlace<'a> {
    /// By what the resource begins with; an empty text for every resource.
    Head(&'a str),
    /// By what follows the fifth or a later colon of the resource.
    Tail(&'a str),
}

/// Most colons after which `tails` is looked up. A resource with more of them has all that is there as candidates.
const TAILS_MAX: usize = 4;
/// From so many in one place on, statements are looked for elsewhere: less time than to compare them all.
const CROWD: usize = 8;

impl Index {
    pub(crate) fn new(statements: &[Places<'_>]) -> Self {
        let words = statements.len().div_ceil(64);
        let empty = || vec![0_u64; words].into_boxed_slice();
        let (mut actions, mut services) = (BTreeMap::<&str, Set>::new(), BTreeMap::<&str, Set>::new());
        let (mut every_action, mut every_tail) = (empty(), empty());
        let (mut heads, mut tails) = (BTreeMap::<&str, Set>::new(), BTreeMap::<&str, Set>::new());
        let mut crowds = BTreeMap::<ResourcePlace<'_>, usize>::new();
        let all = || statements.iter().flat_map(|places| &places.resources);
        all().for_each(|resource| *crowds.entry(resource.place).or_default() += 1);
        let is_crowded = |place| crowds.get(place).is_some_and(|count| *count >= CROWD);
        let crowded = all().filter(|resource| is_crowded(&resource.place));
        let counts = grams::Counts::of(crowded.flat_map(|resource| resource.literals.iter().copied()));
        let mut grams = BTreeMap::<u64, Set>::new();
        for (statement, places) in statements.iter().enumerate() {
            for place in &places.actions {
                let set = match place {
                    ActionPlace::Action(name) => actions.entry(name).or_insert_with(empty),
                    ActionPlace::Service(name) => services.entry(name).or_insert_with(empty),
                    ActionPlace::Everywhere => &mut every_action,
                };
                insert(set, statement);
            }
            for ResourcePlaces { place, literals } in &places.resources {
                if is_crowded(place)
                    && let Some((gram, count)) = counts.rarest(literals)
                    && count < CROWD
                {
                    insert(grams.entry(gram).or_insert_with(empty), statement);
                    continue;
                }
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
        Self { actions, services, every_action, heads, tails, every_tail, grams: Grams::new(grams, words) }
    }

    /// The statements that may be about an action, in lower case, and a resource; in order.
    pub(crate) fn candidates<'a>(&'a self, action: &str, resource: &str) -> impl Iterator<Item = usize> + 'a {
        let service = action.split_once(':').map_or(action, |(service, _)| service);
        let by_action = find(&self.actions, action)
            .or_else(|| find(&self.services, service))
            .unwrap_or(&self.every_action);
        let heads = self.heads.find(resource);
        let tails = self.tails_of(resource);
        let grams = self.grams.find(resource);
        by_action.iter().zip(heads).enumerate().flat_map(move |(word, (actions, heads))| {
            let of_word = |set: &&[u64]| set.get(word).copied().unwrap_or_default();
            let others = tails.iter().chain(&grams);
            let resources = others.map(of_word).fold(*heads, |all, set| all | set);
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

pub(crate) fn insert(set: &mut Set, statement: usize) {
    if let Some(word) = set.get_mut(statement / 64) {
        *word |= 1 << (statement % 64);
    }
}

pub(crate) fn union(mut set: Set, other: &[u64]) -> Set {
    set.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
    set
}

fn find<'a>(sorted: &'a [(Box<str>, Set)], name: &str) -> Option<&'a Set> {
    let at = sorted.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
    sorted.get(at).map(|(_, set)| set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::{Pattern, Syntax};

    fn check(index: &Index, action: &str, resource: &str, expected: &[usize]) {
        assert_eq!(
            index.candidates(action, resource).collect::<Vec<_>>(),
            expected,
            "{action} on {resource}"
        );
    }

    fn at(place: ResourcePlace<'_>) -> ResourcePlaces<'_> {
        ResourcePlaces { place, literals: Vec::new() }
    }

    #[test]
    fn only_statements_in_both_sets_are_candidates() {
        let places = |actions, heads: Vec<&'static str>| Places {
            actions,
            resources: heads.into_iter().map(|head| at(ResourcePlace::Head(head))).collect(),
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
                resources: vec![at(ResourcePlace::Head(name))],
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
            resources: vec![at(ResourcePlace::Tail(text))],
        };
        let index = Index::new(&[place("secret:app/"), place("x"), place("secret:")]);
        check(&index, "s:get", "arn:aws:s:r:1:secret:app/db", &[0, 2]);
        check(&index, "s:get", "arn:aws:s:r:1:secret:xy", &[1, 2]);
        check(&index, "s:get", "arn:aws:s:x:1:b", &[]);
        check(&index, "s:get", "a:b:c:d:e:f:g:secret:app/", &[0, 2]);
        check(&index, "s:get", "a:b:c:d:e:f:g:h:i:j:k", &[0, 1, 2]);
    }

    #[test]
    fn of_a_crowd_those_are_candidates_that_have_their_own_text_in_the_resource() {
        let names: Vec<String> = (0..20).map(|n| format!("/application-{n:02}/")).collect();
        let places: Vec<Places<'_>> = names
            .iter()
            .map(|name| {
                let place = ResourcePlace::Tail("secret:");
                let resources = vec![ResourcePlaces { place, literals: vec!["arn:aws:s:", "secret:", name] }];
                Places { actions: vec![ActionPlace::Everywhere], resources }
            })
            .collect();
        let index = Index::new(&places);
        check(&index, "s:get", "arn:aws:s:r:1:secret:team/application-07/db", &[7]);
        check(&index, "s:get", "arn:aws:s:r:1:secret:team/application-70/db", &[]);
        check(&index, "s:get", "arn:aws", &[]);
        let several = "arn:aws:s:r:1:secret:/application-01//application-03/";
        check(&index, "s:get", several, &[1, 3]);
        // More than are kept apart: all of them.
        let many: String = names.iter().take(9).map(String::as_str).collect();
        assert_eq!(index.candidates("s:get", &many).count(), 20);
    }

    proptest! {
        /// What matches is a candidate, however many statements there are and however alike.
        #[test]
        fn every_pattern_that_matches_is_a_candidate(
            tails in proptest::collection::vec("[ab]{0,2}[*?]?(secret|application)?[ab*]{0,9}", 1..60),
            resource in "[ab]{0,3}(secret|application|secretapplication)[ab]{0,9}",
        ) {
            let syntax = Syntax { wildcards: true, variables: false };
            let patterns: Vec<Pattern> =
                tails.iter().map(|tail| Pattern::parse(&format!("arn:aws:s:*:*:{tail}"), syntax)).collect();
            let places: Vec<Places<'_>> = patterns
                .iter()
                .map(|pattern| Places {
                    actions: vec![ActionPlace::Everywhere],
                    resources: vec![crate::policy::resource_places(pattern)],
                })
                .collect();
            let resource = format!("arn:aws:s:r:1:{resource}");
            let candidates: Vec<usize> = Index::new(&places).candidates("s:get", &resource).collect();
            for (at, pattern) in patterns.iter().enumerate() {
                prop_assert!(
                    !pattern.matches(&resource, &()) || candidates.contains(&at),
                    "{} {resource}", tails[at]
                );
            }
        }
    }
}

//! Statements found by eight bytes that stand anywhere in a resource.
//!
//! Pure. A pattern such as `secret:*/application-0042/*` begins like a hundred others; but a resource without the bytes of `n-0042/d` in
//! it can't match. Which eight of a pattern's literal bytes it is looked for by is decided over all patterns: those that fewest
//! have. Then a resource is gone through once, however many statements there are. Invariant: every statement that has its
//! eight bytes in the resource is found.

use std::collections::BTreeMap;

use crate::index::{Set, union};

const BYTES: usize = 8;
/// Bits of the filter, by which nearly all places of a resource are passed over. A power of two.
const FILTER_BITS: usize = 2048;
/// Most different eights of one resource that are kept apart. For more, everything is found.
const FOUND_MAX: usize = 4;

/// Eight bytes, read as a number.
type Gram = u64;

fn grams(text: &str) -> impl Iterator<Item = Gram> + '_ {
    text.as_bytes().windows(BYTES).filter_map(|window| Some(Gram::from_le_bytes(window.try_into().ok()?)))
}

/// How often each eight bytes stand in texts.
pub(crate) struct Counts {
    sorted: Vec<Gram>,
}

impl Counts {
    pub(crate) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut sorted: Vec<Gram> = texts.flat_map(grams).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// The eight bytes of these texts that stand in fewest, and in how many.
    pub(crate) fn rarest(&self, texts: &[&str]) -> Option<(Gram, usize)> {
        let count = |gram: Gram| {
            let start = self.sorted.partition_point(|other| *other < gram);
            let rest = self.sorted.get(start..).unwrap_or_default();
            (gram, rest.partition_point(|other| *other == gram))
        };
        texts.iter().flat_map(|text| grams(text)).map(count).min_by_key(|(_, count)| *count)
    }
}

/// Sets of statements by eight bytes.
#[derive(Debug)]
pub(crate) struct Grams {
    /// Sorted.
    sets: Box<[(Gram, Set)]>,
    every: Set,
    filter: Box<[u64]>,
}

impl Grams {
    pub(crate) fn new(sets: BTreeMap<Gram, Set>, words: usize) -> Self {
        let every = sets.values().fold(vec![0; words].into_boxed_slice(), |every, set| union(every, set));
        let mut filter = vec![0_u64; if sets.is_empty() { 0 } else { FILTER_BITS / 64 }].into_boxed_slice();
        for gram in sets.keys() {
            let bit = bit_of(*gram);
            if let Some(word) = filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        Self { sets: sets.into_iter().collect(), every, filter }
    }

    /// The sets of all eight bytes that stand in a text.
    pub(crate) fn find(&self, text: &str) -> [&[u64]; FOUND_MAX] {
        let mut found: [&[u64]; FOUND_MAX] = [&[]; FOUND_MAX];
        if self.sets.is_empty() {
            return found;
        }
        let may_be = |gram: &Gram| {
            let bit = bit_of(*gram);
            self.filter.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
        };
        let mut count = 0;
        for gram in grams(text).filter(may_be) {
            let Ok(at) = self.sets.binary_search_by_key(&gram, |(gram, _)| *gram) else { continue };
            let Some((_, set)) = self.sets.get(at) else { continue };
            match found.get_mut(count) {
                Some(place) => *place = set,
                None => {
                    found = [&[]; FOUND_MAX];
                    found.iter_mut().take(1).for_each(|place| *place = &self.every);
                    return found;
                }
            }
            count += 1;
        }
        found
    }
}

/// Multiplicative hashing: the upper bits are those that are mixed.
fn bit_of(gram: Gram) -> usize {
    (gram.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS.trailing_zeros())) as usize
}

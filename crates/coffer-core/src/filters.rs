//! Which secrets a listing's filters let through: AWS's rules, odd ones included.
//!
//! Pure. All filters must hold, and of a filter's values any one. How an attribute is compared depends on it, and not
//! always as the service model says:
//!
//! - `name`, `tag-key`, `tag-value`, `primary-region`, `owning-service`: the attribute begins with the value, in the same case.
//! - `description`: by words, in any case. The service model calls it a prefix match, and AWS was seen to go by words.
//! - `all`: by words, in any case, over name, description, and keys and values of tags, each by itself.
//!
//! By words: the value and the attribute are split into words, and each word of the value must begin some word of the
//! attribute, in any order. A value without any word (`+`) is like nothing.
//!
//! A value after `!` holds where it would not hold without; so a secret without tags has no tag that begins so.
//!
//! The tests name the source of each fact.

use coffer_types::{Filter, FilterKey, FilterValue, SecretName, Tag};

use crate::records::Secret;

/// A listing's filters, made ready to be held against many secrets.
pub(crate) struct Filters(Vec<Condition>);

struct Condition {
    key: FilterKey,
    values: Vec<Wanted>,
}

struct Wanted {
    is_negated: bool,
    like: Like,
}

enum Like {
    BeginsWith(String),
    Words(WantedWords),
}

/// The words of a value, in lower case.
struct WantedWords {
    /// In order, and without those that others of them begin with: whatever begins with the others begins with them.
    words: Vec<String>,
    /// How many were written.
    written: usize,
}

/// The words of the attributes that are compared by words, each attribute's by themselves, in lower case. Split once for a
/// secret, and only if a filter asks.
#[derive(Default)]
struct AttributeWords {
    name: Option<SortedWords>,
    description: Option<SortedWords>,
    tags: Option<Vec<SortedWords>>,
}

/// In order, so that what begins with a prefix is found without looking at all.
struct SortedWords(Vec<String>);

impl Filters {
    pub(crate) fn new(filters: &[Filter]) -> Self {
        let condition = |filter: &Filter| Condition {
            key: filter.key(),
            values: filter.values().iter().map(|value| Wanted::new(filter.key(), value)).collect(),
        };
        Self(filters.iter().map(condition).collect())
    }

    /// Whether there are none, so that everything is let through.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a secret is let through.
    pub(crate) fn admit(&self, name: &SecretName, secret: &Secret) -> bool {
        let mut words = AttributeWords::default();
        self.0.iter().all(|condition| {
            condition.values.iter().any(|wanted| {
                let is_like = wanted.is_like(condition.key, name, secret, &mut words);
                is_like != wanted.is_negated
            })
        })
    }

    /// How much work it is at most to hold a secret against the filters: comparisons of words, and bytes looked at. A
    /// listing bounds what it does for one page by this.
    pub(crate) fn cost(&self, name: &SecretName, secret: &Secret) -> usize {
        let tag_bytes = |tag: &Tag| tag.key().len() + tag.value().len();
        let bytes = name.as_str().len()
            + secret.description.as_ref().map_or(0, String::len)
            + secret.tags.iter().flatten().map(tag_bytes).sum::<usize>();
        let comparisons =
            self.0.iter().flat_map(|condition| &condition.values).map(|wanted| match &wanted.like {
                Like::BeginsWith(_) => 1,
                Like::Words(wanted) => wanted.written * bytes,
            });
        bytes + comparisons.sum::<usize>()
    }
}

impl Wanted {
    fn new(key: FilterKey, value: &FilterValue) -> Self {
        let like = match key {
            FilterKey::All | FilterKey::Description => Like::Words(WantedWords::of(value.text())),
            FilterKey::Name
            | FilterKey::TagKey
            | FilterKey::TagValue
            | FilterKey::PrimaryRegion
            | FilterKey::OwningService => Like::BeginsWith(value.text().to_owned()),
        };
        Self { is_negated: value.is_negated(), like }
    }

    fn is_like(
        &self,
        key: FilterKey,
        name: &SecretName,
        secret: &Secret,
        words: &mut AttributeWords,
    ) -> bool {
        let tags = || secret.tags.iter().flatten();
        match (&self.like, key) {
            (Like::BeginsWith(prefix), FilterKey::Name) => name.as_str().starts_with(prefix),
            (Like::BeginsWith(prefix), FilterKey::TagKey) => tags().any(|tag| tag.key().starts_with(prefix)),
            (Like::BeginsWith(prefix), FilterKey::TagValue) => {
                tags().any(|tag| tag.value().starts_with(prefix))
            }
            // No secret here is a replica, and none belongs to another service.
            (Like::BeginsWith(_), _) => false,
            (Like::Words(wanted), FilterKey::Description) => wanted.are_in(words.description_of(secret)),
            (Like::Words(wanted), _) => {
                wanted.are_in(words.name_of(name))
                    || wanted.are_in(words.description_of(secret))
                    || words.tags_of(secret).iter().any(|words| wanted.are_in(words))
            }
        }
    }
}

impl AttributeWords {
    fn name_of(&mut self, name: &SecretName) -> &SortedWords {
        self.name.get_or_insert_with(|| SortedWords::of(name.as_str()))
    }

    fn description_of(&mut self, secret: &Secret) -> &SortedWords {
        let text = || secret.description.as_deref().unwrap_or_default();
        self.description.get_or_insert_with(|| SortedWords::of(text()))
    }

    fn tags_of(&mut self, secret: &Secret) -> &[SortedWords] {
        self.tags.get_or_insert_with(|| {
            let texts = secret.tags.iter().flatten().flat_map(|tag| [tag.key(), tag.value()]);
            texts.map(SortedWords::of).collect()
        })
    }
}

impl WantedWords {
    fn of(text: &str) -> Self {
        let SortedWords(mut words) = SortedWords::of(text);
        let written = words.len();
        // Right behind a word come those that begin with it.
        words.dedup_by(|next, word| {
            let is_implied = next.starts_with(&**word);
            if is_implied {
                std::mem::swap(next, word);
            }
            is_implied
        });
        Self { words, written }
    }

    /// Whether each begins one of an attribute's words. No two of them begin the same word, so that among few words one
    /// is soon missing: the time goes by the shorter of the two lists.
    fn are_in(&self, words: &SortedWords) -> bool {
        !self.words.is_empty()
            && self.words.len() <= words.0.len()
            && self.words.iter().all(|wanted| words.has_one_that_begins_with(wanted))
    }
}

impl SortedWords {
    fn of(text: &str) -> Self {
        let mut words = split_words(text);
        words.sort_unstable();
        Self(words)
    }

    fn has_one_that_begins_with(&self, prefix: &str) -> bool {
        let first = self.0.partition_point(|word| word.as_str() < prefix);
        self.0.get(first).is_some_and(|word| word.starts_with(prefix))
    }
}

/// What a character is to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upper,
    Lower,
    Digit,
    /// Between words, and part of none.
    Other,
}

impl Kind {
    fn of(character: char) -> Self {
        if character.is_numeric() {
            Self::Digit
        } else if character.is_uppercase() {
            Self::Upper
        } else if character.is_alphabetic() {
            Self::Lower
        } else {
            Self::Other
        }
    }
}

/// The words of a text, in lower case. A word ends where the kind of character changes; but a capital letter belongs to
/// the small ones that follow it: `MyTest` is `my`, `test`, and `COMPANYthings` is `compan`, `ythings`.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = Kind::Other;
    for character in text.chars() {
        let kind = Kind::of(character);
        match (before, kind) {
            (Kind::Upper, Kind::Lower) => {
                if let Some(capital) = word.pop() {
                    finish(&mut words, &mut word);
                    word.push(capital);
                }
            }
            (before, kind) if before != kind => finish(&mut words, &mut word),
            _ => {}
        }
        if kind != Kind::Other {
            word.push(character);
        }
        before = kind;
    }
    finish(&mut words, &mut word);
    words
}

fn finish(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word).to_lowercase());
    }
}

#[cfg(test)]
mod tests;

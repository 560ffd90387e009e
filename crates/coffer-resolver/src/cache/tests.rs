use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Scheme;

const POLICY: CachePolicy =
    CachePolicy { fresh: Duration::from_secs(10), stale_if_error: Duration::from_secs(20), entries_max: 64 };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn value(number: u32) -> Kept {
    let value = Arc::new(SecretBytes::copy_from(&number.to_be_bytes()));
    Kept { value, facts: Arc::default(), parts: Arc::default() }
}

fn number(value: &SecretBytes) -> u32 {
    u32::from_be_bytes(value.expose_secret().try_into().unwrap())
}

fn error(kind: ErrorKind) -> FetchError {
    FetchError::new(kind, Scheme::Aws, "as told", "nothing")
}

fn looked(cache: &mut Cache, seconds: u64, reference: &str) -> Option<(u32, bool)> {
    match cache.look(at(seconds), reference, AgeMax::default()) {
        Look::Fresh { kept, refresh, .. } => Some((number(&kept.value), refresh)),
        Look::Fetch => None,
    }
}

#[test]
fn ages() {
    let mut cache = Cache::new(POLICY);
    assert_eq!(looked(&mut cache, 0, "a"), None);
    cache.read(at(100), at(100), "a", None, value(1));
    for (seconds, expected) in [
        (100, Some((1, false))),
        (107, Some((1, false))),
        (108, Some((1, true))),
        (109, Some((1, true))),
        (110, None),
    ] {
        assert_eq!(looked(&mut cache, seconds, "a"), expected, "{seconds}");
    }
    for (seconds, kind, expected) in [
        (105, ErrorKind::Unavailable, Some((1, None))),
        (110, ErrorKind::Unavailable, Some((1, Some(10)))),
        (129, ErrorKind::Throttled, Some((1, Some(29)))),
        (130, ErrorKind::Unavailable, None),
        (111, ErrorKind::Malformed, None),
        (111, ErrorKind::Misconfigured, None),
        (112, ErrorKind::Unavailable, Some((1, Some(12)))),
        (112, ErrorKind::Denied, None),
        (112, ErrorKind::Unavailable, None),
    ] {
        let given = cache.failed(at(seconds), "a", None, error(kind)).ok();
        let given = given.map(|given| (number(&given.kept.value), given.stale.map(|age| age.as_secs())));
        assert_eq!(given, expected, "{seconds} {kind}");
    }
}

#[test]
fn a_name_and_its_arn_are_one_entry() {
    let mut cache = Cache::new(POLICY);
    let arn = || Some("arn".to_owned());
    cache.read(at(0), at(0), "name", arn(), value(1));
    assert_eq!(looked(&mut cache, 1, "arn"), Some((1, false)));
    cache.read(at(2), at(2), "arn", arn(), value(2));
    assert_eq!(looked(&mut cache, 3, "name"), Some((2, false)));
    assert_eq!(cache.entries.len(), 1);
    assert!(cache.failed(at(4), "name", None, error(ErrorKind::Denied)).is_err());
    assert_eq!(looked(&mut cache, 4, "arn"), None);
    // Deleted and made anew, the name leads to another ARN, and nothing is left of the first.
    cache.read(at(5), at(5), "name", arn(), value(3));
    cache.read(at(6), at(6), "name", Some("other".to_owned()), value(4));
    assert_eq!((looked(&mut cache, 6, "arn"), looked(&mut cache, 6, "name")), (None, Some((4, false))));
}

#[test]
fn the_one_not_used_for_longest_goes() {
    let mut cache = Cache::new(CachePolicy { entries_max: 2, ..POLICY });
    cache.read(at(0), at(0), "a", None, value(1));
    cache.read(at(0), at(0), "b", None, value(2));
    assert!(looked(&mut cache, 1, "a").is_some());
    cache.read(at(1), at(1), "c", None, value(3));
    assert_eq!(["a", "b", "c"].map(|name| looked(&mut cache, 1, name).is_some()), [true, false, true]);
    assert_eq!(cache.identities.len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Look(usize),
    Read(usize, usize),
    Fail(usize, ErrorKind),
}

/// The cache as a list of what was read, of which the last that nothing took back counts.
#[derive(Default)]
struct Naive {
    names: BTreeMap<usize, usize>,
    values: BTreeMap<usize, (u32, u64)>,
}

impl Naive {
    fn known(&self, name: usize) -> Option<(u32, u64)> {
        self.values.get(self.names.get(&name)?).copied()
    }
}

proptest! {
    /// Names 0 to 2, each at some moment leading to one of two documents.
    #[test]
    fn it_is_the_naive_one(steps in prop::collection::vec(prop_oneof![
        (0u64..12).prop_map(Step::Pass),
        (0usize..3).prop_map(Step::Look),
        (0usize..3, 0usize..2).prop_map(|(name, document)| Step::Read(name, document)),
        (0usize..3, prop::sample::select(ErrorKind::ALL.to_vec())).prop_map(|(name, kind)| Step::Fail(name, kind)),
    ], 0..80)) {
        let (mut cache, mut naive) = (Cache::new(POLICY), Naive::default());
        let (mut now, mut next) = (0u64, 0u32);
        let name_of = |name: usize| format!("name-{name}");
        for step in steps {
            match step {
                Step::Pass(seconds) => now += seconds,
                Step::Look(name) => {
                    let expected = naive.known(name).filter(|(_, read)| now - read < 10)
                        .map(|(number, read)| (number, now - read >= 8));
                    prop_assert_eq!(looked(&mut cache, now, &name_of(name)), expected);
                }
                Step::Read(name, document) => {
                    next += 1;
                    cache.read(at(now), at(now), &name_of(name), Some(format!("document-{document}")), value(next));
                    let before = naive.names.insert(name, document);
                    naive.values.insert(document, (next, now));
                    if let Some(before) = before && !naive.names.values().any(|known| *known == before) {
                        naive.values.remove(&before);
                    }
                }
                Step::Fail(name, kind) => {
                    let given = cache.failed(at(now), &name_of(name), None, error(kind)).ok()
                        .map(|given| (number(&given.kept.value), given.stale.map(|age| age.as_secs())));
                    let known = naive.known(name);
                    let expected = match kind {
                        ErrorKind::Throttled | ErrorKind::Unavailable => known
                            .filter(|(_, read)| now - read < 30)
                            .map(|(number, read)| (number, (now - read >= 10).then_some(now - read))),
                        _ => None,
                    };
                    prop_assert_eq!(given, expected);
                    if [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::DecryptionFailed].contains(&kind)
                        && let Some(document) = naive.names.get(&name).copied()
                    {
                        naive.values.remove(&document);
                        naive.names.retain(|_, known| *known != document);
                    }
                }
            }
        }
    }
}

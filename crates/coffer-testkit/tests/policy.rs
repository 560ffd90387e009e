//! The policy engine against the plain evaluator, over generated cases and over every vector in `vectors/policy/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use coffer_testkit::policy::{Case, case, engine, naive};
use proptest::prelude::*;
use serde_json::Value;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A case that fails is to be added to `vectors/policy/counterexamples.json`.
    #[test]
    fn engine_and_evaluator_agree(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let case = case(&bytes);
        let engine = engine(&case).unwrap_or_else(|error| panic!("{error}: {}", case.0));
        prop_assert_eq!(engine, naive(&case), "{}", case.0);
    }
}

#[test]
fn generated_cases_meet_every_answer() {
    let mut answers = BTreeMap::<String, usize>::new();
    let mut state = 1_u64;
    for _ in 0..3_000 {
        let bytes: Vec<u8> = (0..160)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            })
            .collect();
        *answers.entry(engine(&case(&bytes)).unwrap()).or_default() += 1;
    }
    for answer in [
        "allowed",
        "denied",
        "no identity-based policy",
        "no resource-based policy",
        "no permissions boundary",
        "no session policy",
        "no service control policy",
    ] {
        assert!(answers.get(answer).is_some_and(|count| *count >= 10), "{answer}: {answers:?}");
    }
}

#[test]
fn every_vector_is_answered_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/policy");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for vector in vectors {
            let what = format!("{}: {}", path.display(), vector["what"]);
            let expected = vector["expected"].as_str().expect("an answer").to_owned();
            let case = Case(vector);
            assert_eq!(engine(&case).map_err(|error| error.to_string()), Ok(expected.clone()), "{what}");
            assert_eq!(naive(&case), expected, "{what}, by the plain evaluator");
            count += 1;
        }
    }
    assert!(count > 0, "there are vectors");
}

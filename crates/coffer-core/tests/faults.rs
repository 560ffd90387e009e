//! What is left when the store, the log or the caller fails at any point of a write.
//!
//! The store under a [`FaultyStore`] always tells the truth, so each test ends there: what was acknowledged is in it,
//! what was refused is not, nothing is half done, and the log says exactly what happened, once.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use coffer_audit::AuditSink;
use coffer_core::ops::local::VerifyAudit;
use coffer_core::ops::secrets::ListSecrets;
use coffer_core::{Context, Error, Operation, Refusal, StartError};
use coffer_store::{BoxFuture, Fault, FaultyStore, KeyRange, MemoryStore, Odds, Order, Store};
use coffer_testkit::shorthand::{create, delete, get, move_stage, put, restore, tag, untag, update};
use coffer_testkit::{
    FailingLog, Ground, Pace, PacedStore, SeededRandom, Steps, World, poll_once, version_id,
};
use coffer_types::{Stage, Tag, VersionId};
use futures_executor::block_on;
use serde_json::Value;

/// Everything a caller can see of a world, and how many keys of each kind lie beneath.
#[derive(Clone, PartialEq, Debug)]
struct Picture {
    secrets: BTreeMap<String, SecretPicture>,
    keys: BTreeMap<char, usize>,
}

#[derive(Clone, PartialEq, Debug)]
struct SecretPicture {
    is_scheduled: bool,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
    labels: Vec<(VersionId, Vec<Stage>)>,
    /// Id, ordinal, labels, and the value or why it can't be read.
    versions: Vec<(VersionId, u64, Vec<Stage>, String)>,
}

impl Picture {
    /// Looks at everything through a core; the store beneath must agree with itself.
    fn take(world: &World, truth: &MemoryStore) -> Self {
        let mut secrets = BTreeMap::new();
        for secret in world.secrets(100).unwrap() {
            let name = secret.arn.name.to_string();
            let read = |id: &VersionId| match world.run(get(&name, Some(number(id)), None)) {
                Ok(read) => String::from_utf8(read.value.bytes().expose_secret().to_vec()).unwrap(),
                Err(error) => error.to_string(),
            };
            let versions = world.versions(&name, 100).unwrap().into_iter();
            let picture = SecretPicture {
                is_scheduled: secret.deleted.is_some(),
                description: secret.description,
                tags: secret.tags,
                labels: world.describe(&name).unwrap().versions,
                versions: versions
                    .map(|version| {
                        let value = read(&version.version_id);
                        (version.version_id, version.ordinal, version.stages, value)
                    })
                    .collect(),
            };
            secrets.insert(name, picture);
        }
        let picture = Self { secrets, keys: count_keys(truth) };
        picture.check_whole();
        picture
    }

    /// Labels, versions, their index and the creation index agree.
    fn check_whole(&self) {
        let count = |kind| self.keys.get(&kind).copied().unwrap_or_default();
        assert_eq!(count('s'), self.secrets.len(), "a secret that is not listed: {self:?}");
        assert_eq!(count('s'), count('c'), "the creation index disagrees: {self:?}");
        assert_eq!(count('v'), count('i'), "the version index disagrees: {self:?}");
        if count('j') == 0 {
            let listed: usize = self.secrets.values().map(|secret| secret.versions.len()).sum();
            assert_eq!(count('v'), listed, "versions of no secret: {self:?}");
        }
        for (name, secret) in &self.secrets {
            let labelled: Vec<_> = secret
                .versions
                .iter()
                .filter(|(_, _, stages, _)| !stages.is_empty())
                .map(|(id, _, stages, _)| (id.clone(), stages.clone()))
                .collect();
            assert_eq!(secret.labels, labelled, "{name}");
            let ordinals: Vec<u64> = secret.versions.iter().map(|(_, ordinal, _, _)| *ordinal).collect();
            if ordinals.len() < 100 {
                assert_eq!(ordinals, (1..=secret.versions.len() as u64).collect::<Vec<_>>(), "{name}");
            } else {
                // From the oldest, some may have been taken away.
                assert!(ordinals.is_sorted_by(|one, next| one < next), "{name}: {ordinals:?}");
            }
            let current = labelled.iter().filter(|(_, stages)| stages.contains(&Stage::current())).count();
            assert_eq!(current, secret.versions.len().min(1), "{name}: {secret:?}");
        }
    }
}

fn number(id: &VersionId) -> u64 {
    id.as_str()[24..].parse().unwrap()
}

fn count_keys(store: &MemoryStore) -> BTreeMap<char, usize> {
    let snapshot = block_on(store.snapshot()).unwrap();
    let entries = |kind: char| {
        let range = KeyRange::prefix(vec![kind as u8, 0]);
        block_on(snapshot.range(range, Order::Ascending, usize::MAX)).unwrap().len()
    };
    ['s', 'c', 'v', 'i', 'j', 'e'].into_iter().map(|kind| (kind, entries(kind))).collect()
}

/// What the log says.
struct Tally {
    done: HashMap<String, usize>,
    failed: HashMap<String, usize>,
    by_service: HashMap<String, usize>,
}

impl Tally {
    /// Counts the records; none may be there twice, and the chain must hold.
    fn take(world: &World) -> Self {
        let verified = world.run(VerifyAudit).unwrap();
        assert!(verified.outcome.is_ok(), "{:?}", verified.outcome);
        let mut tally = Self { done: HashMap::new(), failed: HashMap::new(), by_service: HashMap::new() };
        let mut event_ids = HashSet::new();
        for line in world.records() {
            let record: Value = serde_json::from_str(&line).unwrap();
            assert!(event_ids.insert(record["eventID"].as_str().unwrap().to_owned()), "twice: {line}");
            let (map, key) = match (record["requestID"].as_str(), record.get("errorCode")) {
                (Some(request_id), None) => (&mut tally.done, request_id),
                (Some(request_id), Some(_)) => (&mut tally.failed, request_id),
                (None, _) => (&mut tally.by_service, record["eventName"].as_str().unwrap()),
            };
            *map.entry(key.to_owned()).or_default() += 1;
        }
        tally
    }

    fn done(&self, context: &Context) -> usize {
        self.done.get(&*context.request.request_id).copied().unwrap_or_default()
    }

    fn failed(&self, context: &Context) -> usize {
        self.failed.get(&*context.request.request_id).copied().unwrap_or_default()
    }

    fn by_service(&self, name: &str) -> usize {
        self.by_service.get(name).copied().unwrap_or_default()
    }
}

fn maintain(world: &World, rounds: usize) {
    (0..rounds).for_each(|_| block_on(world.core.maintain()));
}

fn probe(world: &World) -> Result<(), Error> {
    let list = ListSecrets { include_planned_deletion: true, max_results: 1, ..Default::default() };
    world.run(list).map(drop)
}

/// What becomes of late changes at the end of a case.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Land,
    Lose,
    LandAfterReopening,
}

const LATE: Fault = Fault::Late { commits: 1 };
const LATER: Fault = Fault::Late { commits: 3 };

/// Each fault alone, and each that leaves a change unsettled followed by each that can befall the settling.
fn scripts() -> Vec<Vec<Fault>> {
    let all = [Fault::AnswerLost, Fault::RequestLost, Fault::Refused, Fault::Lie, LATE, LATER];
    let mut scripts: Vec<Vec<Fault>> = all.iter().map(|&fault| vec![fault]).collect();
    for first in [Fault::AnswerLost, Fault::RequestLost, LATE, LATER] {
        scripts.extend(all.iter().map(|&second| vec![first, second]));
    }
    scripts
}

fn fates(script: &[Fault]) -> &'static [Fate] {
    if script.iter().any(|fault| matches!(fault, Fault::Late { .. })) {
        &[Fate::Land, Fate::Lose, Fate::LandAfterReopening]
    } else {
        &[Fate::Lose]
    }
}

/// One write, and what it starts from.
struct Case {
    prepare: fn(&World),
    act: fn(&World, &Context) -> Result<(), Error>,
}

fn execute<O: Operation>(world: &World, context: &Context, operation: O) -> Result<(), Error> {
    block_on(world.core.execute(context, operation)).map(drop)
}

fn nothing(_: &World) {}

fn three_versions(world: &World) {
    world.create("s", 1, Some("one")).unwrap();
    world.put("s", 2, "two", None).unwrap();
    world.put("s", 3, "three", Some(&["AWSPENDING"])).unwrap();
    probe(world).unwrap();
}

struct Run {
    truth: Arc<MemoryStore>,
    faulty: Arc<FaultyStore>,
    world: World,
}

impl Run {
    fn new(prepare: fn(&World)) -> Self {
        let truth = Arc::new(MemoryStore::new());
        let faulty = Arc::new(FaultyStore::new(truth.clone()));
        let world = Ground::new(faulty.clone(), 7).found().unwrap();
        prepare(&world);
        maintain(&world, 1);
        Self { truth, faulty, world }
    }

    fn settle_late(&self, fate: Fate) {
        self.faulty.heal();
        match fate {
            Fate::Land => drop(self.faulty.land_late()),
            Fate::Lose => drop(self.faulty.lose_late()),
            Fate::LandAfterReopening => {}
        }
    }

    fn lied(&self) -> bool {
        self.faulty.injected().contains(&Fault::Lie)
    }
}

/// Does a write with every fault at every commit it makes, the drain's included.
fn check_write(case: &Case) {
    check_write_under(case, &scripts());
}

fn check_write_under(case: &Case, scripts: &[Vec<Fault>]) {
    let healthy = Run::new(case.prepare);
    let before = Picture::take(&healthy.world, &healthy.truth);
    maintain(&healthy.world, 1);
    let commits_before = healthy.faulty.injected().len();
    (case.act)(&healthy.world, &healthy.world.administrator()).unwrap();
    maintain(&healthy.world, 2);
    let commits = healthy.faulty.injected().len() - commits_before;
    let after = Picture::take(&healthy.world, &healthy.truth);
    assert_ne!(before, after);
    for place in 0..commits {
        for script in scripts {
            for &fate in fates(script) {
                check_fault(case, place, script, fate, &before, &after);
            }
        }
    }
}

fn check_fault(case: &Case, place: usize, script: &[Fault], fate: Fate, before: &Picture, after: &Picture) {
    let what = format!("{script:?} at commit {place}, late changes {fate:?}");
    let run = Run::new(case.prepare);
    run.faulty.inject(std::iter::repeat_n(Fault::None, place).chain(script.iter().copied()));
    let context = run.world.administrator();
    let answer = (case.act)(&run.world, &context);
    maintain(&run.world, 2);
    run.settle_late(fate);
    maintain(&run.world, 2);
    let expected = if answer.is_ok() { after } else { before };
    // A lie about what a late change of the sweep did just before is none.
    let is_moot = script == [LATE, Fault::Lie] && place > 0 && probe(&run.world).is_ok();
    if run.lied() && !is_moot {
        for _ in 0..2 {
            assert!(matches!(probe(&run.world), Err(Error::Unavailable(_))), "papered over: {what}");
            let again = (case.act)(&run.world, &run.world.administrator());
            assert!(matches!(again, Err(Error::Unavailable(_))), "papered over: {what}");
        }
    } else {
        assert_eq!(&Picture::take(&run.world, &run.truth), expected, "the same core: {what}");
    }
    let Run { truth, faulty, world } = run;
    let world = world.reopen().unwrap();
    probe(&world).unwrap();
    if fate == Fate::LandAfterReopening {
        Picture::take(&world, &truth);
        faulty.land_late();
    }
    maintain(&world, 4);
    let reopened = Picture::take(&world, &truth);
    // Where the settling was lied to, nobody could tell the caller what had happened; the log can.
    let is_untold = answer.is_err() && faulty.injected().contains(&Fault::Lie);
    if is_untold {
        assert!([before, after].contains(&&reopened), "reopened: {what}");
    } else {
        assert_eq!(&reopened, expected, "reopened: {what}");
    }
    let tally = Tally::take(&world);
    assert_eq!(tally.done(&context), usize::from(&reopened == after), "recorded: {what}");
    if !is_untold {
        assert_eq!(tally.failed(&context), usize::from(answer.is_err()), "recorded: {what}");
    }
}

#[test]
fn a_creation_with_a_value_happens_whole_or_not_at_all() {
    check_write(&Case {
        prepare: nothing,
        act: |world, context| execute(world, context, create("s", 1, Some("one"))),
    });
}

#[test]
fn a_creation_without_a_value_happens_whole_or_not_at_all() {
    check_write(&Case {
        prepare: nothing,
        act: |world, context| execute(world, context, create("s", 1, None)),
    });
}

#[test]
fn a_new_version_is_there_whole_or_not_at_all() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, put("s", 4, "four", None)),
    });
}

/// More than a secret keeps, and old enough to go.
fn too_many_versions(world: &World) {
    world.create("s", 1, Some("v")).unwrap();
    (2..=103).for_each(|number| drop(world.put("s", number, "v", None).unwrap()));
    world.move_stage("s", "KEPT", None, Some(2)).unwrap();
    world.clock.advance_millis(24 * 60 * 60 * 1000);
}

#[test]
fn old_versions_go_with_the_new_one_or_not_at_all() {
    let single: Vec<Vec<Fault>> = scripts().into_iter().filter(|script| script.len() == 1).collect();
    let act = |world: &World, context: &Context| execute(world, context, put("s", 104, "w", None));
    check_write_under(&Case { prepare: too_many_versions, act }, &single);
}

#[test]
fn a_label_moves_wholly_or_not_at_all() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, move_stage("s", "AWSCURRENT", Some(2), Some(3))),
    });
}

#[test]
fn a_deletion_is_scheduled_or_it_is_not() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, delete("s", false)),
    });
}

#[test]
fn an_immediate_deletion_takes_all_or_nothing() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| {
            let answer = execute(world, context, delete("s", true));
            // The versions go by the sweep.
            maintain(world, 2);
            answer
        },
    });
}

#[test]
fn a_deletion_is_taken_back_or_it_is_not() {
    check_write(&Case {
        prepare: |world| {
            three_versions(world);
            world.delete("s", false).unwrap();
        },
        act: |world, context| execute(world, context, restore("s")),
    });
}

#[test]
fn tags_are_attached_or_they_are_not() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, tag("s", &["a=1", "b=2"])),
    });
}

#[test]
fn tags_are_removed_or_they_are_not() {
    check_write(&Case {
        prepare: |world| {
            three_versions(world);
            world.run(tag("s", &["a=1", "b=2"])).unwrap();
        },
        act: |world, context| execute(world, context, untag("s", &["a"])),
    });
}

#[test]
fn an_update_happens_whole_or_not_at_all() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, update("s", Some("changed"), Some((9, "nine")))),
    });
}

#[test]
fn a_description_changes_or_it_does_not() {
    check_write(&Case {
        prepare: three_versions,
        act: |world, context| execute(world, context, update("s", Some("changed"), None)),
    });
}

fn two_secrets(world: &World) {
    world.create("kept", 1, Some("kept")).unwrap();
    world.create("s", 1, Some("v")).unwrap();
    (2..=45).for_each(|number| drop(world.put("s", number, "v", None).unwrap()));
}

#[test]
fn a_sweep_that_is_cut_short_goes_on_and_is_recorded_once() {
    check_sweep(0, |world| {
        two_secrets(world);
        world.delete("s", true).unwrap();
    });
}

#[test]
fn a_deletion_whose_time_has_come_happens_once_whatever_cuts_it_short() {
    check_sweep(1, |world| {
        two_secrets(world);
        world.delete("s", false).unwrap();
        world.clock.advance_millis(31 * 86_400_000);
    });
}

/// Cuts the maintenance after `prepare` short at every commit; `started` is how often it begins a deletion itself.
fn check_sweep(started: usize, prepare: fn(&World)) {
    const ROUNDS: usize = 5;
    for place in 0..6 {
        for script in scripts().into_iter().filter(|script| script.len() == 1 || script.contains(&LATE)) {
            for &fate in fates(&script) {
                let what = format!("{script:?} at commit {place}, late changes {fate:?}");
                let run = Run::new(prepare);
                run.faulty.inject(std::iter::repeat_n(Fault::None, place).chain(script.iter().copied()));
                maintain(&run.world, ROUNDS);
                run.settle_late(fate);
                maintain(&run.world, ROUNDS);
                let is_stopped = matches!(probe(&run.world), Err(Error::Unavailable(_)));
                // As above.
                assert!(is_stopped == run.lied() || script == [LATE, Fault::Lie], "{what}");
                let Run { truth, faulty, world } = run;
                let world = world.reopen().unwrap();
                faulty.land_late();
                maintain(&world, ROUNDS);
                let picture = Picture::take(&world, &truth);
                assert_eq!(picture.secrets.keys().collect::<Vec<_>>(), ["kept"], "{what}");
                assert_eq!((picture.keys[&'v'], picture.keys[&'j']), (1, 0), "{what}");
                let tally = Tally::take(&world);
                assert_eq!(tally.by_service("StartSecretVersionDelete"), started, "{what}");
                assert_eq!(tally.by_service("EndSecretVersionDelete"), 1, "{what}");
            }
        }
    }
}

#[test]
fn a_store_is_founded_whole_or_not_at_all_and_once() {
    for place in 0..3 {
        for script in scripts() {
            for &fate in fates(&script) {
                let what = format!("{script:?} at commit {place}, late changes {fate:?}");
                let truth = Arc::new(MemoryStore::new());
                let faulty = Arc::new(FaultyStore::new(truth.clone()));
                faulty.inject(std::iter::repeat_n(Fault::None, place).chain(script.iter().copied()));
                let ground = Ground::new(faulty.clone(), 7);
                let first = ground.clone().found();
                faulty.heal();
                match fate {
                    Fate::Land => drop(faulty.land_late()),
                    Fate::Lose | Fate::LandAfterReopening => drop(faulty.lose_late()),
                }
                let was_founded = first.is_ok();
                drop(first);
                let world = match ground.clone().open() {
                    Err(StartError::Empty) if !was_founded => ground.found().expect(&what),
                    opened => opened.expect(&what),
                };
                three_versions(&world);
                Picture::take(&world, &truth);
                let tally = Tally::take(&world);
                assert_eq!(tally.by_service("Init"), 1, "{what}");
            }
        }
    }
}

#[test]
fn a_change_nobody_can_settle_stops_the_core_and_is_told_by_the_next() {
    // One commit and sixteen attempts to settle it, and all that is written afterwards.
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Late { commits: 1000 }] {
        let run = Run::new(three_versions);
        run.faulty.inject(std::iter::repeat_n(fault, 17));
        let context = run.world.administrator();
        let answer = execute(&run.world, &context, put("s", 4, "four", None));
        if fault == Fault::AnswerLost {
            // The first attempt to settle was a lost answer too, the second found the place taken.
            answer.unwrap();
            continue;
        }
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{fault:?}");
        run.faulty.heal();
        maintain(&run.world, 2);
        assert!(matches!(probe(&run.world), Err(Error::Unavailable(_))), "{fault:?}");
        let Run { truth, faulty, world } = run;
        let world = world.reopen().unwrap();
        assert_eq!(world.get("s", None, None).unwrap(), "two");
        let is_late = faulty.land_late() > 0;
        // The record of the secret that the new core has read is no longer the newest.
        world.put("s", 5, "five", None).unwrap();
        assert_eq!(world.get("s", None, None).unwrap(), "five");
        let previous = if is_late { "four" } else { "two" };
        assert_eq!(world.get("s", None, Some("AWSPREVIOUS")).unwrap(), previous, "{fault:?}");
        maintain(&world, 2);
        Picture::take(&world, &truth);
        assert_eq!(Tally::take(&world).done(&context), usize::from(is_late), "{fault:?}");
    }
}

#[test]
fn many_lost_changes_do_not_keep_later_records_from_the_log() {
    let run = Run::new(three_versions);
    for number in 0..600 {
        run.faulty.inject([Fault::RequestLost]);
        assert!(matches!(run.world.put("s", 100 + number, "lost", None), Err(Error::Unavailable(_))));
    }
    let context = run.world.administrator();
    execute(&run.world, &context, put("s", 4, "four", None)).unwrap();
    assert_eq!(Tally::take(&run.world).done(&context), 1);
}

#[test]
fn a_lie_is_found_out_though_the_store_can_hardly_be_read() {
    let mut lies = 0;
    for seed in 0..60 {
        let truth = Arc::new(MemoryStore::new());
        let faulty = Arc::new(FaultyStore::seeded(
            truth.clone(),
            seed,
            Odds { answer_lost: 100, request_lost: 100, refused: 0, lie: 150, late: 0, snapshot: 0 },
        ));
        let Ok(world) = Ground::new(faulty.clone(), seed).found() else { continue };
        let mut acknowledged = Vec::new();
        for number in 1..8 {
            faulty.fail_snapshots(usize::from(number % 2 == 0));
            let answer = match number {
                1 => world.create("s", 1, Some("v")).map(drop),
                _ => world.put("s", number, "v", None).map(drop),
            };
            if answer.is_ok() {
                acknowledged.push(number);
            }
            maintain(&world, 1);
        }
        faulty.heal();
        maintain(&world, 2);
        let lied = faulty.injected().contains(&Fault::Lie);
        lies += usize::from(lied);
        assert_eq!(probe(&world).is_err(), lied, "seed {seed}");
        let world = world.reopen().unwrap();
        for number in acknowledged {
            assert_eq!(world.get("s", Some(number), None).unwrap(), "v", "seed {seed}");
        }
    }
    assert!(lies > 10, "only {lies} runs met a lie");
}

/// What one writer did: its contexts, and what came of it.
struct Written {
    context: Context,
    name: &'static str,
    token: u64,
    acknowledged: bool,
}

#[test]
fn writers_at_once_over_a_failing_store_lose_nothing_and_tear_nothing() {
    for seed in 0..40 {
        check_writers(seed);
    }
}

fn check_writers(seed: u64) {
    const WRITERS: u64 = 3;
    const WRITES: u64 = 12;
    let truth = Arc::new(MemoryStore::new());
    let paced: Arc<dyn Store> = Arc::new(PacedStore::new(truth.clone(), Pace::Sleep(40), seed));
    let founded = Ground::new(truth.clone(), seed).found().unwrap();
    founded.create("shared", 1, Some("1")).unwrap();
    let mut ground = founded.into_ground();
    let faulty = Arc::new(FaultyStore::seeded(paced, seed, Odds { snapshot: 10, ..Odds::default() }));
    ground.store = faulty.clone();
    let world = loop {
        // The start drains, and may meet a fault.
        match ground.clone().open() {
            Ok(world) => break world,
            Err(_) => continue,
        }
    };
    let written: Vec<Written> = std::thread::scope(|scope| {
        let world = &world;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let dice = SeededRandom::new(seed * 100 + writer);
                    let mut written = Vec::new();
                    for write in 0..WRITES {
                        let token = 100 * (writer + 1) + write;
                        let own = ["mine-0", "mine-1", "mine-2"][writer as usize];
                        let name = if dice.next_u64().is_multiple_of(2) { "shared" } else { own };
                        let context = world.administrator();
                        let is_there = |write: &Written| write.name == name && write.acknowledged;
                        let value = token.to_string();
                        let answer = if name == "shared" || written.iter().any(is_there) {
                            execute(world, &context, put(name, token, &value, None))
                        } else {
                            execute(world, &context, create(name, token, Some(&value)))
                        };
                        written.push(Written { context, name, token, acknowledged: answer.is_ok() });
                        if write % 4 == writer {
                            maintain(world, 1);
                        }
                    }
                    written
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    faulty.heal();
    if seed.is_multiple_of(2) {
        faulty.land_late()
    } else {
        faulty.lose_late()
    };
    maintain(&world, 3);
    check_written(&world, &truth, &written, seed);
    let world = world.reopen().unwrap();
    faulty.land_late();
    maintain(&world, 3);
    check_written(&world, &truth, &written, seed);
}

fn check_written(world: &World, truth: &MemoryStore, written: &[Written], seed: u64) {
    let picture = Picture::take(world, truth);
    let tally = Tally::take(world);
    for write in written {
        let is_there = picture.secrets.get(write.name).is_some_and(|secret| {
            let value = (version_id(write.token), write.token.to_string());
            secret.versions.iter().any(|(id, _, _, held)| (id, held) == (&value.0, &value.1))
        });
        let what = format!("seed {seed}: {} of {}", write.token, write.name);
        assert_eq!(is_there, write.acknowledged, "{what}");
        assert_eq!(tally.done(&write.context), usize::from(write.acknowledged), "{what}");
    }
    for (name, secret) in &picture.secrets {
        // Plain writes only: the newest is current, the one before is previous.
        let count = secret.versions.len();
        for (id, ordinal, stages, _) in &secret.versions {
            let expected = match count as u64 - ordinal {
                0 => vec![Stage::current()],
                1 => vec![Stage::previous()],
                _ => vec![],
            };
            assert_eq!(stages, &expected, "seed {seed}: {name} {id}");
        }
    }
}

#[test]
fn a_caller_that_hangs_up_leaves_a_whole_change_and_its_record_or_neither() {
    let mut landed = 0;
    for seed in 0..6 {
        for fault in [Fault::None, Fault::AnswerLost, Fault::RequestLost, Fault::Refused] {
            for polls in 0..24 {
                landed += usize::from(check_hang_up(seed, fault, polls));
            }
        }
    }
    assert!(landed > 20, "only {landed} landed");
}

/// Polls a write so many times, drops it, and lets what it began run to its end. Answers whether it landed.
fn check_hang_up(seed: u64, fault: Fault, polls: usize) -> bool {
    let what = format!("seed {seed}, {fault:?}, {polls} polls");
    let truth = Arc::new(MemoryStore::new());
    let founded = Ground::new(truth.clone(), seed).found().unwrap();
    three_versions(&founded);
    let mut ground = founded.into_ground();
    let faulty = Arc::new(FaultyStore::new(truth.clone()));
    let steps = Steps::default();
    ground.store = Arc::new(PacedStore::new(faulty.clone(), Pace::Yield(2), seed));
    ground.spawn = Arc::new(steps.clone());
    let world = ground.open().unwrap();
    // The record of the secret is in the cache, so that a lost invalidation would show.
    world.get("s", None, None).unwrap();
    faulty.inject([fault]);
    let context = world.administrator();
    let mut write: BoxFuture<'_, _> = Box::pin(world.core.execute(&context, put("s", 4, "four", None)));
    let mut answer = None;
    for poll in 0..polls {
        answer = poll_once(&mut write);
        if answer.is_some() {
            break;
        }
        // The commit moves on its own, sometimes.
        if poll % 3 == 2 {
            steps.step(0);
        }
    }
    drop(write);
    while steps.count() > 0 {
        steps.step(0);
    }
    let current = world.get("s", None, None).unwrap();
    let landed = current == "four";
    assert!(landed || current == "two", "{what}");
    if let Some(answer) = answer {
        assert_eq!(answer.is_ok(), landed, "{what}");
    }
    maintain(&world, 2);
    let here = Picture::take(&world, &truth);
    assert_eq!(Tally::take(&world).done(&context), usize::from(landed), "{what}");
    let world = world.reopen().unwrap();
    assert_eq!(Picture::take(&world, &truth), here, "{what}");
    landed
}

fn refusal(context: Context) -> Refusal {
    Refusal {
        request: context.request.clone(),
        context: Some(context),
        event_source: "secretsmanager.amazonaws.com",
        event_name: Some("GetSecretValue".into()),
        region: None,
        access_key_id: None,
        code: "ValidationException",
        message: "no body".into(),
    }
}

#[test]
fn nothing_is_served_that_the_log_can_not_hold_and_service_resumes_when_it_can() {
    for appends in 0..14 {
        for torn in 0..3 {
            let what = format!("{appends} appends, then failing after {torn} of a batch");
            let founded = World::new();
            three_versions(&founded);
            let mut ground = founded.into_ground();
            let log = Arc::new(FailingLog::new(ground.log.clone()));
            ground.sink = Some(log.clone());
            let world = ground.open().unwrap();
            log.fail_after(appends);
            log.tear_batches(torn);
            let mut calls = Vec::new();
            for number in 0..6 {
                let (writing, reading) = (world.administrator(), world.administrator());
                let token = 10 + number;
                let is_put = execute(&world, &writing, put("s", token, &token.to_string(), None)).is_ok();
                calls.push((writing, is_put));
                let is_read = execute(&world, &reading, get("s", Some(2), None)).is_ok();
                calls.push((reading, is_read));
                if number % 2 == 1 {
                    maintain(&world, 1);
                }
            }
            log.fail_after(0);
            assert!(matches!(world.get("s", None, None), Err(Error::Unavailable(_))), "{what}");
            for _ in 0..2 {
                for call in 0..3 {
                    let context = world.administrator();
                    let answer = match call {
                        0 => execute(&world, &context, get("s", None, None)),
                        1 => execute(&world, &context, put("s", 99, "never", None)),
                        _ => block_on(world.core.refuse(refusal(context.clone()))),
                    };
                    assert!(matches!(answer, Err(Error::Unavailable(_))), "{what}");
                    calls.push((context, false));
                }
                maintain(&world, 1);
            }
            log.heal();
            maintain(&world, 1);
            assert!(world.get("s", Some(99), None).is_err(), "{what}");
            for (token, (_, is_put)) in (10..16).zip(calls.iter().step_by(2)) {
                assert_eq!(world.get("s", Some(token), None).is_ok(), *is_put, "{what}");
            }
            let tally = Tally::take(&world);
            for (number, (context, done)) in calls.iter().enumerate() {
                assert_eq!(tally.done(context), usize::from(*done), "{what}: call {number}");
            }
            assert!(log.verify(None, &public_key_of_nobody()).is_ok(), "{what}");
        }
    }
}

/// Without a checkpoint no signature is looked at.
fn public_key_of_nobody() -> coffer_crypto::AuditPublicKey {
    coffer_crypto::AuditSigningKey::make(&SeededRandom::new(1)).public_key()
}

#[test]
fn a_checkpoint_never_goes_back() {
    let run = Run::new(three_versions);
    let sequence = || {
        let status = run.world.run(coffer_core::ops::local::ReadStatus).unwrap();
        status.checkpoint.map_or(0, |checkpoint| checkpoint.head.sequence)
    };
    for number in 10..20 {
        run.world.put("s", number, "v", None).unwrap();
        run.faulty.inject([Fault::Late { commits: 1000 }]);
        maintain(&run.world, 2);
        // The log grows, and with it the checkpoint, before the first one lands.
        run.world.put("s", number + 100, "v", None).unwrap();
        maintain(&run.world, 1);
        let before = sequence();
        assert_eq!(run.faulty.land_late(), 1);
        assert!(sequence() >= before, "{number}");
    }
}

#[test]
fn more_records_than_leave_the_outbox_together_are_recorded_once() {
    for (landed, reopens) in [(1, true), (1, false), (2, true), (2, false)] {
        let Run { world, faulty, .. } = Run::new(nothing);
        for number in 0..250 {
            world.create(&format!("s/{number}"), number, Some("v")).unwrap();
        }
        // The checkpoint of those that left must not be past those that stayed.
        faulty.inject(vec![Fault::None; landed].into_iter().chain([Fault::Refused]));
        maintain(&world, 1);
        let world = if reopens { world.reopen().unwrap() } else { world };
        maintain(&world, 2);
        let created = Tally::take(&world).done.len();
        assert!(created >= 250, "{created} of 250, {landed} landed, reopened: {reopens}");
    }
}

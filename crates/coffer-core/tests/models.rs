//! The operations on secrets beside naive models: one at a time, and several at once in every order.
//!
//! The model is AWS's documentation written down as plainly as it goes: no store, no cache, no seals.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use coffer_core::ops::secrets::ListSecretVersionIds;
use coffer_core::{Context, Core, Error, Operation};
use coffer_store::MemoryStore;
use coffer_testkit::shorthand::{
    create, delete, describe, get, move_stage, put, restore, secret_id, tag, untag, update,
};
use coffer_testkit::{Ground, Pace, PacedStore, SeededRandom, Steps, World};
use coffer_types::{Stage, VersionId};
use futures_executor::block_on;
use proptest::prelude::*;

const LABELS: [&str; 5] = ["AWSCURRENT", "AWSPREVIOUS", "AWSPENDING", "blue", "green"];
const NAMES: [&str; 2] = ["a", "b"];
const TAG_KEYS: [&str; 2] = ["k", "l"];

/// Something asked for.
#[derive(Clone, Debug, PartialEq)]
enum Ask {
    Create {
        name: usize,
        token: u64,
        value: Option<u8>,
    },
    Put {
        name: usize,
        token: u64,
        value: u8,
        labels: Option<Vec<usize>>,
    },
    /// A description, a token with its value, or both.
    Update {
        name: usize,
        description: Option<u8>,
        version: Option<(u64, u8)>,
    },
    Tag {
        name: usize,
        key: usize,
        value: u8,
    },
    Untag {
        name: usize,
        key: usize,
    },
    Move {
        name: usize,
        label: usize,
        from: Option<u64>,
        to: Option<u64>,
    },
    Delete {
        name: usize,
        is_immediate: bool,
    },
    Restore {
        name: usize,
    },
    Get {
        name: usize,
        version: Option<u64>,
        label: Option<usize>,
    },
}

/// What came of it: a value read, or nothing to tell, or the name of the error.
type Answer = Result<Option<u8>, &'static str>;

#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    secrets: BTreeMap<usize, Secret>,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Secret {
    is_scheduled: bool,
    description: Option<u8>,
    tags: BTreeMap<&'static str, u8>,
    /// Token and value of each version, oldest first.
    versions: Vec<(u64, u8)>,
    /// Which version each label is on.
    labels: BTreeMap<&'static str, u64>,
}

impl Model {
    fn ask(&mut self, ask: &Ask) -> Answer {
        match *ask {
            Ask::Create { name, token, value } => match self.secrets.get(&name) {
                Some(secret) if secret.is_scheduled => Err("NameScheduledForDeletion"),
                Some(secret) => match (secret.value_of(token), value) {
                    (None, _) | (_, None) => Err("SecretExists"),
                    (Some(held), Some(value)) if held == value => Ok(None),
                    _ => Err("TokenInUse"),
                },
                None => {
                    let mut secret = Secret::default();
                    if let Some(value) = value {
                        secret.versions.push((token, value));
                        secret.labels.insert("AWSCURRENT", token);
                    }
                    self.secrets.insert(name, secret);
                    Ok(None)
                }
            },
            Ask::Put { name, token, value, ref labels } => {
                let secret = self.usable(name)?;
                match secret.value_of(token) {
                    Some(held) if held == value => return Ok(None),
                    Some(_) => return Err("TokenInUse"),
                    None => {}
                }
                secret.versions.push((token, value));
                let mut labels = labels.clone().unwrap_or_else(|| vec![0]);
                // The first version is current in any case. AWSCURRENT moves last, so that what it leaves behind
                // is AWSPREVIOUS whatever else was asked for.
                if secret.versions.len() == 1 {
                    labels.push(0);
                }
                labels.sort_unstable_by(|a, b| b.cmp(a));
                labels.iter().for_each(|&label| secret.label(LABELS[label], token));
                Ok(None)
            }
            Ask::Update { name, description, version } => {
                let secret = self.usable(name)?;
                if let Some((token, value)) = version {
                    match secret.value_of(token) {
                        Some(held) if held == value => {}
                        Some(_) => return Err("TokenInUse"),
                        None => {
                            secret.versions.push((token, value));
                            secret.label("AWSCURRENT", token);
                        }
                    }
                }
                secret.description = description.or(secret.description);
                Ok(None)
            }
            Ask::Tag { name, key, value } => {
                self.usable(name)?.tags.insert(TAG_KEYS[key], value);
                Ok(None)
            }
            Ask::Untag { name, key } => {
                self.usable(name)?.tags.remove(TAG_KEYS[key]);
                Ok(None)
            }
            Ask::Move { name, label, from, to } => {
                let secret = self.usable(name)?;
                for version in [from, to].into_iter().flatten() {
                    secret.value_of(version).ok_or("VersionNotFound")?;
                }
                let label = LABELS[label];
                match (secret.labels.get(label).copied(), from, to) {
                    (holder, Some(from), _) if holder != Some(from) => return Err("StageNotThere"),
                    (Some(holder), None, to) if to != Some(holder) => return Err("StageElsewhere"),
                    (_, _, Some(to)) => secret.label(label, to),
                    (_, _, None) if label == "AWSCURRENT" => return Err("CurrentCannotBeRemoved"),
                    (_, _, None) => drop(secret.labels.remove(label)),
                }
                Ok(None)
            }
            Ask::Delete { name, is_immediate: true } => {
                self.secrets.remove(&name);
                Ok(None)
            }
            Ask::Delete { name, is_immediate: false } => {
                let secret = self.secrets.get_mut(&name).ok_or("SecretNotFound")?;
                if std::mem::replace(&mut secret.is_scheduled, true) {
                    return Err("AlreadyScheduledForDeletion");
                }
                Ok(None)
            }
            Ask::Restore { name } => {
                self.secrets.get_mut(&name).ok_or("SecretNotFound")?.is_scheduled = false;
                Ok(None)
            }
            Ask::Get { name, version, label } => {
                let secret = self.usable(name)?;
                let label = label.map(|label| LABELS[label]);
                let token = match (version, label) {
                    (Some(version), _) => Some(version),
                    (None, label) => secret.labels.get(label.unwrap_or("AWSCURRENT")).copied(),
                };
                let token = token.ok_or("ValueNotFound")?;
                let value = secret.value_of(token).ok_or("ValueNotFound")?;
                if version.is_some()
                    && label.is_some_and(|label| secret.labels.get(label) != version.as_ref())
                {
                    return Err("StageNotOnVersion");
                }
                Ok(Some(value))
            }
        }
    }

    fn usable(&mut self, name: usize) -> Result<&mut Secret, &'static str> {
        let secret = self.secrets.get_mut(&name).ok_or("SecretNotFound")?;
        if secret.is_scheduled { Err("MarkedForDeletion") } else { Ok(secret) }
    }

    /// The model of what a core holds.
    fn of(world: &World) -> Self {
        let mut model = Self::default();
        for secret in world.secrets(100).unwrap() {
            let name = NAMES.iter().position(|name| *name == secret.arn.name.as_str()).unwrap();
            let tags = secret.tags.iter().flatten();
            let mut seen = Secret {
                is_scheduled: secret.deleted.is_some(),
                description: secret.description.map(|description| description.parse().unwrap()),
                tags: tags.map(|tag| (known_key(tag.key()), tag.value().parse().unwrap())).collect(),
                ..Secret::default()
            };
            for version in world.versions(NAMES[name], 100).unwrap() {
                let token = number(&version.version_id);
                // A value that can't be read for now is looked at another time.
                let value =
                    world.get(NAMES[name], Some(token), None).map_or(0, |value| value.parse().unwrap());
                seen.versions.push((token, value));
                seen.labels.extend(version.stages.iter().map(|stage| (known(stage), token)));
            }
            let described: BTreeMap<_, _> = secret
                .versions
                .iter()
                .flat_map(|(id, stages)| stages.iter().map(|stage| (known(stage), number(id))))
                .collect();
            assert_eq!(described, seen.labels, "DescribeSecret and ListSecretVersionIds disagree");
            model.secrets.insert(name, seen);
        }
        model
    }

    /// This model as [`Model::of`] can see it.
    fn visible(&self) -> Self {
        let mut visible = self.clone();
        for secret in visible.secrets.values_mut().filter(|secret| secret.is_scheduled) {
            secret.versions.iter_mut().for_each(|(_, value)| *value = 0);
        }
        visible
    }
}

impl Secret {
    fn value_of(&self, token: u64) -> Option<u8> {
        self.versions.iter().find(|(held, _)| *held == token).map(|(_, value)| *value)
    }

    fn label(&mut self, label: &'static str, token: u64) {
        let left = self.labels.insert(label, token);
        if label == "AWSCURRENT"
            && let Some(left) = left
            && left != token
        {
            self.labels.insert("AWSPREVIOUS", left);
        }
    }
}

fn number(id: &VersionId) -> u64 {
    id.as_str()[24..].parse().unwrap()
}

fn known(stage: &Stage) -> &'static str {
    LABELS.into_iter().find(|label| *label == stage.as_str()).unwrap()
}

fn known_key(key: &str) -> &'static str {
    TAG_KEYS.into_iter().find(|known| *known == key).unwrap()
}

fn name_of(error: &Error) -> &'static str {
    match error {
        Error::SecretNotFound => "SecretNotFound",
        Error::ValueNotFound(_) => "ValueNotFound",
        Error::VersionNotFound(_) => "VersionNotFound",
        Error::SecretExists(_) => "SecretExists",
        Error::TokenInUse { .. } => "TokenInUse",
        Error::MarkedForDeletion { .. } => "MarkedForDeletion",
        Error::NameScheduledForDeletion => "NameScheduledForDeletion",
        Error::AlreadyScheduledForDeletion => "AlreadyScheduledForDeletion",
        Error::StageNotOnVersion => "StageNotOnVersion",
        Error::StageElsewhere { .. } => "StageElsewhere",
        Error::StageNotThere { .. } => "StageNotThere",
        Error::CurrentCannotBeRemoved => "CurrentCannotBeRemoved",
        other => panic!("no request of these may be answered {other}"),
    }
}

/// Asks a core.
async fn ask(core: &Core, context: &Context, ask: &Ask) -> Answer {
    async fn done<O: Operation>(
        core: &Core,
        context: &Context,
        operation: O,
    ) -> Result<O::Output, &'static str> {
        core.execute(context, operation).await.map_err(|error| name_of(&error))
    }
    let nothing = |answer: Result<(), _>| answer.map(|()| None);
    let text = |value: u8| value.to_string();
    match *ask {
        Ask::Create { name, token, value } => {
            let operation = create(NAMES[name], token, value.map(text).as_deref());
            nothing(done(core, context, operation).await.map(drop))
        }
        Ask::Put { name, token, value, ref labels } => {
            let labels: Option<Vec<&str>> =
                labels.as_ref().map(|labels| labels.iter().map(|&label| LABELS[label]).collect());
            let operation = put(NAMES[name], token, &text(value), labels.as_deref());
            nothing(done(core, context, operation).await.map(drop))
        }
        Ask::Update { name, description, version } => {
            let (description, version) =
                (description.map(text), version.map(|(token, value)| (token, text(value))));
            let version = version.as_ref().map(|(token, value)| (*token, value.as_str()));
            let operation = update(NAMES[name], description.as_deref(), version);
            nothing(done(core, context, operation).await.map(drop))
        }
        Ask::Tag { name, key, value } => {
            let pair = format!("{}={value}", TAG_KEYS[key]);
            nothing(done(core, context, tag(NAMES[name], &[&pair])).await.map(drop))
        }
        Ask::Untag { name, key } => {
            nothing(done(core, context, untag(NAMES[name], &[TAG_KEYS[key]])).await.map(drop))
        }
        Ask::Move { name, label, from, to } => {
            nothing(done(core, context, move_stage(NAMES[name], LABELS[label], from, to)).await.map(drop))
        }
        Ask::Delete { name, is_immediate } => {
            nothing(done(core, context, delete(NAMES[name], is_immediate)).await.map(drop))
        }
        Ask::Restore { name } => nothing(done(core, context, restore(NAMES[name])).await.map(drop)),
        Ask::Get { name, version, label } => {
            let operation = get(NAMES[name], version, label.map(|label| LABELS[label]));
            let read = done(core, context, operation).await?;
            Ok(Some(std::str::from_utf8(read.value.bytes().expose_secret()).unwrap().parse().unwrap()))
        }
    }
}

fn any_ask(tokens: u64, names: usize) -> impl Strategy<Value = Ask> {
    let name = move || 0..names;
    let version = move || prop::option::weighted(0.7, 1..=tokens);
    let labels = prop::collection::btree_set(0..LABELS.len(), 1..=4)
        .prop_map(|labels: BTreeSet<usize>| labels.into_iter().collect::<Vec<_>>());
    prop_oneof![
        3 => (name(), 1..=tokens, prop::option::weighted(0.8, 1..=3_u8))
            .prop_map(|(name, token, value)| Ask::Create { name, token, value }),
        6 => (name(), 1..=tokens, 1..=3_u8, prop::option::of(labels))
            .prop_map(|(name, token, value, labels)| Ask::Put { name, token, value, labels }),
        4 => (name(), prop::option::of(1..=3_u8), prop::option::of((1..=tokens, 1..=3_u8)))
            .prop_map(|(name, description, version)| Ask::Update { name, description, version }),
        1 => (name(), 0..TAG_KEYS.len(), 1..=3_u8).prop_map(|(name, key, value)| Ask::Tag { name, key, value }),
        1 => (name(), 0..TAG_KEYS.len()).prop_map(|(name, key)| Ask::Untag { name, key }),
        5 => (name(), 0..LABELS.len(), version(), version())
            .prop_map(|(name, label, from, to)| Ask::Move { name, label, from, to }),
        1 => (name(), any::<bool>()).prop_map(|(name, is_immediate)| Ask::Delete { name, is_immediate }),
        1 => name().prop_map(|name| Ask::Restore { name }),
        3 => (name(), prop::option::of(1..=tokens), prop::option::of(0..LABELS.len()))
            .prop_map(|(name, version, label)| Ask::Get { name, version, label }),
    ]
}

/// A Move that names the holder is what callers mean to send; plain chance seldom does.
fn aim(model: &Model, ask: Ask) -> Ask {
    match ask {
        Ask::Move { name, label, from: Some(_), to } if to.is_none_or(|to| to % 2 == 0) => {
            let holder =
                model.secrets.get(&name).and_then(|secret| secret.labels.get(LABELS[label]).copied());
            Ask::Move { name, label, from: holder, to }
        }
        ask => ask,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn labels_and_versions_are_where_the_documentation_says(asks in prop::collection::vec(any_ask(6, 2), 1..30)) {
        let world = World::new();
        let (mut model, context) = (Model::default(), world.administrator());
        for wish in asks {
            let wish = aim(&model, wish);
            let expected = model.ask(&wish);
            prop_assert_eq!(block_on(ask(&world.core, &context, &wish)), expected, "{:?}", wish);
            prop_assert_eq!(Model::of(&world), model.visible(), "after {:?}", wish);
            for name in 0..NAMES.len() {
                for label in 0..LABELS.len() {
                    let read = Ask::Get { name, version: None, label: Some(label) };
                    prop_assert_eq!(block_on(ask(&world.core, &context, &read)), model.ask(&read), "{:?}", read);
                }
            }
        }
    }

    #[test]
    fn a_token_names_one_value_for_good(
        asks in prop::collection::vec(any_ask(2, 1).prop_filter("repeats", |ask| {
            matches!(ask, Ask::Create { .. } | Ask::Put { .. } | Ask::Update { .. })
        }), 1..40)
    ) {
        let world = World::new();
        let (mut model, context) = (Model::default(), world.administrator());
        for wish in asks {
            prop_assert_eq!(block_on(ask(&world.core, &context, &wish)), model.ask(&wish), "{:?}", wish);
        }
        prop_assert_eq!(Model::of(&world), model.visible());
    }
}

/// A request under way among others: when it began and ended, in steps, and what it was answered.
#[derive(Clone, Debug)]
struct Done {
    ask: Ask,
    began: usize,
    ended: usize,
    answer: Answer,
}

/// Begins a request, which notes its times and its answer when it ends.
fn begin(world: &World, steps: &Steps, wish: Ask, done: &Arc<Mutex<Vec<Done>>>, now: &Arc<AtomicU64>) {
    let (core, context, done, now) = (world.core.clone(), world.administrator(), done.clone(), now.clone());
    steps.begin(async move {
        let began = now.load(Ordering::Relaxed) as usize;
        let answer = ask(&core, &context, &wish).await;
        let ended = now.load(Ordering::Relaxed) as usize;
        done.lock().unwrap().push(Done { ask: wish, began, ended, answer });
    });
}

/// Runs all asks at once, a step of one of them at a time, and answers what each came to.
fn interleave(world: &World, steps: &Steps, asks: &[(usize, Ask)], choices: &[usize]) -> Vec<Done> {
    let done: Arc<Mutex<Vec<Done>>> = Arc::default();
    let now = Arc::new(AtomicU64::new(0));
    let mut waiting: Vec<(usize, Ask)> = asks.to_vec();
    waiting.sort_by_key(|(start, _)| *start);
    let mut choices = choices.iter().copied().cycle();
    while !waiting.is_empty() || steps.count() > 0 {
        let step = now.fetch_add(1, Ordering::Relaxed) as usize;
        while waiting.first().is_some_and(|(start, _)| *start <= step || steps.count() == 0) {
            let (_, wish) = waiting.remove(0);
            begin(world, steps, wish, &done, &now);
        }
        steps.step(choices.next().unwrap_or(0));
    }
    std::mem::take(&mut *done.lock().unwrap())
}

/// Whether some order of the requests, none before one that had ended when it began, gives these answers and ends
/// in this state.
fn is_explained(model: &Model, left: &[Done], end: &Model) -> bool {
    if left.is_empty() {
        return model.visible() == *end;
    }
    (0..left.len()).any(|next| {
        let candidate = &left[next];
        if left.iter().any(|other| other.ended < candidate.began) {
            return false;
        }
        let mut after = model.clone();
        if after.ask(&candidate.ask) != candidate.answer {
            return false;
        }
        let rest: Vec<Done> = left
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != next)
            .map(|(_, done)| done.clone())
            .collect();
        is_explained(&after, &rest, end)
    })
}

/// A founded world whose store gives way to others at each call, with commits moved by the same steps.
fn stepped(seed: u64, cache_bytes_max: u64) -> (World, Steps) {
    let mut ground = Ground::new(Arc::new(MemoryStore::new()), seed).found().unwrap().into_ground();
    let steps = Steps::default();
    ground.store = Arc::new(PacedStore::new(Arc::clone(&ground.store), Pace::Yield(2), seed));
    ground.spawn = Arc::new(steps.clone());
    ground.options.cache_bytes_max = cache_bytes_max;
    (ground.open().unwrap(), steps)
}

/// Room for none, for a few records, and for all.
const CACHES: [u64; 3] = [0, 2_000, 1 << 20];

/// Each request, stopped at each of its steps while others come and go, sees one state and no mixture of two.
#[test]
fn a_request_that_is_overtaken_sees_one_state() {
    let read = |version, label| Ask::Get { name: 0, version, label };
    let second = || Ask::Put { name: 0, token: 2, value: 2, labels: None };
    let others = [
        read(None, None),
        read(Some(2), None),
        read(Some(2), Some(0)),
        second(),
        Ask::Update { name: 0, description: Some(3), version: Some((2, 2)) },
        Ask::Tag { name: 0, key: 0, value: 3 },
        Ask::Create { name: 0, token: 2, value: Some(2) },
        Ask::Move { name: 0, label: 0, from: Some(1), to: Some(2) },
        Ask::Delete { name: 0, is_immediate: true },
    ];
    let pairs = others.iter().flat_map(|other| [(other.clone(), second()), (second(), other.clone())]);
    for (number, (slow, fast)) in pairs.enumerate() {
        for moves in 0..20 {
            for is_warm in [false, true] {
                let (world, steps) = stepped(number as u64, CACHES[2]);
                let mut model = Model::default();
                let first = Ask::Create { name: 0, token: 1, value: Some(1) };
                model.ask(&first).unwrap();
                interleave(&world, &steps, &[(0, first)], &[0]);
                // With nothing in the cache, or with the state before.
                let world = world.reopen().unwrap();
                if is_warm {
                    world.get("a", None, None).unwrap();
                }
                let (done, now) = (Arc::default(), Arc::new(AtomicU64::new(0)));
                begin(&world, &steps, slow.clone(), &done, &now);
                (0..moves).for_each(|_| steps.step(0));
                let aside = steps.set_aside();
                now.fetch_add(1, Ordering::Relaxed);
                begin(&world, &steps, fast.clone(), &done, &now);
                while steps.count() > 0 {
                    steps.step(0);
                }
                // The new state of the secret is in the cache, its versions are not.
                let _ = world.describe("a");
                now.fetch_add(1, Ordering::Relaxed);
                aside.into_iter().for_each(|task| steps.begin(task));
                while steps.count() > 0 {
                    steps.step(0);
                }
                let done = std::mem::take(&mut *done.lock().unwrap());
                let end = Model::of(&world.reopen().unwrap());
                assert!(
                    is_explained(&model, &done, &end),
                    "{moves} moves, warm {is_warm}: {done:#?} to {end:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_at_once_are_answered_as_if_one_came_after_the_other(
        before in prop::collection::vec(any_ask(3, 1), 0..4),
        asks in prop::collection::vec((0..40_usize, any_ask(3, 1)), 2..6),
        choices in prop::collection::vec(any::<usize>(), 64),
        seed in 0..1000_u64,
        cache in 0..CACHES.len(),
    ) {
        let (world, steps) = stepped(seed, CACHES[cache]);
        let mut model = Model::default();
        for wish in before {
            let answers = interleave(&world, &steps, &[(0, wish.clone())], &[0]);
            prop_assert_eq!(&answers[0].answer, &model.ask(&wish));
        }
        let done = interleave(&world, &steps, &asks, &choices);
        let end = Model::of(&world.reopen().unwrap());
        prop_assert!(is_explained(&model, &done, &end), "from {:?}: {:#?} to {:?}", model, done, end);
    }

    #[test]
    fn a_read_that_begins_after_a_write_was_acknowledged_sees_it(
        writers in 1..3_usize,
        readers in 1..4_usize,
        rounds in 1..5_u64,
        choices in prop::collection::vec(any::<usize>(), 128),
        seed in 0..1000_u64,
        cache in 0..CACHES.len(),
    ) {
        let (world, steps) = stepped(seed, CACHES[cache]);
        interleave(&world, &steps, &[(0, Ask::Create { name: 0, token: 1, value: Some(1) })], &[0]);
        // The highest ordinal acknowledged; labels say which version is the newest, so ids tell the order.
        let acknowledged: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
        let newest = Arc::new(AtomicU64::new(1));
        let stale = Arc::new(AtomicBool::new(false));
        for writer in 0..writers as u64 {
            let (core, acknowledged, newest) = (world.core.clone(), acknowledged.clone(), newest.clone());
            let context = world.administrator();
            steps.begin(async move {
                for round in 0..rounds {
                    let token = 10 * (writer + 1) + round;
                    core.execute(&context, put("a", token, "1", None)).await.unwrap();
                    let list = ListSecretVersionIds {
                        secret_id: secret_id("a"), include_deprecated: true, max_results: 100, next_token: None,
                    };
                    let ordinals = core.execute(&context, list).await.unwrap().versions;
                    let mut known = acknowledged.lock().unwrap();
                    known.extend(ordinals.iter().map(|version| (number(&version.version_id), version.ordinal)));
                    newest.fetch_max(known[&token], Ordering::Relaxed);
                }
            });
        }
        for _ in 0..readers {
            let (core, acknowledged, newest) = (world.core.clone(), acknowledged.clone(), newest.clone());
            let (context, stale) = (world.administrator(), stale.clone());
            steps.begin(async move {
                for _ in 0..3 * rounds {
                    let expected = newest.load(Ordering::Relaxed);
                    let read = core.execute(&context, get("a", None, None)).await.unwrap();
                    let described = core.execute(&context, describe("a")).await.unwrap();
                    let known = acknowledged.lock().unwrap();
                    let current = described.versions.iter().find(|(_, stages)| stages.contains(&Stage::current()));
                    for id in [&read.version_id, &current.unwrap().0] {
                        // One that nobody knows yet is newer than all that was acknowledged.
                        if known.get(&number(id)).is_some_and(|ordinal| *ordinal < expected) {
                            stale.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let mut choices = choices.iter().copied().cycle();
        while steps.count() > 0 {
            steps.step(choices.next().unwrap_or(0));
        }
        prop_assert!(!stale.load(Ordering::Relaxed));
    }
}

/// The same with threads, which meet where no future gives way.
#[test]
fn readers_on_threads_never_see_less_than_was_acknowledged() {
    const WRITES: u64 = 60;
    for (seed, cache) in CACHES.into_iter().enumerate() {
        let mut ground =
            Ground::new(Arc::new(MemoryStore::new()), seed as u64).found().unwrap().into_ground();
        ground.store = Arc::new(PacedStore::new(Arc::clone(&ground.store), Pace::Sleep(60), seed as u64));
        ground.options.cache_bytes_max = cache;
        let world = ground.open().unwrap();
        world.create("s", 1, Some("1")).unwrap();
        let acknowledged = AtomicU64::new(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for token in 2..=WRITES {
                    world.put("s", token, &token.to_string(), None).unwrap();
                    acknowledged.store(token, Ordering::SeqCst);
                }
            });
            for reader in 0..4 {
                let (world, acknowledged) = (&world, &acknowledged);
                scope.spawn(move || {
                    let dice = SeededRandom::new(reader);
                    while acknowledged.load(Ordering::SeqCst) < WRITES {
                        let before = acknowledged.load(Ordering::SeqCst);
                        let read: u64 = if dice.next_u64().is_multiple_of(2) {
                            world.get("s", None, None).unwrap().parse().unwrap()
                        } else {
                            world
                                .describe("s")
                                .unwrap()
                                .versions
                                .iter()
                                .map(|(id, _)| number(id))
                                .max()
                                .unwrap()
                        };
                        assert!(
                            read >= before,
                            "cache of {cache}: read {read} after {before} was acknowledged"
                        );
                    }
                });
            }
        });
    }
}

//! ListSecrets against a list that is simply sorted and filtered, in every order and with pages of every size.

#![expect(clippy::unwrap_used, reason = "a test that fails, fails")]

mod counting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_core::ops::iam::{ListAccessKeys, ListUsers, Page};
use coffer_core::ops::review::{ExplainDenial, WhoCan};
use coffer_core::ops::secrets::{CreateSecret, ListSecrets, SecretDescription, SortBy};
use coffer_core::{Context, Error};
use coffer_store::{BoxFuture, FaultyStore, MemoryStore, Store};
use coffer_testkit::shorthand::create;
use coffer_testkit::{Ground, World, poll_once};
use coffer_types::{Filter, FilterKey, Tag};
use counting::CountingStore;
use futures_executor::block_on;

/// 60 secrets, some of which were made, changed or deleted in the same millisecond.
fn world() -> World {
    let world = World::new();
    for number in 0..60_u64 {
        let name = format!("{}/{:02}", if number % 3 == 0 { "prod" } else { "test" }, number * 37 % 60);
        let description = (number % 4 == 0).then(|| format!("MyDatabase{}", number % 8));
        let tags = (number % 5 == 0).then(|| vec![Tag::new("team", format!("t{}", number % 2)).unwrap()]);
        world.run(CreateSecret { description, tags, ..create(&name, number, Some("v")) }).unwrap();
        world.clock.advance_millis((number % 2) as i64);
    }
    for (at, secret) in world.secrets(100).unwrap().iter().enumerate() {
        let name = secret.arn.name.as_str();
        match at % 7 {
            0 => drop(world.put(name, 1000, "w", None).unwrap()),
            1 => drop(world.delete(name, false).unwrap()),
            _ => {}
        }
        world.clock.advance_millis((at % 3) as i64);
    }
    world
}

fn filter(key: FilterKey, values: &[&str]) -> Filter {
    Filter::new(key, values.iter().map(|value| value.parse().unwrap()).collect()).unwrap()
}

fn names(secrets: &[SecretDescription]) -> Vec<String> {
    secrets.iter().map(|secret| secret.arn.name.to_string()).collect()
}

/// All pages of a listing, one after the other.
fn pages(world: &World, list: impl Fn() -> ListSecrets) -> Vec<Vec<String>> {
    let (mut pages, mut next_token) = (Vec::new(), None);
    loop {
        let page = world.run(ListSecrets { next_token, ..list() }).unwrap();
        pages.push(names(&page.secrets));
        next_token = page.next_token;
        if next_token.is_none() {
            return pages;
        }
    }
}

#[test]
fn every_order_is_that_of_a_sorted_list() {
    let world = world();
    let all = world.secrets(100).unwrap();
    assert_eq!(all.len(), 60);
    for sort_by in [SortBy::CreatedDate, SortBy::LastChangedDate, SortBy::LastAccessedDate, SortBy::Name] {
        for (descending, include_planned_deletion) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for max_results in [1, 7, 59, 60, 100] {
                let list = || ListSecrets {
                    sort_by,
                    descending,
                    include_planned_deletion,
                    max_results,
                    ..Default::default()
                };
                let mut sorted: Vec<&SecretDescription> = all
                    .iter()
                    .filter(|secret| include_planned_deletion || secret.deleted.is_none())
                    .collect();
                // `all` is in order of creation, ties included.
                let name = |secret: &SecretDescription| secret.arn.name.to_string();
                match sort_by {
                    SortBy::CreatedDate => {}
                    SortBy::LastChangedDate => {
                        sorted.sort_by_key(|secret| (secret.last_changed, name(secret)))
                    }
                    // Nobody has read any of them.
                    SortBy::LastAccessedDate | SortBy::Name => sorted.sort_by_key(|secret| name(secret)),
                }
                if descending {
                    sorted.reverse();
                }
                let expected: Vec<String> = sorted.into_iter().map(name).collect();
                let pages = pages(&world, list);
                assert!(pages.iter().all(|page| page.len() <= max_results as usize));
                // The last page may be empty where those that wait for their deletion come last.
                let needed = expected.len().div_ceil(max_results as usize);
                let most = if include_planned_deletion { needed } else { needed + 1 };
                assert!((needed..=most).contains(&pages.len()), "{} pages", pages.len());
                assert_eq!(pages.concat(), expected, "{} {descending} {max_results}", sort_by.as_str());
            }
        }
    }
}

#[test]
fn filters_leave_out_and_keep_the_order() {
    let world = world();
    for sort_by in [SortBy::CreatedDate, SortBy::LastChangedDate, SortBy::Name] {
        for descending in [false, true] {
            let list = |filters: &[Filter], max_results| ListSecrets {
                filters: filters.to_vec(),
                sort_by,
                descending,
                max_results,
                ..Default::default()
            };
            let all = pages(&world, || list(&[], 100)).concat();
            let prod: Vec<String> = all.iter().filter(|name| name.starts_with("prod/")).cloned().collect();
            let not_prod: Vec<String> =
                all.iter().filter(|name| !name.starts_with("prod/")).cloned().collect();
            assert!(prod.len() > 10 && not_prod.len() > 10);
            for max_results in [1, 4, 100] {
                let listed = |filters: &[Filter]| pages(&world, || list(filters, max_results)).concat();
                assert_eq!(listed(&[filter(FilterKey::Name, &["prod/"])]), prod);
                assert_eq!(listed(&[filter(FilterKey::Name, &["!prod/"])]), not_prod);
                assert_eq!(listed(&[filter(FilterKey::Name, &["prod", "test"])]), all);
                let both = [filter(FilterKey::All, &["database"]), filter(FilterKey::TagValue, &["t"])];
                let found = listed(&both);
                assert!(!found.is_empty() && found.len() < 10);
                assert!(listed(&[filter(FilterKey::OwningService, &["rds"])]).is_empty());
            }
        }
    }
}

#[test]
fn a_cursor_is_bound_to_filters_order_and_choice() {
    let world = world();
    let mine = || ListSecrets {
        filters: vec![filter(FilterKey::Name, &["prod", "test"])],
        max_results: 3,
        ..Default::default()
    };
    let cursor = world.run(mine()).unwrap().next_token.unwrap();
    let with = |list: ListSecrets| world.run(ListSecrets { next_token: Some(cursor.clone()), ..list });
    assert!(with(mine()).is_ok());
    assert!(with(ListSecrets { max_results: 50, ..mine() }).is_ok(), "pages may differ in size");
    for (what, list) in [
        ("another direction", ListSecrets { descending: true, ..mine() }),
        ("another order", ListSecrets { sort_by: SortBy::Name, ..mine() }),
        ("an order by date", ListSecrets { sort_by: SortBy::LastChangedDate, ..mine() }),
        ("deleted ones too", ListSecrets { include_planned_deletion: true, ..mine() }),
        ("no filter", ListSecrets { filters: Vec::new(), ..mine() }),
        ("one value less", ListSecrets { filters: vec![filter(FilterKey::Name, &["prod"])], ..mine() }),
        (
            "another key",
            ListSecrets { filters: vec![filter(FilterKey::TagKey, &["prod", "test"])], ..mine() },
        ),
        (
            "the values in two filters",
            ListSecrets {
                filters: vec![filter(FilterKey::Name, &["prod"]), filter(FilterKey::Name, &["test"])],
                ..mine()
            },
        ),
    ] {
        assert!(matches!(with(list), Err(Error::InvalidNextToken)), "{what}");
    }
}

#[test]
fn a_filtered_page_looks_at_a_bounded_number_of_secrets() {
    let world = World::new();
    for number in 0..1300 {
        world.create(&format!("s{number:04}"), number, None).unwrap();
        world.clock.advance_millis(1);
    }
    for sort_by in [SortBy::CreatedDate, SortBy::Name] {
        let list = || ListSecrets {
            filters: vec![filter(FilterKey::Name, &["s1299"])],
            sort_by,
            ..Default::default()
        };
        assert_eq!(pages(&world, list), [vec![], vec!["s1299".to_owned()]]);
    }
    // By a date there is no early end: everything is looked at for each page.
    let list = || ListSecrets {
        filters: vec![filter(FilterKey::Name, &["s1299"])],
        sort_by: SortBy::LastChangedDate,
        ..Default::default()
    };
    assert_eq!(pages(&world, list), [vec!["s1299".to_owned()]]);
}

#[test]
fn a_page_does_no_more_comparing_than_it_may() {
    let world = World::new();
    let description = Some("a".repeat(2).repeat(1024));
    for number in 0..40 {
        let create = create(&format!("s{number:04}"), number, None);
        world.run(CreateSecret { description: description.clone(), ..create }).unwrap();
        world.clock.advance_millis(1);
    }
    // 10 filters of 10 values of 256 words each, all of which the description has.
    let words = vec!["a"; 256].join(" ");
    let filters = vec![filter(FilterKey::Description, &[words.as_str(); 10]); 10];
    let list = || ListSecrets { filters: filters.clone(), ..Default::default() };
    let pages = pages(&world, list);
    assert!(pages.len() > 5, "{}", pages.len());
    assert_eq!(pages.concat().len(), 40, "and all are found");
}

/// A page may take a walk through all secrets, which a caller who may not list must not set off.
#[test]
fn nothing_is_looked_for_before_the_caller_is_known_to_be_allowed() {
    let mut ground = Ground::new(Arc::new(MemoryStore::new()), 1).found().unwrap().into_ground();
    let store = Arc::new(FaultyStore::new(Arc::clone(&ground.store)));
    ground.store = Arc::clone(&store) as Arc<dyn Store>;
    let world = ground.open().unwrap();
    let by_change = || ListSecrets { sort_by: SortBy::LastChangedDate, ..Default::default() };
    let list = |context: &Context| block_on(world.core.execute(context, by_change())).map(drop);
    // Their policies are in the cache from then on.
    assert!(matches!(list(&world.nobody()), Err(Error::Denied(_))));
    list(&world.administrator()).unwrap();
    store.fail_snapshots(usize::MAX);
    assert!(matches!(list(&world.nobody()), Err(Error::Denied(_))));
    assert!(matches!(list(&world.administrator()), Err(Error::Unavailable(_))));
}

/// Others wait for their turn, which comes as well when a caller goes away; the answers are the same.
#[test]
fn few_walks_through_all_secrets_are_under_way_at_once() {
    const ASKED: usize = 6;
    let ranges = Arc::new(AtomicUsize::new(0));
    let store = CountingStore { store: MemoryStore::new(), ranges: Arc::clone(&ranges) };
    let world = World::over(Arc::new(store), 1);
    for number in 0..300 {
        world.create(&format!("s{number:04}"), number, None).unwrap();
        world.clock.advance_millis(1);
    }
    let contexts: Vec<Context> = (0..ASKED).map(|_| world.administrator()).collect();
    let by_change = || ListSecrets { sort_by: SortBy::LastChangedDate, ..Default::default() };
    let names_of = |page: coffer_core::ops::secrets::SecretPage| names(&page.secrets);
    let expected = names_of(world.run(by_change()).unwrap());
    let mut walks: Vec<BoxFuture<'_, _>> = contexts
        .iter()
        .map(|context| Box::pin(world.core.execute(context, by_change())) as BoxFuture<'_, _>)
        .collect();
    // The first batch of each that runs is read in its first turn.
    let begun = |walks: &mut [BoxFuture<'_, Result<_, Error>>]| {
        let before = ranges.load(Ordering::SeqCst);
        for walk in walks {
            assert!(poll_once(walk).is_none(), "three batches take three turns");
        }
        ranges.load(Ordering::SeqCst) - before
    };
    assert_eq!(begun(&mut walks), 2);
    // Their callers go away; the next two begin.
    drop(walks.drain(..2));
    assert_eq!(begun(&mut walks), 2);
    for walk in walks {
        assert_eq!(names_of(block_on(walk).unwrap()), expected);
    }
}

/// What goes through all users, keys or records waits for the same turns.
#[test]
fn few_walks_of_any_kind_are_under_way_at_once() {
    let ranges = Arc::new(AtomicUsize::new(0));
    let store = CountingStore { store: MemoryStore::new(), ranges: Arc::clone(&ranges) };
    let world = World::over(Arc::new(store), 1);
    world.create("s", 1, None).unwrap();
    let page = || Page { max_items: 100, marker: None };
    let users = || ListUsers { path_prefix: "/".to_owned(), page: page() };
    let who_can =
        || WhoCan { secret_id: "s".parse().unwrap(), action: "secretsmanager:GetSecretValue".to_owned() };
    let context = world.administrator();
    let core = &world.core;
    // Each reads a batch of what it goes through and lets others run; a third one reads nothing before one of them is done.
    let mut first: BoxFuture<'_, _> = Box::pin(core.execute(&context, users()));
    let mut second: BoxFuture<'_, _> = Box::pin(core.execute(&context, who_can()));
    assert!(poll_once(&mut first).is_none() && poll_once(&mut second).is_none());
    let before = ranges.load(Ordering::SeqCst);
    let mut keys: BoxFuture<'_, _> =
        Box::pin(core.execute(&context, ListAccessKeys { user: None, page: page() }));
    let mut more_users: BoxFuture<'_, _> = Box::pin(core.execute(&context, users()));
    let mut denials: BoxFuture<'_, _> = Box::pin(core.execute(&context, ExplainDenial::default()));
    assert!(poll_once(&mut keys).is_none());
    assert!(poll_once(&mut more_users).is_none());
    assert!(poll_once(&mut denials).is_none());
    assert_eq!(ranges.load(Ordering::SeqCst), before);
    assert_eq!(block_on(first).unwrap().items.len(), 2);
    drop(second);
    assert_eq!(block_on(keys).unwrap().items.len(), 1);
    assert_eq!(block_on(more_users).unwrap().items.len(), 2);
    assert!(block_on(denials).unwrap().is_none());
}

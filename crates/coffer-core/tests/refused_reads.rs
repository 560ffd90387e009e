//! Who is not allowed cannot make coffer look through its store: a refusal costs a few records, however much there is.

mod counting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_core::ops::secrets::{Batch, BatchGetSecretValue, ListSecretVersionIds, ListSecrets, SortBy};
use coffer_core::{Context, Error, Operation};
use coffer_store::MemoryStore;
use coffer_testkit::World;
use coffer_testkit::shorthand::{put, secret_id, update};
use counting::CountingStore;
use futures_executor::block_on;

fn list(sort_by: SortBy) -> ListSecrets {
    ListSecrets { sort_by, ..Default::default() }
}

fn versions() -> ListSecretVersionIds {
    ListSecretVersionIds {
        secret_id: secret_id("s"),
        include_deprecated: true,
        max_results: 100,
        next_token: None,
    }
}

#[test]
fn only_the_allowed_make_it_read_ranges() {
    let ranges = Arc::new(AtomicUsize::new(0));
    let world = World::over(
        Arc::new(CountingStore { store: MemoryStore::default(), ranges: Arc::clone(&ranges) }),
        1,
    );
    world.create("s", 1, Some("v")).unwrap();
    (2..=110).for_each(|number| drop(world.put("s", number, "v", None).unwrap()));
    world.clock.advance_millis(2 * 24 * 60 * 60 * 1000);

    fn ranges_read<O: Operation>(
        world: &World,
        context: &Context,
        operation: O,
        ranges: &AtomicUsize,
    ) -> (bool, bool) {
        let before = ranges.load(Ordering::SeqCst);
        let answer = block_on(world.core.execute(context, operation));
        let is_denied = matches!(answer.err(), Some(Error::Denied(_)));
        (is_denied, ranges.load(Ordering::SeqCst) > before)
    }
    macro_rules! check {
        ($operation:expr) => {
            let what = stringify!($operation);
            assert_eq!(ranges_read(&world, &world.nobody(), $operation, &ranges), (true, false), "{what}");
            assert_eq!(
                ranges_read(&world, &world.administrator(), $operation, &ranges),
                (false, true),
                "{what}"
            );
        };
    }
    for sort_by in [SortBy::CreatedDate, SortBy::LastAccessedDate, SortBy::LastChangedDate, SortBy::Name] {
        check!(list(sort_by));
    }
    check!(versions());
    check!(put("s", 200, "w", None));
    check!(update("s", None, Some((201, "x"))));

    let filters = Batch::Filtered { filters: Vec::new(), max_results: 20, next_token: None };
    let before = ranges.load(Ordering::SeqCst);
    let batch = block_on(world.core.read_batch(&world.nobody(), BatchGetSecretValue { batch: filters }));
    assert!(matches!(batch.err(), Some(Error::Denied(_))));
    assert_eq!(ranges.load(Ordering::SeqCst), before);
}
